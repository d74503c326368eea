//! The settings of the engine's own accounts.

use std::fmt;
use std::time::Duration;

use crate::error::{Error, Result};

/// Settings of the engine's own accounts and tokens.
///
/// The secrets are at least 32 bytes each, random, and not the same: an engine is not built with others, unless
/// [`weak_secrets`](Self::weak_secrets) allows it. To replace one without signing anybody out, give the old one as the
/// previous one for as long as what it has signed is good; it verifies, and never signs.
#[derive(Clone)]
#[non_exhaustive]
pub struct Accounts {
    /// Signs access tokens.
    pub access_secret: Vec<u8>,
    /// Signs refresh tokens.
    pub refresh_secret: Vec<u8>,
    /// Signed access tokens before.
    pub previous_access_secret: Option<Vec<u8>>,
    /// Signed refresh tokens before.
    pub previous_refresh_secret: Option<Vec<u8>>,
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
    /// Whether secrets that can be guessed are taken. For development only.
    pub weak_secrets: bool,
    /// How often sessions and refresh tokens that are over are deleted. Several engines on one storage may do so.
    pub deletion_interval: Duration,
}

/// As many as HMAC-SHA256 makes use of (RFC 7518, section 3.2).
const SECRET_BYTES: usize = 32;

impl Accounts {
    /// Accounts whose tokens are signed with these two secrets; 15 minutes, 7 days and 30 days.
    #[must_use]
    pub fn new(access_secret: impl Into<Vec<u8>>, refresh_secret: impl Into<Vec<u8>>) -> Self {
        Self {
            access_secret: access_secret.into(),
            refresh_secret: refresh_secret.into(),
            previous_access_secret: None,
            previous_refresh_secret: None,
            access_ttl: Duration::from_mins(15),
            refresh_ttl: Duration::from_hours(7 * 24),
            session_ttl: Duration::from_hours(30 * 24),
            refresh_grace: Duration::from_secs(10),
            self_service_roles: false,
            weak_secrets: false,
            deletion_interval: Duration::from_mins(10),
        }
    }

    /// The secrets that signed access tokens and refresh tokens before.
    #[must_use]
    pub fn previous_secrets(mut self, access: Option<Vec<u8>>, refresh: Option<Vec<u8>>) -> Self {
        (self.previous_access_secret, self.previous_refresh_secret) = (access, refresh);
        self
    }

    /// Takes secrets that can be guessed. For development only.
    #[must_use]
    pub fn weak_secrets(mut self, allowed: bool) -> Self {
        self.weak_secrets = allowed;
        self
    }

    /// Refuses secrets that can be guessed, or that are both the same: either kind of token could then be made of
    /// what is known of the other.
    pub(crate) fn check_secrets(&self) -> Result<()> {
        let access = [Some(&self.access_secret), self.previous_access_secret.as_ref()];
        let refresh = [Some(&self.refresh_secret), self.previous_refresh_secret.as_ref()];
        let mut all = access.iter().chain(&refresh).flatten();
        let is_weak = all.any(|secret| secret.len() < SECRET_BYTES)
            || access.iter().flatten().any(|secret| refresh.contains(&Some(*secret)));
        if is_weak && !self.weak_secrets {
            return Err(Error::Refused("the secrets of tokens must be 32 bytes or more, and not the same"));
        }
        Ok(())
    }

    /// The secrets of links to files, the one that signs first. One that cannot sign tokens cannot sign links either.
    pub(crate) fn link_secrets(&self) -> Vec<Vec<u8>> {
        let all = [Some(&self.access_secret), self.previous_access_secret.as_ref()];
        all.into_iter().flatten().filter(|secret| !secret.is_empty()).cloned().collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_can_be_guessed_are_refused() {
        let (one, other) = (vec![1; 32], vec![2; 32]);
        let good = || Accounts::new(one.clone(), other.clone());
        assert!(good().check_secrets().is_ok());
        assert!(good().previous_secrets(Some(vec![3; 32]), None).check_secrets().is_ok());
        for weak in [
            Accounts::new(vec![1; 31], other.clone()),
            Accounts::new(one.clone(), Vec::new()),
            Accounts::new(one.clone(), one.clone()),
            good().previous_secrets(Some(vec![3; 31]), None),
            good().previous_secrets(None, Some(one.clone())),
        ] {
            assert!(weak.check_secrets().is_err());
            assert!(weak.weak_secrets(true).check_secrets().is_ok());
        }
    }
}
