//! Near misses: names that could be the one that was meant.

use crate::alert::ObjectRef;
use crate::playbook::scene::Scene;

impl Scene<'_> {
    /// Names of a kind in a namespace that come close to a name, the closest first.
    #[must_use]
    pub fn near_misses(&self, wanted: &ObjectRef) -> Vec<String> {
        let mut near: Vec<(f64, String)> = self
            .facts
            .names()
            .into_iter()
            .filter(|other| {
                other.kind == wanted.kind && other.namespace == wanted.namespace && other.name != wanted.name
            })
            .filter(|other| differs_little(&other.name, &wanted.name))
            .map(|other| (strsim::jaro_winkler(&other.name, &wanted.name), other.name))
            .filter(|(likeness, _)| *likeness > 0.88)
            .collect();
        near.sort_by(|left, right| right.0.total_cmp(&left.0));
        near.into_iter().map(|(_, name)| name).collect()
    }
}

/// Whether two names could be one that was misspelt: what they begin with together, as those of one application do, says
/// nothing (`portal-web`, `portal-cable`). One that only goes on, and another number, is near.
fn differs_little(left: &str, right: &str) -> bool {
    let shared = left.split('-').zip(right.split('-')).take_while(|(left, right)| left == right).count();
    let rest = |name: &str| name.split('-').skip(shared).collect::<Vec<_>>().join("-");
    let (left, right) = (rest(left), rest(right));
    let letters = |name: &str| name.trim_end_matches(|last: char| last.is_ascii_digit()).to_owned();
    shared == 0
        || left.is_empty()
        || right.is_empty()
        || letters(&left) == letters(&right)
        || abbreviates(&left, &right)
        || abbreviates(&right, &left)
        || strsim::jaro_winkler(&left, &right) > 0.75
}

/// Whether a word is another cut short: `pg` for `postgres`, `db` for `database`.
#[must_use]
pub fn abbreviates(short: &str, long: &str) -> bool {
    let mut rest = long.chars();
    short.len() < long.len()
        && short.len() > 1
        && short.chars().next() == long.chars().next()
        && short.chars().all(|letter| rest.any(|other| other == letter))
}

#[cfg(test)]
mod tests {
    use super::differs_little;

    #[test]
    fn what_applications_names_begin_with_makes_no_slip() {
        for (left, right) in [
            ("order-settings", "order-setting"),
            ("app-v2", "app-v1"),
            ("pg", "pg-primary"),
            ("redis", "rediss"),
            ("promotion-centre", "promotion-center"),
            ("shop-pg", "shop-postgres"),
        ] {
            assert!(differs_little(left, right), "{left} {right}");
        }
        for (left, right) in [("portal-web", "portal-cable"), ("shop-db-prod", "shop-db-test")] {
            assert!(!differs_little(left, right), "{left} {right}");
        }
    }
}
