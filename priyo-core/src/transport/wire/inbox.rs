//! Visitors of websites and the inbox of those who answer them.

use serde::Serialize;

use super::{ConversationView, seconds};
use crate::engine::{ChatEngine, Visited};
use crate::model::{
    Contact, Conversation, ConversationId, ConversationStatus, InboxItem, Role, Timestamp, UserBrief, UserId,
};
use crate::widget::Widget;

/// A support conversation in the inbox. For one who is not in it, `unreadCount` is how many messages of the visitor
/// nobody has answered.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct InboxItemView<'a> {
    #[serde(flatten)]
    conversation: ConversationView<'a>,
    visitor: VisitorView<'a>,
    /// Who has taken it on; `null` while nobody has.
    assignee: Option<&'a UserBrief>,
    /// When the visitor wrote what has not been answered; `null` when all has.
    waiting_since: Option<Timestamp>,
}

/// Who visits a website, by their own word.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
struct VisitorView<'a> {
    /// The user that they are.
    id: UserId,
    /// `null` until they have said it, as the next two.
    name: Option<&'a str>,
    /// Where to write to them. Nobody has looked whether it is theirs.
    email: Option<&'a str>,
    page: Option<PageView<'a>>,
    /// Whether there is a live socket of theirs now.
    is_online: bool,
}

/// The page of the website that they are on.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
struct PageView<'a> {
    /// Of http or https.
    url: &'a str,
    /// Perhaps empty.
    title: &'a str,
}

impl<'a> InboxItemView<'a> {
    pub(crate) fn new(engine: &ChatEngine, item: &'a InboxItem) -> Self {
        let Contact { name, email, page } = &item.visitor;
        Self {
            conversation: ConversationView::listed(engine, &item.summary),
            visitor: VisitorView {
                id: item.visitor_id,
                name: name.as_deref(),
                email: email.as_deref(),
                page: page.as_ref().map(|page| PageView { url: &page.url, title: &page.title }),
                is_online: engine.is_online(item.visitor_id),
            },
            assignee: item.assignee.as_ref(),
            waiting_since: item.waiting_since,
        }
    }
}

/// A visitor who was received.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct VisitedView<'a> {
    /// The access token, good on REST and sockets.
    token: &'a str,
    /// How long it is good, in seconds. Another visit renews it.
    expires_in: u64,
    /// A secret for this browser alone, to be shown at the next visit. `null` for a visitor who came by their identity
    /// and without one.
    visitor_token: Option<&'a str>,
    user: VisitingUserView<'a>,
    /// The visitor's open conversation, or else their newest; `null` while they have none.
    conversation: Option<VisitedConversationView>,
    settings: SettingsView<'a>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
struct VisitingUserView<'a> {
    id: UserId,
    username: &'a str,
    role: Role,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
struct VisitedConversationView {
    id: ConversationId,
    status: ConversationStatus,
    /// The `seq` of the newest message; 0 while there is none.
    last_seq: u64,
}

/// How the widget looks. What is `null` is for the page to decide.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
struct SettingsView<'a> {
    title: Option<&'a str>,
    greeting: Option<&'a str>,
    /// A colour, as in CSS.
    accent: Option<&'a str>,
    /// A language, such as `de`.
    locale: Option<&'a str>,
    /// Whether somebody who answers is there now.
    online: bool,
}

impl<'a> VisitedView<'a> {
    pub(crate) fn new(engine: &'a ChatEngine, widget: &'a Widget, visited: &'a Visited) -> Self {
        let Widget { title, greeting, accent, locale, .. } = widget;
        let conversation = |one: &Conversation| VisitedConversationView {
            id: one.id,
            status: one.status,
            last_seq: one.last_seq,
        };
        Self {
            token: &visited.token,
            expires_in: seconds(visited.expires_in),
            visitor_token: visited.visitor_token.as_deref(),
            user: VisitingUserView {
                id: visited.user.id,
                username: &visited.user.username,
                role: visited.user.role,
            },
            conversation: visited.conversation.as_ref().map(conversation),
            settings: SettingsView {
                title: title.as_deref(),
                greeting: greeting.as_deref(),
                accent: accent.as_deref(),
                locale: locale.as_deref(),
                online: engine.is_answered(),
            },
        }
    }
}
