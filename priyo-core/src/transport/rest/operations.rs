//! The table of REST operations: the router, the list at `/` and the OpenAPI description are all made from it.

use axum::routing::{MethodFilter, MethodRouter, on};

use super::{
    accounts, conversations, downloads, inbox, messages, sessions, status, uploads, users, visitors,
};
use crate::engine::ChatEngine;
use crate::rates::Action;

/// One method of one path. A new one is asked for by the compiler wherever it must be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Register,
    Login,
    Refresh,
    Logout,
    Me,
    ChangePassword,
    ListSessions,
    EndSession,
    ListUsers,
    UpdateUser,
    ListConversations,
    CreateConversation,
    GetConversation,
    CloseConversation,
    ReopenConversation,
    LeaveConversation,
    AddParticipants,
    RemoveParticipant,
    SendMessage,
    ListMessages,
    MarkRead,
    CountUnread,
    UploadFile,
    DownloadUpload,
    DownloadFile,
    Visit,
    OpenSupport,
    ListInbox,
    ListAgents,
    ClaimConversation,
    ReleaseConversation,
    Health,
    ApiHealth,
    Ready,
}

/// What an engine must have for an operation to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Accounts,
    Files,
    Widget,
}

impl Operation {
    /// All of them, in the order to show them.
    const ALL: [Self; 34] = [
        Self::Register,
        Self::Login,
        Self::Refresh,
        Self::Logout,
        Self::Me,
        Self::ChangePassword,
        Self::ListSessions,
        Self::EndSession,
        Self::ListUsers,
        Self::UpdateUser,
        Self::ListConversations,
        Self::CreateConversation,
        Self::GetConversation,
        Self::CloseConversation,
        Self::ReopenConversation,
        Self::LeaveConversation,
        Self::AddParticipants,
        Self::RemoveParticipant,
        Self::SendMessage,
        Self::ListMessages,
        Self::MarkRead,
        Self::CountUnread,
        Self::UploadFile,
        Self::DownloadUpload,
        Self::DownloadFile,
        Self::Visit,
        Self::OpenSupport,
        Self::ListInbox,
        Self::ListAgents,
        Self::ClaimConversation,
        Self::ReleaseConversation,
        Self::Health,
        Self::ApiHealth,
        Self::Ready,
    ];

