//! A bucket of one's own in an object store that speaks as S3 does.

use axum::body::Bytes;
use priyo_core::model::FileId;

use crate::{Wire, skipped};

/// Where there is such a store: `tests/run` starts one.
const STORE: &str = "PRIYO_TEST_S3";

/// A bucket that a server may keep its files in. Nobody is asked for a key by the store itself.
#[derive(Debug)]
pub struct TestBucket {
    name: String,
    endpoint: String,
    wire: Wire,
}

impl TestBucket {
    /// A new one; `None`, and the test is skipped, where there is no store.
    ///
    /// # Panics
    ///
    /// When the store does not make it.
    pub async fn new() -> Option<Self> {
        let Some(endpoint) = std::env::var(STORE).ok().filter(|url| !url.is_empty()) else {
            skipped("PRIYO_TEST_S3 names no object store");
            return None;
        };
        let bucket = Self { name: format!("priyo-{}", FileId::new()), wire: Wire::http(&endpoint), endpoint };
        let made = bucket.wire.send("PUT", &format!("/{}", bucket.name), &[], Bytes::new()).await;
        assert_eq!(made.status, 200, "{}", made.text());
        Some(bucket)
    }

    /// The settings that bring a server here, beside others.
    pub fn settings<'a>(&'a self, url: &'a str, others: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let own = [
            ("FILE_STORE", url),
            ("AWS_ENDPOINT_URL", &*self.endpoint),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", "tests"),
            ("AWS_SECRET_ACCESS_KEY", "tests"),
            ("AWS_REGION", "us-east-1"),
        ];
        own.into_iter().chain(others.iter().copied()).collect()
    }

    /// A folder in it, as a setting.
    pub fn url(&self) -> String {
        format!("s3://{}/some/folder", self.name)
    }

    /// The names of all objects in it.
    pub async fn objects(&self) -> Vec<String> {
        self.listed("?list-type=2", "Key").await
    }

    /// What the store calls the uploads in parts that are not done.
    pub async fn open_uploads(&self) -> Vec<String> {
        self.listed("?uploads", "UploadId").await
    }

    /// The texts of all elements of this name in a list.
    async fn listed(&self, query: &str, element: &str) -> Vec<String> {
        let list = self.wire.send("GET", &format!("/{}{query}", self.name), &[], Bytes::new()).await;
        let text = list.expect(200).text();
        let begin = format!("<{element}>");
        let parts = text.split(&begin).skip(1);
        parts.filter_map(|part| Some(part.split_once("</")?.0.to_owned())).collect()
    }
}
