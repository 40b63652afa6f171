//! Uploads: by link, which the store carries out by itself, and of files.

use std::time::Duration;

use linkgate_contract::{FileName, JobDocument, ModuleRef, PackageVersion, Sha256, SourcePackage, headers};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use crate::call::{Call, CallBody};
use crate::client::Client;
use crate::error::Error;
pub use crate::file_body::FileSource;
use crate::file_body::{Progress, Sent, make_body};
use crate::key::IdempotencyKey;
use crate::retry::Repeatable;

/// The gateway gives a file no longer than 640 seconds.
const FILE_TIMEOUT: Duration = Duration::from_secs(700);
/// From this size on it is asked whether the caller may upload before a byte is sent: a refusal costs less then, and
/// is not lost in a connection that breaks.
const ASK_FIRST_BYTES: u64 = 1 << 20;
/// A job that never was: to ask for it takes the same right as to upload.
const NO_JOB: &str = "link/00000000-0000-0000-0000-000000000000/";

/// An upload by link.
#[derive(Clone, Debug)]
pub struct LinkUpload {
    /// The link.
    pub package_url: String,
    /// The version; absent: the package itself says.
    pub version: Option<PackageVersion>,
    /// Whether a package of the same version is replaced.
    pub allow_overwrite: bool,
    /// What its bytes must hash to.
    pub sha256: Option<Sha256>,
    /// How many bytes it must have.
    pub size: Option<u64>,
    /// What the source is to get as `Authorization`, where the operator allows that.
    pub source_authorization: Option<SecretString>,
    /// Under this key it is done once.
    pub key: IdempotencyKey,
}

/// What became of an upload that nobody waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It was done under the same key before.
    Stored(Box<SourcePackage>),
    /// It goes on as this job, whatever becomes of the caller.
    Job(Box<JobDocument>),
}

/// An upload of a file.
#[derive(Clone, Debug)]
pub struct FileUpload {
    /// What the file is called.
    pub file_name: FileName,
    /// The version; absent: the package itself says.
    pub version: Option<PackageVersion>,
    /// Whether a package of the same version is replaced.
    pub allow_overwrite: bool,
    /// What its bytes must hash to.
    pub sha256: Option<Sha256>,
    /// Whether the version with these very bytes is as good as a new one.
    pub take_existing: bool,
    /// Under this key it is done once.
    pub key: IdempotencyKey,
}

impl Client {
    /// Begins an upload by link and does not wait for it.
    ///
    /// # Errors
    /// See [`Error`]. What is wrong with the package itself is found later, by the job.
    pub async fn begin_upload(&self, module: &ModuleRef, upload: &LinkUpload) -> Result<Accepted, Error> {
        let mut call = Call::new(Method::POST, module, "link/")
            .json(&upload.to_json())
            .header("prefer", Some("respond-async"))?
            .header("idempotency-key", Some(upload.key.as_str()))?;
        if let Some(credential) = &upload.source_authorization {
            let mut value = HeaderValue::from_str(credential.expose_secret()).map_err(|_| {
                Error::Setting("the source's credential has a character that no header may have".into())
            })?;
            value.set_sensitive(true);
            call.headers.push((HeaderName::from_static(headers::SOURCE_AUTHORIZATION), value));
        }
        let response = self.send(&call).await?;
        if response.status() == StatusCode::ACCEPTED {
            Ok(Accepted::Job(self.read_document(response).await?))
        } else {
            Ok(Accepted::Stored(self.read_document(response).await?))
        }
    }

    /// Asks whether the caller may upload to a module, without uploading anything.
    ///
    /// # Errors
    /// Why not.
    pub async fn ask_to_upload(&self, module: &ModuleRef) -> Result<(), Error> {
        match self.send(&Call::get(module, NO_JOB)).await {
            Err(Error::Refused(refusal)) if refusal.status == 404 && refusal.code == "ERROR" => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(self.not_ours("a job that nobody began".to_owned())),
        }
    }

    /// Uploads a file, and checks that the store has the bytes that were read. `progress` is told how many bytes of the
    /// present attempt went out.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn upload_file(
        &self,
        module: &ModuleRef,
        upload: &FileUpload,
        source: &FileSource,
        progress: Option<Progress>,
    ) -> Result<SourcePackage, Error> {
        if self.credentials().signing_secret().is_some() {
            return Err(Error::CannotSignFile);
        }
        let length = source.length()?;
        if length.is_none_or(|length| length >= ASK_FIRST_BYTES) {
            self.ask_to_upload(module).await?;
        }
        let sent = Sent::default();
        let body = || make_body(source, &sent, progress.clone());
        let mut call = upload.to_call(module)?;
        call.headers.extend(length.map(|length| (CONTENT_LENGTH, HeaderValue::from(length))));
        call.body = CallBody::Stream(&body);
        call.repeatable = if source.is_repeatable() { Repeatable::Always } else { Repeatable::Never };
        let outcome = self.fetch::<SourcePackage>(&call).await;
        if let Some(failure) = sent.failure() {
            return Err(failure);
        }
        let stored = outcome?;
        // Whoever takes what is there already may have been answered before all was read.
        match sent.digest() {
            Some(got) if got != stored.sha256_signature => {
                Err(Error::DigestMismatch { expected: stored.sha256_signature, got })
            }
            _ => Ok(stored),
        }
    }
}

impl LinkUpload {
    /// A link, and nothing else; the key is made.
    ///
    /// # Errors
    /// [`Error::Setting`] if the system gives no random numbers.
    pub fn new(package_url: impl Into<String>) -> Result<Self, Error> {
        Ok(Self {
            package_url: package_url.into(),
            version: None,
            allow_overwrite: false,
            sha256: None,
            size: None,
            source_authorization: None,
            key: IdempotencyKey::generate()?,
        })
    }

    fn to_json(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("package_url".to_owned(), self.package_url.clone().into());
        fields.extend(self.version.as_ref().map(|version| ("version".to_owned(), version.as_str().into())));
        fields.extend(self.allow_overwrite.then(|| ("allow_overwrite".to_owned(), true.into())));
        fields.extend(self.sha256.map(|digest| ("sha256".to_owned(), digest.to_string().into())));
        fields.extend(self.size.map(|size| ("size".to_owned(), size.into())));
        fields.into()
    }
}

impl FileUpload {
    /// A file of this name, and nothing else; the key is made.
    ///
    /// # Errors
    /// [`Error::Setting`] if the system gives no random numbers.
    pub fn new(file_name: FileName) -> Result<Self, Error> {
        Ok(Self {
            file_name,
            version: None,
            allow_overwrite: false,
            sha256: None,
            take_existing: false,
            key: IdempotencyKey::generate()?,
        })
    }

    fn to_call<'a>(&self, module: &'a ModuleRef) -> Result<Call<'a>, Error> {
        let mut call = Call::new(Method::PUT, module, format!("upload/{}", self.file_name))
            .query("version", self.version.as_ref())
            .query("allow_overwrite", self.allow_overwrite.then_some(true))
            .header("idempotency-key", Some(self.key.as_str()))?
            .header("prefer", self.take_existing.then_some("return=existing"))?
            .header("x-checksum-sha256", self.sha256.map(|digest| digest.to_string()).as_deref())?
            .timeout(FILE_TIMEOUT);
        call.headers.push((CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")));
        Ok(call)
    }
}
