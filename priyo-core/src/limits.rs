//! Every number that bounds a client.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::rates::Rates;

/// Bounds on what clients send and hold. `Default` is what the server ships with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Longest message text, in Unicode code points.
    pub message_chars: usize,
    /// Longest message text, in bytes of UTF-8.
    pub message_bytes: usize,
    /// Largest JSON body and largest socket frame, in bytes.
    pub body_bytes: usize,
    /// Most messages in one page; asking for more is refused.
    pub page_rows: u32,
    /// Messages in a page when the client does not say.
    pub default_page_rows: u32,
    /// Most bytes of messages in one page; the page then ends early and says that there is more.
    pub page_bytes: usize,
    /// Conversations in a list when the client does not say. At most `page_rows` may be asked for.
    pub default_list_rows: u32,
    /// Most message ids in one call.
    pub read_ids: usize,
    /// Most conversations that a client names in one `sync`.
    pub sync_ids: usize,
    /// Most participants of a conversation.
    pub participants: usize,
    /// Largest uploaded file, in bytes.
    pub upload_bytes: u64,
    /// Most bytes that the files of one user may have together.
    pub user_bytes: u64,
    /// How long a file is kept that no message carries. What a broken upload has left, where others may be at work on
    /// the same storage, for as long, but no longer than an hour.
    pub unsent_file_ttl: Duration,
    /// The longer side of a thumbnail, in pixels.
    pub thumbnail_side: u32,
    /// Most bytes that a picture may take in memory for its thumbnail to be made: three or four a pixel. One that
    /// takes more has none.
    pub picture_bytes: u64,
    /// How long a typing notice lives without being renewed.
    pub typing_ttl: Duration,
    /// How long before its token expires a connection is warned; of a token that is good for less than twice that,
    /// when half of its time is left.
    pub token_warning: Duration,
    /// How long after its token has expired a connection is ended that was not given another.
    pub token_grace: Duration,
    /// Most conversations that one socket listens to at once.
    pub rooms_per_socket: usize,
    /// Most sockets of one user at once.
    pub sockets_per_user: usize,
    /// Most sockets at once that come from one address, where it is known.
    pub sockets_per_address: usize,
    /// Most events of one socket that wait or are being handled; more are refused as `overloaded`.
    pub socket_inbox: usize,
    /// Most packets that wait to be sent to one socket; one that needs more is closed and resumes.
    ///
    /// Large, because one commit can announce hundreds of messages, and each event that is refused needs a
    /// packet too.
    pub socket_outbox: usize,
    /// Most sockets at once that have not said who they are, of all strangers together; more are refused as
    /// `overloaded`. Each costs about 12 kB, and polling ones need no connection of their own.
    pub unknown_sockets: usize,
    /// The same, of those that come from one address, where it is known: one stranger must not take every place.
    pub unknown_sockets_per_address: usize,
    /// How long a socket may take to say who it is.
    pub connect_timeout: Duration,
    /// How often a client is asked for a sign of life.
    pub ping_interval: Duration,
    /// How long it may take to give one. Together with the interval: how long one that is gone without a word
    /// counts as there.
    pub ping_timeout: Duration,
    /// How often it is stored that a user who is online is there: a crash forgets no more of when they were last
    /// seen.
    pub presence_renewal: Duration,
    /// Most password hashings at once; 0 means one for each core. More would not be done sooner: they only take memory,
    /// and turns from the threads that serve requests.
    pub hashing_at_once: usize,
    /// Most password hashings that wait; more are refused as `overloaded`.
    pub hashing_queue: usize,
    /// Most sends that wait for a commit; more are refused as `overloaded`.
    pub append_queue: usize,
    /// Most messages in one commit.
    pub append_batch: usize,
    /// How often a client may do what.
    pub rates: Rates,
    /// Most clients that are remembered for each rate, about 64 bytes each. Above it those who have used least of
    /// theirs are forgotten, so that nobody is refused for it and nobody who was refused is forgiven.
    pub rate_keys: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_chars: 5_000,
            message_bytes: 20_000,
            body_bytes: 64 * 1024,
            page_rows: 200,
            default_page_rows: 50,
            page_bytes: 256 * 1024,
            default_list_rows: 100,
            read_ids: 500,
            sync_ids: 500,
            participants: 100,
            upload_bytes: 5 * 1024 * 1024,
            user_bytes: 100 * 1024 * 1024,
            unsent_file_ttl: Duration::from_hours(24),
            thumbnail_side: 320,
            // What a telephone takes, of twelve million pixels, is just within.
            picture_bytes: 40 * 1024 * 1024,
            typing_ttl: Duration::from_secs(6),
            token_warning: Duration::from_mins(1),
            token_grace: Duration::from_secs(30),
            rooms_per_socket: 200,
            sockets_per_user: 20,
            sockets_per_address: 200,
            socket_inbox: 64,
            socket_outbox: 4_096,
            unknown_sockets: 2_000,
            unknown_sockets_per_address: 20,
            connect_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            presence_renewal: Duration::from_secs(30),
            hashing_at_once: 0,
            hashing_queue: 64,
            append_queue: 4_096,
            append_batch: 256,
            rates: Rates::default(),
            rate_keys: 50_000,
        }
    }
}

impl Limits {
    /// How many rows to give to a client who asked for `asked`.
    pub(crate) fn rows(&self, asked: Option<u32>, default: u32) -> Result<u32> {
        match asked {
            None => Ok(default.min(self.page_rows)),
            Some(rows) if (1..=self.page_rows).contains(&rows) => Ok(rows),
            Some(_) => Err(Error::field("limit", &format!("must be between 1 and {}", self.page_rows))),
        }
    }
}
