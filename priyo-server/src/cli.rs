//! The command line.

use clap::{Parser, Subcommand};

use priyo_server::config;

/// Priyo: a chat server over REST and Socket.IO. Without a command it serves.
///
/// SIGTERM or SIGINT stops it: requests have 7 s to finish, it is gone within 10 s, and the exit code is 0. A second
/// signal ends it at once, with 130. The exit code is 1 when it cannot start, and standard error says why.
#[derive(Debug, Parser)]
#[command(name = "priyo-server", version, after_help = config::table(), after_long_help = config::table())]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Manage administrators.
    Admin {
        #[command(subcommand)]
        command: AdminCommand,
    },
    /// Ask the server that runs here with the same settings whether it answers.
    ///
    /// The exit code is 0 when it does within 3 s, else 1. For the health checks of containers and service managers.
    Health,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Make an administrator; a server may be running on the same database. The password is asked for, or taken
    /// from PRIYO_ADMIN_PASSWORD.
    Create {
        /// The e-mail address to log in with.
        #[arg(long)]
        email: String,
        /// The name that others see.
        #[arg(long)]
        username: String,
    },
    /// Give a user another password and sign them out everywhere; a server may be running on the same database. The
    /// password is asked for, or taken from PRIYO_ADMIN_PASSWORD.
    ResetPassword {
        /// The e-mail address that they log in with.
        #[arg(long)]
        email: String,
    },
}
