//! Kubernetes quantities such as `500m` and `256Mi`, as numbers that can be compared.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Resource names to quantities, as Pods request and Nodes offer them.
pub type Resources = BTreeMap<String, Quantity>;

const SUFFIXES: [(&str, f64); 13] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
];

/// The value in base units (cores, bytes, pieces); `None` when it is not a quantity.
#[must_use]
pub fn value(text: &str) -> Option<f64> {
    let text = text.trim();
    let (number, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| text.strip_suffix(suffix).map(|number| (number, *factor)))
        .unwrap_or((text, 1.0));
    number.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number * factor)
}

/// The value of one resource, 0 when it is not named.
#[must_use]
pub fn of(resources: Option<&Resources>, name: &str) -> f64 {
    resources.and_then(|all| all.get(name)).and_then(|quantity| value(&quantity.0)).unwrap_or(0.0)
}

/// Writes a sum the way people write requests: cores as `12` or `250m`, bytes in the largest fitting binary unit.
#[must_use]
pub fn show(name: &str, amount: f64) -> String {
    if name == "memory" || name.contains("storage") {
        for (suffix, factor) in [("Gi", 1_073_741_824.0), ("Mi", 1_048_576.0), ("Ki", 1024.0)] {
            if amount >= factor {
                return format!("{}{suffix}", trim(amount / factor));
            }
        }
        return format!("{amount:.0}");
    }
    if amount.fract().abs() < 1e-9 { format!("{amount:.0}") } else { format!("{:.0}m", amount * 1000.0) }
}

fn trim(amount: f64) -> String {
    if amount.fract().abs() < 0.05 { format!("{amount:.0}") } else { format!("{amount:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_suffixes_people_use() {
        let read = |text| value(text).unwrap_or(f64::NAN);
        assert!((read("500m") - 0.5).abs() < 1e-9);
        assert!((read("256Mi") - 268_435_456.0).abs() < 1.0);
        assert!((read("12") - 12.0).abs() < 1e-9);
        assert!((read("1e3") - 1000.0).abs() < 1e-9);
        assert!((read("2G") - 2e9).abs() < 1.0);
        assert_eq!(value("many"), None);
    }

    #[test]
    fn writes_what_a_person_would_write() {
        assert_eq!(show("cpu", 12.0), "12");
        assert_eq!(show("cpu", 3.9), "3900m");
        assert_eq!(show("memory", 8.0 * 1_073_741_824.0), "8Gi");
        assert_eq!(show("memory", 1.5 * 1_073_741_824.0), "1.5Gi");
        assert_eq!(show("nvidia.com/gpu", 2.0), "2");
    }
}
