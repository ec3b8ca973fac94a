//! The order of keys in a YAML map as Go's encoder sorts them.

use std::cmp::Ordering;

use serde_json::{Map, Value};

/// The keys of a map in Go's order.
///
/// That order has circles (`k10` before `k1a` before `k9` before `k10`), at which the standard sort may panic; inserting
/// one key after the other does not, and is quick on keys that are nearly in place.
pub(super) fn sorted_keys(map: &Map<String, Value>) -> Vec<&String> {
    let mut keys: Vec<&String> = map.keys().collect();
    keys.sort_unstable();
    for end in 1..keys.len() {
        let mut at = end;
        while at > 0 && natural_order(keys[at], keys[at - 1]).is_lt() {
            keys.swap(at, at - 1);
            at -= 1;
        }
    }
    keys
}

/// Letters after everything else, runs of digits by their value.
fn natural_order(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = a.iter().zip(&b).position(|(one, other)| one != other) else {
        return a.len().cmp(&b.len());
    };
    let (left, right) = (a[at], b[at]);
    match (left.is_alphabetic(), right.is_alphabetic()) {
        (false, false) => {
            // A zero inside a number counts; one that leads it does not.
            let number_before = a[..at].iter().rev().take_while(|c| c.is_ascii_digit()).any(|c| *c != '0');
            let seed = u64::from(number_before && (left == '0' || right == '0'));
            digits_from(&a, at, seed).cmp(&digits_from(&b, at, seed)).then(left.cmp(&right))
        }
        (left_is_letter, right_is_letter) => left_is_letter.cmp(&right_is_letter).then(left.cmp(&right)),
    }
}

/// Value and length of the run of digits at a place, the value begun with `seed`.
fn digits_from(text: &[char], at: usize, seed: u64) -> (u64, usize) {
    let digits = text[at..].iter().map_while(|c| c.to_digit(10)).map(u64::from);
    digits.fold((seed, 0), |(value, length), digit| (value.saturating_mul(10).saturating_add(digit), length + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(keys: &[&str]) -> Vec<String> {
        let map = keys.iter().map(|key| ((*key).to_owned(), Value::Null)).collect();
        sorted_keys(&map).into_iter().cloned().collect()
    }

    #[test]
    fn numbers_in_keys_are_compared_as_numbers() {
        let keys = sorted(&["k10", "k9", "apiVersion", "Name", "app.kubernetes.io/name", "app", "k", "k1-"]);
        assert_eq!(keys, ["Name", "apiVersion", "app", "app.kubernetes.io/name", "k", "k1-", "k9", "k10"]);
    }

    #[test]
    fn a_circle_of_keys_is_still_sorted_somehow() {
        let keys: Vec<String> = (0..60).flat_map(|n| [format!("k{n}"), format!("k{n}a"), format!("k0{n}")]).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        assert_eq!(sorted(&keys).len(), keys.len());
    }
}
