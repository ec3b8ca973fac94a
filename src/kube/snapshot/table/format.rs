//! Pieces that many kinds' cells are made of: ages, label sets, containers.

use jiff::Timestamp;
use serde_json::Value;

const NONE: &str = "<none>";

/// Text at a JSON pointer, empty when absent.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Text at a JSON pointer, or what kubectl writes instead of nothing.
pub(super) fn text_or<'a>(object: &'a Value, pointer: &str, absent: &'a str) -> &'a str {
    Some(text(object, pointer)).filter(|text| !text.is_empty()).unwrap_or(absent)
}

/// A whole number at a JSON pointer, 0 when absent.
pub(super) fn count(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// A list at a JSON pointer, empty when absent.
pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A point in time at a JSON pointer.
pub(super) fn time(object: &Value, pointer: &str) -> Option<Timestamp> {
    text(object, pointer).parse().ok()
}

/// How long ago a point in time was, `<unknown>` when there is none.
pub(super) fn since(time: Option<Timestamp>, now: Timestamp) -> String {
    time.map_or_else(|| "<unknown>".to_owned(), |time| duration(now.duration_since(time).as_secs()))
}

/// The age of an object.
pub(super) fn age(object: &Value, now: Timestamp) -> Value {
    since(time(object, "/metadata/creationTimestamp"), now).into()
}

/// The name of an object.
pub(super) fn name(object: &Value) -> Value {
    text(object, "/metadata/name").into()
}

/// A duration in seconds the way kubectl rounds it: two units at most, the second dropped as the first grows.
pub(super) fn duration(seconds: i64) -> String {
    let two = |value: i64, unit: &str, rest: i64, small: &str| {
        if rest == 0 { format!("{value}{unit}") } else { format!("{value}{unit}{rest}{small}") }
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => two(days, "d", hours % 24, "h"),
        _ if days < 730 => format!("{days}d"),
        _ if days < 2920 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

/// A map as `a=1,b=2`, sorted by key.
pub(super) fn pairs(map: &Value) -> String {
    let mut pairs: Vec<String> = map
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    pairs.sort_unstable();
    if pairs.is_empty() { NONE.to_owned() } else { pairs.join(",") }
}

/// A label selector (`matchLabels`, `matchExpressions`) in the notation of a query.
pub(super) fn selector(selector: &Value) -> String {
    let mut terms: Vec<(String, String)> = selector["matchLabels"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), format!("{key}={}", value.as_str().unwrap_or_default())))
        .collect();
    for requirement in list(selector, "/matchExpressions") {
        let key = text(requirement, "/key");
        let mut values: Vec<&str> = list(requirement, "/values").iter().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        let term = match text(requirement, "/operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        };
        terms.push((key.to_owned(), term));
    }
    terms.sort();
    let terms: Vec<String> = terms.into_iter().map(|(_, term)| term).collect();
    if terms.is_empty() { NONE.to_owned() } else { terms.join(",") }
}

/// One field of each container of a Pod spec, joined.
pub(super) fn containers(spec: &Value, field: &str) -> Value {
    let values: Vec<&str> =
        list(spec, "/containers").iter().filter_map(|container| container[field].as_str()).collect();
    values.join(",").into()
}

/// At most three entries, and how many were left out.
pub(super) fn first_three(entries: &[String]) -> String {
    let shown = entries[..entries.len().min(3)].join(",");
    if entries.len() > 3 { format!("{shown} + {} more...", entries.len() - 3) } else { shown }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_are_rounded_as_kubectl_rounds_them() {
        let cases = [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (469, "7m49s"),
            (601, "10m"),
            (10_800, "3h"),
            (10_860, "3h1m"),
            (100_000, "27h"),
            (200_000, "2d7h"),
            (864_000, "10d"),
            (80_000_000, "2y195d"),
            (-5, "<invalid>"),
        ];
        for (seconds, shown) in cases {
            assert_eq!(duration(seconds), shown, "{seconds}");
        }
    }

    #[test]
    fn selectors_are_written_as_queries() {
        let both = json!({"matchLabels": {"b": "1"}, "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["y", "x"]}, {"key": "c", "operator": "DoesNotExist"}]});
        assert_eq!(selector(&both), "a in (x,y),b=1,!c");
        assert_eq!(selector(&json!({})), "<none>");
    }
}
