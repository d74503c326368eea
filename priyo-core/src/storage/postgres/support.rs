//! Visitors of websites, their conversations, and who has taken those on. How these are read is in
//! [`inbox`](super::inbox).

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresStorage;
use super::connection::Connection;
use super::conversations::{self, open_direct};
use super::failure::Failure;
use super::inbox;
use super::listing::existing;
use super::users::user_at;
use super::values::{Db, Statement, get, get_opt, statements};
use crate::model::{
    Contact, Conversation, ConversationCursor, ConversationId, ConversationKind, InboxItem, InboxState, Page,
    Timestamp, User, UserBrief, UserId, VisitedPage, Visitor,
};
use crate::storage::{
    Addition, Claim, ConversationRow, Opened, Result, SupportRow, SupportStore, VisitorKey, VisitorRow,
};

statements! {
    INSERT_USER = "
        INSERT INTO users (id, username, role, disabled, created_at_ms) VALUES ($1, $2, $3, $4, $5)";
    INSERT_VISITOR = "
        INSERT INTO visitors (user_id, token_hash, identity, name, email, page_url, page_title)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (identity) DO NOTHING";
    VISITOR_BY_USER = "
        SELECT u.id, u.external_id, u.email, u.username, u.avatar, u.role, u.disabled, u.created_at_ms, u.last_seen_ms,
            v.identity, v.name, v.email, v.page_url, v.page_title
        FROM visitors v JOIN users u ON u.id = v.user_id WHERE v.user_id = $1";
    VISITOR_BY_TOKEN = "
        SELECT u.id, u.external_id, u.email, u.username, u.avatar, u.role, u.disabled, u.created_at_ms, u.last_seen_ms,
            v.identity, v.name, v.email, v.page_url, v.page_title
        FROM visitors v JOIN users u ON u.id = v.user_id WHERE v.token_hash = $1";
    VISITOR_BY_IDENTITY = "
        SELECT u.id, u.external_id, u.email, u.username, u.avatar, u.role, u.disabled, u.created_at_ms, u.last_seen_ms,
            v.identity, v.name, v.email, v.page_url, v.page_title
        FROM visitors v JOIN users u ON u.id = v.user_id WHERE v.identity = $1";
    SET_CONTACT = "
        WITH said AS (
            UPDATE visitors SET name = $2, email = $3, page_url = $4, page_title = $5 WHERE user_id = $1
            RETURNING user_id, name
        )
        UPDATE users SET username = said.name FROM said WHERE users.id = said.user_id AND said.name IS NOT NULL";
    BEGIN_SUPPORT = "UPDATE conversations SET last_seq = 1, answered_seq = 1 WHERE id = $1";
    /// Whoever says something is, or was, in the conversation: here somebody who has left already.
    PASS_THROUGH = "
        INSERT INTO participants (conversation_id, user_id, place, left_at_ms, left_seq) VALUES ($1, $2, 0, $3, 1)";
    INSERT_GREETING = "
        INSERT INTO messages (conversation_id, seq, id, sender_id, content, kind, created_at_ms)
        VALUES ($1, 1, $2, $3, $4, 'TEXT', $5)";
    NEWEST_OF_VISITOR = "
        SELECT COALESCE(
            (SELECT id FROM conversations
                WHERE direct_key = $1 AND direct_key IS NOT NULL AND status = 'OPEN'),
            (SELECT id FROM conversations
                WHERE visitor_id = $2 AND visitor_id IS NOT NULL ORDER BY id DESC LIMIT 1))";
    /// Whoever marks something as read holds this row, and not the conversation.
    LOCK_CARRIED = "
        SELECT user_id FROM participants WHERE conversation_id = $1 AND user_id = $2 FOR UPDATE";
    /// What they said refers to them as a participant, so the new one comes before and the old one goes after.
    CARRY_PARTICIPANT = "
        INSERT INTO participants
            (conversation_id, user_id, place, delivered_seq, covered_len, left_at_ms, left_seq)
        SELECT conversation_id, $3, place, delivered_seq, covered_len, left_at_ms, left_seq
        FROM participants WHERE conversation_id = $1 AND user_id = $2";
    CARRY_COVERED = "UPDATE covered SET user_id = $3 WHERE conversation_id = $1 AND user_id = $2";
    CARRY_READS = "UPDATE message_reads SET user_id = $3 WHERE conversation_id = $1 AND user_id = $2";
    CARRY_MESSAGES = "UPDATE messages SET sender_id = $3 WHERE conversation_id = $1 AND sender_id = $2";
    FORGET_PARTICIPANT = "DELETE FROM participants WHERE conversation_id = $1 AND user_id = $2";
    CARRY_CONVERSATION = "
        UPDATE conversations SET visitor_id = $2, created_by = $2, direct_key = $3,
            updated_at_ms = GREATEST(updated_at_ms, $4)
        WHERE id = $1";
    /// Goes over all agents, who are few.
    AGENTS = "
        SELECT id, external_id, email, username, avatar, role, disabled, created_at_ms, last_seen_ms FROM users
        WHERE role <> 'CUSTOMER' AND NOT disabled AND strpos(lower(username), $1) > 0
        ORDER BY lower(username), id LIMIT $2";
    TAKEN_ON = "
        SELECT c.id FROM participants p JOIN conversations c ON c.id = p.conversation_id
        WHERE p.user_id = $1 AND p.left_seq IS NULL AND c.visitor_id IS NOT NULL AND c.visitor_id <> $1";
    ASSIGNEE = "
        SELECT c.assignee_id, u.username, u.avatar FROM conversations c LEFT JOIN users u ON u.id = c.assignee_id
        WHERE c.id = $1 AND c.visitor_id IS NOT NULL";
    ASSIGN = "
        UPDATE conversations SET assignee_id = $2, updated_at_ms = GREATEST(updated_at_ms, $3) WHERE id = $1";
}

