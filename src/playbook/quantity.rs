//! Resources of Pods and Nodes as numbers that can be compared, and these and lengths of time in words people use.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::playbook::finding::counted;
use crate::playbook::scene::Scene;
use crate::quantity;
use crate::times;

/// Resource names to quantities, as Pods request and Nodes offer them.
pub type Resources = BTreeMap<String, Quantity>;

/// The value of one resource, 0 when it is not named.
#[must_use]
pub fn of(resources: Option<&Resources>, name: &str) -> f64 {
    resources.and_then(|all| all.get(name)).and_then(|quantity| quantity::amount(&quantity.0)).unwrap_or(0.0)
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

impl Scene<'_> {
    /// Minutes as people say them: two hours and more in larger units.
    #[must_use]
    pub fn lasted(&self, minutes: i64) -> String {
        if minutes >= 120 {
            return times::duration(self.lang, minutes * 60);
        }
        self.text(format!("{minutes} 分钟"), counted(minutes, "minute"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_a_person_would_write() {
        assert_eq!(show("cpu", 12.0), "12");
        assert_eq!(show("cpu", 3.9), "3900m");
        assert_eq!(show("memory", 8.0 * 1_073_741_824.0), "8Gi");
        assert_eq!(show("memory", 1.5 * 1_073_741_824.0), "1.5Gi");
        assert_eq!(show("nvidia.com/gpu", 2.0), "2");
    }
}
