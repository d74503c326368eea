//! What is stored, in a form that can be compared.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

/// Tables that a refused request may add to: that it was refused is noted.
const JOURNALS: [&str; 1] = ["audit_log"];

/// Columns that are written a while after what they tell of, as when somebody was here: they may change at any time.
const WRITTEN_BEHIND: [&str; 3] = ["last_seen_ms", "last_used_at_ms", "delivered_seq"];

/// Of each table how many rows it has and a checksum of them, whatever their order.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Fingerprint(BTreeMap<String, (usize, u64)>);

impl Fingerprint {
    pub(crate) fn add(&mut self, table: &str, rows: Vec<Value>) {
        if JOURNALS.contains(&table) {
            return;
        }
        let mut texts: Vec<String> = rows.into_iter().map(lasting).collect();
        texts.sort_unstable();
        let mut hasher = DefaultHasher::new();
        texts.hash(&mut hasher);
        self.0.insert(table.to_owned(), (texts.len(), hasher.finish()));
    }

    /// The tables that differ, each with its number of rows here and there.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let rows = |of: &Self, table: &str| of.0.get(table).map_or(0, |(rows, _)| *rows);
        let tables: std::collections::BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        let differ = tables.into_iter().filter(|table| self.0.get(*table) != other.0.get(*table));
        differ
            .map(|table| format!("{table}: {} rows, then {}", rows(self, table), rows(other, table)))
            .collect()
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(table, (rows, _))| (table, rows))).finish()
    }
}

/// A row without what does not count.
fn lasting(mut row: Value) -> String {
    if let Some(columns) = row.as_object_mut() {
        columns.retain(|name, _| !WRITTEN_BEHIND.contains(&name.as_str()));
    }
    row.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(rows: &[Value]) -> Fingerprint {
        let mut found = Fingerprint::default();
        found.add("things", rows.to_vec());
        found
    }

    #[test]
    fn the_order_of_rows_and_what_is_written_behind_do_not_count_and_everything_else_does() {
        let (one, other) = (json!({"id": 1, "name": "a"}), json!({"id": 2, "name": "b"}));
        let here = of(&[one.clone(), other.clone()]);
        assert_eq!(here, of(&[other.clone(), one.clone()]));
        assert_eq!(here, of(&[json!({"id": 1, "name": "a", "last_seen_ms": 5}), other.clone()]));

        for changed in
            [vec![one.clone()], vec![one.clone(), one.clone()], vec![one, json!({"id": 2, "name": "c"})]]
        {
            assert_eq!(here.differences(&of(&changed)).len(), 1, "{changed:?}");
        }
        assert_eq!(here.differences(&Fingerprint::default()), ["things: 2 rows, then 0"]);
        assert_eq!(here.differences(&here.clone()), Vec::<String>::new());
    }
}
