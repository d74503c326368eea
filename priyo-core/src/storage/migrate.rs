//! Numbered migrations, the same for every SQL storage.

/// One step from a schema to the next.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Its place: 1, 2, 3 and so on.
    pub number: u32,
    /// Its name, as in the name of its file.
    pub name: &'static str,
    /// What it runs.
    pub sql: &'static str,
}

/// Why a database cannot be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// A newer program made this database.
    #[error("the database is at schema version {found}, this program knows {known}: use a newer program")]
    TooNew {
        /// The database's version.
        found: u32,
        /// The newest this program knows.
        known: u32,
    },
    /// The history of the database is not ours.
    #[error(
        "the database has migration {number} as {found:?}, this program as {expected:?}: not the same history"
    )]
    Diverged {
        /// Which step.
        number: u32,
        /// Its name in the database.
        found: String,
        /// Its name here.
        expected: &'static str,
    },
}

/// The steps of `all` that a database still needs, which has had `applied` (number and name, in order).
///
/// # Errors
///
/// - [`MigrationError::TooNew`] when the database has had more steps than there are.
/// - [`MigrationError::Diverged`] when a step it has had goes by another name here.
pub fn pending<'a>(
    all: &'a [Migration],
    applied: &[(u32, String)],
) -> Result<&'a [Migration], MigrationError> {
    for (index, (number, name)) in applied.iter().enumerate() {
        let Some(known) = all.get(index) else {
            let known = u32::try_from(all.len()).unwrap_or(u32::MAX);
            return Err(MigrationError::TooNew { found: *number, known });
        };
        if known.number != *number || known.name != name {
            return Err(MigrationError::Diverged {
                number: *number,
                found: name.clone(),
                expected: known.name,
            });
        }
    }
    Ok(&all[applied.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[Migration] =
        &[Migration { number: 1, name: "one", sql: "" }, Migration { number: 2, name: "two", sql: "" }];

    #[test]
    fn gives_what_is_missing_and_refuses_what_is_strange() {
        let had = |names: &[&str]| -> Vec<(u32, String)> {
            (1..).zip(names.iter().map(|n| (*n).to_owned())).collect()
        };
        assert_eq!(pending(ALL, &had(&[])).unwrap().len(), 2);
        assert_eq!(pending(ALL, &had(&["one"])).unwrap()[0].number, 2);
        assert!(pending(ALL, &had(&["one", "two"])).unwrap().is_empty());
        assert!(matches!(pending(ALL, &had(&["one", "two", "three"])), Err(MigrationError::TooNew { .. })));
        assert!(matches!(pending(ALL, &had(&["uno"])), Err(MigrationError::Diverged { .. })));
    }
}
