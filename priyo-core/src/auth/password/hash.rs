//! The hashes themselves: ours are made, and those of other programs and times are understood.

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};

use super::failed;
use crate::error::Result;

/// Of an imported hash: more would be a way to keep the server busy, or out of memory, at each login.
const MOST_BCRYPT_COST: u32 = 14;
const MOST_MEMORY_KIB: u32 = 64 * 1024;
const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 16;

/// A stored hash, taken apart.
enum Stored {
    Argon2 {
        algorithm: Algorithm,
        version: Version,
        params: Params,
        salt: Salt,
        output: Output,
    },
    /// As it is written; the library takes it apart itself.
    Bcrypt(String),
}

impl Stored {
    fn parse(text: &str) -> Result<Self> {
        if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix)) {
            let parts: bcrypt::HashParts = text.parse().map_err(failed)?;
            if !(4..=MOST_BCRYPT_COST).contains(&parts.get_cost()) {
                return Err(failed("a stored bcrypt hash has a cost that is not taken"));
            }
            return Ok(Self::Bcrypt(text.to_owned()));
        }
        let hash = PasswordHash::new(text).map_err(failed)?;
        let algorithm = Algorithm::try_from(hash.algorithm.as_str()).map_err(failed)?;
        let version = hash.version.map_or(Ok(Version::V0x13), Version::try_from).map_err(failed)?;
        let params = Params::try_from(&hash).map_err(failed)?;
        if params.m_cost() > MOST_MEMORY_KIB || params.t_cost() > MOST_PASSES || params.p_cost() > MOST_LANES
        {
            return Err(failed("a stored argon2 hash has parameters that are not taken"));
        }
        let (Some(salt), Some(output)) = (hash.salt, hash.hash) else {
            return Err(failed("a stored password hash has no salt or no hash"));
        };
        Ok(Self::Argon2 { algorithm, version, params, salt, output })
    }

    /// Whether it is as we would make it today.
    fn is_ours(&self) -> Result<bool> {
        let Self::Argon2 { algorithm, version, params, output, .. } = self else { return Ok(false) };
        let ours = ours()?;
        let costs = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
        let is_ours = (*algorithm, *version, costs(params), output.len())
            == (Algorithm::Argon2id, Version::V0x13, costs(&ours), Params::DEFAULT_OUTPUT_LEN);
        Ok(is_ours)
    }
}

/// Argon2id with 19 MiB, two passes, one lane: OWASP's Password Storage Cheat Sheet, second choice of five equals.
fn ours() -> Result<Params> {
    Params::new(19_456, 2, 1, None).map_err(failed)
}

/// Makes a hash.
pub(super) fn make(password: &str, memory: &mut Vec<Block>) -> Result<String> {
    let params = ours()?;
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(failed)?;
    let length = Params::DEFAULT_OUTPUT_LEN;
    let output = compute(Algorithm::Argon2id, Version::V0x13, &params, (password, &salt), length, memory)?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).map_err(failed)?,
        salt: Some(Salt::new(&salt).map_err(failed)?),
        hash: Some(output),
    };
    Ok(hash.to_string())
}

/// Whether a password is the one that a hash was made of; by the parameters that are in the hash, which may be those of
/// another time.
pub(super) fn is_of(stored: &str, password: &str, memory: &mut Vec<Block>) -> Result<bool> {
    match Stored::parse(stored)? {
        Stored::Argon2 { algorithm, version, params, salt, output } => {
            let computed = compute(algorithm, version, &params, (password, &salt), output.len(), memory)?;
            // This comparison takes the same time wherever they differ.
            Ok(computed == output)
        }
        // Of a password longer than 72 bytes it knows the first 72, as all that make such hashes do.
        Stored::Bcrypt(hash) => bcrypt::verify(password, &hash).map_err(failed),
    }
}

/// Whether a hash is not as we would make it today.
pub(super) fn is_outdated(stored: &str) -> Result<bool> {
    Stored::parse(stored)?.is_ours().map(|ours| !ours)
}

/// Whether this is a hash that [`is_of`] can work with.
pub(super) fn is_one(text: &str) -> bool {
    Stored::parse(text).is_ok()
}

fn compute(
    algorithm: Algorithm,
    version: Version,
    params: &Params,
    (password, salt): (&str, &[u8]),
    length: usize,
    memory: &mut Vec<Block>,
) -> Result<Output> {
    memory.resize(params.block_count(), Block::default());
    // What an imported hash needed is not kept for the next one.
    memory.shrink_to(params.block_count());
    let mut output = vec![0; length];
    let argon2 = Argon2::new(algorithm, version, params.clone());
    argon2
        .hash_password_into_with_memory(password.as_bytes(), salt, &mut output, memory.as_mut_slice())
        .map_err(failed)?;
    Output::new(&output).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(stored: &str, password: &str) -> bool {
        is_of(stored, password, &mut Vec::new()).unwrap()
    }

    /// A test vector of crypt_blowfish, by all three names of the same algorithm.
    #[test]
    fn hashes_of_bcrypt_are_understood() {
        let known = "05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
        for name in ["$2a$", "$2b$", "$2y$"] {
            let stored = format!("{name}{known}");
            assert!(is_one(&stored) && is_outdated(&stored).unwrap());
            assert!(matches(&stored, "U*U"), "{name}");
            assert!(!matches(&stored, "U*V") && !matches(&stored, ""));
        }
        let long = format!("{}{}", "x".repeat(72), "y");
        let stored = bcrypt::hash(&long, 4).unwrap();
        assert!(matches(&stored, &long));
    }

    #[test]
    fn hashes_of_another_time_are_outdated_and_ours_are_not() {
        let ours = make("a password", &mut Vec::new()).unwrap();
        assert!(is_one(&ours) && !is_outdated(&ours).unwrap() && matches(&ours, "a password"));
        // Of the reference implementation: `echo -n password | argon2 somesalt -t 2 -m 16 -p 4 -l 24`.
        let other = "$argon2i$v=19$m=65536,t=2,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG";
        assert!(is_one(other) && is_outdated(other).unwrap());
        assert!(matches(other, "password") && !matches(other, "passwort"));
    }

    #[test]
    fn what_is_no_hash_or_too_much_work_is_not_taken() {
        for bad in [
            "",
            "password",
            "$2b$15$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            "$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            "$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe",
            "$1$salt$x",
            "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG",
            "$argon2id$v=19$m=65536,t=1000,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG",
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ",
            "$scrypt$ln=16,r=8,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG",
        ] {
            assert!(!is_one(bad), "{bad}");
        }
    }
}
