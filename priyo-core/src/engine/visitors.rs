//! Visitors of websites: who they are, and their conversation.
//!
//! A visitor is known by a token that one browser holds, or by an identity that the website's own server vouches for,
//! and never by both: what is carried over to an identity can from then on be reached with its proof only. So the next
//! one at a shared computer finds nothing of it, whether or not the page has forgotten the token.

use super::unanswered::is_unanswered;
use super::{ChatEngine, NO_CONVERSATION, VisitorSettings};
use crate::auth::{Caller, VisitorKind, hash_token, random_secret};
use crate::error::{Error, Result};
use crate::events::Event;
use crate::model::{
    Claimed, Contact, Conversation, ConversationId, MessageId, Origin, Role, SessionId, User, UserId, Visit,
    Visitor,
};
use crate::storage::{Greeting, NewSession, Opened, RefreshToken, SupportRow, VisitorKey, VisitorRow};
use crate::widget::Widget;

/// A visitor who was received, and what to show for it.
#[derive(Clone)]
pub struct Visited {
    /// Who.
    pub user: User,
    /// What to send with every request from now on. It is renewed by another visit.
    pub token: String,
    /// How long that is good.
    pub expires_in: std::time::Duration,
    /// What the browser shows when it comes again. None for one who came by a proof of who they are and had none.
    pub visitor_token: Option<String>,
    /// Their open conversation, or else their newest.
    pub conversation: Option<Conversation>,
}

/// Without the secrets.
impl std::fmt::Debug for Visited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Visited").field("user", &self.user.id).finish_non_exhaustive()
    }
}

/// The name of the user in whose name visitors are greeted, among those of host programs: none of theirs begins so.
const GREETER: &str = "priyo:greeter";

/// What one is called who has not said how.
const NAMELESS: &str = "Visitor";

impl ChatEngine {
    /// Whether visitors of websites are received.
    #[must_use]
    pub fn has_widget(&self) -> bool {
        self.widget().is_ok()
    }

    /// How visitors of websites are received.
    ///
    /// # Errors
    ///
    /// [`Error::RouteNotFound`] when they are not.
    pub fn widget(&self) -> Result<&Widget> {
        self.keeper()?;
        self.inner.visitors.settings.as_ref().ok_or(Error::RouteNotFound)
    }

