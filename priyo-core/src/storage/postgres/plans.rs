//! How PostgreSQL would run each statement, in a schema of a database that `PRIYO_TEST_POSTGRES` names.

use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor, Row};

use super::connection::{Connection, Connector};
use super::{
    PostgresOptions, append, conversations, delivered, files, inbox, listing, messages, migrations, open,
    sessions, support, unread, users,
};
use crate::model::MessageId;

/// A hundred thousand messages of 500 users in 1,000 conversations of 10, each read by one of the others; and 5,000 conversations of
/// visitors.
const FILL: &str = "
    INSERT INTO users (id, username, role, created_at_ms, email, password_hash, external_id)
        SELECT md5('u' || u)::uuid, 'user' || u, 'CUSTOMER', u, u || '@example.com', 'hash', u FROM generate_series(0, 499) u;
    INSERT INTO sessions (id, user_id, created_at_ms, expires_at_ms, last_used_at_ms, ends_at_ms)
        SELECT md5('s' || s)::uuid, md5('u' || s % 500)::uuid, s, s, s, s FROM generate_series(0, 4999) s;
    INSERT INTO refresh_tokens (hash, session_id, created_at_ms, expires_at_ms)
        SELECT sha256(('t' || s)::bytea), md5('s' || s)::uuid, s, s FROM generate_series(0, 4999) s;
    INSERT INTO conversations (id, kind, status, created_by, last_seq, created_at_ms, updated_at_ms)
        SELECT md5('c' || c)::uuid, 'GROUP', 'OPEN', md5('u' || c % 500)::uuid, 100, c, c FROM generate_series(0, 999) c;
    INSERT INTO visitors (user_id, token_hash, identity)
        SELECT md5('u' || u)::uuid, CASE WHEN u % 2 = 0 THEN sha256(('v' || u)::bytea) END,
            CASE WHEN u % 2 = 1 THEN 'v' || u END
        FROM generate_series(0, 499) u;
    INSERT INTO conversations (id, kind, status, direct_key, created_by, last_seq, created_at_ms, updated_at_ms,
            visitor_id, assignee_id)
        SELECT md5('v' || c)::uuid, 'SUPPORT', CASE WHEN c % 50 = 0 THEN 'OPEN' ELSE 'CLOSED' END, sha256(('k' || c)::bytea),
            md5('u' || c % 500)::uuid, 100, c, c, md5('u' || c % 500)::uuid,
            CASE WHEN c % 3 > 0 THEN md5('u' || c % 7)::uuid END
        FROM generate_series(0, 4999) c;
    INSERT INTO participants (conversation_id, user_id, place)
        SELECT md5('c' || c)::uuid, md5('u' || (c + p) % 500)::uuid, p
        FROM generate_series(0, 999) c, generate_series(0, 9) p;
    INSERT INTO covered (conversation_id, user_id, first_seq, last_seq)
        SELECT conversation_id, user_id, s * 10 + 1, s * 10 + 5 FROM participants, generate_series(0, 9) s;
    INSERT INTO files (id, uploader_id, stored_name, original_name, content_type, size, created_at_ms)
        SELECT md5('f' || f)::uuid, md5('u' || f % 500)::uuid, f, f, 'image/png', f, f FROM generate_series(0, 4999) f;
    INSERT INTO messages (conversation_id, seq, id, sender_id, client_message_id, content, kind, file_id, created_at_ms)
        SELECT md5('c' || c)::uuid, s, md5('m' || c || '-' || s)::uuid, md5('u' || (c + s % 10) % 500)::uuid, s,
            repeat('x', 50), 'TEXT', CASE WHEN s = 1 THEN md5('f' || c)::uuid END, s
        FROM generate_series(0, 999) c, generate_series(1, 100) s;
    INSERT INTO message_reads (conversation_id, seq, user_id, read_at_ms)
        SELECT conversation_id, seq, sender_id, seq FROM messages;
    ANALYZE audit_log, conversations, covered, file_usage, files, loose_files, message_reads, messages, participants,
        refresh_tokens, sessions, users, visitors";

/// A connection as a server has it, to a fresh schema.
async fn fresh_schema() -> Connection {
    let url =
        std::env::var("PRIYO_TEST_POSTGRES").expect("PRIYO_TEST_POSTGRES names a PostgreSQL to test on");
    let schema = format!("plans_{}", MessageId::new().as_uuid().simple());
    let connect = PostgresOptions::from_url(&url).unwrap().connect;
    let connector = Connector::new(connect.clone(), &schema, false);
    let mut db = open::first_connection(&connector, &connect, &schema).await.unwrap();
    db.begin().await.unwrap();
    migrations::run(&mut db, &schema).await.unwrap();
    db.commit().await.unwrap();
    db
}

async fn run(db: &mut Connection, sql: String) {
    db.inner.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
}

/// Gives the plan that is made without looking at values.
async fn plan(db: &mut Connection, sql: &str) -> Value {
    run(db, format!("DEALLOCATE ALL; PREPARE statement AS {sql}")).await;
    let count = "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'statement'";
    let count: i32 = db.inner.fetch_one(sqlx::raw_sql(count)).await.unwrap().get(0);
    let values = vec!["NULL"; usize::try_from(count).unwrap()].join(", ");
    let values = if count == 0 { String::new() } else { format!("({values})") };
    let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE statement{values}");
    let plan = db.inner.fetch_one(sqlx::raw_sql(AssertSqlSafe(explain))).await.unwrap();
    serde_json::from_str(plan.get_unchecked(0)).unwrap()
}

