//! `linkgate secret hash`: what a policy holds instead of a secret.
//!
//! Promises: the secret is read from standard input and nowhere else, and is not printed. Refuses secrets that could be guessed:
//! a digest has no salt, so one of a secret that somebody made up can be looked up.

use std::io::{IsTerminal, Read, Write};

use secrecy::{ExposeSecret, SecretSlice};
use sha2::{Digest, Sha256};

use crate::error::Error;

/// Longer than any credential that fits into a header.
const MAX_BYTES: u64 = 64 << 10;
/// Random secrets of 20 letters and digits have more; words and dates have less.
const MIN_ENTROPY_BITS: f64 = 64.0;

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
    if entropy_bits(secret) < MIN_ENTROPY_BITS {
        return Err(Error::WeakSecret);
    }
    Ok(format!("{}\n", hex::encode(Sha256::digest(secret))))
}

/// How many bits a secret has at the most, by how often each of its bytes occurs in it.
fn entropy_bits(secret: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in secret {
        counts[usize::from(*byte)] += 1;
    }
    let count = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    let bits_of = |times: &u32| f64::from(*times) * (count(secret.len()) / f64::from(*times)).log2();
    counts.iter().filter(|times| **times > 0).map(bits_of).sum()
}

/// Takes off the one newline that `echo` and editors add.
fn strip_newline(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\r\n").or_else(|| bytes.strip_suffix(b"\n")).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALPHABET: &str = "abcdefghijklmnopqrstuvwxyz";
    const DIGEST: &str = "71c480df93d6ae2f1efad1447c66c9525e316218cf51fc8d9ed832f2daf18b73\n";

    #[test]
    fn one_trailing_newline_does_not_count() {
        for end in ["", "\n", "\r\n"] {
            assert_eq!(hash_input(&mut format!("{ALPHABET}{end}").as_bytes()).unwrap(), DIGEST, "{end:?}");
        }
        for input in [format!("{ALPHABET}\n\n"), format!(" {ALPHABET}"), format!("{ALPHABET} ")] {
            assert_ne!(hash_input(&mut input.as_bytes()).unwrap(), DIGEST, "{input:?}");
        }
    }

    #[test]
    fn a_secret_that_could_be_guessed_is_refused() {
        for weak in ["abc", "password", "correct-horse-1", "2026-11-28 20:20", "0123456789abcde", &"ab".repeat(30)] {
            assert!(matches!(hash_input(&mut weak.as_bytes()), Err(Error::WeakSecret)), "{weak}");
        }
        for good in ["00112233445566778899aabbccddeeff", "7Kq2vXw9ZbR4tYn8LmPd", "0198c3a4-5f00-7abc-8def-0123456789ab"]
        {
            assert!(hash_input(&mut good.as_bytes()).is_ok(), "{good}");
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
        let secret = |len: u64| ALPHABET.bytes().cycle().take(usize::try_from(len).unwrap()).collect::<Vec<_>>();
        assert!(hash_input(&mut secret(MAX_BYTES).as_slice()).is_ok());
        assert!(matches!(hash_input(&mut secret(MAX_BYTES + 1).as_slice()), Err(Error::LongSecret { .. })));
    }
}
