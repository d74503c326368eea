//! The one table of environment variables: the help text and the errors are made from it.

use std::fmt::Write as _;

/// One environment variable.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What holds when it is unset, in words or as a value.
    pub default: &'static str,
    /// What it means, with its unit, as a sentence.
    pub meaning: &'static str,
}

const fn variable(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default, meaning }
}

/// Every variable that the server reads.
pub const VARIABLES: &[Variable] = &[
    variable("NODE_ENV", "development", "The environment, development or production."),
    variable(
        "DATABASE_URL",
        "sqlite:priyo.db",
        "Where the data is: sqlite:<path>, below the working directory without a leading slash; or PostgreSQL, \
         postgresql://user:password@host/database?schema=priyo.",
    ),
    variable(
        "JWT_ACCESS_SECRET",
        "made up in development, required in production",
        "Signs access tokens; at least 32 bytes, for example from `openssl rand -hex 32`.",
    ),
    variable(
        "JWT_REFRESH_SECRET",
        "made up in development, required in production",
        "Signs refresh tokens; at least 32 bytes and another one than JWT_ACCESS_SECRET.",
    ),
    variable(
        "JWT_ACCESS_EXPIRES_IN",
        "15m",
        "How long an access token is good: a number with s, m, h or d, or a number of seconds.",
    ),
    variable(
        "JWT_REFRESH_EXPIRES_IN",
        "7d",
        "How long a refresh token is good: a number with s, m, h or d, or a number of seconds.",
    ),
    variable(
        "HOST",
        "127.0.0.1,::1 in development; 0.0.0.0,:: in production",
        "The addresses to listen on, separated by commas; localhost is 127.0.0.1 and ::1.",
    ),
    variable("PORT", "3000", "The TCP port to listen on; 0 takes any free one."),
    variable(
        "CORS_ORIGIN",
        "any http://localhost:* and http://127.0.0.1:* in development; none in production",
        "Whose pages may call the server: origins like https://chat.example, separated by commas.",
    ),
    variable(
        "TRUSTED_PROXIES",
        "0",
        "How many reverse proxies in front of the server add the client's address to X-Forwarded-For.",
    ),
    variable(
        "RATE_LIMITS",
        "on",
        "off turns rate limits and connection caps off, for load tests; refused in production.",
    ),
    variable(
        "SELF_SERVICE_ROLES",
        "on in development, off in production",
        "Whether anyone may register as AGENT or ADMIN, on or off.",
    ),
    variable(
        "METRICS_TOKEN",
        "unset",
        "A token that may read /metrics, /docs and the API descriptions in production, where else only an ADMIN may.",
    ),
    variable("UPLOAD_DIR", "uploads", "The directory for uploaded files."),
    variable("MAX_FILE_SIZE", "5242880", "The largest upload, in bytes."),
    variable(
        "LOG_FORMAT",
        "json in production when the output is no terminal, else human",
        "How log lines look, human or json.",
    ),
    variable("LOG_LEVEL", "info", "What is logged: error, warn, info, debug, trace, or tracing directives."),
    variable("RUST_LOG", "unset", "The same as LOG_LEVEL, and counts before it."),
    variable(
        "PRIYO_ADMIN_PASSWORD",
        "asked for on the terminal",
        "The password for `admin create`, 8 characters to 1024 bytes.",
    ),
];

/// The table as text.
#[must_use]
pub fn table() -> String {
    let mut text =
        String::from("Environment variables, also read from a file .env in the working directory:\n");
    for Variable { name, default, meaning } in VARIABLES {
        // Writing to a string can't fail.
        let _ = write!(text, "\n  {name}\n      {meaning}\n      Default: {default}\n");
    }
    text
}
