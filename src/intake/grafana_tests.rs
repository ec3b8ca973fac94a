//! Grafana's payload with what it adds to Alertmanager's.

use serde_json::{Value, json};

use super::*;
use crate::alert::AlertStatus;

const GROUP: &str = include_str!("../../tests/payloads/grafana.json");

fn parsed(change: impl FnOnce(&mut Value)) -> Result<AlertGroup, IntakeError> {
    let mut body: Value = serde_json::from_str(GROUP).unwrap();
    change(&mut body);
    parse_at(body.to_string().as_bytes(), &Limits::default(), "2026-11-23T02:00:00Z".parse().unwrap())
}

#[test]
fn a_group_with_links_and_values() {
    insta::assert_json_snapshot!(parsed(|_| ()).unwrap());
}

/// An alert as a user recorded it of Grafana 12 (grafana/grafana#122730); the values are our own.
#[test]
fn what_a_user_recorded_is_understood() {
    let body = include_str!("../../tests/payloads/grafana-12.json");
    let group = parse_at(body.as_bytes(), &Limits::default(), "2026-11-23T08:00:00Z".parse().unwrap()).unwrap();
    let alert = &group.alerts[0];
    assert_eq!(
        (alert.name(), alert.label("host"), group.status),
        ("Queue disk space", Some("mq-1"), AlertStatus::Firing)
    );
    assert_eq!(alert.starts_at.to_string(), "2026-11-23T07:50:20Z");
    assert!(alert.annotations.values().any(|said| said.contains("6.705")), "{:?}", alert.annotations);
}

#[test]
fn what_the_author_wrote_is_not_replaced() {
    let group =
        parsed(|body| body["alerts"][0]["annotations"]["panel_url"] = json!("https://mine.example.com")).unwrap();
    assert_eq!(group.alerts[0].annotations["panel_url"], "https://mine.example.com");
}

#[test]
fn no_alert_is_lost_for_odd_values() {
    for odd in [Value::Null, json!(5), json!([1]), json!({"A": null, "B": "NaN"})] {
        let group = parsed(|body| {
            for key in ["values", "valueString", "imageURL", "silenceURL", "panelURL", "dashboardURL"] {
                body["alerts"][0][key] = odd.clone();
            }
        });
        assert_eq!(group.unwrap().status, AlertStatus::Firing, "{odd}");
    }
}

#[test]
fn a_receiver_is_taken_as_it_is() {
    let group = parsed(|body| body["receiver"] = json!(r"team\.a")).unwrap();
    assert_eq!(group.receiver, r"team\.a", "only Alertmanager escapes it");
}

#[test]
fn f43_what_is_refused_says_why_and_what_to_do() {
    let said = [
        parsed(|body| body["version"] = json!("4")),
        parsed(|body| *body = json!({"text": "DiskFull"})),
        parsed(|body| *body = json!([])),
        parsed(|body| body["alerts"] = json!(vec![json!({}); 5_001])),
        parsed(|body| body["alerts"][0]["labels"] = json!("x")),
    ];
    let said: Vec<String> = said.map(|answer| answer.unwrap_err().to_string()).into();
    insta::assert_snapshot!(said.join("\n"));
}
