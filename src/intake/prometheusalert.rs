//! PrometheusAlert's address, for those who come from it: the same query and body, to channels that are configured here.
//!
//! The query names addresses (`fsurl`, `wxurl`, `email`, …). None of them is ever used: they are only compared with the
//! entries of `server.prometheusalert`, and what matches none goes by `routes` like any other alert. `tpl` is not rendered.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{IntakeError, Limits, alertmanager, grafana};
use crate::alert::{AlertGroup, Source};

/// Where alerts go that were sent to PrometheusAlert with such a query.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// Name of this destination; alerts carry it as their receiver.
    pub receiver: String,
    /// Parameters the query must carry with exactly these values: `type`, `tpl`, `fsurl`, `wxurl`, `email` and so on; none
    /// match every query. Addresses are compared, never called.
    #[serde(default, rename = "match")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub matches: BTreeMap<String, SecretString>,
    /// Names of channels, in place of those of `routes`.
    pub channels: Vec<String>,
}

/// Reads a body that came with a query, received now.
///
/// # Errors
/// When the body is neither Alertmanager's nor Grafana's, or is too large; see [`IntakeError::status`].
pub fn parse(
    body: &[u8],
    query: &[(String, String)],
    destinations: &[Destination],
    limits: &Limits,
) -> Result<AlertGroup, IntakeError> {
    let now = Timestamp::now();
    let mut group = match alertmanager::parse_at(body, limits, now) {
        // People send Grafana's alerts to PrometheusAlert too, and nothing in the address tells.
        Err(IntakeError::WrongVersion { found, .. }) if found == grafana::FORMAT.version => {
            grafana::parse_at(body, limits, now)
        }
        read => read,
    }?;
    group.source = Source::PrometheusAlert;
    let receiver = destination(query, destinations).map_or("", |one| one.receiver.as_str());
    // The same group sent to two destinations is told in both.
    group.group_key = format!("{receiver}/{}", group.group_key);
    receiver.clone_into(&mut group.receiver);
    Ok(group)
}

/// The first entry all of whose parameters the query carries.
fn destination<'a>(query: &[(String, String)], destinations: &'a [Destination]) -> Option<&'a Destination> {
    let carries = |name: &str, value: &SecretString| {
        query.iter().any(|(key, given)| key == name && given == value.expose_secret())
    };
    destinations.iter().find(|one| one.matches.iter().all(|(name, value)| carries(name, value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn destinations() -> Vec<Destination> {
        serde_json::from_value(json!([
            {"receiver": "pay", "match": {"type": "fs", "fsurl": "https://open.feishu.cn/x"}, "channels": ["pay"]},
            {"receiver": "feishu", "match": {"type": "fs"}, "channels": ["oncall"]},
        ]))
        .unwrap()
    }

    fn sent(query: &[(&str, &str)], body: &str) -> Result<AlertGroup, IntakeError> {
        let query: Vec<_> = query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        parse(body.as_bytes(), &query, &destinations(), &Limits::default())
    }

    const BODY: &str =
        r#"{"version":"4","groupKey":"{}:{}","receiver":"web\\.hook","alerts":[{"labels":{"alertname":"X"}}]}"#;

    #[test]
    fn the_query_chooses_among_what_is_configured() {
        let receiver = |query: &[(&str, &str)]| sent(query, BODY).unwrap().receiver;
        assert_eq!(receiver(&[("type", "fs"), ("tpl", "t"), ("fsurl", "https://open.feishu.cn/x")]), "pay");
        assert_eq!(receiver(&[("type", "fs"), ("fsurl", "http://169.254.169.254/")]), "feishu");
        assert_eq!(receiver(&[("type", "wx"), ("wxurl", "http://evil.example")]), "", "it goes by routes");
    }

    /// As Alertmanager 0.25 sent it to a receiver whose address was PrometheusAlert's.
    const RECORDED: &str = include_str!("../../tests/payloads/prometheusalert.http");

    #[test]
    fn a_recorded_request_is_read_as_it_came() {
        let (head, body) = RECORDED.split_once("\n\n").unwrap();
        let query = head.split(['?', ' ']).nth(2).unwrap();
        let query: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        assert_eq!(query.len(), 6, "{query:?}");
        let group = parse(body.as_bytes(), &query, &destinations(), &Limits::default()).unwrap();
        assert_eq!((group.source, group.receiver.as_str()), (Source::PrometheusAlert, "feishu"));
        let named: Vec<_> = group.alerts.iter().map(|alert| (alert.name(), alert.labels["pod"].as_str())).collect();
        assert_eq!(
            named,
            [("KubePodCrashLooping", "pay-api-7c9d8b6f5-q9k2m"), ("KubePodCrashLooping", "pay-api-7c9d8b6f5-x2x4z"),]
        );
        assert!(group.group_key.contains("namespace=\"pay\""), "{}", group.group_key);
        let kept = serde_json::to_string(&group).unwrap();
        assert!(!kept.contains("11112222") && !kept.contains("open.feishu.cn"), "no address of the query: {kept}");
    }

    #[test]
    fn no_address_of_a_query_is_kept() {
        let group = sent(&[("type", "wx"), ("wxurl", "http://evil.example/hook")], BODY).unwrap();
        assert!(!serde_json::to_string(&group).unwrap().contains("evil"));
    }

    #[test]
    fn a_group_sent_to_two_destinations_is_two_groups() {
        let key = |kind| sent(&[("type", kind)], BODY).unwrap().group_key;
        assert_ne!(key("fs"), key("wx"));
    }

    #[test]
    fn grafanas_body_is_read_and_others_are_refused() {
        let grafana = sent(&[("type", "fs")], include_str!("../../tests/payloads/grafana.json")).unwrap();
        assert_eq!((grafana.source, grafana.alerts.len()), (Source::PrometheusAlert, 2));
        let error = sent(&[("type", "fs")], r#"{"version":"2","alerts":[{}]}"#).unwrap_err();
        assert!(error.to_string().contains("version \"4\""), "{error}");
    }
}
