//! A silence in Alertmanager that matches exactly the alerts of an incident, made because a person asked for it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::alert::{Alert, AlertGroup, Lang};
use crate::notify::post::Address;
use crate::notify::press::Press;
use crate::notify::story::words;
use crate::redact::is_redacted;
use crate::times;

/// Each alert is one silence; more of them are a matter for a person and Alertmanager's own page.
const MOST_ALERTS: usize = 20;
/// Alertmanager keeps a silence at once; the person waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// A silence, as Alertmanager's API takes it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Silence<'a> {
    matchers: Vec<Matcher<'a>>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    created_by: String,
    comment: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Matcher<'a> {
    name: &'a str,
    value: &'a str,
    is_regex: bool,
    is_equal: bool,
}

/// Silences every firing alert of a group. Says until when, or why not.
pub(super) async fn make(
    client: &reqwest::Client,
    address: &str,
    group: &AlertGroup,
    press: &Press,
    (lang, zone): (Lang, &str),
) -> Result<String, String> {
    let firing: BTreeMap<_, &Alert> = group.firing().map(|alert| (&alert.labels, alert)).collect();
    if firing.is_empty() || firing.len() > MOST_ALERTS || firing.keys().any(|labels| labels.is_empty()) {
        let count = firing.len();
        return Err(lang.pick(
            format!("正在触发的告警有 {count} 条，请到 Alertmanager 页面静默"),
            format!("{} firing; silence on Alertmanager's own page", words::counted(count as u64, "alert")),
        ));
    }
    if firing.keys().any(|labels| labels.values().any(|value| is_redacted(value))) {
        let (zh, en) = (
            "有标签的值已脱敏，按它静默不会匹配；请到 Alertmanager 页面静默",
            "A label's value was redacted and would match nothing; silence it on Alertmanager's own page",
        );
        return Err(lang.pick(zh, en).to_owned());
    }
    let now = Timestamp::now();
    let until = now + press.silence_for;
    for (made, alert) in firing.values().enumerate() {
        post(client, address, &silence(alert, press, now, until, lang), lang).await.map_err(|said| match made {
            0 => said,
            // They are not taken back: each silences an alert that somebody wanted silent.
            _ => lang.pick(
                format!("{said}；此前已静默 {made}/{} 条", firing.len()),
                format!("{said}; {made} of {} were silenced before that", firing.len()),
            ),
        })?;
    }
    Ok(silenced(firing.len(), until, lang, zone))
}

fn silenced(count: usize, until: Timestamp, lang: Lang, zone: &str) -> String {
    let until = times::moment(until, zone).unwrap_or_default();
    let alerts = words::counted(count as u64, "alert");
    lang.pick(format!("已静默 {count} 条告警，到 {until}"), format!("{alerts} silenced until {until}"))
}

/// All labels, each by its exact value.
fn silence<'a>(alert: &'a Alert, press: &Press, starts_at: Timestamp, ends_at: Timestamp, lang: Lang) -> Silence<'a> {
    let matcher = |(name, value): (&'a String, &'a String)| Matcher { name, value, is_regex: false, is_equal: true };
    let person = &press.person;
    Silence {
        // An empty value would match every alert without the label, and says nothing Alertmanager does not assume.
        matchers: alert.labels.iter().filter(|(_, value)| !value.is_empty()).map(matcher).collect(),
        starts_at,
        ends_at,
        created_by: format!("firstlook ({person})"),
        comment: lang.pick(
            format!("{person} 在 {} 的卡片上静默", press.channel),
            format!("Silenced by {person} from the card in {}", press.channel),
        ),
    }
}

async fn post(client: &reqwest::Client, address: &str, silence: &Silence<'_>, lang: Lang) -> Result<(), String> {
    let parsed = Address::parse(&address.into()).map_err(|error| format!("alertmanager.url: {error}"))?;
    let request = client.post(format!("{}/api/v2/silences", address.trim_end_matches('/'))).timeout(PATIENCE);
    let reply = parsed.exchange(request.json(silence)).await.map_err(|error| match lang {
        Lang::Zh => format!("Alertmanager {}（{}）", error.reason.meaning(lang), error.detail),
        Lang::En => error.to_string(),
    })?;
    if reply.status.is_success() {
        return Ok(());
    }
    let said = parsed.silence(&String::from_utf8_lossy(&reply.body));
    Err(format!("Alertmanager: HTTP {} {said}", reply.status.as_u16()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::incident::decide::tests::group;
    use crate::notify::press::{Action, Leave};

    fn press() -> Press {
        Press {
            event: "e".into(),
            channel: "oncall".into(),
            message: "m".into(),
            person: "ou_1".into(),
            leave: Leave::Granted,
            action: Action::Silence,
            reason: String::new(),
            silence_for: Duration::from_secs(7_200),
        }
    }

    #[tokio::test]
    async fn what_would_match_nothing_or_everything_is_left_to_a_person() {
        let client = crate::notify::post::client().unwrap();
        let mut group = group(&[("a", crate::alert::AlertStatus::Firing)]);
        let bare = make(&client, "http://nobody.invalid", &group, &press(), (Lang::En, "UTC")).await;
        assert!(bare.unwrap_err().contains("own page"), "without labels it would silence everything");
        group.alerts[0].labels.insert("dsn".into(), "[REDACTED:password:1]".into());
        let redacted = make(&client, "http://nobody.invalid", &group, &press(), (Lang::En, "UTC")).await;
        assert!(redacted.unwrap_err().contains("redacted"));
    }

    #[test]
    fn the_end_of_a_silence_is_told_in_the_configured_zone() {
        let until: Timestamp = "2026-11-26T22:30:00Z".parse().unwrap();
        assert_eq!(silenced(2, until, Lang::Zh, "Asia/Shanghai"), "已静默 2 条告警，到 2026-11-27 06:30:00 +08:00");
        assert_eq!(silenced(1, until, Lang::En, "UTC"), "1 alert silenced until 2026-11-26 22:30:00 UTC");
    }

    #[test]
    fn a_silence_matches_all_labels_and_names_the_person() {
        let mut alert = group(&[("a", crate::alert::AlertStatus::Firing)]).alerts.remove(0);
        alert.labels.insert("pod".into(), "web-0.*".into());
        alert.labels.insert("container".into(), String::new());
        let press = press();
        let now = Timestamp::UNIX_EPOCH;
        let silence = serde_json::to_value(silence(&alert, &press, now, now + press.silence_for, Lang::En)).unwrap();
        let matcher = json!([{"name": "pod", "value": "web-0.*", "isRegex": false, "isEqual": true}]);
        assert_eq!(silence["matchers"], matcher);
        assert_eq!(silence["endsAt"], "1970-01-01T02:00:00Z");
        assert!(silence["comment"].as_str().unwrap().contains("ou_1"));
    }
}
