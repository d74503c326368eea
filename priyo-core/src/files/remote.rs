//! Files in the object store of a cloud, or in one of one's own that speaks as it does.

use std::sync::Arc;
use std::time::Duration;

use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use super::FileStore;
use super::write::Parts;

/// Whoever waits for a file waits no longer than this for a connection, and for an answer.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// After so many tries, or so much time, the store is away.
const RETRIES: usize = 3;
const RETRY_WITHIN: Duration = Duration::from_secs(10);

/// Why a store cannot be used as it was described.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The URL does not name a bucket of a store that this program knows.
    #[error("the URL names no bucket of a known kind: say for example s3://bucket/folder")]
    Url,
    /// A setting is not known, or what it says cannot be.
    #[error("the settings of the file store cannot be used: {0}")]
    Settings(#[source] object_store::Error),
}

impl FileStore {
    /// Keeps files in a bucket: `s3://bucket/folder`, `gs://bucket/folder` or `az://container/folder`, each with the
    /// feature of its kind (`s3`, `gcs`, `azure`). Nothing else may be in the folder; any number of servers may share
    /// it, if they share a database.
    ///
    /// The settings are those that the environment has for the command-line tools of each, by their names:
    /// `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_ACCOUNT_NAME` and so on.
    /// Nothing is asked of the store here. One that does not answer is given up after a few tries, within half a
    /// minute.
    ///
    /// Holds up to three times 5 MiB of each upload that is under way in memory. What a process that was killed has
    /// left of one is removed by the next, but for the moment in which the store has begun to take parts and this is
    /// not noted yet: give the bucket a rule that ends incomplete uploads after a day.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]: each says what is wrong.
    pub fn remote(
        url: &str,
        settings: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, RemoteError> {
        let (scheme, rest) = url.split_once("://").ok_or(RemoteError::Url)?;
        let (bucket, folder) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() || rest.contains(['?', '#', '@']) {
            return Err(RemoteError::Url);
        }
        let folder = Path::parse(folder).map_err(|_| RemoteError::Url)?;
        let settings = settings.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
        let store = match scheme {
            #[cfg(feature = "s3")]
            "s3" => s3(bucket, settings),
            #[cfg(feature = "gcs")]
            "gs" => gcs(bucket, settings),
            #[cfg(feature = "azure")]
            "az" => azure(bucket, settings),
            _ => return Err(RemoteError::Url),
        };
        let (store, parts) = store.map_err(RemoteError::Settings)?;
        Ok(Self { parts: Some(Parts(parts)), folder, ..Self::new(store) })
    }
}

type Both = (Arc<dyn ObjectStore>, Arc<dyn MultipartStore>);

fn both<T: ObjectStore + MultipartStore>(store: T) -> Both {
    let store = Arc::new(store);
    (store.clone(), store)
}

fn retry() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: RETRIES, retry_timeout: RETRY_WITHIN }
}

fn client() -> ClientOptions {
    ClientOptions::new().with_connect_timeout(CONNECT_WITHIN).with_timeout(ANSWER_WITHIN)
}

#[cfg(feature = "s3")]
fn s3(bucket: &str, mut settings: impl Iterator<Item = (String, String)>) -> object_store::Result<Both> {
    // First what holds unless a setting says otherwise.
    let builder = object_store::aws::AmazonS3Builder::new().with_client_options(client());
    let builder = settings.try_fold(builder, |builder, (name, value)| {
        Ok::<_, object_store::Error>(builder.with_config(name.parse()?, value))
    })?;
    Ok(both(builder.with_bucket_name(bucket).with_retry(retry()).build()?))
}

#[cfg(feature = "gcs")]
fn gcs(bucket: &str, mut settings: impl Iterator<Item = (String, String)>) -> object_store::Result<Both> {
    let builder = object_store::gcp::GoogleCloudStorageBuilder::new().with_client_options(client());
    let builder = settings.try_fold(builder, |builder, (name, value)| {
        Ok::<_, object_store::Error>(builder.with_config(name.parse()?, value))
    })?;
    Ok(both(builder.with_bucket_name(bucket).with_retry(retry()).build()?))
}

#[cfg(feature = "azure")]
fn azure(
    container: &str,
    mut settings: impl Iterator<Item = (String, String)>,
) -> object_store::Result<Both> {
    let builder = object_store::azure::MicrosoftAzureBuilder::new().with_client_options(client());
    let builder = settings.try_fold(builder, |builder, (name, value)| {
        Ok::<_, object_store::Error>(builder.with_config(name.parse()?, value))
    })?;
    Ok(both(builder.with_container_name(container).with_retry(retry()).build()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str, settings: &[(&str, &str)]) -> String {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        FileStore::remote(url, settings).unwrap_err().to_string()
    }

    #[test]
    fn a_url_that_names_no_bucket_is_refused() {
        for url in [
            "",
            "s3",
            "s3://",
            "s3:///folder",
            "ftp://bucket",
            "s3://bucket/../x",
            "s3://key@bucket",
            "s3://b?x",
        ] {
            assert!(refusal(url, &[]).contains("names no bucket"), "{url}");
        }
    }

    #[test]
    #[cfg(feature = "s3")]
    fn a_bucket_and_its_settings_are_taken_as_the_tools_of_the_store_take_them() {
        let settings = [
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:9000"),
            ("AWS_ALLOW_HTTP", "true"),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let files = FileStore::remote("s3://bucket/some/folder", settings).unwrap();
        assert_eq!(files.path("x").as_ref(), "some/folder/x");
        assert!(!format!("{files:?}").contains("hunter2"), "{files:?}");
        assert!(FileStore::remote("s3://bucket", []).is_ok());
        assert!(refusal("s3://bucket", &[("AWS_NO_SUCH_THING", "x")]).contains("cannot be used"));
    }
}
