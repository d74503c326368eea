//! What the engine asks of a database for the visitors of websites and those who answer them.

use async_trait::async_trait;

use super::Result;
use super::records::TokenHash;
use crate::model::{
    Contact, Conversation, ConversationCursor, ConversationId, InboxItem, InboxState, MessageId, Page,
    Timestamp, User, UserBrief, UserId, Visitor,
};

/// A visitor to be. They are known by a token or by an identity, and by one of the two only.
#[derive(Debug, Clone)]
pub struct VisitorRow {
    /// The user, a customer without e-mail.
    pub user: User,
    /// The hash of the secret that their browser holds.
    pub token: Option<TokenHash>,
    /// What the website's own server calls them.
    pub identity: Option<String>,
    /// What they said of themselves.
    pub contact: Contact,
}

/// What a visitor is looked for by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VisitorKey {
    /// The user that they are.
    User(UserId),
    /// The hash of the secret that their browser holds.
    Token(TokenHash),
    /// What the website's own server calls them.
    Identity(String),
}

/// A support conversation to be.
#[derive(Debug, Clone)]
pub struct SupportRow {
    /// Its id.
    pub id: ConversationId,
    /// Whose it is.
    pub visitor: UserId,
    /// What it begins with.
    pub greeting: Option<Greeting>,
    /// When.
    pub at: Timestamp,
}

/// The first message of a support conversation.
#[derive(Debug, Clone)]
pub struct Greeting {
    /// Its id.
    pub id: MessageId,
    /// In whose name: a user, who does not take part.
    pub sender: UserId,
    /// The words.
    pub content: String,
}

/// What became of a new support conversation.
#[derive(Debug, Clone)]
pub enum Opened {
    /// It is stored.
    Created(Conversation),
    /// The visitor has this open one already.
    Existing(Conversation),
    /// There is no such visitor.
    NoVisitor,
}

/// What became of taking on a support conversation.
#[derive(Debug, Clone)]
pub enum Claim {
    /// It is theirs, and they are in it.
    Claimed {
        /// The conversation as it is now.
        conversation: Conversation,
        /// Whether they were in it before.
        was_in: bool,
    },
    /// It is this one's.
    Taken(UserBrief),
    /// There is no such support conversation.
    NotFound,
}

/// Visitors, their conversations, and who has taken those on.
#[async_trait]
pub trait SupportStore: Send + Sync {
    /// Adds a visitor, who cannot log in; gives them as stored. One whose identity is known already is that one, and
    /// nothing of them changes.
    async fn create_visitor(&self, new: &VisitorRow) -> Result<Visitor>;

    /// The visitor who is known by this.
    async fn visitor(&self, key: &VisitorKey) -> Result<Option<Visitor>>;

    /// Notes what a visitor says of themselves, in place of all of it; with a name they are called so everywhere.
    async fn set_contact(&self, visitor: UserId, contact: &Contact) -> Result<()>;

    /// Makes a support conversation, which only the visitor is in, unless the visitor has an open one. Its greeting is
    /// message 1, of somebody who does not take part; it answers nothing and is unread.
    async fn open_support(&self, new: &SupportRow) -> Result<Opened>;

    /// The visitor's open support conversation, or else their newest, which is the one with the largest id.
    async fn support_of(&self, visitor: UserId) -> Result<Option<Conversation>>;

    /// Makes the open support conversation of one visitor that of another, as if it had been so from the start: whose
    /// it is, who is in it, who said what and who has read what. `None`, and nothing has changed, when there is none,
    /// or the other one has an open one.
    async fn carry_support(&self, from: UserId, to: UserId, at: Timestamp) -> Result<Option<Conversation>>;

    /// A support conversation as `reader` sees it in the inbox; without one, as one who is not in it.
    async fn inbox_item(&self, id: ConversationId, reader: Option<UserId>) -> Result<Option<InboxItem>>;

    /// A part of the support conversations in this state, newest activity first, as
    /// [`conversations`](super::ConversationStore::conversations) are. Those that are [`InboxState::Mine`] are the
    /// reader's; among those that are [`InboxState::Unassigned`] is none with nothing but a greeting in it.
    async fn inbox(
        &self,
        state: InboxState,
        reader: UserId,
        after: Option<ConversationCursor>,
        limit: u32,
    ) -> Result<Page<InboxItem>>;

    /// Those who answer visitors, who are agents and administrators that are not disabled, and have `part` in their
    /// usernames, without regard to ASCII case: at most `limit`, in the order of their usernames without that regard,
    /// those of one name by id.
    async fn agents(&self, part: &str, limit: u32) -> Result<Vec<User>>;

    /// The support conversations that a user takes part in and that are not about them, open ones and closed ones.
    async fn supports_of(&self, agent: UserId) -> Result<Vec<ConversationId>>;

    /// Makes a support conversation `agent`'s and brings them into it, if it is nobody's or theirs already. For one who
    /// comes, or comes back, what was sent in their absence is not unread.
    async fn claim_support(&self, id: ConversationId, agent: UserId, at: Timestamp) -> Result<Claim>;
}
