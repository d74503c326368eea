//! The settings of the engine's own accounts.

use std::fmt;
use std::time::Duration;

/// Settings of the engine's own accounts and tokens.
#[derive(Clone)]
#[non_exhaustive]
pub struct Accounts {
    /// Signs access tokens. At least 32 bytes, random.
    pub access_secret: Vec<u8>,
    /// Signs refresh tokens. At least 32 bytes, random, not the other one.
    pub refresh_secret: Vec<u8>,
    /// How long an access token is good.
    pub access_ttl: Duration,
    /// How long a refresh token is good when it is not used.
    pub refresh_ttl: Duration,
    /// How long a session lasts, however often its tokens are renewed.
    pub session_ttl: Duration,
    /// How long after its use a refresh token's direct parent may be presented again: two tabs refresh at once.
    pub refresh_grace: Duration,
    /// Whether anyone may register as an agent or administrator. For development only.
    pub self_service_roles: bool,
}

impl Accounts {
    /// Accounts whose tokens are signed with these two secrets; 15 minutes, 7 days and 30 days.
    #[must_use]
    pub fn new(access_secret: impl Into<Vec<u8>>, refresh_secret: impl Into<Vec<u8>>) -> Self {
        Self {
            access_secret: access_secret.into(),
            refresh_secret: refresh_secret.into(),
            access_ttl: Duration::from_mins(15),
            refresh_ttl: Duration::from_hours(7 * 24),
            session_ttl: Duration::from_hours(30 * 24),
            refresh_grace: Duration::from_secs(10),
            self_service_roles: false,
        }
    }

    /// Lets anyone register as an agent or administrator. For development only.
    #[must_use]
    pub fn self_service_roles(mut self, allowed: bool) -> Self {
        self.self_service_roles = allowed;
        self
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts")
            .field("access_ttl", &self.access_ttl)
            .field("refresh_ttl", &self.refresh_ttl)
            .field("self_service_roles", &self.self_service_roles)
            .finish_non_exhaustive()
    }
}