    /// Whether somebody who answers visitors has a live connection to this node.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.inner.inbox_news.agents.is_any()
    }

    /// Receives a visitor of a website, who is new unless they show a token or a proof of who they are.
    ///
    /// Who brings both keeps their open conversation: it is theirs by their identity from now on, unless they have an
    /// open one by that already.
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidCredentials`] when the proof is wrong, or missing where it must be there, or the visitor is
    ///   disabled.
    /// - [`Error::RouteNotFound`] when visitors are not received.
    pub async fn visit(&self, visit: Visit, from: &Origin) -> Result<Visited> {
        let widget = self.widget()?;
        let Visit { visitor_token, contact, identity } = visit;
        let identity = match identity {
            Some(claimed) => Some(self.inner.visitors.proven(claimed)?),
            None if widget.identity_required => return Err(Error::InvalidCredentials),
            None => None,
        };
        let from = from.clone();
        self.to_the_end(async move |engine: Self| {
            let known = match &visitor_token {
                Some(token) => engine.anonymous(token).await?,
                None => None,
            };
            let (visitor, visitor_token) = match (identity, known) {
                (Some(identity), known) => {
                    let visitor = engine.identified(identity, &contact).await?;
                    // What one may not use oneself is not made another's, nor given to one who is not let in.
                    let known = known.filter(|known| !known.user.disabled);
                    if let Some(known) = known.as_ref().filter(|_| !visitor.user.disabled) {
                        engine.carry_over(known.user.id, visitor.user.id).await?;
                    }
                    (visitor, visitor_token.filter(|_| known.is_some()))
                }
                (None, Some(known)) => (known, visitor_token),
                (None, None) => {
                    let token = random_secret()?;
                    let key = (Some(hash_token(&token)), None);
                    (engine.make_visitor(key, &contact).await?, Some(token))
                }
            };
            engine.receive(visitor, visitor_token, contact, &from).await
        })
        .await
    }

    /// The visitor's open conversation, which begins now if there is none, and whether it does. `languages` are those
    /// that the visitor reads, the best one first.
    ///
    /// # Errors
    ///
    /// - [`Error::Forbidden`] for anybody but a visitor.
    /// - [`Error::RateLimited`] when too many are begun from where the visitor is.
    /// - [`Error::RouteNotFound`] when visitors are not received.
    pub async fn open_support(&self, caller: &Caller, languages: &[&str]) -> Result<(Conversation, bool)> {
        let widget = self.widget()?;
        if caller.visitor.is_none() {
            return Err(self.denied(caller, "open_support", Error::Forbidden));
        }
        let greeting = widget.greeting_in(languages.iter().copied());
        let caller = caller.clone();
        self.to_the_end(async move |engine: Self| {
            // One after the other: only the one that begins it counts.
            let _turn = engine.inner.turns.of(ConversationId::from_uuid(caller.user_id.as_uuid())).await?;
            let known = engine.inner.storage.support_of(caller.user_id).await?;
            if let Some(open) = known.filter(Conversation::is_open) {
                return Ok((open, false));
            }
            engine.count_visit(caller.origin.address)?;
            engine.begin_support(caller.user_id, greeting).await
        })
        .await
    }

    async fn begin_support(&self, visitor: UserId, greeting: Option<String>) -> Result<(Conversation, bool)> {
        let greeting = match greeting {
            None => None,
            Some(content) => Some(Greeting { id: MessageId::new(), sender: self.greeter().await?, content }),
        };
        let row = SupportRow { id: ConversationId::new(), visitor, greeting, at: self.now() };
        let opened = self.inner.storage.open_support(&row).await;
        if is_unanswered(&opened) {
            self.tell_when_known(row.id, |engine, opened| {
                opened.iter().for_each(|conversation| engine.tell_new(conversation));
            });
        }
        match opened? {
            Opened::Created(conversation) => {
                self.tell_new(&conversation);
                Ok((conversation, true))
            }
            // By another node, a moment ago.
            Opened::Existing(conversation) => Ok((conversation, false)),
            Opened::NoVisitor => Err(Error::NotFound(NO_CONVERSATION)),
        }
    }

    /// The visitor whose browser holds this token.
    async fn anonymous(&self, token: &str) -> Result<Option<Visitor>> {
        Ok(self.inner.storage.visitor(&VisitorKey::Token(hash_token(token))).await?)
    }

    /// The visitor of this proven identity.
    async fn identified(&self, identity: String, contact: &Contact) -> Result<Visitor> {
        match self.inner.storage.visitor(&VisitorKey::Identity(identity.clone())).await? {
            Some(known) => Ok(known),
            None => self.make_visitor((None, Some(identity)), contact).await,
        }
    }

    async fn make_visitor(
        &self,
        (token, identity): (Option<[u8; 32]>, Option<String>),
        contact: &Contact,
    ) -> Result<Visitor> {
        let user = User {
            id: UserId::new(),
            external_id: None,
            email: None,
            username: contact.name.clone().unwrap_or_else(|| NAMELESS.to_owned()),
            avatar: None,
            role: Role::Customer,
            disabled: false,
            created_at: self.now(),
            last_seen: None,
        };
        let row = VisitorRow { user, token, identity, contact: contact.clone() };
        Ok(self.inner.storage.create_visitor(&row).await?)
    }

    /// Makes the open conversation of one who had no name that of one who has.
    async fn carry_over(&self, from: UserId, to: UserId) -> Result<()> {
        let Some(open) = self.inner.storage.support_of(from).await?.filter(Conversation::is_open) else {
            return Ok(());
        };
        let _turn = self.inner.turns.of(open.id).await?;
        let carried = self.inner.storage.carry_support(from, to, self.now()).await;
        match &carried {
            Ok(Some(conversation)) => {
                self.turn_out(conversation.id, from).await;
                self.tell(vec![from], &Event::ConversationGone(conversation.id));
                self.tell_added(conversation, vec![to]);
            }
            Err(_) if is_unanswered(&carried) => {
                self.turn_out_unsure(open.id, from).await;
                self.tell_when_known(open.id, move |engine, conversation| {
                    let Some(conversation) = conversation.filter(|one| one.has(to)) else { return };
                    engine.tell_added(&conversation, vec![to]);
                });
            }
            // There is an open one by that identity: both stay whose they are.
            Ok(None) | Err(_) => {}
        }
        carried?;
        Ok(())
    }

    /// Notes what is new of a visitor, and gives them what they need to go on.
    async fn receive(
        &self,
        visitor: Visitor,
        visitor_token: Option<String>,
        contact: Contact,
        from: &Origin,
    ) -> Result<Visited> {
        let Visitor { mut user, identity, contact: known } = visitor;
        if user.disabled {
            return Err(Error::InvalidCredentials);
        }
        let conversation = self.inner.storage.support_of(user.id).await?;
        let contact = known.updated(contact);
        if contact != known {
            self.inner.storage.set_contact(user.id, &contact).await?;
            if let Some(name) = contact.name.filter(|name| *name != user.username) {
                user.username = name;
                self.keeper()?.sessions.forget_user(user.id);
            }
            conversation.iter().for_each(|conversation| self.tell_inbox(conversation));
        }
        let kind = if identity.is_some() { VisitorKind::Identified } else { VisitorKind::Anonymous };
        let session = self.visitor_session(&user, from).await?;
        let keeper = self.keeper()?;
        let token = keeper.keys.issue_to_visitor(&user, session, kind, self.now())?;
        let expires_in = keeper.settings.access_ttl;
        Ok(Visited { user, token, expires_in, visitor_token, conversation })
    }

    /// The session of a visitor: the one that they have, so that a live connection can go on with another token.
    async fn visitor_session(&self, user: &User, from: &Origin) -> Result<SessionId> {
        let (keeper, now) = (self.keeper()?, self.now());
        let live = self.inner.storage.sessions_of(user.id, now, 1).await?;
        let outlasts = now.after(keeper.settings.access_ttl);
        if let Some(live) = live.first().filter(|session| session.ends_at > outlasts) {
            return Ok(live.id);
        }
        let (id, expires_at) = (SessionId::new(), now.after(keeper.settings.session_ttl));
        let user_agent = from.user_agent.as_deref().map(str::to_owned);
        let session = NewSession { id, user_id: user.id, created_at: now, expires_at, user_agent };
        // Nobody is ever given what this is the hash of.
        let hash = hash_token(&random_secret()?);
        let unknown = RefreshToken { hash, created_at: now, expires_at };
        if self.inner.storage.create_session(&session, &unknown, None).await? {
            return Ok(id);
        }
        // They were disabled meanwhile.
        Err(Error::InvalidCredentials)
    }

    /// In whose name visitors are greeted.
    async fn greeter(&self) -> Result<UserId> {
        let greeter = async {
            let title = self.widget()?.title.clone();
            let user = User {
                id: UserId::new(),
                external_id: Some(GREETER.to_owned()),
                email: None,
                username: title.unwrap_or_else(|| "Support".to_owned()),
                avatar: None,
                role: Role::Customer,
                disabled: false,
                created_at: self.now(),
                last_seen: None,
            };
            Ok::<_, Error>(self.inner.storage.upsert_host_user(&user).await?.id)
        };
        self.inner.visitors.greeter.get_or_try_init(|| greeter).await.copied()
    }
}

impl VisitorSettings {
    /// The identity that a visitor claims, if the website's server vouches for it. How long this takes says nothing of
    /// where the proof is wrong.
    fn proven(&self, claimed: Claimed) -> Result<String> {
        let is_right =
            self.identity_key.as_ref().is_some_and(|key| key.verify(&claimed.user_id, &claimed.hash));
        if is_right { Ok(claimed.user_id) } else { Err(Error::InvalidCredentials) }
    }
}
