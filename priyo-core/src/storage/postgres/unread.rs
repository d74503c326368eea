//! Unread counts in constant time, exact per message.
//!
//! For each participant the numbers that cannot be unread are kept as disjoint intervals, and their total length with
//! the participant: what is unread is the rest. The numbers have no gaps, so neither do the intervals of one who
//! reads everything: there is one. A number that is added meets at most two neighbours.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::connection::Connection;
use super::failure::Failure;
use super::values::{Db, Statement, array, get, statements};
use crate::model::{ConversationId, UserId};
use crate::storage::Result;

statements! {
    /// Intervals that overlap or touch a range: from the last that begins no later than it.
    NEIGHBOURS = "
        SELECT r.conversation_id, r.user_id, c.first_seq, c.last_seq
        FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[])
            AS r (conversation_id, user_id, first_seq, last_seq)
        CROSS JOIN LATERAL (
            SELECT c.first_seq, c.last_seq FROM covered c
            WHERE c.conversation_id = r.conversation_id AND c.user_id = r.user_id
                AND c.first_seq <= r.last_seq + 1 AND c.last_seq >= r.first_seq - 1
                AND c.first_seq >= COALESCE((
                    SELECT b.first_seq FROM covered b
                    WHERE b.conversation_id = r.conversation_id AND b.user_id = r.user_id AND b.first_seq <= r.first_seq
                    ORDER BY b.first_seq DESC LIMIT 1), 0)
        ) c";
    /// Takes away, adds or lengthens, and counts: what is taken away is never what is added.
    COVER = "
        WITH forgotten AS (
            DELETE FROM covered c USING unnest($1::uuid[], $2::uuid[], $3::bigint[])
                AS f (conversation_id, user_id, first_seq)
            WHERE c.conversation_id = f.conversation_id AND c.user_id = f.user_id AND c.first_seq = f.first_seq
        ), counted AS (
            UPDATE participants p SET covered_len = p.covered_len + g.gained
            FROM unnest($4::uuid[], $5::uuid[], $6::bigint[]) AS g (conversation_id, user_id, gained)
            WHERE p.conversation_id = g.conversation_id AND p.user_id = g.user_id
        )
        INSERT INTO covered (conversation_id, user_id, first_seq, last_seq)
        SELECT * FROM unnest($7::uuid[], $8::uuid[], $9::bigint[], $10::bigint[])
        ON CONFLICT (conversation_id, user_id, first_seq) DO UPDATE SET last_seq = excluded.last_seq";
    UNREAD_COUNTS = "
        SELECT p.conversation_id, c.last_seq - p.covered_len
        FROM participants p JOIN conversations c ON c.id = p.conversation_id
        WHERE p.user_id = $1 AND p.left_at_ms IS NULL AND c.last_seq > p.covered_len";
}

/// Whose intervals they are.
pub(super) type Whose = (ConversationId, UserId);

/// Takes ranges of messages out of what is unread for participants, whose rows must be locked. Empty ranges and
/// repeats do no harm.
pub(super) async fn cover(
    db: &mut Connection,
    ranges: impl IntoIterator<Item = (Whose, RangeInclusive<u64>)>,
) -> Result<(), Failure> {
    let ranges: Vec<_> = ranges.into_iter().filter(|(_, range)| !range.is_empty()).collect();
    if ranges.is_empty() {
        return Ok(());
    }
    let mut known = neighbours(db, &ranges).await?;
    let mut wanted: BTreeMap<Whose, Vec<RangeInclusive<u64>>> = BTreeMap::new();
    for (whose, range) in ranges {
        wanted.entry(whose).or_default().push(range);
    }
    let mut change = Change::default();
    for (whose, ranges) in wanted {
        change.add(whose, &known.remove(&whose).unwrap_or_default(), ranges);
    }
    change.write(db).await
}

/// The first and the last numbers of intervals.
type Intervals = BTreeSet<(u64, u64)>;

