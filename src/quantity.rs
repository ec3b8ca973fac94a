//! Kubernetes quantities (`250m`, `1Gi`, `123456789n`) as numbers.

/// Suffix and how many of the base unit it stands for.
const SUFFIXES: &[(&str, f64)] = &[
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];

/// A quantity in its base unit (cores, bytes, pieces); `None` when it is not one.
#[must_use]
pub fn amount(text: &str) -> Option<f64> {
    let text = text.trim();
    let suffix = SUFFIXES.iter().find_map(|(suffix, factor)| text.strip_suffix(suffix).map(|digits| (digits, *factor)));
    let (digits, factor) = suffix.unwrap_or((text, 1.0));
    digits.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number * factor)
}

/// Rounded up to a whole number, as Kubernetes rounds.
#[must_use]
pub fn round_up(exact: f64) -> i64 {
    let nearest = exact.round();
    // Binary floats miss decimal fractions by a hair; a hair must not become a whole one.
    let whole = if (exact - nearest).abs() < 1e-9 * exact.abs().max(1.0) { nearest } else { exact.ceil() };
    whole as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_rounded_up() {
        let thousandths = |text: &str| amount(text).map(|units| round_up(units * 1000.0));
        let cases =
            [("250m", 250), ("96500001n", 97), ("2", 2000), ("0.1", 100), ("1500u", 2), ("1e3", 1_000_000), ("0", 0)];
        for (text, expected) in cases {
            assert_eq!(thousandths(text), Some(expected), "{text}");
        }
        assert_eq!(amount("41Mi"), Some(42_991_616.0));
        assert_eq!(amount("100k"), Some(100_000.0));
        assert_eq!(amount("256Mi"), Some(268_435_456.0));
        assert_eq!((amount("lots"), amount("inf"), amount("")), (None, None, None));
    }
}
