//! The engine: every rule of the chat, one file a noun, each an `impl ChatEngine`.

mod accounts;
mod agents;
mod announcer;
mod appender;
mod audit;
mod builder;
mod conversations;
mod deletion;
mod delivered;
mod elsewhere;
mod expiry;
mod inbox;
mod inbox_news;
mod joining;
mod limiter;
mod messages;
mod passwords;
mod presence;
mod receipts;
mod sequencer;
mod sessions;
mod sweeper;
mod sync;
mod turns;
mod typing;
mod unanswered;
mod uploads;
mod users;
mod visitors;

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tracing::Instrument;

pub use accounts::SignedIn;
pub use builder::EngineBuilder;
pub use conversations::ListConversations;
pub use joining::{Backlog, Joining};
pub use limiter::{Allowance, Pace};
pub use messages::{Sent, Submitted};
pub use sequencer::{Entry, Listening};
pub use sync::Synced;
pub use uploads::Download;
pub use users::Users;
pub use visitors::Visited;

use announcer::Announcer;
use appender::Appender;
use audit::{Audit, Deed};
use deletion::Deletion;
use delivered::DeliveredMarks;
use elsewhere::LiveSessions;
use expiry::Expiry;
use inbox_news::InboxNews;
use limiter::Limiter;
use presence::Presence;
use receipts::Receipts;
use sequencer::Sequencer;
use sweeper::Sweeper;
use turns::Turns;
use typing::Typing;

use crate::auth::{
    Accounts, Authenticator, Caller, Hasher, Identity, IdentityKey, LinkKeys, SessionAuthenticator,
    TokenKeys, VisitorKind,
};
use crate::error::{Error, Result};
use crate::events::Revocation;
use crate::files::FileStore;
use crate::limits::Limits;
use crate::model::{Clock, ConversationId, ConversationKind, Role, Timestamp, UserId};
use crate::patience;
use crate::storage::{Standing, Storage};
use crate::widget::Widget;

/// A chat. Cheap to clone; all clones are the same chat.
///
/// Each use case is one method that takes the caller first. It checks, stores, tells everyone who should know, and
/// then answers. What it has begun it finishes, also when its future is dropped.
#[derive(Clone)]
pub struct ChatEngine {
    inner: Arc<Inner>,
}

/// A [`ChatEngine`] that does not keep the engine alive.
#[derive(Clone)]
pub struct WeakEngine(Weak<Inner>);

struct Inner {
    storage: Arc<dyn Storage>,
    files: Option<FileStore>,
    /// There is one where there are files.
    sweeper: Option<Arc<Sweeper>>,
    links: LinkKeys,
    limits: Limits,
    clock: Clock,
    authenticator: Arc<dyn Authenticator>,
    accounts: Option<AccountKeeper>,
    announcer: Arc<Announcer>,
    audit: Arc<Audit>,
    sequencer: Arc<Sequencer>,
    appender: Appender,
    delivered: Arc<DeliveredMarks>,
    receipts: Arc<Receipts>,
    presence: Presence,
    live_sessions: LiveSessions,
    typing: Arc<Typing>,
    expiry: Arc<Expiry>,
    limiter: Arc<Limiter>,
    turns: Turns,
    public_path: String,
    visitors: VisitorSettings,
    inbox_news: Arc<InboxNews>,
}

impl Drop for Inner {
    /// Live connections would outlive the engine, and hold what belongs to it.
    fn drop(&mut self) {
        if let Ok(runtime) = Handle::try_current() {
            let announcer = self.announcer.clone();
            runtime.spawn(async move { announcer.close().await });
        }
    }
}

/// How visitors of websites are received, if they are.
#[derive(Default)]
struct VisitorSettings {
    settings: Option<Widget>,
    identity_key: Option<IdentityKey>,
    /// In whose name they are greeted, once somebody was.
    greeter: OnceCell<UserId>,
}

/// What the engine needs to keep accounts of its own.
struct AccountKeeper {
    settings: Accounts,
    keys: Arc<TokenKeys>,
    hasher: Hasher,
    sessions: Arc<SessionAuthenticator>,
    deletion: Deletion,
}

impl ChatEngine {
    /// Starts putting an engine together: where it stores, and where its users come from.
    pub fn builder(storage: impl Storage, identity: impl Into<Identity>) -> EngineBuilder {
        EngineBuilder::new(Arc::new(storage), identity.into())
    }

    /// The bounds on clients.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// The engine's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// The path under which the engine is mounted, without a slash at its end; empty at the root.
    #[must_use]
    pub fn public_path(&self) -> &str {
        &self.inner.public_path
    }

    /// Whether the engine keeps accounts of its own, so that one can register and log in.
    #[must_use]
    pub fn has_accounts(&self) -> bool {
        self.inner.accounts.is_some()
    }

    /// Who sent this token.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidToken`] when the token is nobody's, has expired or was revoked.
    /// - [`Error::UnknownUser`] when it is good but its user is gone.
    /// - [`Error::Unavailable`] when the storage is away.
    pub async fn authenticate(&self, token: &str) -> Result<Caller> {
        let caller = self.inner.authenticator.authenticate(token).await?;
        self.check_proven(&caller)?;
        Ok(caller)
    }

    /// Refuses a visitor who has not proved who they are where they must: from a time when they need not.
    fn check_proven(&self, caller: &Caller) -> Result<()> {
        let is_required =
            self.inner.visitors.settings.as_ref().is_some_and(|widget| widget.identity_required);
        if is_required && caller.visitor == Some(VisitorKind::Anonymous) {
            return Err(Error::InvalidToken);
        }
        Ok(())
    }

