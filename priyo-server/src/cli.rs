//! The command line.

use clap::{Parser, Subcommand};

use priyo_server::config;

/// Priyo: a chat server over REST and Socket.IO. Without a command it serves.
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
}