#[async_trait]
impl SupportStore for PostgresStorage {
    async fn create_visitor(&self, new: &VisitorRow) -> Result<Visitor> {
        self.write(new.clone(), |db, new| Box::pin(create_visitor(db, new))).await
    }

    async fn visitor(&self, key: &VisitorKey) -> Result<Option<Visitor>> {
        self.read(key.clone(), |db, key| Box::pin(visitor(db, key))).await
    }

    async fn set_contact(&self, visitor: UserId, contact: &Contact) -> Result<()> {
        self.write((visitor, contact.clone()), |db, (visitor, contact)| {
            let set = of_contact(db.query(SET_CONTACT).bind(Db(*visitor)), contact);
            Box::pin(async {
                set.execute(&mut db.inner).await?;
                Ok(())
            })
        })
        .await
    }

    async fn open_support(&self, new: &SupportRow) -> Result<Opened> {
        self.write(new.clone(), |db, new| Box::pin(open(db, new))).await
    }

    async fn support_of(&self, visitor: UserId) -> Result<Option<Conversation>> {
        let newest = self.read(visitor, |db, visitor| {
            let newest = db.query(NEWEST_OF_VISITOR).bind(key(*visitor)).bind(Db(*visitor));
            let newest = newest.try_map(|row| get_opt(&row, 0));
            Box::pin(async { Ok(newest.fetch_one(&mut db.inner).await?) })
        });
        match newest.await? {
            None => Ok(None),
            // It may be carried over to another one in between: then it is none of theirs any more.
            Some(id) => Ok(conversations::read(self, id).await?.filter(|found| found.has(visitor))),
        }
    }

    async fn carry_support(&self, from: UserId, to: UserId, at: Timestamp) -> Result<Option<Conversation>> {
        self.write((from, to, at), |db, (from, to, at)| Box::pin(carry(db, *from, *to, *at))).await
    }

    async fn inbox_item(&self, id: ConversationId, reader: Option<UserId>) -> Result<Option<InboxItem>> {
        self.read((id, reader), |db, (id, reader)| Box::pin(inbox::item(db, *id, *reader))).await
    }

