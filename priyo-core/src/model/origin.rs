//! Where a call comes from.

use std::sync::Arc;

use super::ClientAddress;

/// Where a call comes from, as far as that is known. It is written to the audit log, and beside the session that
/// someone signs in to. A host program that knows nothing of it gives the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// Where the client is.
    pub address: Option<ClientAddress>,
    /// The id of the request; for a live connection, of the request that it came by.
    pub request_id: Option<Arc<str>>,
    /// What the client calls itself: at most [`USER_AGENT_CHARS`](Self::USER_AGENT_CHARS), without control characters.
    pub user_agent: Option<Arc<str>>,
}

impl Origin {
    /// What is kept of a client's name for itself, in Unicode code points.
    pub const USER_AGENT_CHARS: usize = 256;

    /// The same origin, with what the client calls itself: as much of it as is kept.
    #[must_use]
    pub fn user_agent(mut self, text: &str) -> Self {
        let plain = text.chars().filter(|letter| !letter.is_control());
        let kept: String = plain.take(Self::USER_AGENT_CHARS).collect();
        self.user_agent = (!kept.is_empty()).then(|| kept.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_client_gives_itself_is_cut_and_cleaned() {
        let of = |text: &str| Origin::default().user_agent(text).user_agent;
        assert_eq!(of("curl/8\r\n\u{1b}[31m").as_deref(), Some("curl/8[31m"));
        assert_eq!(of(&"ä".repeat(1_000)), Some("ä".repeat(256).into()));
        assert_eq!(of("\0"), None);
    }
}