    /// Those that an engine offers.
    pub(crate) fn offered(engine: &ChatEngine) -> impl Iterator<Item = Self> + '_ {
        Self::ALL.into_iter().filter(|operation| match operation.entry().2 {
            Needs::Nothing => true,
            Needs::Accounts => engine.has_accounts(),
            Needs::Files => engine.has_files(),
            Needs::Widget => engine.has_widget(),
        })
    }

    /// The method's name.
    pub(crate) const fn method(self) -> &'static str {
        self.entry().0
    }

    /// The path, with its variable parts in braces.
    pub(crate) const fn path(self) -> &'static str {
        self.entry().1
    }

    /// The rates that it is held to. None for what costs little and is asked for by machines, or by each picture of a
    /// page.
    pub(crate) const fn rates(self) -> &'static [Action] {
        match self {
            Self::Health | Self::ApiHealth | Self::Ready | Self::DownloadFile => &[],
            Self::Register => &[Action::Request, Action::Register],
            Self::Login => &[Action::Request, Action::Login, Action::LoginFrom],
            Self::CreateConversation => &[Action::Request, Action::Converse],
            Self::SendMessage => &[Action::Request, Action::Send],
            Self::MarkRead => &[Action::Request, Action::Read],
            Self::UploadFile => &[Action::Request, Action::Upload],
            Self::OpenSupport => &[Action::Request, Action::Visit],
            Self::ChangePassword => &[Action::Request, Action::Login],
            Self::Refresh
            | Self::Logout
            | Self::Me
            | Self::ListSessions
            | Self::EndSession
            | Self::ListUsers
            | Self::UpdateUser
            | Self::ListConversations
            | Self::GetConversation
            | Self::CloseConversation
            | Self::ReopenConversation
            | Self::LeaveConversation
            | Self::AddParticipants
            | Self::RemoveParticipant
            | Self::ListMessages
            | Self::CountUnread
            | Self::DownloadUpload
            | Self::Visit
            | Self::ListInbox
            | Self::ListAgents
            | Self::ClaimConversation
            | Self::ReleaseConversation => &[Action::Request],
        }
    }

    const fn entry(self) -> (&'static str, &'static str, Needs) {
        const PARTICIPANT: &str = "/api/conversations/{conversationId}/participants/{userId}";
        match self {
            Self::Register => ("POST", "/api/auth/register", Needs::Accounts),
            Self::Login => ("POST", "/api/auth/login", Needs::Accounts),
            Self::Refresh => ("POST", "/api/auth/refresh", Needs::Accounts),
            Self::Logout => ("POST", "/api/auth/logout", Needs::Accounts),
            Self::Me => ("GET", "/api/auth/me", Needs::Accounts),
            Self::ChangePassword => ("POST", "/api/auth/password", Needs::Accounts),
            Self::ListSessions => ("GET", "/api/auth/sessions", Needs::Accounts),
            Self::EndSession => ("DELETE", "/api/auth/sessions/{sessionId}", Needs::Accounts),
            Self::ListUsers => ("GET", "/api/users", Needs::Accounts),
            Self::UpdateUser => ("PATCH", "/api/users/{userId}", Needs::Accounts),
            Self::ListConversations => ("GET", "/api/conversations", Needs::Nothing),
            Self::CreateConversation => ("POST", "/api/conversations", Needs::Nothing),
            Self::GetConversation => ("GET", "/api/conversations/{conversationId}", Needs::Nothing),
            Self::CloseConversation => ("DELETE", "/api/conversations/{conversationId}", Needs::Nothing),
            Self::ReopenConversation => {
                ("POST", "/api/conversations/{conversationId}/reopen", Needs::Nothing)
            }
            Self::LeaveConversation => ("POST", "/api/conversations/{conversationId}/leave", Needs::Nothing),
            Self::AddParticipants => {
                ("POST", "/api/conversations/{conversationId}/participants", Needs::Nothing)
            }
            Self::RemoveParticipant => ("DELETE", PARTICIPANT, Needs::Nothing),
            Self::SendMessage => ("POST", "/api/messages", Needs::Nothing),
            Self::ListMessages => ("GET", "/api/messages/{conversationId}", Needs::Nothing),
            Self::MarkRead => ("POST", "/api/messages/read", Needs::Nothing),
            Self::CountUnread => ("GET", "/api/messages/unread/count", Needs::Nothing),
            Self::UploadFile => ("POST", "/api/upload", Needs::Files),
            Self::DownloadUpload => ("GET", "/api/upload/{filename}", Needs::Files),
            Self::DownloadFile => ("GET", "/uploads/{filename}", Needs::Files),
            Self::Visit => ("POST", "/api/widget/session", Needs::Widget),
            Self::OpenSupport => ("POST", "/api/widget/conversation", Needs::Widget),
            Self::ListInbox => ("GET", "/api/inbox", Needs::Widget),
            Self::ListAgents => ("GET", "/api/inbox/people", Needs::Widget),
            Self::ClaimConversation => ("POST", "/api/inbox/{conversationId}/claim", Needs::Widget),
            Self::ReleaseConversation => ("POST", "/api/inbox/{conversationId}/release", Needs::Widget),
            Self::Health => ("GET", "/health", Needs::Nothing),
            Self::ApiHealth => ("GET", "/api/health", Needs::Nothing),
            Self::Ready => ("GET", "/ready", Needs::Nothing),
        }
    }

    /// What answers.
    pub(super) fn handler(self) -> MethodRouter<ChatEngine> {
        let method = match self.method() {
            "GET" => MethodFilter::GET,
            "DELETE" => MethodFilter::DELETE,
            "PATCH" => MethodFilter::PATCH,
            _ => MethodFilter::POST,
        };
        match self {
            Self::Register => on(method, accounts::register),
            Self::Login => on(method, accounts::login),
            Self::Refresh => on(method, accounts::refresh),
            Self::Logout => on(method, accounts::logout),
            Self::Me => on(method, accounts::me),
            Self::ChangePassword => on(method, sessions::change_password),
            Self::ListSessions => on(method, sessions::list),
            Self::EndSession => on(method, sessions::end),
            Self::ListUsers => on(method, users::list),
            Self::UpdateUser => on(method, users::update),
            Self::ListConversations => on(method, conversations::list),
            Self::CreateConversation => on(method, conversations::create),
            Self::GetConversation => on(method, conversations::get),
            Self::CloseConversation => on(method, conversations::close),
            Self::ReopenConversation => on(method, conversations::reopen),
            Self::LeaveConversation => on(method, conversations::leave),
            Self::AddParticipants => on(method, conversations::add_participants),
            Self::RemoveParticipant => on(method, conversations::remove_participant),
            Self::SendMessage => on(method, messages::send),
            Self::ListMessages => on(method, messages::list),
            Self::MarkRead => on(method, messages::mark_read),
            Self::CountUnread => on(method, messages::unread_count),
            Self::UploadFile => on(method, uploads::upload),
            Self::DownloadUpload | Self::DownloadFile => on(method, downloads::download),
            Self::Visit => on(method, visitors::visit),
            Self::OpenSupport => on(method, visitors::open),
            Self::ListInbox => on(method, inbox::list),
            Self::ListAgents => on(method, inbox::people),
            Self::ClaimConversation => on(method, inbox::claim),
            Self::ReleaseConversation => on(method, inbox::release),
            Self::Health | Self::ApiHealth => status::health(method),
            Self::Ready => on(method, status::ready),
        }
    }
}
