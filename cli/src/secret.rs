//! `linkgate secret hash`: what a policy holds instead of a secret.
//!
//! Promises: the secret is read from standard input and nowhere else, and is not printed.

use std::io::{IsTerminal, Read, Write};

use secrecy::{ExposeSecret, SecretSlice};
use sha2::{Digest, Sha256};

use crate::error::Error;

/// Longer than any credential that fits into a header.
const MAX_BYTES: u64 = 64 << 10;

/// Reads standard input and returns the line to print.
pub fn hash_secret() -> Result<String, Error> {
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        // A missing hint is no reason to fail.
        let _ = writeln!(std::io::stderr(), "type the secret (the terminal displays it), then Enter and Ctrl-D");
    }
    hash_input(&mut stdin)
}

fn hash_input(input: &mut impl Read) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let read = input.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    let bytes = SecretSlice::from(bytes);
    read.map_err(|source| Error::io("read", "standard input", source))?;
    if bytes.expose_secret().len() as u64 > MAX_BYTES {
        return Err(Error::LongSecret { limit_bytes: MAX_BYTES });
    }
    let secret = strip_newline(bytes.expose_secret());
    if secret.is_empty() {
        return Err(Error::EmptySecret);
    }
    Ok(format!("{}\n", hex::encode(Sha256::digest(secret))))
}

/// Takes off the one newline that `echo` and editors add.
fn strip_newline(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\r\n").or_else(|| bytes.strip_suffix(b"\n")).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n";

    #[test]
    fn one_trailing_newline_does_not_count() {
        for input in ["abc", "abc\n", "abc\r\n"] {
            assert_eq!(hash_input(&mut input.as_bytes()).unwrap(), ABC, "{input:?}");
        }
        for input in ["abc\n\n", " abc", "abc "] {
            assert_ne!(hash_input(&mut input.as_bytes()).unwrap(), ABC, "{input:?}");
        }
    }

    #[test]
    fn an_empty_secret_is_refused() {
        for input in ["", "\n", "\r\n"] {
            assert!(matches!(hash_input(&mut input.as_bytes()), Err(Error::EmptySecret)), "{input:?}");
        }
    }

    #[test]
    fn the_length_limit_is_exact() {
        let secret = |len: u64| vec![b'x'; usize::try_from(len).unwrap()];
        assert!(hash_input(&mut secret(MAX_BYTES).as_slice()).is_ok());
        assert!(matches!(hash_input(&mut secret(MAX_BYTES + 1).as_slice()), Err(Error::LongSecret { .. })));
    }
}
