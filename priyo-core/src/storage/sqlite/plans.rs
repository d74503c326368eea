//! How SQLite would run each statement.

use rusqlite::Connection;

use super::{
    MIGRATIONS, append, conversations, files, messages, run_migrations, sessions, support, unread, users,
};

#[test]
fn no_statement_goes_over_a_whole_table() {
    let db = Connection::open_in_memory().unwrap();
    run_migrations(&db, MIGRATIONS).unwrap();
    let of_modules = [
        users::STATEMENTS,
        sessions::STATEMENTS,
        conversations::STATEMENTS,
        messages::STATEMENTS,
        append::STATEMENTS,
        unread::STATEMENTS,
        files::STATEMENTS,
        support::STATEMENTS,
    ];
    for (name, sql) in of_modules.into_iter().flatten() {
        let plan = plan(&db, sql);
        assert!(!plan.iter().any(|step| is_full_scan(step)), "{name}: {plan:#?}");
    }
}

#[test]
fn a_statement_without_an_index_would_be_noticed() {
    let db = Connection::open_in_memory().unwrap();
    run_migrations(&db, MIGRATIONS).unwrap();
    let plan = plan(&db, "SELECT seq FROM messages WHERE content = ?1");
    assert!(plan.iter().any(|step| is_full_scan(step)), "{plan:#?}");
}

fn is_full_scan(step: &str) -> bool {
    step.starts_with("SCAN") && step != "SCAN CONSTANT ROW"
}

fn plan(db: &Connection, sql: &str) -> Vec<String> {
    let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    // Values do not matter to the plan, but their number must be right.
    let values = vec![rusqlite::types::Null; explain.parameter_count()];
    let steps = explain.query_map(rusqlite::params_from_iter(values), |row| row.get(3)).unwrap();
    steps.collect::<Result<_, _>>().unwrap()
}
