//! Access tokens (JWT) and refresh tokens: made and checked.

use std::fmt;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Accounts, VisitorKind};
use crate::error::{Error, Result};
use crate::model::{SessionId, Timestamp, User, UserId};
use crate::storage::TokenHash;

/// What a client holds after it has signed in.
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens {
    /// Sent with every request.
    pub access_token: String,
    /// Traded for new tokens when the access token has expired. Good once.
    pub refresh_token: String,
    /// How long the access token is good.
    pub expires_in: Duration,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

/// The claims of both kinds of token (RFC 7519, section 4.1, and the names that the clients know).
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claims {
    user_id: String,
    email: Option<String>,
    username: String,
    role: String,
    sid: String,
    jti: String,
    typ: String,
    iss: String,
    aud: String,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    /// How a visitor of a website is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    visitor: Option<VisitorKind>,
}

/// What a valid token says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proof {
    pub(crate) user_id: UserId,
    pub(crate) session_id: SessionId,
    pub(crate) visitor: Option<VisitorKind>,
    pub(crate) expires_at: Timestamp,
}

const ISSUER: &str = "priyo";
const ACCESS: &str = "access";
const REFRESH: &str = "refresh";

/// Signs and checks tokens with the secrets of [`Accounts`].
pub(crate) struct TokenKeys {
    access: Keys,
    refresh: Keys,
    access_ttl: Duration,
    rules: Validation,
}

struct Keys {
    sign: EncodingKey,
    /// The one that belongs to it first, and then that of the time before.
    check: Vec<DecodingKey>,
}

impl Keys {
    fn new(secret: &[u8], previous: Option<&[u8]>) -> Self {
        let check = [secret].into_iter().chain(previous).map(DecodingKey::from_secret).collect();
        Self { sign: EncodingKey::from_secret(secret), check }
    }
}

impl TokenKeys {
    pub(crate) fn new(accounts: &Accounts) -> Self {
        // A host that enables another backend of the library too would make it panic at first use.
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        Self {
            access: Keys::new(&accounts.access_secret, accounts.previous_access_secret.as_deref()),
            refresh: Keys::new(&accounts.refresh_secret, accounts.previous_refresh_secret.as_deref()),
            access_ttl: accounts.access_ttl,
            rules: rules(),
        }
    }

    /// A pair of tokens for a session; the refresh token is good until `refresh_until`.
    pub(crate) fn issue(
        &self,
        user: &User,
        session: SessionId,
        now: Timestamp,
        refresh_until: Timestamp,
    ) -> Result<Tokens> {
        let access = Claims::new(user, session, ACCESS, now, now.after(self.access_ttl));
        let refresh = Claims::new(user, session, REFRESH, now, refresh_until);
        Ok(Tokens {
            access_token: sign(&self.access, &access)?,
            refresh_token: sign(&self.refresh, &refresh)?,
            expires_in: self.access_ttl,
        })
    }

    /// An access token for a visitor of a website, who gets no other.
    pub(crate) fn issue_to_visitor(
        &self,
        user: &User,
        session: SessionId,
        kind: VisitorKind,
        now: Timestamp,
    ) -> Result<String> {
        let claims = Claims::new(user, session, ACCESS, now, now.after(self.access_ttl));
        sign(&self.access, &Claims { visitor: Some(kind), ..claims })
    }

    /// What an access token says, if it is one of ours and good at `now`.
    pub(crate) fn check_access(&self, token: &str, now: Timestamp) -> Option<Proof> {
        self.check(&self.access, token, ACCESS, now)
    }

    /// What a refresh token says, if it is one of ours and good at `now`.
    pub(crate) fn check_refresh(&self, token: &str, now: Timestamp) -> Option<Proof> {
        self.check(&self.refresh, token, REFRESH, now)
    }

    fn check(&self, keys: &Keys, token: &str, typ: &str, now: Timestamp) -> Option<Proof> {
        // Ours are under 1 kB: no work for anything that is not.
        if token.len() > 8 * 1024 {
            return None;
        }
        let decode = |key| jsonwebtoken::decode::<Claims>(token, key, &self.rules).ok();
        let claims = keys.check.iter().find_map(decode)?.claims;
        let now = now.as_secs();
        let begun = claims.iat.max(claims.nbf.unwrap_or(claims.iat)) <= now + LEEWAY_SECS;
        let good = claims.typ == typ && claims.exp > now && begun;
        let session_id = SessionId::from_client(&claims.sid);
        good.then(|| Proof {
            user_id: UserId::from_client(&claims.user_id),
            session_id,
            visitor: claims.visitor,
            expires_at: Timestamp::from_millis(claims.exp.saturating_mul(1000)),
        })
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKeys")
    }
}

impl Claims {
    fn new(user: &User, session: SessionId, typ: &str, now: Timestamp, until: Timestamp) -> Self {
        Self {
            user_id: user.id.to_string(),
            email: user.email.clone(),
            username: user.username.clone(),
            role: user.role.as_str().to_owned(),
            sid: session.to_string(),
            // Random: two logins in one second are two different tokens.
            jti: Uuid::now_v7().to_string(),
            typ: typ.to_owned(),
            iss: ISSUER.to_owned(),
            aud: ISSUER.to_owned(),
            iat: now.as_secs(),
            exp: until.as_secs(),
            nbf: None,
            visitor: None,
        }
    }
}

fn sign(keys: &Keys, claims: &Claims) -> Result<String> {
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &keys.sign).map_err(Error::internal)
}

/// Exactly one algorithm, our issuer and audience. Times are checked by the engine's clock, not here.
fn rules() -> Validation {
    let mut rules = Validation::new(Algorithm::HS256);
    rules.set_issuer(&[ISSUER]);
    rules.set_audience(&[ISSUER]);
    rules.set_required_spec_claims(&["exp", "iss", "aud"]);
    rules.validate_exp = false;
    rules
}

/// How far the clocks of two nodes may differ.
const LEEWAY_SECS: i64 = 5;

/// What is stored of a refresh token.
pub(crate) fn hash_token(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

/// A secret that nobody can guess: 256 random bits, in hexadecimal.
///
/// # Errors
///
/// [`Error::Internal`] when the computer has no randomness.
pub(crate) fn random_secret() -> Result<String> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| Error::internal(error.to_string()))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
