//! How values lie in the database.

use rusqlite::Row;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use uuid::Uuid;

use crate::model::{
    ConversationId, ConversationKind, ConversationStatus, FileId, MessageId, MessageKind, Role, SessionId,
    Timestamp, UserId,
};

/// A value of the model on its way to or from a column.
///
/// The model's own types do not implement the driver's traits: those would be part of the public API.
#[derive(Debug, Clone, Copy)]
pub(super) struct Db<T>(pub(super) T);

/// Reads a column of a row.
pub(super) fn get<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    Db<T>: FromSql,
{
    Ok(row.get::<_, Db<T>>(column)?.0)
}

/// Reads a column that may be NULL.
pub(super) fn get_opt<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>>
where
    Db<T>: FromSql,
{
    Ok(row.get::<_, Option<Db<T>>>(column)?.map(|value| value.0))
}

macro_rules! id_columns {
    ($($id:ident)*) => {$(
        impl ToSql for Db<$id> {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::Owned(self.0.as_uuid().into_bytes().to_vec().into()))
            }
        }

        impl FromSql for Db<$id> {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let raw = Uuid::from_slice(value.as_blob()?).map_err(|e| FromSqlError::Other(Box::new(e)))?;
                Ok(Self($id::from_uuid(raw)))
            }
        }
    )*};
}

id_columns! { UserId SessionId ConversationId MessageId FileId }

macro_rules! name_columns {
    ($($name:ident)*) => {$(
        impl ToSql for Db<$name> {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.0.as_str().into())
            }
        }

        impl FromSql for Db<$name> {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                $name::from_name(value.as_str()?).map(Self).ok_or(FromSqlError::InvalidType)
            }
        }
    )*};
}

name_columns! { Role ConversationKind ConversationStatus MessageKind }

impl ToSql for Db<Timestamp> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.as_millis().into())
    }
}

impl FromSql for Db<Timestamp> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(|ms| Self(Timestamp::from_millis(ms)))
    }
}

/// SQLite counts to 2^63 - 1 only. Nothing that is stored comes near it, so what a client asks for beyond is as good
/// as the largest.
impl ToSql for Db<u64> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(i64::try_from(self.0).unwrap_or(i64::MAX).into())
    }
}

impl FromSql for Db<u64> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let raw = value.as_i64()?;
        u64::try_from(raw).map(Self).map_err(|_| FromSqlError::OutOfRange(raw))
    }
}

impl ToSql for Db<[u8; 32]> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.as_slice().into())
    }
}

/// Defines SQL texts by name. All of them are listed for a test that looks at how each would be run.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* const $name: &str = $sql;)*

        #[cfg(test)]
        pub(super) const STATEMENTS: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}
pub(super) use statements;