    async fn inbox(
        &self,
        state: InboxState,
        reader: UserId,
        after: Option<ConversationCursor>,
        limit: u32,
    ) -> Result<Page<InboxItem>> {
        self.read((state, reader, after, limit), |db, (state, reader, after, limit)| {
            Box::pin(inbox::list(db, *state, *reader, *after, *limit))
        })
        .await
    }

    async fn agents(&self, part: &str, limit: u32) -> Result<Vec<User>> {
        self.read((part.to_ascii_lowercase(), limit), |db, (part, limit)| {
            let agents = db.query(AGENTS).bind(part.clone()).bind(i64::from(*limit));
            let agents = agents.try_map(|row| user_at(&row, 0));
            Box::pin(async { Ok(agents.fetch_all(&mut db.inner).await?) })
        })
        .await
    }

    async fn supports_of(&self, agent: UserId) -> Result<Vec<ConversationId>> {
        self.read(agent, |db, agent| {
            let taken_on = db.query(TAKEN_ON).bind(Db(*agent)).try_map(|row| get(&row, 0));
            Box::pin(async { Ok(taken_on.fetch_all(&mut db.inner).await?) })
        })
        .await
    }

    async fn claim_support(&self, id: ConversationId, agent: UserId, at: Timestamp) -> Result<Claim> {
        self.write((id, agent, at), |db, (id, agent, at)| Box::pin(claim(db, *id, *agent, *at))).await
    }
}

/// Of which a visitor has only one open.
fn key(visitor: UserId) -> Vec<u8> {
    visitor.as_uuid().into_bytes().to_vec()
}

fn of_contact(statement: Statement, contact: &Contact) -> Statement {
    let page = contact.page.clone().map(|page| (page.url, page.title)).unzip();
    statement.bind(contact.name.clone()).bind(contact.email.clone()).bind(page.0).bind(page.1)
}

async fn create_visitor(db: &mut Connection, new: &VisitorRow) -> Result<Visitor, Failure> {
    let VisitorRow { user, token, identity, contact } = new;
    if let Some(identity) = identity
        && let Some(known) = visitor(db, &VisitorKey::Identity(identity.clone())).await?
    {
        return Ok(known);
    }
    let insert = db.query(INSERT_USER).bind(Db(user.id)).bind(user.username.clone()).bind(Db(user.role));
    insert.bind(user.disabled).bind(Db(user.created_at)).execute(&mut db.inner).await?;
    let insert = db.query(INSERT_VISITOR).bind(Db(user.id)).bind(token.map(Db)).bind(identity.clone());
    if of_contact(insert, contact).execute(&mut db.inner).await?.rows_affected() == 0 {
        // Another server was quicker: the next look finds the one that it has made.
        return Err(Failure::Overtaken);
    }
    let made = visitor(db, &VisitorKey::User(user.id)).await?;
    made.ok_or(Failure::Database(sqlx::Error::RowNotFound))
}

async fn visitor(db: &mut Connection, key: &VisitorKey) -> Result<Option<Visitor>, Failure> {
    let found = match key {
        VisitorKey::User(id) => db.query(VISITOR_BY_USER).bind(Db(*id)),
        VisitorKey::Token(hash) => db.query(VISITOR_BY_TOKEN).bind(Db(*hash)),
        VisitorKey::Identity(identity) => db.query(VISITOR_BY_IDENTITY).bind(identity.clone()),
    };
    Ok(found.try_map(|row| visitor_at(&row)).fetch_optional(&mut db.inner).await?)
}

fn visitor_at(row: &PgRow) -> sqlx::Result<Visitor> {
    Ok(Visitor { user: user_at(row, 0)?, identity: row.try_get(9)?, contact: contact_at(row, 10)? })
}

/// Reads what a visitor said of themselves from four columns, `first` being the number of the first.
pub(super) fn contact_at(row: &PgRow, first: usize) -> sqlx::Result<Contact> {
    let (url, title): (Option<String>, Option<String>) = (row.try_get(first + 2)?, row.try_get(first + 3)?);
    let page = url.zip(title).map(|(url, title)| VisitedPage { url, title });
    Ok(Contact { name: row.try_get(first)?, email: row.try_get(first + 1)?, page })
}

