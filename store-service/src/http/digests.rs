//! Digests of a body that stand in its headers.
//!
//! Promises: each that is given is compared, and one that cannot be read is refused: passed over, it would have its caller believe
//! that it was. `Content-Digest` and `Repr-Digest` (RFC 9530) may name algorithms that are not known here beside those that
//! are.

use aws_lc_rs::digest::{Context, SHA256, SHA512};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use linkgate_contract::{ErrorCode, Problem, Sha256, Text};
use md5::{Digest as _, Md5};
use warp::http::HeaderMap;

const CONTENT_DIGEST: &str = "content-digest";
const REPR_DIGEST: &str = "repr-digest";
const CONTENT_MD5: &str = "content-md5";
const X_CHECKSUM_SHA256: &str = "x-checksum-sha256";

/// A digest of a whole body, and the header that it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BodyDigest {
    pub(super) header: &'static str,
    pub(super) algorithm: Algorithm,
    value: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Sha256,
    Sha512,
    Md5,
}

impl Algorithm {
    fn from_key(key: &str) -> Option<Self> {
        match key {
            "sha-256" => Some(Self::Sha256),
            "sha-512" => Some(Self::Sha512),
            _ => None,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
            Self::Md5 => 16,
        }
    }
}

impl BodyDigest {
    /// As the digest of a file, if it is one and the body is the file.
    pub(super) fn as_sha256(&self) -> Option<Sha256> {
        let is_one = self.algorithm == Algorithm::Sha256;
        <[u8; 32]>::try_from(self.value.as_slice()).ok().filter(|_| is_one).map(Sha256::from_bytes)
    }
}

/// The digest of the file itself, `X-Checksum-Sha256`.
pub(super) fn read_file_digest(headers: &HeaderMap) -> Result<Vec<Sha256>, Problem> {
    let values = headers.get_all(X_CHECKSUM_SHA256).iter();
    values
        .map(|value| {
            let digits = value.to_str().unwrap_or_default().trim();
            Sha256::parse_any_case(digits).map_err(|error| Problem::field(X_CHECKSUM_SHA256, error.caller_message()))
        })
        .collect()
}

/// The digests of the body as it comes.
pub(super) fn read_body_digests(headers: &HeaderMap) -> Result<Vec<BodyDigest>, Problem> {
    let mut digests = Vec::new();
    for header in [CONTENT_DIGEST, REPR_DIGEST] {
        for line in headers.get_all(header) {
            let line = line.to_str().map_err(|_| unreadable(header))?;
            for member in line.split(',').filter(|member| !member.trim().is_empty()) {
                digests.extend(read_member(header, member).ok_or_else(|| unreadable(header))?);
            }
        }
    }
    for value in headers.get_all(CONTENT_MD5) {
        let value = STANDARD.decode(value.as_bytes().trim_ascii()).ok().filter(|value| value.len() == 16);
        let value = value.ok_or_else(|| unreadable(CONTENT_MD5))?;
        digests.push(BodyDigest { header: CONTENT_MD5, algorithm: Algorithm::Md5, value });
    }
    Ok(digests)
}

/// A member of the dictionary, `key=:base64:`; `None` within if its algorithm is not known here.
fn read_member(header: &'static str, member: &str) -> Option<Option<BodyDigest>> {
    let (key, value) = member.trim().split_once('=')?;
    // Parameters mean nothing here.
    let value = value.split(';').next()?.trim_end().strip_prefix(':')?.strip_suffix(':')?;
    let value = STANDARD.decode(value).ok()?;
    let Some(algorithm) = Algorithm::from_key(key) else { return Some(None) };
    (value.len() == algorithm.bytes()).then_some(Some(BodyDigest { header, algorithm, value }))
}

fn unreadable(header: &'static str) -> Problem {
    let text = if header == CONTENT_MD5 {
        Text::fixed("请提供 16 字节 MD5 的 Base64 编码。", "Must be the 16 bytes of an MD5, in base64.")
    } else {
        Text::fixed(
            "请使用 RFC 9530 的格式，例如 sha-256=:…:，值为 Base64 编码。",
            "Must be as RFC 9530 has it, such as sha-256=:…:, with the digest in base64.",
        )
    };
    Problem::field(header, text)
}