async fn neighbours(
    db: &mut Connection,
    ranges: &[(Whose, RangeInclusive<u64>)],
) -> Result<BTreeMap<Whose, Intervals>, Failure> {
    let neighbours = db
        .query(NEIGHBOURS)
        .bind(array(ranges.iter().map(|((conversation, _), _)| *conversation)))
        .bind(array(ranges.iter().map(|((_, user), _)| *user)))
        .bind(array(ranges.iter().map(|(_, range)| *range.start())))
        .bind(array(ranges.iter().map(|(_, range)| *range.end())))
        .try_map(|row| Ok(((get(&row, 0)?, get(&row, 1)?), (get(&row, 2)?, get(&row, 3)?))));
    let mut known: BTreeMap<Whose, Intervals> = BTreeMap::new();
    for (whose, interval) in neighbours.fetch_all(&mut db.inner).await? {
        known.entry(whose).or_default().insert(interval);
    }
    Ok(known)
}

/// What becomes of the intervals.
#[derive(Default)]
struct Change {
    forgotten: Vec<(Whose, u64)>,
    gained: Vec<(Whose, u64)>,
    remembered: Vec<(Whose, (u64, u64))>,
}

impl Change {
    fn add(&mut self, whose: Whose, known: &Intervals, ranges: Vec<RangeInclusive<u64>>) {
        let mut all: Vec<(u64, u64)> = ranges.into_iter().map(RangeInclusive::into_inner).collect();
        all.extend(known);
        let merged = merge(all);
        let firsts: BTreeSet<u64> = merged.iter().map(|(first, _)| *first).collect();
        let gone = known.iter().map(|(first, _)| *first).filter(|first| !firsts.contains(first));
        self.forgotten.extend(gone.map(|first| (whose, first)));
        let gained = total(&merged) - total(known);
        if gained > 0 {
            self.gained.push((whose, gained));
        }
        self.remembered.extend(merged.difference(known).map(|interval| (whose, *interval)));
    }

    async fn write(self, db: &mut Connection) -> Result<(), Failure> {
        if self.remembered.is_empty() {
            return Ok(());
        }
        let write = db.query(COVER);
        let write =
            bind_whose(write, &self.forgotten).bind(array(self.forgotten.iter().map(|(_, first)| *first)));
        let write =
            bind_whose(write, &self.gained).bind(array(self.gained.iter().map(|(_, gained)| *gained)));
        let write = bind_whose(write, &self.remembered)
            .bind(array(self.remembered.iter().map(|(_, (first, _))| *first)))
            .bind(array(self.remembered.iter().map(|(_, (_, last))| *last)));
        write.execute(&mut db.inner).await?;
        Ok(())
    }
}

fn bind_whose<T>(statement: Statement, of: &[(Whose, T)]) -> Statement {
    statement
        .bind(array(of.iter().map(|((conversation, _), _)| *conversation)))
        .bind(array(of.iter().map(|((_, user), _)| *user)))
}

/// Makes one of those that overlap or touch.
fn merge(mut intervals: Vec<(u64, u64)>) -> Intervals {
    intervals.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::with_capacity(intervals.len());
    for (first, last) in intervals {
        match merged.last_mut() {
            Some((_, before)) if first <= before.saturating_add(1) => *before = last.max(*before),
            _ => merged.push((first, last)),
        }
    }
    merged.into_iter().collect()
}

fn total(intervals: &Intervals) -> u64 {
    intervals.iter().map(|(first, last)| last - first + 1).sum()
}

/// The conversations of a user that have anything unread, and how much.
pub(super) async fn counts(db: &mut Connection, user: UserId) -> Result<Vec<(ConversationId, u64)>, Failure> {
    let counts = db.query(UNREAD_COUNTS).bind(Db(user)).try_map(|row| Ok((get(&row, 0)?, get(&row, 1)?)));
    Ok(counts.fetch_all(&mut db.inner).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overlaps_or_touches_becomes_one() {
        for (given, expected) in [
            (vec![], vec![]),
            (vec![(5, 6), (1, 1)], vec![(1, 1), (5, 6)]),
            (vec![(1, 1), (2, 2), (3, 9)], vec![(1, 9)]),
            (vec![(1, 9), (3, 4), (9, 12)], vec![(1, 12)]),
            (vec![(3, 3), (5, 5), (4, 4), (7, 7)], vec![(3, 5), (7, 7)]),
        ] {
            assert_eq!(merge(given), expected.into_iter().collect());
        }
    }
}
