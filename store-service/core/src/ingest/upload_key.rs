//! What makes two uploads the same.

use linkgate_contract::Sha256;

use super::ports::UploadKey;
use super::{PackageRequest, Upload};

impl<R: PackageRequest> Upload<R> {
    /// All that decides what is stored: the module, every option of the request, what its caller may do, and what the source
    /// is shown. Who asks is not part of it.
    pub(super) fn key(&self) -> UploadKey {
        let (target, request) = (self.target.path(), self.request.to_json());
        let hosts: Vec<String> = self.allowance.private_hosts.rules().map(ToString::to_string).collect();
        let own = self.callers_own.as_ref().map(|own| own.fingerprint.as_bytes().to_vec()).unwrap_or_default();
        let count = hosts.len().to_le_bytes();
        let opaque: &[u8] = if self.allowance.opaque { b"1" } else { b"0" };
        let mut parts = vec![target.as_bytes(), request.as_bytes(), opaque, &own, &count];
        parts.extend(hosts.iter().map(String::as_bytes));
        parts.extend(self.allowance.credentials.iter().map(|name| name.as_str().as_bytes()));
        UploadKey(Sha256::digest_parts(parts))
    }
}

#[cfg(test)]
mod tests {
    use linkgate_contract::CredentialName;

    use super::*;
    use crate::sealing::{Sealer, SealingKeys};
    use crate::testing::example_upload;

    #[test]
    fn whatever_decides_what_is_stored_makes_another_upload_and_who_asks_does_not() {
        let upload = example_upload("https://example.com/a.tgz", "1");
        let other_caller = Upload { caller_app: None, request_id: "id".into(), ..upload.clone() };
        assert_eq!(upload.key(), other_caller.key());
        let mut may_more = upload.clone();
        may_more.allowance.opaque = true;
        let (mut named, mut own, mut other_own) = (upload.clone(), upload.clone(), upload.clone());
        named.allowance.credentials = vec![CredentialName::new("nexus").unwrap()];
        let sealer = Sealer::new(&SealingKeys::default()).unwrap();
        own.callers_own = Some(sealer.take("Bearer a".into()));
        other_own.callers_own = Some(sealer.take("Bearer b".into()));
        assert_ne!(own.key(), other_own.key());
        assert_eq!(own.key(), Upload { callers_own: Some(sealer.take("Bearer a".into())), ..upload.clone() }.key());
        let others =
            [example_upload("https://example.com/b.tgz", "1"), example_upload("https://example.com/a.tgz", "2")];
        for other in others.into_iter().chain([may_more, named, own]) {
            assert_ne!(upload.key(), other.key());
        }
    }
}
