//! The proof of who a visitor of a website is: by the website's own server, with a secret that it shares.

use std::fmt;

use aws_lc_rs::hmac;

use super::links::unhex;

/// Knows what the website's server has signed.
pub(crate) struct IdentityKey(hmac::Key);

impl IdentityKey {
    /// A key of the shared secret itself: the website's server has nothing but HMAC to make a proof with.
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Whether `hash` is the HMAC of `user_id` in hexadecimal. How long this takes says nothing of where two differ.
    pub(crate) fn verify(&self, user_id: &str, hash: &str) -> bool {
        let tag = unhex(&hash.to_ascii_lowercase());
        tag.is_some_and(|tag| hmac::verify(&self.0, user_id.as_bytes(), &tag).is_ok())
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentityKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_the_hmac_of_the_user_id() {
        // RFC 4231, test case 2.
        let key = IdentityKey::new(b"Jefe");
        let hash = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let user = "what do ya want for nothing?";
        assert!(key.verify(user, hash) && key.verify(user, &hash.to_ascii_uppercase()));
        for (user, wrong) in [
            (user, ""),
            (user, &hash[..62]),
            (user, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3844"),
            (user, &format!("{hash}00")),
            ("somebody else", hash),
            ("", hash),
        ] {
            assert!(!key.verify(user, wrong), "{user} {wrong}");
        }
    }
}