    /// Whether a caller is still who they were, and what they may do now.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidToken`] when their access has ended.
    /// - [`Error::Unavailable`] when the storage is away.
    pub async fn recheck(&self, caller: &Caller) -> Result<Caller> {
        let now = self.inner.authenticator.recheck(caller).await?;
        Ok(Caller { connection_id: caller.connection_id, origin: caller.origin.clone(), ..now })
    }

    /// Whether the database answers within two seconds.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when it does not.
    pub async fn ready(&self) -> Result<()> {
        match tokio::time::timeout(Duration::from_secs(2), self.inner.storage.ping()).await {
            Ok(answer) => Ok(answer?),
            Err(late) => Err(Error::Unavailable(late.into())),
        }
    }

    /// Ends all connections of a user, whose access has ended in some way that the engine does not know of.
    pub fn disconnect_user(&self, user: UserId) {
        self.inner.announcer.revoke(&Revocation::User(user));
    }

    /// Ends all live connections, telling their clients to come back, and takes no new ones. Requests are still
    /// answered: for a server that lets those finish before it calls [`close`](Self::close).
    pub async fn close_connections(&self) {
        self.inner.announcer.close().await;
    }

    /// Ends all live connections, finishes what was begun, and lets go of the database.
    ///
    /// Every accepted message is stored already; what is written here is who was last seen when. Bound it in time:
    /// a storage that is away is waited for.
    pub async fn close(&self) {
        self.close_connections().await;
        if let Some(keeper) = &self.inner.accounts {
            keeper.deletion.stop();
        }
        self.inner.presence.close().await;
        self.inner.appender.close().await;
        self.inner.sequencer.close();
        self.inner.delivered.flush().await;
        self.inner.audit.flush().await;
        self.inner.storage.close().await;
    }

    /// A handle that does not keep the engine alive.
    #[must_use]
    pub fn downgrade(&self) -> WeakEngine {
        WeakEngine(Arc::downgrade(&self.inner))
    }

    /// Runs a use case to its end, also when the caller stops waiting: between a commit and its announcement, or
    /// the end of an access that it revokes, there must be no gap.
    async fn to_the_end<T, F>(&self, work: impl FnOnce(Self) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let work = patience::carried(work(self.clone())).instrument(tracing::Span::current());
        tokio::spawn(work).await.map_err(Error::internal)?
    }

    /// How the caller stands to a conversation that they may see.
    async fn visible(&self, caller: &Caller, id: ConversationId) -> Result<Standing> {
        let standing = self.inner.storage.standing(id, caller.user_id).await?;
        standing.filter(|standing| may_see(caller, standing)).ok_or(Error::NotFound(NO_CONVERSATION))
    }

    /// Refuses a caller who may not see a conversation.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when there is none, or none that the caller may see.
    pub async fn check_visible(&self, caller: &Caller, id: ConversationId) -> Result<()> {
        self.visible(caller, id).await.map(drop)
    }

    /// How the caller stands to a conversation that they take part in.
    async fn joined(&self, caller: &Caller, id: ConversationId) -> Result<Standing> {
        let standing = self.visible(caller, id).await?;
        if standing.is_participant { Ok(standing) } else { Err(self.denied_outside(caller)) }
    }

    /// What is said to an administrator who would do more than look on from outside.
    fn denied_outside(&self, caller: &Caller) -> Error {
        self.denied(caller, "take_part_from_outside", Error::Forbidden)
    }

    /// Like [`visible`](Self::visible), and notes in the audit log when an administrator looks in from outside.
    async fn visible_audited(&self, caller: &Caller, id: ConversationId) -> Result<Standing> {
        let standing = self.visible(caller, id).await?;
        if !standing.is_participant {
            self.audit_reading(caller, &[id]).await?;
        }
        Ok(standing)
    }

    /// Notes that an administrator looks into conversations that they are not in. An agent sees no others but those of
    /// support, which are there to be looked at.
    async fn audit_reading(&self, caller: &Caller, outside: &[ConversationId]) -> Result<()> {
        if !caller.is_admin() {
            return Ok(());
        }
        let of = |id: &ConversationId| Deed::of(caller, "conversation_read_by_admin").to(id);
        self.inner.audit.note_first(outside.iter().map(of)).await
    }

    async fn audit(&self, caller: &Caller, action: &'static str, subject: Option<String>) -> Result<()> {
        let deed = Deed::of(caller, action);
        self.inner.audit.note_first([subject.into_iter().fold(deed, |deed, subject| deed.to(&subject))]).await
    }
}

/// Whether a caller who stands so to a conversation may see it.
fn may_see(caller: &Caller, standing: &Standing) -> bool {
    standing.is_participant
        || caller.is_admin()
        || (standing.kind == ConversationKind::Support && caller.role == Role::Agent)
}

/// What is said of a conversation that is not there, or that the caller may not know of.
const NO_CONVERSATION: &str = "Conversation not found";

impl WeakEngine {
    /// The engine, while it lives.
    #[must_use]
    pub fn upgrade(&self) -> Option<ChatEngine> {
        self.0.upgrade().map(|inner| ChatEngine { inner })
    }
}

impl fmt::Debug for ChatEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatEngine").field("storage", &self.inner.storage).finish_non_exhaustive()
    }
}

impl fmt::Debug for WeakEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakEngine")
    }
}
