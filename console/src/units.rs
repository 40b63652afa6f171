//! Quantities as people read them.

/// Bytes in the unit that needs the fewest digits, with one digit behind the point.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|(_, size)| count >= *size) {
        Some((unit, size)) => format!("{} {unit}", decimal(count, size, 1)),
        None => format!("{count} B"),
    }
}

/// Bytes in MB of 1,048,576, as BlueKing's own page shows them.
pub(crate) fn megabytes(count: u64) -> String {
    decimal(count, 1 << 20, 2)
}

/// A quotient with so many digits behind the point, cut off.
fn decimal(count: u64, size: u64, digits: u32) -> String {
    let scale = 10_u128.pow(digits);
    let hundredths = u128::from(count) * scale / u128::from(size.max(1));
    let (whole, rest) = (hundredths / scale, hundredths % scale);
    format!("{whole}.{rest:0width$}", width = digits as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_the_largest_unit_that_fits() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_572_864, "1.5 MiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn megabytes_have_two_digits() {
        assert_eq!(megabytes(0), "0.00");
        assert_eq!(megabytes(1_572_864), "1.50");
        assert_eq!(megabytes(5_243), "0.00");
        assert_eq!(megabytes(10_486), "0.01");
    }
}
