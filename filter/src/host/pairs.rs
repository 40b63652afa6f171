//! The ABI's own form of a header map: a count, then a pair of lengths for each header, then each name and value with a
//! NUL behind it; numbers are 32 bits, little endian.

/// Reads a map; an empty one may also be no bytes at all. `None` if it is cut short.
pub fn parse(raw: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    if raw.is_empty() {
        return Some(Vec::new());
    }
    let (count, lengths) = take_u32(raw)?;
    let mut texts = lengths.get(count.checked_mul(8)?..)?;
    let mut lengths = lengths;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let (name_len, rest) = take_u32(lengths)?;
        let (value_len, rest) = take_u32(rest)?;
        lengths = rest;
        let (name, rest) = take_text(texts, name_len)?;
        let (value, rest) = take_text(rest, value_len)?;
        texts = rest;
        pairs.push((name, value));
    }
    Some(pairs)
}

fn take_u32(raw: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = raw.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*number)).ok()?, rest))
}

fn take_text(raw: &[u8], len: usize) -> Option<(&[u8], &[u8])> {
    let text = raw.get(..len)?;
    Some((text, raw.get(len.checked_add(1)?..)?))
}

/// The reverse of [`parse`].
pub fn serialize<N: AsRef<str>, V: AsRef<str>>(pairs: &[(N, V)]) -> Vec<u8> {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let mut raw = number(pairs.len()).to_vec();
    for (name, value) in pairs {
        raw.extend(number(name.as_ref().len()));
        raw.extend(number(value.as_ref().len()));
    }
    for (name, value) in pairs {
        raw.extend(name.as_ref().bytes().chain([0]));
        raw.extend(value.as_ref().bytes().chain([0]));
    }
    raw
}
