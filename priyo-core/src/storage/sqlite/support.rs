//! Visitors of websites, their conversations, and who has taken those on.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStorage;
use super::conversations::{self, bare, existing, open_direct};
use super::failure::Failure;
use super::users::user_at;
use super::values::{Db, get, get_opt, statements};
use crate::model::{
    Contact, Conversation, ConversationCursor, ConversationId, ConversationKind, InboxItem, InboxState, Page,
    Timestamp, User, UserBrief, UserId, VisitedPage, Visitor,
};
use crate::storage::{
    Addition, Claim, ConversationRow, Opened, Result, SupportRow, SupportStore, VisitorKey, VisitorRow,
};

statements! {
    INSERT_USER = "
        INSERT INTO users (id, username, role, disabled, created_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)";
    INSERT_VISITOR = "
        INSERT INTO visitors (user_id, token_hash, identity, name, email, page_url, page_title)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    VISITOR_BY_USER = "
        SELECT u.id, u.external_id, u.email, u.username, u.avatar, u.role, u.disabled, u.created_at_ms, u.last_seen_ms,
            v.identity, v.name, v.email, v.page_url, v.page_title
        FROM visitors v CROSS JOIN users u ON u.id = v.user_id WHERE v.user_id = ?1";
    VISITOR_BY_TOKEN = "
        SELECT u.id, u.external_id, u.email, u.username, u.avatar, u.role, u.disabled, u.created_at_ms, u.last_seen_ms,
            v.identity, v.name, v.email, v.page_url, v.page_title
        FROM visitors v CROSS JOIN users u ON u.id = v.user_id WHERE v.token_hash = ?1";
    VISITOR_BY_IDENTITY = "
        SELECT u.id, u.external_id, u.email, u.username, u.avatar, u.role, u.disabled, u.created_at_ms, u.last_seen_ms,
            v.identity, v.name, v.email, v.page_url, v.page_title
        FROM visitors v CROSS JOIN users u ON u.id = v.user_id WHERE v.identity = ?1";
    SET_CONTACT = "UPDATE visitors SET name = ?2, email = ?3, page_url = ?4, page_title = ?5 WHERE user_id = ?1";
    SET_USERNAME = "UPDATE users SET username = ?2 WHERE id = ?1";
    BEGIN_SUPPORT = "UPDATE conversations SET last_seq = ?2, answered_seq = ?2 WHERE id = ?1";
    INSERT_GREETING = "
        INSERT INTO messages (conversation_id, seq, id, sender_id, content, kind, created_at_ms)
        VALUES (?1, 1, ?2, ?3, ?4, 'TEXT', ?5)";
    NEWEST_OF_VISITOR = "
        SELECT id FROM conversations WHERE visitor_id = ?1 AND visitor_id IS NOT NULL ORDER BY id DESC LIMIT 1";
    /// Nothing refers to a participant but what is changed below.
    CARRY_PARTICIPANT = "
        UPDATE participants SET user_id = ?3 WHERE conversation_id = ?1 AND user_id = ?2";
    CARRY_COVERED = "UPDATE covered SET user_id = ?3 WHERE conversation_id = ?1 AND user_id = ?2";
    CARRY_READS = "UPDATE message_reads SET user_id = ?3 WHERE conversation_id = ?1 AND user_id = ?2";
    CARRY_MESSAGES = "UPDATE messages SET sender_id = ?3 WHERE conversation_id = ?1 AND sender_id = ?2";
    CARRY_CONVERSATION = "
        UPDATE conversations SET visitor_id = ?2, created_by = ?2, direct_key = ?2,
            updated_at_ms = MAX(updated_at_ms, ?3)
        WHERE id = ?1";
    ITEM = "
        SELECT id, name, kind, status, created_by, last_seq, created_at_ms, updated_at_ms,
            visitor_id, assignee_id, answered_seq
        FROM conversations WHERE id = ?1 AND visitor_id IS NOT NULL";
    /// Not those in which there is nothing but a greeting, if that.
    UNASSIGNED = "
        SELECT id, name, kind, status, created_by, last_seq, created_at_ms, updated_at_ms,
            visitor_id, assignee_id, answered_seq
        FROM conversations
        WHERE visitor_id IS NOT NULL AND status = 'OPEN' AND assignee_id IS NULL
            AND (last_seq > answered_seq OR last_seq > 1) AND (updated_at_ms, id) < (?1, ?2)
        ORDER BY updated_at_ms DESC, id DESC LIMIT ?3";
    MINE = "
        SELECT id, name, kind, status, created_by, last_seq, created_at_ms, updated_at_ms,
            visitor_id, assignee_id, answered_seq
        FROM conversations
        WHERE visitor_id IS NOT NULL AND status = 'OPEN' AND assignee_id = ?4 AND (updated_at_ms, id) < (?1, ?2)
        ORDER BY updated_at_ms DESC, id DESC LIMIT ?3";
    OPEN = "
        SELECT id, name, kind, status, created_by, last_seq, created_at_ms, updated_at_ms,
            visitor_id, assignee_id, answered_seq
        FROM conversations
        WHERE visitor_id IS NOT NULL AND status = 'OPEN' AND (updated_at_ms, id) < (?1, ?2)
        ORDER BY updated_at_ms DESC, id DESC LIMIT ?3";
    CLOSED = "
        SELECT id, name, kind, status, created_by, last_seq, created_at_ms, updated_at_ms,
            visitor_id, assignee_id, answered_seq
        FROM conversations
        WHERE visitor_id IS NOT NULL AND status = 'CLOSED' AND (updated_at_ms, id) < (?1, ?2)
        ORDER BY updated_at_ms DESC, id DESC LIMIT ?3";
    BRIEF = "SELECT username, avatar FROM users WHERE id = ?1";
    SENT_AT = "SELECT created_at_ms FROM messages WHERE conversation_id = ?1 AND seq = ?2";
    /// Goes over all agents, who are few. That every name is behind the empty one is for the index.
    AGENTS = "
        SELECT id, external_id, email, username, avatar, role, disabled, created_at_ms, last_seen_ms FROM users
        WHERE role <> 'CUSTOMER' AND disabled = 0 AND username COLLATE NOCASE >= '' AND instr(lower(username), ?1) > 0
        ORDER BY username COLLATE NOCASE, id LIMIT ?2";
    TAKEN_ON = "
        SELECT c.id FROM participants p JOIN conversations c ON c.id = p.conversation_id
        WHERE p.user_id = ?1 AND p.left_at_ms IS NULL AND c.visitor_id IS NOT NULL AND c.visitor_id <> ?1";
    ASSIGNEE = "SELECT assignee_id FROM conversations WHERE id = ?1 AND visitor_id IS NOT NULL";
    ASSIGN = "
        UPDATE conversations SET assignee_id = ?2, updated_at_ms = MAX(updated_at_ms, ?3) WHERE id = ?1";
}

