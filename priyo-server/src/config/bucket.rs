//! A bucket for files, in place of a folder.

use std::fmt;

use super::secrets::Secret;
use super::values::Parsed;

/// Each kind of bucket, by the scheme of its URL, with the variables that say how to reach it: those that the tools of
/// its store read, too.
const KINDS: &[(&str, &[&str])] = &[
    (
        "s3",
        &[
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_REGION",
            "AWS_ENDPOINT_URL",
            "AWS_ALLOW_HTTP",
            "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
            "AWS_ROLE_ARN",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        ],
    ),
    ("gs", &["GOOGLE_SERVICE_ACCOUNT", "GOOGLE_APPLICATION_CREDENTIALS"]),
    (
        "az",
        &[
            "AZURE_STORAGE_ACCOUNT_NAME",
            "AZURE_STORAGE_ACCOUNT_KEY",
            "AZURE_TENANT_ID",
            "AZURE_CLIENT_ID",
            "AZURE_CLIENT_SECRET",
        ],
    ),
];

/// A bucket, and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    url: String,
    settings: Vec<(&'static str, Secret)>,
}

impl Bucket {
    /// Reads `FILE_STORE`: `s3://bucket/folder`, `gs://bucket/folder` or `az://container/folder`.
    pub(super) fn parse(url: &str) -> Parsed<Option<Self>> {
        const WRONG: (&str, &str) =
            ("is no bucket that this server knows", "say for example s3://bucket/folder");
        let (scheme, rest) = url.split_once("://").ok_or(WRONG)?;
        let is_known = KINDS.iter().any(|(kind, _)| *kind == scheme);
        // Keys and the like have variables of their own: a URL is logged.
        if !is_known || rest.is_empty() || rest.starts_with('/') || rest.contains(['@', '?', '#']) {
            return Err(WRONG);
        }
        Ok(Some(Self { url: url.to_owned(), settings: Vec::new() }))
    }

    /// Adds the variables of its kind that are set.
    pub(super) fn reached_by(mut self, get: impl Fn(&str) -> Option<String>) -> Self {
        let names = KINDS.iter().find(|(kind, _)| self.url.starts_with(&format!("{kind}://")));
        let names = names.map_or(&[][..], |(_, names)| names);
        let set =
            |name: &'static str| Some((name, Secret::new(get(name).filter(|value| !value.is_empty())?)));
        self.settings = names.iter().copied().filter_map(set).collect();
        self
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How to reach it: the names and values of variables.
    pub fn settings(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.settings.iter().map(|(name, value)| ((*name).to_owned(), value.reveal().to_owned()))
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::super::VARIABLES;
    use super::*;

    #[test]
    fn a_bucket_is_named_by_its_scheme() {
        for url in ["s3://bucket", "s3://bucket/some/folder", "gs://bucket", "az://container/folder"] {
            assert_eq!(Bucket::parse(url).unwrap().unwrap().url(), url);
        }
        for url in ["bucket", "s3:bucket", "s3://", "s3:///x", "http://bucket", "s3://key:secret@bucket"] {
            assert!(Bucket::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn it_takes_the_variables_of_its_kind_and_prints_none() {
        let get = |name: &str| Some(format!("value of {name}"));
        let bucket = Bucket::parse("gs://bucket").unwrap().unwrap().reached_by(get);
        let names: Vec<_> = bucket.settings().map(|(name, _)| name).collect();
        assert_eq!(names, ["GOOGLE_SERVICE_ACCOUNT", "GOOGLE_APPLICATION_CREDENTIALS"]);
        assert!(!format!("{bucket} {bucket:?}").contains("value of"));
        let unset = Bucket::parse("s3://bucket").unwrap().unwrap().reached_by(|_| Some(String::new()));
        assert_eq!(unset.settings().count(), 0);
    }

    #[test]
    fn every_variable_of_a_bucket_is_in_the_table() {
        for name in KINDS.iter().flat_map(|(_, names)| *names) {
            assert!(VARIABLES.iter().any(|known| known.name == *name), "{name}");
        }
    }
}
