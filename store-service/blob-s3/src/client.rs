//! The bucket, in the few words that blobs need.
//!
//! Promises: what the storage cannot do now is tried again for as long as the settings say; a write is either seen in the
//! bucket with all its bytes or fails; what is not there needs no deleting.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use http::Method;
use linkgate_store_core::ingest::ports::{BlobError, ObjectKey, ShownAs};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::{HttpClient, HttpConnector as _, HttpRequest, HttpRequestBody, ReqwestConnector};
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer as _};
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, GetRange, ObjectMeta, ObjectStore as _, ObjectStoreExt as _, PutPayload,
    RetryConfig,
};
use secrecy::ExposeSecret as _;
use tokio::time::timeout;

use super::error::{S3StartError, STATUS, blob_error, tag, told, upload_error, wrong_size};
use super::settings::{Encryption, S3Credentials, S3Settings, UrlStyle};

/// What the client calls the setting for which it has no other word.
const SERVER_SIDE_ENCRYPTION: &str = "aws_server_side_encryption";
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the storage may take for the head of a reply, and between two pieces of one. A part is sent within that time.
const SILENCE: Duration = Duration::from_secs(30);
/// How long to look for what was written when its writing seems to have failed: it was tried again for long enough.
const LAST_LOOK: Duration = Duration::from_secs(10);
/// How long a request is good that is signed in its address: as long as storages take all other signatures for, or a clock that
/// is a little slow would do for those and not for these.
const SIGNED_FOR: Duration = Duration::from_secs(15 * 60);

/// The same of an address that callers get: whoever was sent there asks at once, by a clock that may be a little off.
const LINKED_FOR: Duration = Duration::from_secs(5 * 60);

/// What the key of the statements about a blob has behind that of its object.
pub(crate) const STATEMENTS: &str = ".intoto.jsonl";

/// Bytes as they come.
pub(crate) type ByteStream = BoxStream<'static, object_store::Result<Bytes>>;

/// The bucket.
#[derive(Clone)]
pub(crate) struct Bucket {
    s3: Arc<AmazonS3>,
    /// For callers who are sent to the storage.
    presigner: Option<Presigner>,
    /// For the one request that the client does not know.
    http: HttpClient,
    name: String,
}

/// Signs addresses where callers get objects by themselves.
#[derive(Clone)]
pub(crate) struct Presigner(Arc<AmazonS3>);

/// A multipart upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upload {
    pub(crate) key: ObjectKey,
    pub(crate) id: String,
}

impl Presigner {
    /// Where whoever has it gets the object for some minutes.
    pub(crate) async fn link(&self, key: &ObjectKey, shown: &ShownAs) -> Result<String, BlobError> {
        let ShownAs { media_type, disposition } = shown;
        let query = [("response-content-type", media_type), ("response-content-disposition", disposition)];
        let query = SignedUrlOptions::new().with_query(query.map(|(name, value)| (name, value.as_str())));
        let url = self.0.signed_url_opts(Method::GET, &path(key), LINKED_FOR, &query).await;
        Ok(url.map_err(|e| blob_error("signing an address", e))?.into())
    }
}

impl Bucket {
    pub(crate) fn new(settings: &S3Settings) -> Result<Self, S3StartError> {
        let refused = |e: object_store::Error| S3StartError::Client(told(&e));
        let http = ReqwestConnector::default().connect(&client_options(settings)).map_err(refused)?;
        let build =
            |settings: &S3Settings| builder(settings, client_options(settings))?.build().map(Arc::new).map_err(refused);
        let presigner = settings.for_callers().map(|settings| build(&settings).map(Presigner)).transpose()?;
        Ok(Self { s3: build(settings)?, presigner, http, name: settings.bucket.clone() })
    }

    /// Writes an object in one request, and sees it there.
    pub(crate) async fn put(&self, key: &ObjectKey, bytes: PutPayload) -> Result<(), BlobError> {
        let size_bytes = bytes.content_length() as u64;
        let put = self.try_put(key, bytes).await;
        self.settle(key, size_bytes, put.map_err(|e| blob_error("writing an object", e))).await
    }

