//! A file that a caller sends: as it is, or as a part of a form.
//!
//! Promises: nothing of a body is read before it is asked for. One that is refused before its end is read on for a moment and
//! thrown away, so that its caller, who may still send, gets to read why; but not where the caller waits to be told that it may
//! send.

use std::time::Duration;

use bytes::Bytes;
use linkgate_contract::{Field, Fields, FileName, PartHead, Problem, Text, UploadByFileRequest};
use linkgate_store_core::ingest::FileRequest;
use linkgate_store_core::ingest::ports::{FileBody, FileError};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::body::IncomingBody;
use super::digests::Digesting;
use super::form::{FormReader, Pieces, refused};

/// How much of a refused body is read on, and for how long.
const DRAINED_BYTES: usize = 4 << 20;
const DRAINED_FOR: Duration = Duration::from_secs(2);

/// The bytes of a request, as they come.
pub(super) struct Content {
    body: Option<IncomingBody>,
    /// Whether the caller sends once it is told to, and was not told yet.
    holds_back: bool,
    digesting: Digesting,
}

impl Content {
    /// `holds_back` says that the caller waits to be told (`Expect: 100-continue`).
    pub(super) fn new(body: IncomingBody, holds_back: bool) -> Self {
        Self { body: Some(body), holds_back, digesting: Digesting::default() }
    }

    /// Every byte of it is held against these.
    pub(super) fn digest(&mut self, digesting: Digesting) {
        self.digesting = digesting;
    }

    /// All has come: compares the digests of it.
    fn compare(&mut self) -> Result<(), FileError> {
        self.digesting.compare().map_err(FileError::Refused)
    }
}

impl Pieces for Content {
    async fn next(&mut self) -> Result<Option<Bytes>, FileError> {
        self.holds_back = false;
        let Some(body) = &mut self.body else { return Ok(None) };
        match body.next_piece().await {
            Some(Ok(piece)) => {
                self.digesting.update(&piece);
                Ok(Some(piece))
            }
            ended => {
                self.body = None;
                ended.map_or(Ok(None), |_| Err(FileError::Broken))
            }
        }
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        let body = self.body.take().filter(|_| !self.holds_back);
        if let (Some(body), Ok(runtime)) = (body, Handle::try_current()) {
            runtime.spawn(timeout(DRAINED_FOR, drain(body)));
        }
    }
}

async fn drain(mut body: IncomingBody) {
    let mut left = DRAINED_BYTES;
    while let Some(Ok(piece)) = body.next_piece().await {
        left = left.saturating_sub(piece.len());
        if left == 0 {
            return;
        }
    }
}

/// A body that is the file.
pub(super) struct BareFile {
    content: Content,
    request: FileRequest,
}

impl BareFile {
    /// The whole request is known.
    pub(super) fn new(content: Content, request: FileRequest) -> Self {
        Self { content, request }
    }
}

impl FileBody for BareFile {
    async fn next(&mut self) -> Result<Option<Bytes>, FileError> {
        self.content.next().await
    }

    async fn end(&mut self) -> Result<FileRequest, FileError> {
        self.content.compare()?;
        Ok(self.request.clone())
    }
}

/// Fields by name, each at most once.
#[derive(Default)]
pub(super) struct GivenFields(Vec<(&'static str, String)>);

impl GivenFields {
    /// Adds a field; one that nobody reads is left out.
    pub(super) fn add(&mut self, name: &str, value: String) -> Result<(), Problem> {
        let known = UploadByFileRequest::FIELDS.into_iter().chain([UploadByFileRequest::NAME_FIELD]);
        let Some(name) = known.into_iter().find(|known| *known == name) else { return Ok(()) };
        if self.0.iter().any(|(given, _)| *given == name) {
            return Err(Problem::field(name, GIVEN_TWICE));
        }
        self.0.push((name, value));
        Ok(())
    }

    /// As the contract reads them.
    pub(super) fn to_fields(&self) -> Fields<'_> {
        self.0.iter().map(|(name, value)| ((*name).into(), Field::Text(value.into()))).collect()
    }
}

const GIVEN_TWICE: Text = Text::fixed("请只提供一次该字段。", "Give this field once.");
const NO_FILE: Text = Text::fixed("表单中缺少名为 package 的文件。", "The form has no file in the field package.");
const ONE_FILE: Text =
    Text::fixed("表单中只能有一个文件，字段名为 package。", "A form may have one file, in the field package.");

/// A form, up to and with its file.
pub(super) struct FileInForm {
    form: FormReader<Content>,
    given: GivenFields,
    file_name: FileName,
    /// All of the request but its fields.
    template: Option<FileRequest>,
}

impl FileInForm {
    /// Reads a form up to its file.
    pub(super) async fn begin(mut form: FormReader<Content>, mut given: GivenFields) -> Result<Self, FileError> {
        while let Some(head) = form.next_part().await? {
            if head.is_file() {
                let file_name = name_of_file(&head).map_err(FileError::Refused)?;
                head.check_plain().map_err(refused)?;
                return Ok(Self { form, given, file_name, template: None });
            }
            let value = form.read_text(&head).await?;
            given.add(head.name(), value).map_err(FileError::Refused)?;
        }
        Err(FileError::Refused(Problem::field(UploadByFileRequest::FILE_FIELD, NO_FILE)))
    }

    /// What is asked for, as far as it is known.
    pub(super) fn fields(&self) -> Result<UploadByFileRequest, Problem> {
        UploadByFileRequest::from_fields(Some(self.file_name.clone()), &self.given.to_fields())
    }

    /// The request that is to be completed by what follows the file.
    pub(super) fn with_template(self, template: FileRequest) -> Self {
        Self { template: Some(template), ..self }
    }

    async fn read_rest(&mut self) -> Result<UploadByFileRequest, FileError> {
        while let Some(head) = self.form.next_part().await? {
            if head.is_file() {
                return Err(FileError::Refused(Problem::field(UploadByFileRequest::FILE_FIELD, ONE_FILE)));
            }
            let value = self.form.read_text(&head).await?;
            self.given.add(head.name(), value).map_err(FileError::Refused)?;
        }
        self.form.pieces().compare()?;
        self.fields().map_err(FileError::Refused)
    }
}

impl FileBody for FileInForm {
    async fn next(&mut self) -> Result<Option<Bytes>, FileError> {
        self.form.next_bytes().await
    }

    async fn end(&mut self) -> Result<FileRequest, FileError> {
        let fields = self.read_rest().await?;
        let template = self.template.take().ok_or(FileError::Broken)?;
        Ok(FileRequest { fields, is_complete: true, ..template })
    }
}

fn name_of_file(head: &PartHead) -> Result<FileName, Problem> {
    if head.name() != UploadByFileRequest::FILE_FIELD {
        return Err(Problem::field(UploadByFileRequest::FILE_FIELD, ONE_FILE));
    }
    let name = UploadByFileRequest::parse_file_name(head.file_name().unwrap_or_default());
    name.map_err(|text| Problem::field(UploadByFileRequest::NAME_FIELD, text))
}
