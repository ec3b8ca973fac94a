//! Nightingale's events, alone and in lists.

use serde_json::{Value, json};

use super::*;

const EVENT: &str = include_str!("../../tests/payloads/nightingale.json");

fn event(change: impl FnOnce(&mut Value)) -> Value {
    let mut event: Value = serde_json::from_str(EVENT).unwrap();
    change(&mut event);
    event
}

fn parsed(body: &Value) -> Result<Vec<AlertGroup>, IntakeError> {
    parse_at(body.to_string().as_bytes(), &Limits::default(), "2026-11-23T02:00:00Z".parse().unwrap())
}

fn recovered(event: &mut Value) {
    event["is_recovered"] = json!(true);
    event["recover_time"] = json!(1_795_399_000);
}

#[test]
fn one_event_with_every_field() {
    insta::assert_json_snapshot!(parsed(&event(|_| ())).unwrap());
}

/// Fields and types as a user recorded them of Nightingale 5.15 (ccfos/nightingale#1355), which splits tags without any into
/// an empty one; the values are our own.
#[test]
fn what_a_user_recorded_is_understood() {
    let event: Value = serde_json::from_str(include_str!("../../tests/payloads/nightingale-5.json")).unwrap();
    let groups = parsed(&event).unwrap();
    let alert = &groups[0].alerts[0];
    assert_eq!((alert.name(), alert.label("ident")), ("机器内存不足", Some("pay-node-3")));
    assert_eq!((alert.label("severity"), alert.label("")), (Some("warning"), None));
    assert_eq!(alert.starts_at.as_second(), 1_795_398_660);
}

#[test]
fn a_list_of_one_says_the_same_as_the_object() {
    assert_eq!(parsed(&json!([event(|_| ())])).unwrap(), parsed(&event(|_| ())).unwrap());
}

#[test]
fn events_of_one_rule_make_one_group_and_other_rules_their_own() {
    let groups = parsed(&json!([
        event(|_| ()),
        event(|other| {
            other["rule_id"] = json!(18);
            other["hash"] = json!("other");
        }),
        event(|series| series["hash"] = json!("second")),
    ]))
    .unwrap();
    let sizes: Vec<usize> = groups.iter().map(|group| group.alerts.len()).collect();
    assert_eq!(sizes, [2, 1]);
    assert_ne!(groups[0].group_key, groups[1].group_key);
}

#[test]
fn one_series_that_recovers_is_no_end_of_the_group() {
    let groups = parsed(&event(recovered)).unwrap();
    assert_eq!(groups[0].status, AlertStatus::Resolved);
    assert!(groups[0].is_partial());
    assert_eq!(groups[0].alerts[0].ends_at, Some(Timestamp::from_second(1_795_399_000).unwrap()));
    let firing = parsed(&event(|event| event["hash"] = json!("still firing"))).unwrap();
    assert_eq!(firing[0].group_key, groups[0].group_key);
}

#[test]
fn a_series_that_stands_twice_is_as_it_stands_last() {
    let groups = parsed(&json!([event(|_| ()), event(recovered)])).unwrap();
    assert_eq!(groups[0].alerts.len(), 1);
    assert_eq!(groups[0].status, AlertStatus::Resolved);
}

#[test]
fn severities_have_the_names_routes_know() {
    for (number, word) in [(1, "critical"), (2, "warning"), (3, "info")] {
        let groups = parsed(&event(|event| event["severity"] = json!(number))).unwrap();
        assert_eq!(groups[0].alerts[0].label("severity"), Some(word));
    }
}

#[test]
fn f43_what_is_refused_says_why_and_what_to_do() {
    let said = [
        json!({"text": "hello"}),
        json!({"rule_name": "x"}),
        json!([]),
        json!("text"),
        json!([1]),
        event(|event| event["trigger_time"] = json!("yesterday")),
        event(|event| event["tags"] = json!((0..300).map(|n| format!("l{n}=v")).collect::<Vec<_>>())),
        json!(vec![event(|_| ()); 5_001]),
    ];
    let said: Vec<String> = said.iter().map(|body| parsed(body).unwrap_err().to_string()).collect();
    insta::assert_snapshot!(said.join("\n"));
}