#[async_trait]
impl SupportStore for SqliteStorage {
    async fn create_visitor(&self, new: &VisitorRow) -> Result<Visitor> {
        let new = new.clone();
        self.write(move |db| create_visitor(db, &new)).await
    }

    async fn visitor(&self, key: &VisitorKey) -> Result<Option<Visitor>> {
        let key = key.clone();
        self.read(move |db| visitor(db, &key)).await
    }

    async fn set_contact(&self, visitor: UserId, contact: &Contact) -> Result<()> {
        let contact = contact.clone();
        self.write(move |db| {
            let page = contact.page.as_ref();
            let set = params![
                Db(visitor),
                contact.name,
                contact.email,
                page.map(|page| &page.url),
                page.map(|page| &page.title),
            ];
            let is_one = db.prepare_cached(SET_CONTACT)?.execute(set)? == 1;
            if let Some(name) = contact.name.filter(|_| is_one) {
                db.prepare_cached(SET_USERNAME)?.execute((Db(visitor), name))?;
            }
            Ok(())
        })
        .await
    }

    async fn open_support(&self, new: &SupportRow) -> Result<Opened> {
        let new = new.clone();
        self.write(move |db| open(db, &new)).await
    }

    async fn support_of(&self, visitor: UserId) -> Result<Option<Conversation>> {
        self.read(move |db| {
            let found = match open_direct(db, visitor.as_uuid().as_bytes())? {
                Some(open) => Some(open),
                None => db
                    .prepare_cached(NEWEST_OF_VISITOR)?
                    .query_row([Db(visitor)], |row| get(row, 0))
                    .optional()?,
            };
            found.map(|id| existing(db, id)).transpose()
        })
        .await
    }

    async fn carry_support(&self, from: UserId, to: UserId, at: Timestamp) -> Result<Option<Conversation>> {
        self.write(move |db| carry(db, from, to, at)).await
    }

    async fn inbox_item(&self, id: ConversationId, reader: Option<UserId>) -> Result<Option<InboxItem>> {
        self.read(move |db| {
            let found = db.prepare_cached(ITEM)?.query_row([Db(id)], support_at).optional()?;
            found.map(|found| item(db, found, reader)).transpose()
        })
        .await
    }

