//! The command line of `load`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::target::Target;

/// Drives a server with the routes and events of Priyo, and measures how fast it is and what it costs.
///
/// Results go to the standard output as a table, progress to the standard error. The exit code is not 0 when an answer
/// was wrong, or a message or a delivery was lost. The server must not limit rates: for Priyo, RATE_LIMITS=off.
#[derive(Debug, Clone, Parser)]
#[command(name = "load", max_term_width = 100)]
pub struct Options {
    /// What to measure, in this order.
    #[arg(value_enum, required = true)]
    pub scenarios: Vec<Scenario>,

    /// Where the server is.
    #[arg(long, default_value = "http://127.0.0.1:3000", value_parser = Target::parse)]
    pub base_url: Target,

    /// The server's process, to measure its CPU time and memory. It must be on this machine.
    #[arg(long)]
    pub pid: Option<u32>,

    /// How long to measure, in seconds.
    #[arg(long, default_value = "10", value_parser = seconds)]
    pub seconds: Duration,

    /// How long to run before the measurement begins, in seconds.
    #[arg(long, default_value = "2", value_parser = seconds)]
    pub warmup: Duration,

    /// How many sockets; 50 for `send`, 200 listeners for `fanout`, 1000 for `idle`, unless said otherwise.
    #[arg(long)]
    pub sockets: Option<usize>,

    /// How many conversations; 10 for `send`, 8 for `rest-send`, 200 for `list`, unless said otherwise.
    #[arg(long)]
    pub conversations: Option<usize>,

    /// How many connections that are kept open; 32 for `rest-send`, 16 for `history`, `unread` and `list`, 8 for
    /// `login`, unless said otherwise.
    #[arg(long)]
    pub connections: Option<usize>,

    /// How many messages each sender has on the way at once; 1 for `send`, 8 for `fanout`, unless said otherwise.
    #[arg(long)]
    pub in_flight: Option<usize>,

    /// How many messages to write first: in the conversation for `history` and `unread` (10000), in each for `list`
    /// (20), unless said otherwise.
    #[arg(long)]
    pub messages: Option<usize>,

    /// Use the accounts in this file; where there is none, make them and write it. So a server can be measured that
    /// has hashed no password since it started: make them, start it again, and measure.
    #[arg(long)]
    pub accounts: Option<PathBuf>,

    /// For `start`: the command that starts the server, as the shell takes it. It must not go into the background.
    #[arg(long)]
    pub spawn: Option<String>,

    /// For `start`: how often.
    #[arg(long, default_value = "5")]
    pub starts: usize,

    /// Also write the results to this file, as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Messages sent over sockets, which all listen to each other, five to a conversation.
    Send,
    /// Messages sent over REST.
    RestSend,
    /// Messages of one sender to many listening sockets.
    Fanout,
    /// Memory of sockets that are connected and silent.
    Idle,
    /// Pages of 50 messages anywhere in a conversation.
    History,
    /// The number of unread messages.
    Unread,
    /// A page of conversations with their newest messages and unread counts.
    List,
    /// Logins, and whether the server answers others meanwhile.
    Login,
    /// How soon a new server answers, and its memory then. Needs `--spawn`.
    Start,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "is not a number")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
