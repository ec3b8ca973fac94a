//! Webhook bodies: the alert of the pending pod, each time as another group.

use serde_json::Value;

/// Kubernetes' view of the trouble is in this scenario; its alert is what Alertmanager sends.
pub const SCENARIO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/01-pvc-provisioner-missing");

/// Each team has a group chat of its own: bots take 100 messages a minute, and Firstlook keeps to that.
pub const TEAMS: usize = 50;

/// What stands before an alert's number in its name.
const MARK: &str = "Bench";

/// The body of one alert, as bytes to send.
pub fn body(number: usize) -> Vec<u8> {
    let text = std::fs::read_to_string(format!("{SCENARIO}/alert.json")).unwrap();
    let mut body: Value = serde_json::from_str(&text).unwrap();
    body["groupKey"] = format!("{{}}:{{bench=\"{number}\"}}").into();
    let team = format!("t{}", number % TEAMS);
    for (index, alert) in body["alerts"].as_array_mut().unwrap().iter_mut().enumerate() {
        alert["labels"]["alertname"] = format!("{MARK}{number:06}").into();
        alert["labels"]["team"] = team.as_str().into();
        alert["fingerprint"] = format!("{:016x}", number * 2 + index).into();
    }
    body["commonLabels"]["team"] = team.into();
    serde_json::to_vec(&body).unwrap()
}

/// The same alerts, over.
pub fn over(number: usize) -> Vec<u8> {
    let mut body: Value = serde_json::from_slice(&body(number)).unwrap();
    body["status"] = "resolved".into();
    for alert in body["alerts"].as_array_mut().unwrap() {
        alert["status"] = "resolved".into();
        alert["endsAt"] = "2026-11-23T03:59:00Z".into();
    }
    serde_json::to_vec(&body).unwrap()
}

/// The numbers of all alerts a message names.
pub fn numbers_in(message: &str) -> Vec<usize> {
    let mut numbers: Vec<usize> = message.split(MARK).skip(1).filter_map(|rest| rest.get(..6)?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// The number of the alert a message is about.
pub fn number_in(message: &str) -> Option<usize> {
    let (_, rest) = message.split_once(MARK)?;
    rest.get(..6)?.parse().ok()
}
