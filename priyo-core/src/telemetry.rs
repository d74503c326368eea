//! What is measured, through the `metrics` facade: all names in one place.
//!
//! Nothing is measured unless the program installs a recorder before it builds the engine. No label has an id, a name
//! or a text of a user in it.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const REQUESTS: &str = "priyo_http_requests_total";
const REQUEST_SECONDS: &str = "priyo_http_request_seconds";
const REFUSALS: &str = "priyo_refusals_total";
const RATE_LIMITED: &str = "priyo_rate_limited_total";
const MESSAGES: &str = "priyo_messages_total";
const APPEND_QUEUE: &str = "priyo_append_queue_messages";
const BATCH_MESSAGES: &str = "priyo_append_batch_messages";
const BATCH_SECONDS: &str = "priyo_append_batch_seconds";
const WRITER_CALLS: &str = "priyo_sqlite_commit_calls";
const WRITER_SECONDS: &str = "priyo_sqlite_commit_seconds";
const STORAGE_ERRORS: &str = "priyo_storage_errors_total";
const RECOVERED: &str = "priyo_messages_recovered_total";
const SOCKETS: &str = "priyo_sockets";
const SOCKETS_UNKNOWN: &str = "priyo_sockets_unknown";
const SOCKETS_LAGGING: &str = "priyo_sockets_lagging_total";
const SOCKETS_FLOODING: &str = "priyo_sockets_flooding_total";
const USERS_ONLINE: &str = "priyo_users_online";
const CONVERSATIONS_HEARD: &str = "priyo_conversations_listened_to";
const TYPISTS: &str = "priyo_typing_notices";
const STORAGE_CALLS: &str = "priyo_storage_calls_total";
const HANDED: &str = "priyo_events_handed_total";
const HASHINGS: &str = "priyo_password_hashings";

/// Tells the recorder what each is.
pub(crate) fn describe() {
    describe_counter!(REQUESTS, "HTTP requests answered, by method, route and status");
    describe_histogram!(REQUEST_SECONDS, Unit::Seconds, "Time to answer an HTTP request, by route");
    describe_counter!(REFUSALS, "Requests and socket events refused, by error code");
    describe_counter!(RATE_LIMITED, "What was refused because it was done too often, by action");
    describe_counter!(MESSAGES, "Messages accepted, by outcome: new or duplicate");
    describe_gauge!(APPEND_QUEUE, "Messages that wait for a commit");
    describe_histogram!(BATCH_MESSAGES, "Messages stored by one call of the storage");
    describe_histogram!(BATCH_SECONDS, Unit::Seconds, "Time of one such call, with its commit");
    describe_histogram!(WRITER_CALLS, "Calls in one transaction of SQLite");
    describe_histogram!(WRITER_SECONDS, Unit::Seconds, "Time of one transaction of SQLite, with its commit");
    describe_counter!(STORAGE_ERRORS, "Calls that the storage failed, by kind: unavailable or backend");
    describe_counter!(
        RECOVERED,
        "Messages read from the storage for those who listen, as no notice of them had come"
    );
    describe_gauge!(SOCKETS, "Connected sockets");
    describe_gauge!(SOCKETS_UNKNOWN, "Sockets that have not said who they are");
    describe_counter!(SOCKETS_LAGGING, "Sockets closed because they could not keep up");
    describe_counter!(SOCKETS_FLOODING, "Sockets closed because they sent far too much");
    describe_gauge!(USERS_ONLINE, "Users with a live connection");
    describe_gauge!(CONVERSATIONS_HEARD, "Conversations that a socket listens to");
    describe_gauge!(TYPISTS, "Typing notices that have not ended");
    describe_counter!(STORAGE_CALLS, "Calls of the storage, by kind: read or write");
    describe_counter!(HANDED, "Events handed to sockets, by event");
    describe_gauge!(HASHINGS, "Password hashings that run or wait");
}