async fn open(db: &mut Connection, new: &SupportRow) -> Result<Opened, Failure> {
    if visitor(db, &VisitorKey::User(new.visitor)).await?.is_none() {
        return Ok(Opened::NoVisitor);
    }
    let row = ConversationRow {
        id: new.id,
        kind: ConversationKind::Support,
        name: None,
        created_by: new.visitor,
        participants: vec![new.visitor],
        at: new.at,
    };
    if !conversations::insert(db, &row).await? {
        // The one that was in the way may have been closed since.
        let other = open_direct(db, &key(new.visitor)).await?.ok_or(Failure::Overtaken)?;
        return Ok(Opened::Existing(existing(db, other).await?));
    }
    if let Some(greeting) = &new.greeting {
        let pass = db.query(PASS_THROUGH).bind(Db(new.id)).bind(Db(greeting.sender)).bind(Db(new.at));
        pass.execute(&mut db.inner).await?;
        let say = db.query(INSERT_GREETING).bind(Db(new.id)).bind(Db(greeting.id)).bind(Db(greeting.sender));
        say.bind(greeting.content.clone()).bind(Db(new.at)).execute(&mut db.inner).await?;
        db.query(BEGIN_SUPPORT).bind(Db(new.id)).execute(&mut db.inner).await?;
    }
    Ok(Opened::Created(existing(db, new.id).await?))
}

async fn carry(
    db: &mut Connection,
    from: UserId,
    to: UserId,
    at: Timestamp,
) -> Result<Option<Conversation>, Failure> {
    let Some(id) = open_direct(db, &key(from)).await? else { return Ok(None) };
    conversations::lock(db, id).await?;
    // It may have been closed, or carried elsewhere, while its lock was waited for.
    if open_direct(db, &key(from)).await? != Some(id) {
        return Err(Failure::Overtaken);
    }
    if from == to || open_direct(db, &key(to)).await?.is_some() {
        return Ok(None);
    }
    db.query(LOCK_CARRIED).bind(Db(id)).bind(Db(from)).execute(&mut db.inner).await?;
    for statement in [CARRY_PARTICIPANT, CARRY_COVERED, CARRY_READS, CARRY_MESSAGES] {
        db.query(statement).bind(Db(id)).bind(Db(from)).bind(Db(to)).execute(&mut db.inner).await?;
    }
    db.query(FORGET_PARTICIPANT).bind(Db(id)).bind(Db(from)).execute(&mut db.inner).await?;
    let carry = db.query(CARRY_CONVERSATION).bind(Db(id)).bind(Db(to)).bind(key(to)).bind(Db(at));
    conversations::unless_overtaken(carry.execute(&mut db.inner).await)?;
    Ok(Some(existing(db, id).await?))
}

async fn claim(
    db: &mut Connection,
    id: ConversationId,
    agent: UserId,
    at: Timestamp,
) -> Result<Claim, Failure> {
    conversations::lock(db, id).await?;
    let assignee = db.query(ASSIGNEE).bind(Db(id)).try_map(|row| match get_opt(&row, 0)? {
        None => Ok(None),
        Some(id) => Ok(Some(UserBrief { id, username: row.try_get(1)?, avatar: row.try_get(2)? })),
    });
    match assignee.fetch_optional(&mut db.inner).await? {
        None => return Ok(Claim::NotFound),
        Some(Some(other)) if other.id != agent => return Ok(Claim::Taken(other)),
        Some(Some(_)) => {
            return Ok(Claim::Claimed { conversation: existing(db, id).await?, was_in: true });
        }
        Some(None) => {}
    }
    let added = conversations::add_participants(db, id, &[agent], usize::MAX, at).await?;
    let Addition::Added { added, .. } = added else { return Ok(Claim::NotFound) };
    db.query(ASSIGN).bind(Db(id)).bind(Db(agent)).bind(Db(at)).execute(&mut db.inner).await?;
    Ok(Claim::Claimed { conversation: existing(db, id).await?, was_in: added.is_empty() })
}
