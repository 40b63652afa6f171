//! Changes what is stored: deletion, restoring, pins, clean-up; and links for others.

use linkgate_contract::{
    CleanupPlan, DownloadUrl, ModuleRef, PackageDocument, PackageId, PackageVersion, PinDocument, PinName,
};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::client::Client;
use crate::error::Error;
use crate::retry::Repeatable;

/// How a package is deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Also if it is pinned.
    pub force: bool,
    /// Only in this state, `"{id}.{revision}"` or `"{sha256}"`, with the quotes.
    pub if_match: Option<String>,
}

/// What a pin says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PinRequest {
    /// When it runs out, as RFC 3339 or the replies write it.
    pub until: Option<String>,
    /// Whether the package may not even be overwritten.
    pub protect_bytes: bool,
}

/// What a link for others is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UrlRequest {
    /// How many seconds it is good for.
    pub expires_in: Option<u32>,
    /// Addresses and networks from which it may be used; from anywhere if there is none.
    pub client_ips: Vec<String>,
}

impl Client {
    /// Deletes a package. One that is deleted already stays as it is.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_package(
        &self,
        module: &ModuleRef,
        id: PackageId,
        options: &DeleteOptions,
    ) -> Result<PackageDocument, Error> {
        let call = Call::new(Method::DELETE, module, format!("{id}/"))
            .query("force", options.force.then_some(true))
            .header("if-match", options.if_match.as_deref())?;
        // A second time its own condition would not hold.
        let repeatable = if options.if_match.is_some() { Repeatable::IfNotDone } else { Repeatable::Always };
        self.fetch(&call.repeatable(repeatable)).await
    }

    /// Restores a deleted package, as another version if one is named. One that is live stays as it is.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn restore_package(
        &self,
        module: &ModuleRef,
        id: PackageId,
        version: Option<&PackageVersion>,
    ) -> Result<PackageDocument, Error> {
        let mut body = Map::new();
        body.extend(version.map(|version| ("version".to_owned(), Value::from(version.as_str()))));
        self.fetch(&Call::new(Method::POST, module, format!("{id}/restore/")).json(&body.into())).await
    }

    /// Pins a package, or says anew what a pin of this name says.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn pin_package(
        &self,
        module: &ModuleRef,
        id: PackageId,
        name: &PinName,
        pin: &PinRequest,
    ) -> Result<PinDocument, Error> {
        let body = json!({"until": pin.until, "protect_bytes": pin.protect_bytes});
        self.fetch(&Call::new(Method::PUT, module, format!("{id}/pins/{name}/")).json(&body)).await
    }

    /// Takes a pin away.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn unpin_package(&self, module: &ModuleRef, id: PackageId, name: &PinName) -> Result<PinDocument, Error> {
        let call = Call::new(Method::DELETE, module, format!("{id}/pins/{name}/"));
        // The second time there is none.
        self.fetch(&call.repeatable(Repeatable::IfNotDone)).await
    }

    /// What the retention rules would delete now.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn explain_cleanup(&self, module: &ModuleRef) -> Result<CleanupPlan, Error> {
        self.fetch(&Call::get(module, "cleanup/")).await
    }

    /// Deletes exactly what a plan names, or nothing if it would be another by now.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn run_cleanup(&self, module: &ModuleRef, plan: &str) -> Result<CleanupPlan, Error> {
        let call = Call::new(Method::POST, module, "cleanup/").json(&json!({ "plan": plan }));
        // The second time the plan would be another.
        self.fetch(&call.repeatable(Repeatable::IfNotDone)).await
    }

    /// Makes a link by which whoever has it downloads a package, for a while. It is absolute, whatever the store wrote.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_download_url(
        &self,
        module: &ModuleRef,
        id: PackageId,
        request: &UrlRequest,
    ) -> Result<DownloadUrl, Error> {
        let mut body = Map::new();
        body.extend(request.expires_in.map(|seconds| ("expires_in".to_owned(), seconds.into())));
        if !request.client_ips.is_empty() {
            body.insert("client_ips".to_owned(), request.client_ips.clone().into());
        }
        let call = Call::new(Method::POST, module, format!("{id}/download_url/")).json(&body.into());
        let made: DownloadUrl = self.fetch(&call).await?;
        let whole = self.url_of(&call).join(&made.download_url);
        let whole = whole.map_err(|error| self.not_ours(format!("a link that is none ({error})")))?;
        Ok(DownloadUrl { download_url: whole.into(), ..made })
    }
}
