//! A database file.

use std::fs;
use std::path::{Path, PathBuf};

use priyo_core::storage::Storage;
use priyo_core::storage::sqlite::SqliteStorage;
use rusqlite::types::Value as Cell;
use rusqlite::{Connection, Row};
use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::PATIENCE;

/// A database file that a server may have open.
#[derive(Debug, Clone)]
pub(crate) struct File(PathBuf);

impl File {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self(folder.join("priyo.db"))
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite:{}", self.0.display())
    }

    /// For a server.
    pub(crate) fn storage(&self) -> SqliteStorage {
        SqliteStorage::open(&self.0).unwrap()
    }

    /// For somebody who uses it while a server does.
    pub(crate) fn beside_server(&self) -> SqliteStorage {
        SqliteStorage::open_beside_server(&self.0).unwrap()
    }

    pub(crate) fn query(&self, sql: &str) -> Vec<Value> {
        let db = self.connect();
        let mut statement = db.prepare(sql).unwrap();
        let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
        let object = |row: &Row<'_>| {
            let cell = |(at, name): (usize, &String)| Ok((name.clone(), json(row.get(at)?)));
            names.iter().enumerate().map(cell).collect::<rusqlite::Result<Map<_, _>>>()
        };
        let rows = statement.query_map([], object).unwrap();
        rows.map(|row| Value::Object(row.unwrap())).collect()
    }

    /// The rows of every table.
    pub(crate) fn everything(&self) -> Vec<(String, Vec<Value>)> {
        let tables = self.query("SELECT name FROM sqlite_master WHERE type = 'table'");
        let names = tables.iter().map(|table| table["name"].as_str().unwrap().to_owned());
        names.map(|name| (name.clone(), self.query(&format!("SELECT * FROM {name}")))).collect()
    }

    /// The bytes themselves: they also have what was deleted.
    pub(crate) fn dump(&self) -> String {
        let file = fs::read(&self.0).unwrap();
        let log = fs::read(self.0.with_extension("db-wal")).unwrap_or_default();
        String::from_utf8_lossy(&[file, log].concat()).into_owned()
    }

    pub(crate) fn execute(&self, sql: &str) {
        self.connect().execute_batch(sql).unwrap();
    }

    pub(crate) fn assert_sound(&self) {
        let verdict: String =
            self.connect().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok");
    }

    fn connect(&self) -> Connection {
        let db = Connection::open(&self.0).unwrap();
        db.busy_timeout(PATIENCE).unwrap();
        db
    }
}

fn json(cell: Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Integer(number) => number.into(),
        Cell::Real(number) => number.into(),
        Cell::Text(text) => text.into(),
        Cell::Blob(bytes) => id_or_hex(&bytes).into(),
    }
}

/// The text form of an id, or of what is longer than one.
fn id_or_hex(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    if hex.len() != 32 {
        return hex;
    }
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// A fresh, migrated storage, and the folder that it is in, which goes when it is dropped.
pub async fn sqlite() -> (SqliteStorage, TempDir) {
    let folder = TempDir::new().unwrap();
    let storage = File::in_folder(folder.path()).storage();
    storage.migrate().await.unwrap();
    (storage, folder)
}
