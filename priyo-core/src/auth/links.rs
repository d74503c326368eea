//! Links to files: a browser's `<img>` sends no token, so the address itself says who gave it out.

use std::fmt::{self, Write as _};
use std::time::Duration;

use aws_lc_rs::hmac;

use crate::error::{Error, Result};
use crate::model::Timestamp;

/// How long a link is good at most.
const GOOD_FOR: Duration = Duration::from_hours(1);

/// Links made within the same quarter of an hour end at the same moment, and so are the same: a browser that reads a
/// history again need not fetch its pictures again.
const STEP_SECS: i64 = 15 * 60;

/// What the keys are for: nothing else that is made of the same secret can be taken for one.
const PURPOSE: &[u8] = b"priyo: links to files, 1";

/// Signs links, and knows those that it has signed.
pub(crate) struct LinkKeys {
    /// The first one signs; the others are on their way out.
    keys: Vec<hmac::Key>,
}

/// What makes an address of a file good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signature {
    /// When it no longer is, in seconds since 1970.
    pub(crate) expires: i64,
    /// 256 bits, in hexadecimal.
    pub(crate) text: String,
}

impl LinkKeys {
    /// Keys of these secrets, of which the first one signs. Without any, one that nobody else has.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] when the computer has no randomness.
    pub(crate) fn new(secrets: &[Vec<u8>]) -> Result<Self> {
        let mut keys: Vec<hmac::Key> = secrets.iter().map(|secret| key(secret)).collect();
        if keys.is_empty() {
            let mut random = [0; 32];
            getrandom::fill(&mut random).map_err(|error| Error::internal(error.to_string()))?;
            keys.push(key(&random));
        }
        Ok(Self { keys })
    }

    /// Signs the address of a file.
    pub(crate) fn sign(&self, stored_name: &str, now: Timestamp) -> Signature {
        let expires = now.after(GOOD_FOR).as_secs().div_euclid(STEP_SECS) * STEP_SECS;
        let mut text = String::with_capacity(64);
        if let Some(key) = self.keys.first() {
            for byte in hmac::sign(key, &message(stored_name, expires)).as_ref() {
                // Writing into a string cannot fail.
                let _ = write!(text, "{byte:02x}");
            }
        }
        Signature { expires, text }
    }

    /// Whether an address was signed here and is still good. How long this takes says nothing of where two signatures
    /// differ.
    pub(crate) fn check(&self, stored_name: &str, signature: &Signature, now: Timestamp) -> bool {
        let Some(tag) = unhex(&signature.text) else { return false };
        let message = message(stored_name, signature.expires);
        now.as_secs() < signature.expires
            && self.keys.iter().any(|key| hmac::verify(key, &message, &tag).is_ok())
    }
}

impl fmt::Debug for LinkKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKeys")
    }
}

fn key(secret: &[u8]) -> hmac::Key {
    let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), PURPOSE);
    hmac::Key::new(hmac::HMAC_SHA256, key.as_ref())
}

/// A stored name has no line break, so this can be read in one way only.
fn message(stored_name: &str, expires: i64) -> Vec<u8> {
    format!("{stored_name}\n{expires}").into_bytes()
}

pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "00112233445566778899aabbccddeeff.png";

    fn keys(secrets: &[&str]) -> LinkKeys {
        LinkKeys::new(&secrets.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>()).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_link_is_good_for_an_hour_at_most_and_the_same_for_a_quarter() {
        let keys = keys(&["one"]);
        let hour = 3_600;
        for now in [0, 1, 899, 900, 1_795_400_135] {
            let signature = keys.sign(NAME, at(now));
            let left = signature.expires - now;
            assert!((hour - STEP_SECS + 1..=hour).contains(&left), "{left}");
            assert!(keys.check(NAME, &signature, at(now)));
            assert!(keys.check(NAME, &signature, at(signature.expires - 1)));
            assert!(!keys.check(NAME, &signature, at(signature.expires)));
        }
        assert_eq!(keys.sign(NAME, at(900)), keys.sign(NAME, at(1_799)));
        assert_ne!(keys.sign(NAME, at(900)), keys.sign(NAME, at(1_800)));
    }

    #[test]
    fn nothing_of_a_link_can_be_changed() {
        let keys = keys(&["one"]);
        let good = keys.sign(NAME, at(0));
        let other = "10112233445566778899aabbccddeeff.png";
        assert!(!keys.check(other, &good, at(0)));
        for expires in [good.expires + 900, good.expires - 900, i64::MAX, i64::MIN] {
            assert!(!keys.check(NAME, &Signature { expires, ..good.clone() }, at(0)), "{expires}");
        }
        let flipped = if good.text.starts_with('0') { "1" } else { "0" };
        for text in [
            String::new(),
            good.text[..62].to_owned(),
            format!("{}00", good.text),
            good.text.to_uppercase(),
            format!("{flipped}{}", &good.text[1..]),
            format!("+{}", &good.text[1..]),
            "é".repeat(32),
        ] {
            assert!(!keys.check(NAME, &Signature { text: text.clone(), ..good.clone() }, at(0)), "{text}");
        }
    }

    #[test]
    fn a_secret_that_was_replaced_still_counts_but_signs_nothing() {
        let (old, new, both) = (keys(&["old"]), keys(&["new"]), keys(&["new", "old"]));
        assert!(both.check(NAME, &old.sign(NAME, at(0)), at(0)));
        assert!(new.check(NAME, &both.sign(NAME, at(0)), at(0)));
        assert!(!new.check(NAME, &old.sign(NAME, at(0)), at(0)));
        // Without a secret each has a key of its own.
        assert!(!keys(&[]).check(NAME, &keys(&[]).sign(NAME, at(0)), at(0)));
    }

    #[test]
    fn the_key_is_not_the_secret_itself() {
        let plain = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"one"), &message(NAME, 3_600));
        let hex: String = plain.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!keys(&["one"]).check(NAME, &Signature { expires: 3_600, text: hex }, at(0)));
    }
}
