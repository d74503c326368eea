//! Putting an engine together.

use std::sync::Arc;

use super::announcer::Announcer;
use super::appender::Appender;
use super::audit::Audit;
use super::deletion::Deletion;
use super::delivered::DeliveredMarks;
use super::elsewhere::{self, LiveSessions};
use super::expiry::Expiry;
use super::inbox_news::InboxNews;
use super::limiter::Limiter;
use super::presence::Presence;
use super::receipts::Receipts;
use super::sequencer::Sequencer;
use super::sweeper::Sweeper;
use super::turns::Turns;
use super::typing::Typing;
use super::{AccountKeeper, ChatEngine, Inner, VisitorSettings};
use crate::auth::{
    Accounts, Authenticator, Hasher, Identity, IdentityKey, LinkKeys, SessionAuthenticator, TokenKeys,
};
use crate::error::Result;
use crate::events::Transport;
use crate::files::FileStore;
use crate::limits::Limits;
use crate::model::Clock;
use crate::storage::Storage;
use crate::telemetry;
use crate::widget::Widget;

/// Puts a [`ChatEngine`] together. Made by [`ChatEngine::builder`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct EngineBuilder {
    storage: Arc<dyn Storage>,
    identity: Identity,
    files: Option<FileStore>,
    link_secrets: Vec<Vec<u8>>,
    transports: Vec<Arc<dyn Transport>>,
    limits: Limits,
    clock: Clock,
    public_path: String,
    widget: Option<Widget>,
}

impl EngineBuilder {
    pub(super) fn new(storage: Arc<dyn Storage>, identity: Identity) -> Self {
        Self {
            storage,
            identity,
            files: None,
            link_secrets: Vec::new(),
            transports: Vec::new(),
            limits: Limits::default(),
            clock: Clock::system(),
            public_path: String::new(),
            widget: None,
        }
    }

    /// Adds a transport. Transports hear of each event in the order they were added.
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transports.push(transport);
        self
    }

    /// Where uploads are kept. Without it there are none.
    pub fn files(mut self, files: FileStore) -> Self {
        self.files = Some(files);
        self
    }

    /// The secret that links to files are signed with, at least 32 random bytes. Given again, it is one that signed
    /// them before, whose links are still good.
    ///
    /// Without it the engine's own accounts lend their access secret. A host program's login has none to lend: then
    /// links are good only for as long as the process lives, and only on this node.
    pub fn link_secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.link_secrets.push(secret.into());
        self
    }

    /// Other bounds on clients than [`Limits::default`], which has all of them, rates too.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Another clock than the computer's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The path that a host program nests the routes under, such as `/chat`, so that the addresses which the engine
    /// gives out work from outside.
    pub fn public_path(mut self, path: &str) -> Self {
        path.trim_end_matches('/').clone_into(&mut self.public_path);
        self
    }

    /// Receives visitors of websites. Only an engine that keeps accounts can: visitors are users of its own.
    pub fn widget(mut self, widget: Widget) -> Self {
        self.widget = Some(widget);
        self
    }

    /// Migrates the storage and starts the engine, in the tokio runtime that this is called in.
    ///
    /// # Errors
    ///
    /// - [`Error::Refused`](crate::Error::Refused) when the secrets of [`Accounts`] or [`Widget`] can be guessed, or a
    ///   proof is required that there is no secret for.
    /// - [`Error::Unavailable`](crate::Error::Unavailable) when the storage is away.
    /// - [`Error::Internal`](crate::Error::Internal) when it cannot be migrated.
    pub async fn build(self) -> Result<ChatEngine> {
        telemetry::describe();
        let Self { storage, identity, files, link_secrets, transports, limits, clock, public_path, widget } =
            self;
        if let Identity::Accounts(accounts) = &identity {
            accounts.check_secrets()?;
            widget.as_ref().map_or(Ok(()), |widget| widget.check(accounts.weak_secrets))?;
        }
        storage.migrate().await?;
        let links = link_keys(link_secrets, &identity)?;
        let keep = |settings| AccountKeeper::new(settings, storage.clone(), clock.clone(), &limits);
        let (authenticator, accounts) = known_by(identity, keep);
        let announcer = Arc::new(Announcer::new(transports));
        let audit = Audit::start(storage.clone(), clock.clone());
        let delivered = DeliveredMarks::start(storage.clone());
        let receipts = Arc::new(Receipts::new(announcer.clone(), delivered.clone()));
        let sequencer = Sequencer::new(storage.clone(), announcer.clone(), receipts.clone(), &limits);
        let inbox_news = InboxNews::start(storage.clone(), announcer.clone());
        let appender = Appender::start(storage.clone(), sequencer.clone(), inbox_news.clone(), &limits);
        let presence = Presence::start(storage.clone(), announcer.clone(), clock.clone(), &limits);
        let typing = Typing::start(sequencer.clone(), limits.typing_ttl);
        let expiry = Expiry::start(announcer.clone(), &limits);
        let sweep = |files| Sweeper::start(storage.clone(), files, clock.clone(), &limits);
        let sweeper = files.clone().map(sweep);
        let limiter = Limiter::start(&limits, &clock);
        let inner = Inner {
            storage,
            files,
            sweeper,
            links,
            limits,
            clock,
            authenticator,
            accounts,
            announcer,
            audit,
            sequencer,
            appender,
            delivered,
            receipts,
            presence,
            live_sessions: LiveSessions::default(),
            typing,
            expiry,
            limiter,
            turns: Turns::default(),
            public_path,
            visitors: VisitorSettings::new(widget),
            inbox_news,
        };
        let engine = ChatEngine { inner: Arc::new(inner) };
        if engine.inner.storage.is_shared() {
            tokio::spawn(elsewhere::watch(engine.downgrade()));
        }
        Ok(engine)
    }
}

/// Who knows the callers, and the engine's own accounts if it is those.
fn known_by(
    identity: Identity,
    keep: impl FnOnce(Accounts) -> AccountKeeper,
) -> (Arc<dyn Authenticator>, Option<AccountKeeper>) {
    match identity {
        Identity::Host(authenticator) => (authenticator, None),
        Identity::Accounts(settings) => {
            let keeper = keep(settings);
            (keeper.sessions.clone(), Some(keeper))
        }
    }
}

/// What links are signed with: the secrets that were given, or those of the engine's own accounts.
fn link_keys(mut secrets: Vec<Vec<u8>>, identity: &Identity) -> Result<LinkKeys> {
    if let Identity::Accounts(settings) = identity
        && secrets.is_empty()
    {
        secrets = settings.link_secrets();
    }
    LinkKeys::new(&secrets)
}

impl VisitorSettings {
    fn new(settings: Option<Widget>) -> Self {
        let secret = settings.as_ref().and_then(|widget| widget.identity_secret.as_deref());
        let identity_key = secret.filter(|secret| !secret.is_empty()).map(IdentityKey::new);
        Self { settings, identity_key, ..Self::default() }
    }
}

impl AccountKeeper {
    fn new(settings: Accounts, storage: Arc<dyn Storage>, clock: Clock, limits: &Limits) -> Self {
        let keys = Arc::new(TokenKeys::new(&settings));
        let deletion = Deletion::start(storage.clone(), &settings, clock.clone());
        let sessions = Arc::new(SessionAuthenticator::new(storage, keys.clone(), clock));
        Self { settings, keys, hasher: Hasher::new(limits), sessions, deletion }
    }
}
