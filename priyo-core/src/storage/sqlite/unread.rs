//! Unread counts in constant time, exact per message.
//!
//! For each participant the numbers that cannot be unread are kept as disjoint intervals, and their total length with
//! the participant: what is unread is the rest. The numbers have no gaps, so neither do the intervals of one who
//! reads everything: there is one. A number that is added meets at most two neighbours.

use std::ops::RangeInclusive;

use rusqlite::Connection;

use super::failure::Failure;
use super::values::{Db, get, statements};
use crate::model::{ConversationId, UserId};
use crate::storage::Result;

statements! {
    /// Intervals that overlap or touch a range, the latest first. The ones after its end are never looked at; the
    /// caller stops at the first that ends too early.
    NEIGHBOURS = "
        SELECT first_seq, last_seq FROM covered
        WHERE conversation_id = ?1 AND user_id = ?2 AND first_seq <= ?3 ORDER BY first_seq DESC";
    FORGET = "DELETE FROM covered WHERE conversation_id = ?1 AND user_id = ?2 AND first_seq = ?3";
    REMEMBER = "
        INSERT INTO covered (conversation_id, user_id, first_seq, last_seq) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (conversation_id, user_id, first_seq) DO UPDATE SET last_seq = excluded.last_seq";
    COUNT = "UPDATE participants SET covered_len = covered_len + ?3 WHERE conversation_id = ?1 AND user_id = ?2";
    UNREAD_COUNTS = "
        SELECT p.conversation_id, c.last_seq - p.covered_len
        FROM participants p CROSS JOIN conversations c ON c.id = p.conversation_id
        WHERE p.user_id = ?1 AND p.left_at_ms IS NULL AND c.last_seq > p.covered_len";
}

/// Takes ranges of messages out of what is unread for a participant. Empty ranges and repeats do no harm.
pub(super) fn cover(
    db: &Connection,
    conversation: ConversationId,
    user: UserId,
    ranges: &[RangeInclusive<u64>],
) -> Result<(), Failure> {
    let mut gained = 0;
    for range in ranges.iter().filter(|range| !range.is_empty()) {
        gained += cover_one(db, conversation, user, range)?;
    }
    if gained > 0 {
        db.prepare_cached(COUNT)?.execute((Db(conversation), Db(user), Db(gained)))?;
    }
    Ok(())
}

/// Gives how many numbers were not covered before.
fn cover_one(
    db: &Connection,
    conversation: ConversationId,
    user: UserId,
    range: &RangeInclusive<u64>,
) -> Result<u64, Failure> {
    let (mut first, mut last) = (*range.start(), *range.end());
    let mut known = 0;
    let mut absorbed = Vec::new();
    let mut neighbours = db.prepare_cached(NEIGHBOURS)?;
    let mut rows = neighbours.query((Db(conversation), Db(user), Db(last.saturating_add(1))))?;
    while let Some(row) = rows.next()? {
        let (other_first, other_last): (u64, u64) = (get(row, 0)?, get(row, 1)?);
        if other_last.saturating_add(1) < *range.start() {
            break;
        }
        if other_first <= first && other_last >= last {
            return Ok(0);
        }
        (first, last) = (first.min(other_first), last.max(other_last));
        known += length(other_first, other_last);
        absorbed.push(other_first);
    }
    drop(rows);
    for other in absorbed.into_iter().filter(|other| *other != first) {
        db.prepare_cached(FORGET)?.execute((Db(conversation), Db(user), Db(other)))?;
    }
    db.prepare_cached(REMEMBER)?.execute((Db(conversation), Db(user), Db(first), Db(last)))?;
    Ok(length(first, last) - known)
}

const fn length(first: u64, last: u64) -> u64 {
    last - first + 1
}

/// Groups numbers that are in order into ranges without gaps.
pub(super) fn runs(numbers: impl IntoIterator<Item = u64>) -> Vec<RangeInclusive<u64>> {
    let mut runs: Vec<RangeInclusive<u64>> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some(run) if run.end() + 1 == number => *run = *run.start()..=number,
            _ => runs.push(number..=number),
        }
    }
    runs
}

/// The conversations of a user that have anything unread, and how much.
pub(super) fn counts(db: &Connection, user: UserId) -> Result<Vec<(ConversationId, u64)>, Failure> {
    let mut counts = db.prepare_cached(UNREAD_COUNTS)?;
    let rows = counts.query_map([Db(user)], |row| Ok((get(row, 0)?, get(row, 1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