/// Digests that are being made of a body.
#[derive(Default)]
pub(super) struct Digesting(Vec<(BodyDigest, Hasher)>);

enum Hasher {
    Sha(Context),
    Md5(Md5),
}

impl Digesting {
    /// What these will be held against.
    pub(super) fn new(digests: Vec<BodyDigest>) -> Self {
        let hasher = |algorithm| match algorithm {
            Algorithm::Sha256 => Hasher::Sha(Context::new(&SHA256)),
            Algorithm::Sha512 => Hasher::Sha(Context::new(&SHA512)),
            Algorithm::Md5 => Hasher::Md5(Md5::new()),
        };
        Self(digests.into_iter().map(|digest| (hasher(digest.algorithm), digest)).map(|(h, d)| (d, h)).collect())
    }

    /// The next bytes of the body.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        for (_, hasher) in &mut self.0 {
            match hasher {
                Hasher::Sha(context) => context.update(bytes),
                Hasher::Md5(md5) => md5.update(bytes),
            }
        }
    }

    /// The body has ended: compares.
    pub(super) fn compare(&mut self) -> Result<(), Problem> {
        for (digest, hasher) in self.0.drain(..) {
            let is_same = match hasher {
                Hasher::Sha(context) => context.finish().as_ref() == digest.value,
                Hasher::Md5(md5) => md5.finalize()[..] == digest.value[..],
            };
            if !is_same {
                return Err(mismatch(digest.header));
            }
        }
        Ok(())
    }
}

fn mismatch(header: &str) -> Problem {
    Problem::with_detail(
        ErrorCode::ChecksumMismatch,
        Text::made(format!("请求体与 {header} 不一致"), format!("The body is not the one that {header} names")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    /// Of `abc`.
    const SHA256_ABC: &str = "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:";
    const SHA512_ABC: &str =
        "sha-512=:3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==:";
    const MD5_ABC: &str = "kAFQmDzST7DWlj99KOF/cg==";

    fn compare(all: &[(&'static str, &str)], body: &[u8]) -> Result<(), ErrorCode> {
        let mut digesting = Digesting::new(read_body_digests(&headers(all)).unwrap());
        body.chunks(2).for_each(|piece| digesting.update(piece));
        digesting.compare().map_err(|problem| problem.code())
    }

    #[test]
    fn every_digest_that_is_given_must_match() {
        let both = format!("{SHA512_ABC}, unixsum=:AAAA:, {SHA256_ABC};x=1");
        for all in [
            &[(CONTENT_DIGEST, SHA256_ABC)][..],
            &[(REPR_DIGEST, SHA512_ABC)],
            &[(CONTENT_MD5, MD5_ABC)],
            &[(CONTENT_DIGEST, &both), (REPR_DIGEST, SHA256_ABC), (CONTENT_MD5, MD5_ABC)],
        ] {
            assert_eq!(compare(all, b"abc"), Ok(()), "{all:?}");
            assert_eq!(compare(all, b"abd"), Err(ErrorCode::ChecksumMismatch), "{all:?}");
        }
        assert_eq!(compare(&[(CONTENT_DIGEST, "md5=:AAAA:")], b"abc"), Ok(()), "nobody here knows it");
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for bad in ["sha-256", "sha-256=ungWv4", "sha-256=:ungWv4:", "sha-256=:!:", "sha-512=:AAAA:", "x=y"] {
            assert!(read_body_digests(&headers(&[(CONTENT_DIGEST, bad)])).is_err(), "{bad}");
        }
        assert!(read_body_digests(&headers(&[(CONTENT_MD5, "AAAA")])).is_err());
        assert!(read_file_digest(&headers(&[(X_CHECKSUM_SHA256, "ab")])).is_err());
        let digits = "AB".repeat(32);
        assert_eq!(read_file_digest(&headers(&[(X_CHECKSUM_SHA256, &digits)])).unwrap().len(), 1);
        assert!(read_body_digests(&headers(&[])).unwrap().is_empty());
    }

    #[test]
    fn a_digest_of_the_file_is_told_from_others() {
        let digests = read_body_digests(&headers(&[(CONTENT_DIGEST, SHA256_ABC), (CONTENT_MD5, MD5_ABC)])).unwrap();
        assert_eq!(digests.iter().filter_map(BodyDigest::as_sha256).count(), 1);
    }
}
