//! Support conversations as those see them who answer: each list in one statement.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::connection::Connection;
use super::failure::Failure;
use super::listing::{place, summary_at};
use super::support::contact_at;
use super::values::{Db, get, get_opt, statements};
use crate::model::{ConversationCursor, ConversationId, InboxItem, InboxState, Page, UserBrief, UserId};
use crate::storage::Result;

/// Support conversations as the inbox shows them, those of a subquery.
macro_rules! items {
    ($which:expr, $order:literal) => {
        concat!(
            "
        SELECT c.id, c.name, c.kind, c.status, c.created_by, c.last_seq, c.created_at_ms, c.updated_at_ms,
            p.places, p.ids, p.usernames, p.avatars, p.roles, p.last_seen,
            m.id, m.conversation_id, m.seq, m.sender_id, u.username, u.avatar, m.client_message_id, m.content,
            m.kind, m.created_at_ms, f.id, f.stored_name, f.original_name, f.size, f.width, f.height,
            c.last_seq - COALESCE((SELECT r.covered_len FROM participants r
                WHERE r.conversation_id = c.id AND r.user_id = $1 AND r.left_seq IS NULL), c.answered_seq),
            c.visitor_id, v.name, v.email, v.page_url, v.page_title, a.id, a.username, a.avatar,
            (SELECT w.created_at_ms FROM messages w
                WHERE w.conversation_id = c.id AND w.seq = c.answered_seq + 1)
        FROM (
",
            $which,
            "
        ) c
        CROSS JOIN LATERAL (
            SELECT array_agg(p.place) AS places, array_agg(u.id) AS ids, array_agg(u.username) AS usernames,
                array_agg(u.avatar) AS avatars, array_agg(u.role) AS roles, array_agg(u.last_seen_ms) AS last_seen
            FROM participants p JOIN users u ON u.id = p.user_id
            WHERE p.conversation_id = c.id AND p.left_seq IS NULL
        ) p
        JOIN visitors v ON v.user_id = c.visitor_id
        LEFT JOIN users a ON a.id = c.assignee_id
        LEFT JOIN messages m ON m.conversation_id = c.id AND m.seq = c.last_seq
        LEFT JOIN users u ON u.id = m.sender_id
        LEFT JOIN files f ON f.id = m.file_id",
            $order
        )
    };
}

/// A page of those that are so, newest first, from a place on.
macro_rules! list {
    ($which:literal) => {
        items!(
            concat!(
                "            SELECT * FROM conversations WHERE visitor_id IS NOT NULL AND ",
                $which,
                "
                AND (updated_at_ms, id) < ($2, $3)
            ORDER BY updated_at_ms DESC, id DESC LIMIT $4"
            ),
            "
        ORDER BY c.updated_at_ms DESC, c.id DESC"
        )
    };
}

statements! {
    ITEM = items!(
        "            SELECT * FROM conversations WHERE visitor_id IS NOT NULL AND id = $2",
        ""
    );
    /// Not those in which there is nothing but a greeting, if that.
    UNASSIGNED = list!("status = 'OPEN' AND assignee_id IS NULL \
         AND (last_seq > answered_seq OR last_seq > 1)");
    MINE = list!("status = 'OPEN' AND assignee_id = $1");
    OPEN = list!("status = 'OPEN'");
    CLOSED = list!("status = 'CLOSED'");
}

pub(super) async fn item(
    db: &mut Connection,
    id: ConversationId,
    reader: Option<UserId>,
) -> Result<Option<InboxItem>, Failure> {
    let item = db.query(ITEM).bind(reader.map(Db)).bind(Db(id)).try_map(|row| item_at(&row));
    Ok(item.fetch_optional(&mut db.inner).await?)
}

pub(super) async fn list(
    db: &mut Connection,
    state: InboxState,
    reader: UserId,
    after: Option<ConversationCursor>,
    limit: u32,
) -> Result<Page<InboxItem>, Failure> {
    let list = db.query(match state {
        InboxState::Unassigned => UNASSIGNED,
        InboxState::Mine => MINE,
        InboxState::Open => OPEN,
        InboxState::Closed => CLOSED,
    });
    let (before, id) = place(after);
    // One more than asked for shows whether there is more.
    let list = list.bind(Db(reader)).bind(Db(before)).bind(Db(id)).bind(i64::from(limit) + 1);
    let mut items = list.try_map(|row| item_at(&row)).fetch_all(&mut db.inner).await?;
    let has_more = items.len() > limit as usize;
    items.truncate(limit as usize);
    Ok(Page { items, has_more })
}

fn item_at(row: &PgRow) -> sqlx::Result<InboxItem> {
    let assignee = match get_opt(row, 36)? {
        None => None,
        Some(id) => Some(UserBrief { id, username: row.try_get(37)?, avatar: row.try_get(38)? }),
    };
    Ok(InboxItem {
        summary: summary_at(row)?,
        visitor_id: get(row, 31)?,
        visitor: contact_at(row, 32)?,
        assignee,
        waiting_since: get_opt(row, 39)?,
    })
}
