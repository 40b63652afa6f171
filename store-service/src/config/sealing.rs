//! The keys by which callers' credentials are sealed.

use std::path::Path;
use std::sync::Arc;

use linkgate_store_core::sealing::SealingKeys;
use secrecy::SecretString;

use super::private_file::read_private_file;
use super::vars::{Reader, Vars};

/// `LINKGATE_STORE_SEALING_KEY`: seals what must be written down of an accepted upload: its request, whose link may
/// hold a signature, and its caller's credential; nobody may guess it. 64 hexadecimal digits. Keys on further lines
/// only open: to exchange one, put the new one before it, and take it out a day later; where stores share a database,
/// put the new one behind it first, at all of them. Default: none, and requests are written down as they are, and those
/// with a credential are refused.
pub(super) const KEY: &str = "LINKGATE_STORE_SEALING_KEY";
/// `LINKGATE_STORE_SEALING_KEY_FILE`: a file with the same, which the store's user alone may read. Default none.
pub(super) const KEY_FILE: &str = "LINKGATE_STORE_SEALING_KEY_FILE";

pub(super) fn read_sealing_keys(reader: &mut Reader<'_, impl Vars>) -> Arc<SealingKeys> {
    let (name, text) = match (reader.read_text(KEY), reader.read_text(KEY_FILE)) {
        (None, None) => return Arc::default(),
        (Some(_), Some(_)) => {
            reader.fault(KEY_FILE, format!("is set beside {KEY}: give one of them"));
            return Arc::default();
        }
        (Some(text), None) => (KEY, SecretString::from(text)),
        (None, Some(path)) => match read_private_file(Path::new(&path)) {
            Ok(text) => (KEY_FILE, text),
            Err(fault) => {
                reader.fault(KEY_FILE, format!("names {path}, which {fault}"));
                return Arc::default();
            }
        },
    };
    SealingKeys::parse(&text).map(Arc::new).map_err(|e| reader.fault(name, e.to_string())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn count(vars: &[(&str, &str)]) -> Result<usize, String> {
        let vars: BTreeMap<String, String> =
            vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut reader = Reader::new(&vars);
        let count = read_sealing_keys(&mut reader).ids().len();
        reader.finish(count).map_err(|bad| bad.to_string())
    }

    #[test]
    fn a_key_stands_in_the_variable_or_in_a_file_and_a_wrong_one_is_not_shown() {
        let (good, file) = ("5ec2".repeat(16), tempfile::NamedTempFile::new().unwrap());
        std::fs::write(file.path(), format!("{good}\n")).unwrap();
        let path = file.path().to_str().unwrap();
        assert_eq!(count(&[]), Ok(0));
        assert_eq!(count(&[(KEY, &good)]), Ok(1));
        assert_eq!(count(&[(KEY_FILE, path)]), Ok(1));
        std::fs::write(file.path(), format!("{}\n{good}\n", "5ec3".repeat(16))).unwrap();
        assert_eq!(count(&[(KEY_FILE, path)]), Ok(2));
        assert!(count(&[(KEY, &good), (KEY_FILE, path)]).unwrap_err().contains("give one of them"));
        assert!(count(&[(KEY_FILE, "/no/such")]).unwrap_err().contains("names /no/such, which cannot be read"));
        let fault = count(&[(KEY, &good[1..])]).unwrap_err();
        assert!(fault.contains("must be 64 hexadecimal digits") && !fault.contains("ec25"), "{fault}");
    }
}