/// What a statement may do although it looks like too much: those without an equality follow an index only as far as
/// their limit, or look through the administrators or the agents; the others look through those who are or were in one
/// conversation, or what was said in it, or, in a small database, through those conversations that are open.
const ALLOWED: &[(&str, &str)] = &[
    ("LIST_BY_USERNAME", "users_by_username without an equality"),
    ("LIST_BY_EMAIL", "users_by_email without an equality"),
    ("LOCK_ADMINISTRATORS_AND", "users_administrators without an equality"),
    ("ADMINISTRATORS", "users_administrators without an equality"),
    ("EXPIRED_TOKENS", "refresh_tokens_by_end without an equality"),
    ("SESSIONS_PAST_END", "sessions_by_end without an equality"),
    ("LIST_ALL", "conversations_by_activity without an equality"),
    ("LOCK_UNSENT", "files_unsent without an equality"),
    ("LOOSE", "loose_files_by_age without an equality"),
    ("LEFT_SEQS", "(user_id = ANY ($2)) as a filter"),
    ("AGENTS", "users_agents without an equality"),
    ("UNASSIGNED", "conversations_unassigned without an equality"),
    ("MINE", "(assignee_id = $1) as a filter"),
    ("OPEN", "conversations_by_activity without an equality"),
    ("CLOSED", "conversations_by_activity without an equality"),
    ("CARRY_READS", "(user_id = $2) as a filter"),
    ("CARRY_MESSAGES", "(sender_id = $2) as a filter"),
];

/// Where a plan takes more rows in hand than it is asked for: a whole table or index, an index without saying what
/// to look for, or rows whose ids are compared only afterwards.
fn excesses(plan: &Value) -> Vec<String> {
    let mut found = Vec::new();
    match plan {
        Value::Array(all) => all.iter().for_each(|one| found.extend(excesses(one))),
        Value::Object(node) => {
            let text = |key: &str| node.get(key).and_then(Value::as_str).unwrap_or_default();
            let kind = text("Node Type");
            if kind == "Seq Scan" {
                found.push(format!("all of {}", text("Relation Name")));
            }
            if kind.contains("Index") && !text("Index Cond").contains(" = ") {
                found.push(format!("{} without an equality", text("Index Name")));
            }
            let filters = [text("Filter"), text("Join Filter")];
            let late = filters.into_iter().filter(|filter| filter.contains("id = "));
            found.extend(late.map(|filter| format!("{filter} as a filter")));
            node.values().for_each(|value| found.extend(excesses(value)));
        }
        _ => {}
    }
    found
}

/// The indexes that a plan goes by, in its order.
fn indexes(plan: &Value) -> Vec<&str> {
    match plan {
        Value::Array(all) => all.iter().flat_map(indexes).collect(),
        Value::Object(node) => {
            let own = node.get("Index Name").and_then(Value::as_str);
            own.into_iter().chain(node.values().flat_map(indexes)).collect()
        }
        _ => Vec::new(),
    }
}

async fn check_all(db: &mut Connection, when: &str) {
    let of_modules = [
        users::STATEMENTS,
        sessions::STATEMENTS,
        listing::STATEMENTS,
        conversations::STATEMENTS,
        messages::STATEMENTS,
        delivered::STATEMENTS,
        append::STATEMENTS,
        unread::STATEMENTS,
        files::STATEMENTS,
        support::STATEMENTS,
        inbox::STATEMENTS,
    ];
    for (name, sql) in of_modules.into_iter().flatten() {
        let plan = plan(db, sql).await;
        let mut excesses = excesses(&plan);
        excesses.retain(|excess| !ALLOWED.contains(&(name, excess)));
        assert_eq!(excesses, [""; 0], "{name}, {when}: {plan:#}");
        println!("{when}: {name} by {}", indexes(&plan).join(", "));
    }
}

#[tokio::test]
async fn no_statement_goes_over_a_whole_table() {
    let mut db = fresh_schema().await;
    check_all(&mut db, "in an empty database, of which nothing is known yet").await;
    run(&mut db, FILL.replace("4999", "99").replace("999", "49")).await;
    check_all(&mut db, "in a database of 5,000 messages").await;
    run(&mut db, format!("TRUNCATE users, conversations, covered CASCADE; {FILL}")).await;
    check_all(&mut db, "in a database of 100,000 messages").await;
}

#[tokio::test]
async fn a_statement_without_an_index_would_be_noticed() {
    let mut db = fresh_schema().await;
    for sql in [
        "SELECT seq FROM messages WHERE content = $1",
        "SELECT count(*) FROM messages",
        "SELECT m.id FROM messages m JOIN unnest($1::text[]) t ON t = m.content",
        "SELECT conversation_id, seq FROM messages ORDER BY conversation_id, seq LIMIT 1",
        "SELECT id FROM conversations WHERE updated_at_ms > $1 ORDER BY updated_at_ms LIMIT 1",
        "SELECT seq FROM messages WHERE conversation_id = $1 AND sender_id = $2",
    ] {
        let plan = plan(&mut db, sql).await;
        assert!(!excesses(&plan).is_empty(), "{sql}: {plan:#}");
    }
}

#[tokio::test]
async fn the_statements_of_a_start_can_be_run() {
    let mut db = fresh_schema().await;
    for (_, sql) in [open::STATEMENTS, migrations::STATEMENTS].into_iter().flatten() {
        plan(&mut db, sql).await;
    }
}
