//! Access and refresh tokens, as the server would make them and as it never would.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use priyo_core::model::{SessionId, Timestamp};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// The access secret of every test server.
pub const ACCESS_SECRET: &str = "tests-access-0123456789abcdefghijklmnopqrstuv";

/// The refresh secret of every test server.
pub const REFRESH_SECRET: &str = "tests-refresh-0123456789abcdefghijklmnopqrstu";

/// A token to be signed: a good one, until a test spoils it.
#[derive(Debug, Clone)]
pub struct Forged {
    claims: Map<String, Value>,
    algorithm: Algorithm,
    secret: String,
}

impl Forged {
    /// The claims of a good access token of a session, made at `now` and good for a quarter of an hour.
    pub fn access(user: &str, username: &str, role: &str, session: &str, now: Timestamp) -> Self {
        let Value::Object(claims) = json!({
            "userId": user, "email": format!("{username}@example.com"), "username": username, "role": role,
            "sid": session, "jti": SessionId::new().to_string(), "typ": "access", "iss": "priyo", "aud": "priyo",
            "iat": now.as_secs(), "exp": now.as_secs() + 900,
        }) else {
            unreachable!("an object literal is an object")
        };
        Self { claims, algorithm: Algorithm::HS256, secret: ACCESS_SECRET.to_owned() }
    }

    /// The same token as a refresh token, good for a week.
    pub fn into_refresh(self) -> Self {
        let week = self.claims["iat"].as_i64().unwrap() + 7 * 86_400;
        self.claim("typ", "refresh").claim("exp", week).secret(REFRESH_SECRET)
    }

    /// With another value for a claim; `null` takes it out.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        match value.into() {
            Value::Null => self.claims.remove(name),
            value => self.claims.insert(name.to_owned(), value),
        };
        self
    }

    /// Signed with another algorithm.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Signed with another secret.
    pub fn secret(mut self, secret: &str) -> Self {
        secret.clone_into(&mut self.secret);
        self
    }

    /// The token.
    pub fn sign(&self) -> String {
        // Another crate of the build may have switched another backend on; then the library wants to be told.
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        let key = EncodingKey::from_secret(self.secret.as_bytes());
        jsonwebtoken::encode(&Header::new(self.algorithm), &self.claims, &key).unwrap()
    }

    /// The claims under another header, whose algorithm may be one that was not used: this signs by HMAC-SHA256.
    pub fn signed_under(&self, header: &Value) -> String {
        let message = self.with_header(header, "");
        let message = message.trim_end_matches('.');
        format!("{message}.{}", base64url(&hmac(self.secret.as_bytes(), message.as_bytes())))
    }

    /// The claims under another header, with `signature` behind them.
    pub fn with_header(&self, header: &Value, signature: &str) -> String {
        unsigned(header, &Value::Object(self.claims.clone()), signature)
    }
}

/// A token of parts that no library would put together.
pub fn unsigned(header: &Value, claims: &Value, signature: &str) -> String {
    let (header, claims) = (header.to_string(), claims.to_string());
    format!("{}.{}.{signature}", base64url(header.as_bytes()), base64url(claims.as_bytes()))
}

/// HMAC-SHA256 (RFC 2104) under a key of at most one block.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

/// RFC 4648, section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let bytes = [group[0], group.get(1).copied().unwrap_or(0), group.get(2).copied().unwrap_or(0)];
        let word = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
        for place in 0..=group.len() {
            let six = (word >> (18 - 6 * place)) & 63;
            out.push(char::from(ALPHABET[usize::try_from(six).unwrap()]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{base64url, hmac};

    /// RFC 4231, section 4.3.
    #[test]
    fn a_signature_is_that_of_the_rfc() {
        let tag = hmac(b"Jefe", b"what do ya want for nothing?").map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(tag, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn base64url_is_that_of_the_rfc() {
        for (plain, coded) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64url(plain.as_bytes()), coded);
        }
        assert_eq!(base64url("\u{3ff}\u{3ff}".as_bytes()), "z7_Pvw");
    }
}