    /// Writes an object whose bytes nobody depends on.
    pub(crate) async fn put_unseen(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BlobError> {
        self.try_put(key, bytes.into()).await.map_err(|e| blob_error("writing an object", e))
    }

    /// Writes an object; what came of it is told as it came.
    pub(crate) async fn try_put(&self, key: &ObjectKey, bytes: PutPayload) -> Result<(), object_store::Error> {
        self.s3.put(&path(key), bytes).await.map(drop)
    }

    pub(crate) async fn begin_upload(&self, key: &ObjectKey) -> Result<Upload, BlobError> {
        let id = self.s3.create_multipart(&path(key)).await.map_err(|e| blob_error("beginning an upload", e))?;
        Ok(Upload { key: key.clone(), id })
    }

    pub(crate) async fn put_part(
        &self,
        upload: &Upload,
        number: usize,
        bytes: PutPayload,
    ) -> Result<PartId, BlobError> {
        let part = self.s3.put_part(&path(&upload.key), &upload.id, number, bytes).await;
        part.map_err(|e| upload_error("writing a part", e))
    }

    /// Makes an object of the parts, and sees it there.
    pub(crate) async fn complete(&self, upload: &Upload, parts: Vec<PartId>, size_bytes: u64) -> Result<(), BlobError> {
        let done = self.s3.complete_multipart(&path(&upload.key), &upload.id, parts).await;
        self.settle(&upload.key, size_bytes, done.map(drop).map_err(|e| upload_error("completing an upload", e))).await
    }

    /// A reply that was lost says nothing; the object does. Nobody else writes to its key, so one with so many bytes is ours.
    async fn settle(&self, key: &ObjectKey, size_bytes: u64, done: Result<(), BlobError>) -> Result<(), BlobError> {
        let Err(failed) = done else {
            return match self.size(key).await? {
                Some(found) if found == size_bytes => Ok(()),
                Some(found) => Err(wrong_size("storing a blob", size_bytes, found)),
                None => Err(BlobError::NotFound),
            };
        };
        match timeout(LAST_LOOK, self.size(key)).await {
            Ok(Ok(Some(found))) if found == size_bytes => Ok(()),
            _ => Err(failed),
        }
    }

    /// Ends an upload without an object. One that is not there has ended.
    pub(crate) async fn abort(&self, upload: &Upload) -> Result<(), BlobError> {
        let aborted = self.s3.abort_multipart(&path(&upload.key), &upload.id).await;
        unless_missing(aborted.map_err(|e| blob_error("aborting an upload", e)))
    }

    /// The bytes of an object, if it is there.
    pub(crate) async fn size(&self, key: &ObjectKey) -> Result<Option<u64>, BlobError> {
        match self.s3.head(&path(key)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(blob_error("looking for an object", e)),
        }
    }

    /// Some bytes of an object, as they come, and how many it has in all. A connection that soon breaks is made again.
    pub(crate) async fn stream(&self, key: &ObjectKey, range: Range<u64>) -> Result<(u64, ByteStream), BlobError> {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let got = self.s3.get_opts(&path(key), options).await.map_err(|e| blob_error("reading an object", e))?;
        Ok((got.meta.size, got.into_stream()))
    }

    /// Some bytes of an object.
    pub(crate) async fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BlobError> {
        self.s3.get_range(&path(key), range).await.map_err(|e| blob_error("reading an object", e))
    }

    /// All bytes of an object that is small.
    pub(crate) async fn read_all(&self, key: &ObjectKey) -> Result<Option<Bytes>, BlobError> {
        let read = async { self.s3.get(&path(key)).await?.bytes().await };
        match read.await {
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            read => read.map(Some).map_err(|e| blob_error("reading an object", e)),
        }
    }

    pub(crate) async fn delete(&self, key: &ObjectKey) -> Result<(), BlobError> {
        let deleted = self.s3.delete(&path(key)).await;
        unless_missing(deleted.map_err(|e| blob_error("deleting an object", e)))
    }

    /// Uploads to this key that are open. The client has no word for it.
    pub(crate) async fn open_uploads(&self, key: &ObjectKey) -> Result<Vec<Upload>, BlobError> {
        let failed = |e| blob_error("listing uploads", e);
        let query = SignedUrlOptions::new().with_query([("uploads", ""), ("prefix", key.as_str())]);
        let url = self.s3.signed_url_opts(Method::GET, &Path::default(), SIGNED_FOR, &query).await.map_err(failed)?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url.as_str().parse().map_err(|e| blob_error("listing uploads", generic(e)))?;
        let reply = self.http.execute(request).await.map_err(|e| failed(generic(e)))?;
        let status = reply.status();
        let body = reply.into_body().bytes().await.map_err(|e| failed(generic(e)))?;
        let text = String::from_utf8_lossy(&body);
        if !status.is_success() {
            return Err(failed(generic(format!("{STATUS}{status}: {text}"))));
        }
        Ok(uploads_in(&text).filter(|upload| upload.key == *key).collect())
    }

    /// `None` where callers are not sent to the storage.
    pub(crate) fn presigner(&self) -> Option<&Presigner> {
        self.presigner.as_ref()
    }

    /// Whether no key begins with this one and a slash.
    pub(crate) async fn is_empty(&self, folder: &ObjectKey) -> Result<bool, BlobError> {
        let first = self.list(folder).try_next().await.map_err(|e| blob_error("listing objects", e))?;
        Ok(first.is_none())
    }

    /// All objects whose keys begin with this one and a slash, in pages.
    pub(crate) fn list(&self, folder: &ObjectKey) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.s3.list(Some(&path(folder)))
    }

