//! Up to where messages were handed to whom.

use std::collections::{BTreeSet, HashMap};

use super::connection::Connection;
use super::failure::Failure;
use super::values::{array, get, statements};
use crate::storage::{DeliveredMark, Result};

statements! {
    /// One after the other, in order.
    LOCK_RECEIVERS = "
        SELECT p.conversation_id, p.user_id, p.delivered_seq
        FROM (SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS r (conversation_id, user_id) ORDER BY 1, 2) r
        CROSS JOIN LATERAL (
            SELECT p.conversation_id, p.user_id, p.delivered_seq FROM participants p
            WHERE p.conversation_id = r.conversation_id AND p.user_id = r.user_id AND p.left_seq IS NULL
            FOR NO KEY UPDATE
        ) p";
    DELIVERED = "
        UPDATE participants p SET delivered_seq = d.seq
        FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS d (conversation_id, user_id, seq)
        WHERE p.conversation_id = d.conversation_id AND p.user_id = d.user_id";
}

/// Moves the marks of those who are in the conversations, each as far as it goes.
pub(super) async fn set(db: &mut Connection, marks: &[DeliveredMark]) -> Result<(), Failure> {
    let keys: BTreeSet<_> = marks.iter().map(|mark| (mark.conversation_id, mark.user_id)).collect();
    let lock = db
        .query(LOCK_RECEIVERS)
        .bind(array(keys.iter().map(|(conversation, _)| *conversation)))
        .bind(array(keys.iter().map(|(_, user)| *user)))
        .try_map(|row| Ok(((get(&row, 0)?, get(&row, 1)?), get(&row, 2)?)));
    let before: HashMap<_, u64> = lock.fetch_all(&mut db.inner).await?.into_iter().collect();
    let mut now = before.clone();
    for mark in marks {
        let Some(seq) = now.get_mut(&(mark.conversation_id, mark.user_id)) else { continue };
        if mark.first_seq <= seq.saturating_add(1) {
            *seq = mark.last_seq.max(*seq);
        }
    }
    let moved: Vec<_> = now.into_iter().filter(|(key, seq)| before[key] != *seq).collect();
    if moved.is_empty() {
        return Ok(());
    }
    let write = db
        .query(DELIVERED)
        .bind(array(moved.iter().map(|((conversation, _), _)| *conversation)))
        .bind(array(moved.iter().map(|((_, user), _)| *user)))
        .bind(array(moved.iter().map(|(_, seq)| *seq)));
    write.execute(&mut db.inner).await?;
    Ok(())
}
