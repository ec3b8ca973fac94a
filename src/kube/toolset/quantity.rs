//! Kubernetes quantities (`250m`, `1Gi`, `123456789n`) as numbers.

/// Suffix and what one of it is, in thousandths of the base unit.
const SUFFIXES: &[(&str, f64)] = &[
    ("Ki", 1024e3),
    ("Mi", 1_048_576e3),
    ("Gi", 1_073_741_824e3),
    ("Ti", 1_099_511_627_776e3),
    ("Pi", 1_125_899_906_842_624e3),
    ("Ei", 1_152_921_504_606_846_976e3),
    ("n", 1e-6),
    ("u", 1e-3),
    ("m", 1.0),
    ("k", 1e6),
    ("M", 1e9),
    ("G", 1e12),
    ("T", 1e15),
    ("P", 1e18),
    ("E", 1e21),
];

/// A quantity in thousandths of its unit, rounded up as Kubernetes rounds; none when it is no quantity.
pub(super) fn thousandths(text: &str) -> Option<i64> {
    let suffix = SUFFIXES.iter().find_map(|(suffix, factor)| text.strip_suffix(suffix).map(|digits| (digits, *factor)));
    let (digits, factor) = suffix.unwrap_or((text, 1e3));
    let number: f64 = digits.parse().ok()?;
    let exact = number * factor;
    // Binary floats miss decimal thousandths by a hair; a hair must not round up to a whole one.
    let nearest = exact.round();
    let whole = if (exact - nearest).abs() < 1e-9 * exact.abs().max(1.0) { nearest } else { exact.ceil() };
    Some(whole as i64)
}

/// A quantity in whole units, rounded up.
pub(super) fn units(text: &str) -> Option<i64> {
    thousandths(text).map(|thousandths| thousandths.div_euclid(1000) + i64::from(thousandths.rem_euclid(1000) > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_rounded_up() {
        let cases =
            [("250m", 250), ("96500001n", 97), ("2", 2000), ("0.1", 100), ("1500u", 2), ("1e3", 1_000_000), ("0", 0)];
        for (text, expected) in cases {
            assert_eq!(thousandths(text), Some(expected), "{text}");
        }
        assert_eq!(units("41Mi"), Some(41 * 1024 * 1024));
        assert_eq!(units("100k"), Some(100_000));
        assert_eq!(thousandths("lots"), None);
    }
}