    /// Where somebody with other tools finds an object.
    pub(crate) fn address(&self, key: &ObjectKey) -> String {
        format!("s3://{}/{key}", self.name)
    }
}

/// Where the statements about the blob of an object are.
pub(crate) fn statements_of(key: &ObjectKey) -> ObjectKey {
    ObjectKey::from_text(format!("{key}{STATEMENTS}"))
}

fn generic(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Generic { store: "S3", source: error.into() }
}

fn unless_missing(done: Result<(), BlobError>) -> Result<(), BlobError> {
    match done {
        Err(BlobError::NotFound) => Ok(()),
        done => done,
    }
}

fn path(key: &ObjectKey) -> Path {
    Path::from(key.as_str())
}

/// The uploads of a list in XML.
fn uploads_in(list: &str) -> impl Iterator<Item = Upload> {
    list.split("<Upload>").skip(1).filter_map(|upload| {
        let (key, id) = (tag(upload, "Key")?, tag(upload, "UploadId")?);
        Some(Upload { key: ObjectKey::from_text(unescape(key)), id: unescape(id) })
    })
}

fn unescape(text: &str) -> String {
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#34;", "\""), ("&#39;", "'"), ("&amp;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

fn client_options(settings: &S3Settings) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(settings.is_plain_http())
        .with_connect_timeout(CONNECT_TIMEOUT)
        // A download lasts as long as its caller takes.
        .with_timeout_disabled()
        .with_read_timeout(SILENCE)
}

fn builder(settings: &S3Settings, options: ClientOptions) -> Result<AmazonS3Builder, S3StartError> {
    let backoff = BackoffConfig { init_backoff: FIRST_BACKOFF, max_backoff: LAST_BACKOFF, base: 2.0 };
    // By time: tries against a server that refuses connections are spent in seconds.
    let retry = RetryConfig { backoff, max_retries: usize::MAX, retry_timeout: settings.retry_timeout };
    let mut builder = with_credentials(AmazonS3Builder::new(), &settings.credentials)?
        .with_client_options(options)
        .with_retry(retry)
        .with_bucket_name(&settings.bucket)
        .with_region(&settings.region)
        .with_virtual_hosted_style_request(settings.url_style == UrlStyle::VirtualHost)
        .with_unsigned_payload(!settings.signs_bytes())
        .with_disable_bulk_delete(true);
    if let Some(endpoint) = settings.client_endpoint() {
        builder = builder.with_endpoint(endpoint);
    }
    Ok(match &settings.encryption {
        None => builder,
        Some(Encryption::Aes256) => {
            let key =
                SERVER_SIDE_ENCRYPTION.parse::<AmazonS3ConfigKey>().map_err(|e| S3StartError::Client(told(&e)))?;
            builder.with_config(key, "AES256")
        }
        Some(Encryption::Kms { key_id }) => builder.with_sse_kms_encryption(key_id),
    })
}

/// Variables that say who somebody is; all others are this store's own settings.
fn says_who(key: &AmazonS3ConfigKey) -> bool {
    use AmazonS3ConfigKey as K;
    matches!(
        key,
        K::AccessKeyId
            | K::SecretAccessKey
            | K::Token
            | K::WebIdentityTokenFile
            | K::RoleArn
            | K::RoleSessionName
            | K::StsEndpoint
            | K::ContainerCredentialsRelativeUri
            | K::ContainerCredentialsFullUri
            | K::ContainerAuthorizationTokenFile
            | K::MetadataEndpoint
            | K::ImdsV1Fallback
    )
}

fn with_credentials(builder: AmazonS3Builder, credentials: &S3Credentials) -> Result<AmazonS3Builder, S3StartError> {
    Ok(match credentials {
        S3Credentials::Key { id, secret, session_token } => {
            let builder = builder.with_access_key_id(id).with_secret_access_key(secret.expose_secret());
            match session_token {
                Some(token) => builder.with_token(token.expose_secret()),
                None => builder,
            }
        }
        S3Credentials::Platform(variables) => variables.iter().fold(builder, |builder, (name, value)| {
            match name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                Ok(key) if says_who(&key) => builder.with_config(key, value.expose_secret()),
                _ => builder,
            }
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_are_read_from_a_list() {
        let list = "<R><Prefix>p/1</Prefix><Upload><Key>p/1</Key><UploadId>a&amp;b</UploadId></Upload>\
                    <Upload><Key>p/12</Key><UploadId>c</UploadId></Upload><Upload><Key>p</Key></Upload></R>";
        let read: Vec<_> = uploads_in(list).map(|upload| (upload.key.to_string(), upload.id)).collect();
        assert_eq!(read, [("p/1".into(), "a&b".into()), ("p/12".into(), "c".into())]);
    }
}
