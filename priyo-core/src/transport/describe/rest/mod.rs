//! What each REST operation takes and gives, in words: one file for each file of handlers.

mod accounts;
mod conversations;
mod files;
mod messages;
mod pages;
mod users;
mod visitors;

use serde_json::{Value, json};

use super::operation::Described;
use crate::limits::Limits;
use crate::transport::rest::Operation;

pub(super) use messages::new_message;
pub(super) use pages::Page;

/// The groups that operations are shown in, with what holds for all of a group.
pub(super) const GROUPS: [(&str, &str); 7] = [
    (
        accounts::GROUP,
        "Accounts and tokens. Not there where the program around the engine has its own login.",
    ),
    (users::GROUP, "For an ADMIN. Not there where the program around the engine has its own login."),
    (
        conversations::GROUP,
        "Who talks to whom. A conversation that one may not see answers as one that is not there.",
    ),
    (
        messages::GROUP,
        "What is said. Within a conversation messages are numbered from 1 without a gap by `seq`.",
    ),
    (files::GROUP, "Files for messages of type FILE and IMAGE."),
    (
        visitors::GROUP,
        "Visitors of websites, and the inbox of those who answer them. Not there where visitors are not received.",
    ),
    (pages::GROUP, "For operators and developers."),
];

/// The description of an operation.
pub(super) fn described(operation: Operation, limits: &Limits) -> Described {
    match operation {
        Operation::Register => accounts::register(),
        Operation::Login => accounts::login(),
        Operation::Refresh => accounts::refresh(),
        Operation::Logout => accounts::logout(),
        Operation::Me => accounts::me(),
        Operation::ChangePassword => accounts::change_password(),
        Operation::ListSessions => accounts::list_sessions(),
        Operation::EndSession => accounts::end_session(),
        Operation::ListUsers => users::list(limits),
        Operation::UpdateUser => users::update(),
        Operation::ListConversations => conversations::list(limits),
        Operation::CreateConversation => conversations::create(limits),
        Operation::GetConversation => conversations::get(),
        Operation::CloseConversation => conversations::close(),
        Operation::ReopenConversation => conversations::reopen(),
        Operation::LeaveConversation => conversations::leave(),
        Operation::AddParticipants => conversations::add_participants(limits),
        Operation::RemoveParticipant => conversations::remove_participant(),
        Operation::SendMessage => messages::send(limits),
        Operation::ListMessages => messages::list(limits),
        Operation::MarkRead => messages::mark_read(limits),
        Operation::CountUnread => messages::count_unread(),
        Operation::UploadFile => files::upload(limits),
        Operation::DownloadUpload => files::download("downloadUpload", "The same file by its API path"),
        Operation::DownloadFile => files::download("downloadFile", "Download a file"),
        Operation::Visit => visitors::visit(),
        Operation::OpenSupport => visitors::open(),
        Operation::ListInbox => visitors::inbox(limits),
        Operation::ListAgents => visitors::people(),
        Operation::ClaimConversation => visitors::claim(),
        Operation::ReleaseConversation => visitors::release(),
        Operation::Health => pages::health("health"),
        Operation::ApiHealth => pages::health("apiHealth"),
        Operation::Ready => pages::ready(),
    }
}

/// How many rows a page has.
fn limit_parameter(max: u32, default: u32) -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": max, "default": default.min(max) })
}