/// An HTTP request was answered. `route` is as it is written in the router.
#[cfg(feature = "__http")]
pub(crate) fn request_answered(method: &'static str, route: &str, status: u16, took: Duration) {
    let status = [b'0' + u8::try_from(status / 100 % 10).unwrap_or(0), b'x', b'x'];
    let status = String::from_utf8_lossy(&status).into_owned();
    let route = route.to_owned();
    counter!(REQUESTS, "method" => method, "route" => route.clone(), "status" => status).increment(1);
    histogram!(REQUEST_SECONDS, "route" => route).record(took);
}

/// A request or an event was refused.
pub(crate) fn refused(code: &'static str) {
    counter!(REFUSALS, "code" => code).increment(1);
}

/// Something was refused because it was done too often.
pub(crate) fn rate_limited(action: &'static str) {
    counter!(RATE_LIMITED, "action" => action).increment(1);
}

/// Messages were accepted.
pub(crate) fn messages_accepted(new: u64, duplicate: u64) {
    for (outcome, count) in [("new", new), ("duplicate", duplicate)] {
        if count > 0 {
            counter!(MESSAGES, "outcome" => outcome).increment(count);
        }
    }
}

/// A batch of messages was stored, and this many wait for the next one.
pub(crate) fn batch_stored(messages: usize, took: Duration, waiting: usize) {
    histogram!(BATCH_MESSAGES).record(number(messages));
    histogram!(BATCH_SECONDS).record(took);
    gauge!(APPEND_QUEUE).set(number(waiting));
}

/// SQLite has committed a transaction of this many calls.
#[cfg(feature = "sqlite")]
pub(crate) fn sqlite_committed(calls: usize, took: Duration) {
    histogram!(WRITER_CALLS).record(number(calls));
    histogram!(WRITER_SECONDS).record(took);
}

/// The storage has failed a call.
pub(crate) fn storage_failed(kind: &'static str) {
    counter!(STORAGE_ERRORS, "kind" => kind).increment(1);
}

/// Messages were read for those who listen, as no notice of them had come.
pub(crate) fn messages_recovered(count: u64) {
    if count > 0 {
        counter!(RECOVERED).increment(count);
    }
}

/// This many sockets are connected.
#[cfg(feature = "socketio")]
pub(crate) fn sockets_connected(now: usize) {
    gauge!(SOCKETS).set(number(now));
}

/// This many sockets have not said who they are.
#[cfg(feature = "socketio")]
pub(crate) fn sockets_unknown(now: usize) {
    gauge!(SOCKETS_UNKNOWN).set(number(now));
}

/// Sockets listen to this many conversations.
#[cfg(feature = "socketio")]
pub(crate) fn conversations_listened_to(now: usize) {
    gauge!(CONVERSATIONS_HEARD).set(number(now));
}

/// This many users are online.
pub(crate) fn users_online(now: usize) {
    gauge!(USERS_ONLINE).set(number(now));
}

/// There are this many typing notices.
pub(crate) fn typing_notices(now: usize) {
    gauge!(TYPISTS).set(number(now));
}

/// A call of the storage begins: `read` or `write`.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) fn storage_called(kind: &'static str) {
    counter!(STORAGE_CALLS, "kind" => kind).increment(1);
}

/// A socket could not keep up.
#[cfg(feature = "socketio")]
pub(crate) fn socket_lagged() {
    counter!(SOCKETS_LAGGING).increment(1);
}

/// A socket sent far too much.
#[cfg(feature = "socketio")]
pub(crate) fn socket_flooded() {
    counter!(SOCKETS_FLOODING).increment(1);
}

/// An event was handed to this many sockets.
#[cfg(feature = "socketio")]
pub(crate) fn event_handed(event: &'static str, sockets: u64) {
    if sockets > 0 {
        counter!(HANDED, "event" => event).increment(sockets);
    }
}

/// This many passwords are being hashed or wait for it.
pub(crate) fn hashings(now: usize) {
    gauge!(HASHINGS).set(number(now));
}

/// As a recorder takes it. Counts are far below 2^53, up to where this is exact.
#[allow(clippy::cast_precision_loss, reason = "exact for every count there can be")]
fn number(count: usize) -> f64 {
    count as f64
}
