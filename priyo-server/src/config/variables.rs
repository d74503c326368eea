//! The one table of environment variables: the help text and the errors are made from it.

use std::fmt::Write as _;

use priyo_core::rates::Action;

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
pub const VARIABLES: &[Variable] = &ALL;

const ALL: [Variable; OWN.len() + Action::ALL.len()] = {
    let mut all = [OWN[0]; OWN.len() + Action::ALL.len()];
    let mut place = 0;
    while place < all.len() {
        all[place] = if place < OWN.len() { OWN[place] } else { rate(Action::ALL[place - OWN.len()]) };
        place += 1;
    }
    all
};

/// The variable of one of the engine's rates.
const fn rate(action: Action) -> Variable {
    let default = match action {
        Action::Request => "2000/15m in development, 500/15m in production",
        other => other.default_rate(),
    };
    variable(action.variable(), default, action.what())
}

const OWN: &[Variable] = &[
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
        "How long a refresh token is good when it is not used: a number with s, m, h or d, or a number of seconds.",
    ),
    variable(
        "SESSION_MAX_AGE",
        "30d",
        "How long a login lasts, however often its tokens are renewed: a number with s, m, h or d, or of seconds.",
    ),
    variable(
        "JWT_ACCESS_SECRET_PREVIOUS",
        "unset",
        "The JWT_ACCESS_SECRET of before, for as long as its access tokens are to be good; it never signs.",
    ),
    variable(
        "JWT_REFRESH_SECRET_PREVIOUS",
        "unset",
        "The JWT_REFRESH_SECRET of before, for as long as its refresh tokens are to be good; it never signs.",
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
    variable("WIDGET", "on", "Whether visitors of websites are received, by the widget and in the inbox."),
    variable(
        "WIDGET_ORIGINS",
        "those of CORS_ORIGIN",
        "Whose pages may have the widget: origins like https://www.example, separated by commas.",
    ),
    variable("WIDGET_TITLE", "unset", "What visitors see above the conversation, and who greets them."),
    variable(
        "WIDGET_GREETING",
        "a few words in the visitor's language",
        "The first message of each conversation with a visitor; off for none.",
    ),
    variable("WIDGET_ACCENT", "unset", "The colour of the widget's buttons, like #2563eb."),
    variable(
        "WIDGET_LOCALE",
        "unset",
        "The language of the first message, like de. Unset, the visitor's. The widget's texts follow its page.",
    ),
    variable(
        "WIDGET_IDENTITY_SECRET",
        "unset",
        "Shared with the website's own server, which proves by it who a visitor is. At least 32 bytes.",
    ),
    variable("WIDGET_IDENTITY_REQUIRED", "off", "on receives only visitors with such a proof."),
    variable(
        "TRUSTED_PROXIES",
        "0",
        "How many reverse proxies in front of the server add the client's address to X-Forwarded-For.",
    ),
    variable(
        "RATE_LIMITS",
        "on",
        "off turns rate limits off, and caps on connections and sockets, that are not set, for load tests; refused in \
         production. Each RATE_LIMIT_… is a rate such as 10/15m (ten at once, and ten again in each quarter of an hour, \
         one by one) or 60+5/1s (sixty at once, then five each second), or off.",
    ),
    variable(
        "CONNECTIONS",
        "10000, or as many as the process may open files, less a reserve",
        "The most connections at once.",
    ),
    variable(
        "CONNECTIONS_PER_ADDRESS",
        "200",
        "The most connections at once from one address, where TRUSTED_PROXIES is 0; an IPv6 /64 is one address.",
    ),
    variable("SOCKETS_PER_USER", "20", "The most sockets of one user at once."),
    variable("SOCKETS_PER_ADDRESS", "200", "The most sockets at once that come from one address."),
    variable("UNKNOWN_SOCKETS", "2000", "The most sockets at once that have not said whose they are."),
    variable("UNKNOWN_SOCKETS_PER_ADDRESS", "20", "The same of those that come from one address."),
    variable("ROOMS_PER_SOCKET", "200", "The most conversations that one socket listens to at once."),
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
    variable("UPLOAD_DIR", "uploads", "The directory for uploaded files, if there is no bucket for them."),
    variable(
        "FILE_STORE",
        "unset",
        "A bucket for uploaded files in place of a directory: s3://bucket/folder, gs://bucket/folder or \
         az://container/folder. Nothing else may be in the folder.",
    ),
    variable(
        "AWS_ACCESS_KEY_ID",
        "unset",
        "The key to an s3:// bucket; without one, the machine's own role.",
    ),
    variable("AWS_SECRET_ACCESS_KEY", "unset", "The secret of that key."),
    variable("AWS_SESSION_TOKEN", "unset", "What belongs to a key that is good for some hours only."),
    variable("AWS_REGION", "unset", "Where the bucket is; us-east-1 if nothing says otherwise."),
    variable("AWS_ENDPOINT_URL", "unset", "The address of an S3-compatible store that is not Amazon's."),
    variable("AWS_ALLOW_HTTP", "unset", "true allows an address without TLS."),
    variable(
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
        "unset",
        "true puts the name of the bucket into the name of the host.",
    ),
    variable("AWS_ROLE_ARN", "unset", "The role of a service account of Kubernetes."),
    variable("AWS_WEB_IDENTITY_TOKEN_FILE", "unset", "The file with the token of that account."),
    variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "unset", "Where a container of ECS asks for its key."),
    variable(
        "GOOGLE_SERVICE_ACCOUNT",
        "unset",
        "The file of the service account that may use a gs:// bucket.",
    ),
    variable("GOOGLE_APPLICATION_CREDENTIALS", "unset", "The file of the application's default credentials."),
    variable("AZURE_STORAGE_ACCOUNT_NAME", "unset", "The account that an az:// container belongs to."),
    variable("AZURE_STORAGE_ACCOUNT_KEY", "unset", "The key of that account."),
    variable("AZURE_TENANT_ID", "unset", "The tenant of a client that may use the container."),
    variable("AZURE_CLIENT_ID", "unset", "That client."),
    variable("AZURE_CLIENT_SECRET", "unset", "The secret of that client."),
    variable("MAX_FILE_SIZE", "5242880", "The largest upload, in bytes."),
    variable(
        "MAX_USER_FILES_SIZE",
        "104857600",
        "How large all files of one user may be together, in bytes.",
    ),
    variable(
        "UNSENT_FILE_TTL",
        "24h",
        "How long an uploaded file is kept that no message carries: a number with s, m, h or d.",
    ),
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
        "The password for `admin create` and `admin reset-password`, 8 characters to 1024 bytes.",
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