    async fn inbox(
        &self,
        state: InboxState,
        reader: UserId,
        after: Option<ConversationCursor>,
        limit: u32,
    ) -> Result<Page<InboxItem>> {
        self.read(move |db| inbox(db, state, reader, after, limit)).await
    }

    async fn agents(&self, part: &str, limit: u32) -> Result<Vec<User>> {
        let part = part.to_ascii_lowercase();
        self.read(move |db| {
            let mut agents = db.prepare_cached(AGENTS)?;
            let agents = agents.query_map((part, limit), |row| user_at(row, 0))?;
            Ok(agents.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn supports_of(&self, agent: UserId) -> Result<Vec<ConversationId>> {
        self.read(move |db| {
            let mut taken_on = db.prepare_cached(TAKEN_ON)?;
            let taken_on = taken_on.query_map([Db(agent)], |row| get(row, 0))?;
            Ok(taken_on.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn claim_support(&self, id: ConversationId, agent: UserId, at: Timestamp) -> Result<Claim> {
        self.write(move |db| claim(db, id, agent, at)).await
    }
}

fn create_visitor(db: &Connection, new: &VisitorRow) -> Result<Visitor, Failure> {
    if let Some(identity) = &new.identity
        && let Some(known) = visitor(db, &VisitorKey::Identity(identity.clone()))?
    {
        return Ok(known);
    }
    let VisitorRow { user, token, identity, contact } = new;
    db.prepare_cached(INSERT_USER)?.execute((
        Db(user.id),
        &user.username,
        Db(user.role),
        user.disabled,
        Db(user.created_at),
    ))?;
    let page = contact.page.as_ref();
    db.prepare_cached(INSERT_VISITOR)?.execute(params![
        Db(user.id),
        token.map(Db),
        identity,
        contact.name,
        contact.email,
        page.map(|page| &page.url),
        page.map(|page| &page.title),
    ])?;
    let made = visitor(db, &VisitorKey::User(user.id))?;
    made.ok_or(Failure::Database(rusqlite::Error::QueryReturnedNoRows))
}

fn visitor(db: &Connection, key: &VisitorKey) -> Result<Option<Visitor>, Failure> {
    let found = match key {
        VisitorKey::User(id) => db.prepare_cached(VISITOR_BY_USER)?.query_row([Db(*id)], visitor_at),
        VisitorKey::Token(hash) => db.prepare_cached(VISITOR_BY_TOKEN)?.query_row([Db(*hash)], visitor_at),
        VisitorKey::Identity(identity) => {
            db.prepare_cached(VISITOR_BY_IDENTITY)?.query_row([identity], visitor_at)
        }
    };
    Ok(found.optional()?)
}

fn visitor_at(row: &Row<'_>) -> rusqlite::Result<Visitor> {
    Ok(Visitor { user: user_at(row, 0)?, identity: row.get(9)?, contact: contact_at(row, 10)? })
}

fn contact_at(row: &Row<'_>, first: usize) -> rusqlite::Result<Contact> {
    let (url, title): (Option<String>, Option<String>) = (row.get(first + 2)?, row.get(first + 3)?);
    let page = url.zip(title).map(|(url, title)| VisitedPage { url, title });
    Ok(Contact { name: row.get(first)?, email: row.get(first + 1)?, page })
}

fn open(db: &Connection, new: &SupportRow) -> Result<Opened, Failure> {
    if visitor(db, &VisitorKey::User(new.visitor))?.is_none() {
        return Ok(Opened::NoVisitor);
    }
    if let Some(open) = open_direct(db, new.visitor.as_uuid().as_bytes())? {
        return Ok(Opened::Existing(existing(db, open)?));
    }
    let row = ConversationRow {
        id: new.id,
        kind: ConversationKind::Support,
        name: None,
        created_by: new.visitor,
        participants: vec![new.visitor],
        at: new.at,
    };
    conversations::insert(db, &row)?;
    if let Some(greeting) = &new.greeting {
        let said = (Db(new.id), Db(greeting.id), Db(greeting.sender), &greeting.content, Db(new.at));
        db.prepare_cached(INSERT_GREETING)?.execute(said)?;
        db.prepare_cached(BEGIN_SUPPORT)?.execute((Db(new.id), 1))?;
    }
    Ok(Opened::Created(existing(db, new.id)?))
}

fn carry(db: &Connection, from: UserId, to: UserId, at: Timestamp) -> Result<Option<Conversation>, Failure> {
    let Some(id) = open_direct(db, from.as_uuid().as_bytes())? else { return Ok(None) };
    if from == to || open_direct(db, to.as_uuid().as_bytes())?.is_some() {
        return Ok(None);
    }
    for statement in [CARRY_PARTICIPANT, CARRY_COVERED, CARRY_READS, CARRY_MESSAGES] {
        db.prepare_cached(statement)?.execute((Db(id), Db(from), Db(to)))?;
    }
    db.prepare_cached(CARRY_CONVERSATION)?.execute((Db(id), Db(to), Db(at)))?;
    Ok(Some(existing(db, id)?))
}

/// A support conversation without what other tables have of it.
struct Support {
    conversation: Conversation,
    visitor: UserId,
    assignee: Option<UserId>,
    answered_seq: u64,
}

fn support_at(row: &Row<'_>) -> rusqlite::Result<Support> {
    Ok(Support {
        conversation: bare(row)?,
        visitor: get(row, 8)?,
        assignee: get_opt(row, 9)?,
        answered_seq: get(row, 10)?,
    })
}

fn inbox(
    db: &Connection,
    state: InboxState,
    reader: UserId,
    after: Option<ConversationCursor>,
    limit: u32,
) -> Result<Page<InboxItem>, Failure> {
    // One more than asked for shows whether there is more.
    let wanted = i64::from(limit) + 1;
    let (before, id) = conversations::place(after);
    let begin = (before, Db(id), wanted);
    let mut list = match state {
        InboxState::Unassigned => db.prepare_cached(UNASSIGNED)?,
        InboxState::Mine => db.prepare_cached(MINE)?,
        InboxState::Open => db.prepare_cached(OPEN)?,
        InboxState::Closed => db.prepare_cached(CLOSED)?,
    };
    let found = match state {
        InboxState::Mine => list.query_map((begin.0, begin.1, begin.2, Db(reader)), support_at)?,
        _ => list.query_map(begin, support_at)?,
    };
    let mut found = found.collect::<rusqlite::Result<Vec<_>>>()?;
    let has_more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let items = found.into_iter().map(|found| item(db, found, Some(reader))).collect::<Result<_, _>>()?;
    Ok(Page { items, has_more })
}

fn item(db: &Connection, found: Support, reader: Option<UserId>) -> Result<InboxItem, Failure> {
    let Support { conversation, visitor: visitor_id, assignee, answered_seq } = found;
    let (id, last_seq) = (conversation.id, conversation.last_seq);
    let mut summary = conversations::summary(db, conversation, reader)?;
    if reader.is_none_or(|reader| !summary.conversation.has(reader)) {
        summary.unread = last_seq.saturating_sub(answered_seq);
    }
    let waiting_since = if last_seq > answered_seq {
        let first = (Db(id), Db(answered_seq + 1));
        db.prepare_cached(SENT_AT)?.query_row(first, |row| get(row, 0)).optional()?
    } else {
        None
    };
    let contact = visitor(db, &VisitorKey::User(visitor_id))?.map(|visitor| visitor.contact);
    Ok(InboxItem {
        summary,
        visitor_id,
        visitor: contact.unwrap_or_default(),
        assignee: assignee.map(|id| brief(db, id)).transpose()?,
        waiting_since,
    })
}

fn brief(db: &Connection, id: UserId) -> Result<UserBrief, Failure> {
    Ok(db
        .prepare_cached(BRIEF)?
        .query_row([Db(id)], |row| Ok(UserBrief { id, username: row.get(0)?, avatar: row.get(1)? }))?)
}

fn claim(db: &Connection, id: ConversationId, agent: UserId, at: Timestamp) -> Result<Claim, Failure> {
    let assignee = db.prepare_cached(ASSIGNEE)?.query_row([Db(id)], |row| get_opt(row, 0)).optional()?;
    match assignee {
        None => return Ok(Claim::NotFound),
        Some(Some(other)) if other != agent => return Ok(Claim::Taken(brief(db, other)?)),
        Some(Some(_)) => {
            return Ok(Claim::Claimed { conversation: existing(db, id)?, was_in: true });
        }
        Some(None) => {}
    }
    let added = conversations::add_participants(db, id, &[agent], usize::MAX, at)?;
    let Addition::Added { added, .. } = added else { return Ok(Claim::NotFound) };
    db.prepare_cached(ASSIGN)?.execute((Db(id), Db(agent), Db(at)))?;
    Ok(Claim::Claimed { conversation: existing(db, id)?, was_in: added.is_empty() })
}
