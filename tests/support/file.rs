//! Uploads of files by their callers, as they stand on the wire.

use reqwest::Method;

use crate::LinkRequestBuilder;

/// The packages of the module `default` of `app_code`.
pub const PACKAGES: &str = "/bkapps/applications/app_code/modules/default/source_package/";

/// A `multipart/form-data` body that is being put together.
#[derive(Clone, Debug, Default)]
pub struct Form(Vec<u8>);

impl Form {
    /// The `Content-Type` that goes with it.
    pub const CONTENT_TYPE: &'static str = "multipart/form-data; boundary=the-boundary";

    /// One more field.
    #[must_use]
    pub fn field(self, name: &str, value: &str) -> Self {
        self.part(&format!("name=\"{name}\""), value.as_bytes())
    }

    /// A file in the field `package`.
    #[must_use]
    pub fn file(self, file_name: &str, bytes: &[u8]) -> Self {
        self.part(&format!("name=\"package\"; filename=\"{file_name}\""), bytes)
    }

    /// One more part, by what its `Content-Disposition` says behind `form-data`.
    #[must_use]
    pub fn part(mut self, disposition: &str, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(b"--the-boundary\r\nContent-Disposition: form-data; ");
        self.0.extend_from_slice(disposition.as_bytes());
        self.0.extend_from_slice(b"\r\n\r\n");
        self.0.extend_from_slice(bytes);
        self.0.extend_from_slice(b"\r\n");
        self
    }

    /// The whole body.
    #[must_use]
    pub fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"--the-boundary--\r\n");
        self.0
    }
}

impl LinkRequestBuilder {
    /// Sends these bytes as they are instead, with this query.
    #[must_use]
    pub fn bare_file(self, query: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.path(format!("{PACKAGES}?{query}")).content_type(Some("application/octet-stream")).raw_body(bytes)
    }

    /// Puts these bytes under this name instead, with this query.
    #[must_use]
    pub fn put_file(self, file_name: &str, query: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let path = format!("{PACKAGES}upload/{file_name}?{query}");
        self.method(Method::PUT).path(path).content_type(None).raw_body(bytes)
    }

    /// Sends this form instead.
    #[must_use]
    pub fn form(self, form: Form) -> Self {
        self.path(PACKAGES).content_type(Some(Form::CONTENT_TYPE)).raw_body(form.end())
    }
}
