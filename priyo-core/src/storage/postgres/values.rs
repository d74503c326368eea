//! How values lie in the database.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{
    PgArgumentBuffer, PgArguments, PgHasArrayType, PgRow, PgTypeInfo, PgValueRef, Postgres,
};
use sqlx::query::Query;
use sqlx::{Decode, Encode, Row, Type};
use uuid::Uuid;

use crate::model::{
    ConversationId, ConversationKind, ConversationStatus, FileId, MessageId, MessageKind, Role, SessionId,
    Timestamp, UserId,
};
use crate::storage::TokenHash;

/// A statement and its values.
pub(super) type Statement = Query<'static, Postgres, PgArguments>;

/// A value of the model on its way to or from a column.
///
/// The model's own types do not implement the driver's traits: those would be part of the public API.
#[derive(Debug, Clone, Copy)]
pub(super) struct Db<T>(pub(super) T);

/// Values on their way into an array, from which a statement takes rows.
pub(super) fn array<T>(values: impl IntoIterator<Item = T>) -> Vec<Db<T>> {
    values.into_iter().map(Db).collect()
}

/// Reads a column of a row.
pub(super) fn get<T: Column>(row: &PgRow, column: usize) -> sqlx::Result<T>
where
    T::Raw: for<'r> Decode<'r, Postgres> + Type<Postgres>,
{
    Ok(row.try_get::<Db<T>, _>(column)?.0)
}

/// Reads a column that may be NULL.
pub(super) fn get_opt<T: Column>(row: &PgRow, column: usize) -> sqlx::Result<Option<T>>
where
    T::Raw: for<'r> Decode<'r, Postgres> + Type<Postgres>,
{
    Ok(row.try_get::<Option<Db<T>>, _>(column)?.map(|value| value.0))
}

/// Reads a column that is an array, or NULL when it would be empty.
pub(super) fn get_all<T>(row: &PgRow, column: usize) -> sqlx::Result<std::vec::IntoIter<T>>
where
    Vec<T>: for<'r> Decode<'r, Postgres> + Type<Postgres>,
{
    Ok(row.try_get::<Option<Vec<T>>, _>(column)?.unwrap_or_default().into_iter())
}

/// What the database keeps of a value.
pub(super) trait Column: Sized {
    /// The driver's type for it.
    type Raw;

    fn to_raw(&self) -> Self::Raw;

    fn from_raw(raw: Self::Raw) -> Result<Self, BoxDynError>;
}

impl<T: Column> Type<Postgres> for Db<T>
where
    T::Raw: Type<Postgres>,
{
    fn type_info() -> PgTypeInfo {
        T::Raw::type_info()
    }

    fn compatible(found: &PgTypeInfo) -> bool {
        T::Raw::compatible(found)
    }
}

impl<T: Column> PgHasArrayType for Db<T>
where
    T::Raw: PgHasArrayType,
{
    fn array_type_info() -> PgTypeInfo {
        T::Raw::array_type_info()
    }

    fn array_compatible(found: &PgTypeInfo) -> bool {
        T::Raw::array_compatible(found)
    }
}

impl<'q, T: Column> Encode<'q, Postgres> for Db<T>
where
    T::Raw: Encode<'q, Postgres>,
{
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        self.0.to_raw().encode(buffer)
    }
}

impl<'r, T: Column> Decode<'r, Postgres> for Db<T>
where
    T::Raw: Decode<'r, Postgres>,
{
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        T::from_raw(T::Raw::decode(value)?).map(Self)
    }
}

macro_rules! id_columns {
    ($($id:ident)*) => {$(
        impl Column for $id {
            type Raw = Uuid;

            fn to_raw(&self) -> Uuid {
                self.as_uuid()
            }

            fn from_raw(raw: Uuid) -> Result<Self, BoxDynError> {
                Ok(Self::from_uuid(raw))
            }
        }
    )*};
}

id_columns! { UserId SessionId ConversationId MessageId FileId }

macro_rules! name_columns {
    ($($name:ident)*) => {$(
        impl Column for $name {
            type Raw = String;

            fn to_raw(&self) -> String {
                self.as_str().to_owned()
            }

            fn from_raw(raw: String) -> Result<Self, BoxDynError> {
                Self::from_name(&raw).ok_or_else(|| format!("{raw:?} is unknown").into())
            }
        }
    )*};
}

name_columns! { Role ConversationKind ConversationStatus MessageKind }

impl Column for Timestamp {
    type Raw = i64;

    fn to_raw(&self) -> i64 {
        self.as_millis()
    }

    fn from_raw(raw: i64) -> Result<Self, BoxDynError> {
        Ok(Self::from_millis(raw))
    }
}

/// The database counts to 2^63 - 1 only. Nothing that is stored comes near it, so what a client asks for beyond is as
/// good as the largest.
impl Column for u64 {
    type Raw = i64;

    fn to_raw(&self) -> i64 {
        i64::try_from(*self).unwrap_or(i64::MAX)
    }

    fn from_raw(raw: i64) -> Result<Self, BoxDynError> {
        Ok(Self::try_from(raw)?)
    }
}

impl Column for u32 {
    type Raw = i64;

    fn to_raw(&self) -> i64 {
        (*self).into()
    }

    fn from_raw(raw: i64) -> Result<Self, BoxDynError> {
        Ok(Self::try_from(raw)?)
    }
}

impl Column for TokenHash {
    type Raw = Vec<u8>;

    fn to_raw(&self) -> Vec<u8> {
        self.to_vec()
    }

    fn from_raw(raw: Vec<u8>) -> Result<Self, BoxDynError> {
        Ok(raw.as_slice().try_into()?)
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
