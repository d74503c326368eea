//! Plain data: what the engine takes and gives. No I/O, no rules beyond parsing.

mod address;
mod conversation;
pub mod fields;
mod ids;
mod message;
mod origin;
mod page;
mod sync;
mod timestamp;
mod user;
mod users;
mod visitor;

pub use address::ClientAddress;
pub use conversation::{
    Conversation, ConversationKind, ConversationStatus, ConversationSummary, NewConversation, Participant,
};
pub use ids::{ConnectionId, ConversationId, FileId, MessageId, SessionId, UserId};
pub use message::{
    Attachment, Dimensions, FileRecord, FileRef, MarkRead, Message, MessageKind, MessageWithReads,
    NewMessage, Read,
};
pub use origin::Origin;
pub(crate) use page::fitting;
pub use page::{ConversationCursor, MessagePage, MessageRange, Page};
pub use sync::Known;
pub use timestamp::{Clock, Timestamp};
pub use user::{HostUser, Login, Registration, Role, User, UserBrief};
pub use users::{ImportedUser, NewPassword, OwnSession, UserChange, UserCursor, UserList, UserOrder};
pub use visitor::{Claimed, Contact, InboxItem, InboxState, Visit, VisitedPage, Visitor};
