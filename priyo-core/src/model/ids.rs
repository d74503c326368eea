//! Typed ids: mixing up two kinds is a compile error.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Serialize, Serializer};
use uuid::{NoContext, Uuid};

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, format = Uuid))]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a fresh id: a UUIDv7, 48 bits of time and 74 random bits (RFC 9562, section 5.7).
            #[must_use]
            #[allow(clippy::new_without_default, reason = "a random Default would surprise")]
            pub fn new() -> Self {
                Self(Uuid::new_v7(uuid::Timestamp::now(NoContext)))
            }

            /// Wraps a uuid that is known to name this kind of thing, for example one read from storage.
            #[must_use]
            pub const fn from_uuid(raw: Uuid) -> Self {
                Self(raw)
            }

            /// The raw uuid, for binding to a SQL parameter.
            #[must_use]
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }

            /// Whether this is the nil id, which names nothing.
            #[must_use]
            pub const fn is_nil(self) -> bool {
                self.0.is_nil()
            }

            /// Reads an id that a client sent.
            ///
            /// Ids are opaque to clients, so a text that is not one of ours is not malformed: it names nothing.
            /// It becomes the nil id, which is never given out and so is never found.
            #[must_use]
            pub fn from_client(text: &str) -> Self {
                // Only the form we hand out: another spelling of the same bits would be a second name for it.
                match Uuid::try_parse(text) {
                    Ok(raw) if raw.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text => Self(raw),
                    _ => Self(Uuid::nil()),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
            }
        }
    };
}

typed_id! {
    /// Names a user.
    UserId
}
typed_id! {
    /// Names a session: one login on one device, however often its tokens are renewed.
    SessionId
}
typed_id! {
    /// Names a conversation.
    ConversationId
}
typed_id! {
    /// Names a message.
    MessageId
}
typed_id! {
    /// Names an uploaded file.
    FileId
}

/// Names a live connection of this process. Never leaves the process: whoever knew it could not do harm with it,
/// but nobody needs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u64);

impl ConnectionId {
    /// The next unused number.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "every call gives another value")]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_spelling_we_give_out_names_something() {
        let id = UserId::new();
        assert_eq!(UserId::from_client(&id.to_string()), id);

        let nil = UserId::from_uuid(Uuid::nil());
        for other in
            [id.to_string().to_uppercase(), id.as_uuid().simple().to_string(), String::new(), "x".into()]
        {
            assert_eq!(UserId::from_client(&other), nil, "{other}");
        }
    }
}
