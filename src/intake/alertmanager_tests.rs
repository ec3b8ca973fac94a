//! Alertmanager's payload with all its quirks.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::convert::MAX_KEY_BYTES;
use super::*;
use crate::alert::{Alert, AlertStatus};

/// Everything Alertmanager up to 0.34 sends: a mixed group, an escaped receiver, the new fields, offsets in times.
const MIXED: &str = r#"{"version":"4","groupKey":"{}:{alertname=\"HighCPU\"}","truncatedAlerts":3,"status":"firing",
 "receiver":"ai\\.ops","notification_reason":"some alerts resolved","groupLabels":{"alertname":"HighCPU"},
 "commonLabels":{"alertname":"HighCPU","severity":"critical"},"commonAnnotations":null,"routeLabels":{"team":"x"},
 "externalURL":"http://am:9093","fromTheFuture":{"deep":[1,[2,{"x":null}]]},
 "alerts":[
  {"status":"firing","labels":{"alertname":"HighCPU","severity":"critical","device":"D:\\*<at id=all></at>"},
   "annotations":{"summary":"95%"},"startsAt":"2026-11-23T01:00:00.123456789Z","endsAt":"0001-01-01T00:00:00Z",
   "generatorURL":"http://prom/graph?g0.expr=up%3D%3D0\u0026g0.tab=1","fingerprint":"1a30ba71cca2921f"},
  {"status":"resolved","labels":{"alertname":"HighCPU","severity":"critical","instance":"b"},"annotations":{},
   "startsAt":"2026-11-23T09:00:00+08:00","endsAt":"2026-11-23T01:20:00Z","generatorURL":"",
   "fingerprint":"c6eadffa33fcdf37"}]}"#;

fn now() -> Timestamp {
    "2026-11-23T02:00:00Z".parse().unwrap()
}

fn parse_text(body: &str) -> Result<AlertGroup, IntakeError> {
    parse_at(body.as_bytes(), &Limits::default(), now())
}

fn body(change: impl FnOnce(&mut Value)) -> String {
    let mut body: Value = serde_json::from_str(MIXED).unwrap();
    change(&mut body);
    body.to_string()
}

fn one_alert(alert: Value) -> Alert {
    parse_text(&body(|body| body["alerts"] = json!([alert]))).unwrap().alerts.remove(0)
}

#[test]
fn a_mixed_group_with_every_field() {
    insta::assert_json_snapshot!(parse_text(MIXED).unwrap());
}

#[test]
fn a_resolved_group_is_resolved_whatever_its_status_says() {
    let group = parse_text(&body(|body| {
        body["alerts"].as_array_mut().unwrap().remove(0);
    }));
    assert_eq!(group.unwrap().status, AlertStatus::Resolved);
}

#[test]
fn maps_may_be_null_or_missing() {
    let group =
        parse_text(r#"{"version":"4","groupLabels":null,"alerts":[{"labels":null},{"annotations":null}]}"#).unwrap();
    assert_eq!(group.status, AlertStatus::Firing);
    assert_eq!(group.group_key, "{}:{}");
    assert_eq!(group.alerts.len(), 2);
    assert_eq!(group.alerts[0].name(), "(no alertname)");
}

#[test]
fn times_a_sender_leaves_out() {
    let zero = "0001-01-01T00:00:00Z";
    let firing = one_alert(json!({"status": "firing", "startsAt": zero, "endsAt": "2027-01-01T00:00:00Z"}));
    assert_eq!((firing.starts_at, firing.ends_at), (now(), None), "a firing alert has not ended");
    let resolved = one_alert(json!({"status": "resolved", "startsAt": "2026-11-23T01:00:00Z", "endsAt": zero}));
    assert_eq!(resolved.ends_at, Some(now()), "resolved without an end ended when we heard of it");
    let silent = one_alert(json!({"endsAt": "2026-11-23T01:30:00Z"}));
    assert_eq!(silent.status, AlertStatus::Resolved, "without a status the end decides");
    assert_eq!(silent.starts_at, "2026-11-23T01:30:00Z".parse().unwrap(), "it never begins after its end");
    assert_eq!(one_alert(json!({"startsAt": ""})).starts_at, now());
}

#[test]
fn a_missing_fingerprint_is_computed_as_prometheus_does() {
    let labels = json!({"name": "garland, briggs", "fear": "love is not enough"});
    let expected = format!("{:016x}", 5_799_056_148_416_392_346_u64);
    assert_eq!(one_alert(json!({"labels": labels})).fingerprint, expected);
    assert_eq!(one_alert(json!({"labels": labels, "fingerprint": " "})).fingerprint, expected);
    assert_eq!(one_alert(json!({"labels": labels, "fingerprint": "x".repeat(5_000)})).fingerprint, expected);
    assert_eq!(one_alert(json!({"labels": labels, "fingerprint": "abc"})).fingerprint, "abc");
}

#[test]
fn receivers_lose_only_what_quoting_added() {
    for (sent, meant) in
        [(r"team\.a", "team.a"), (r"a\\b", r"a\b"), (r"\[x\]\$", "[x]$"), (r"plain", "plain"), (r"a\d\", r"a\d\")]
    {
        assert_eq!(unescape(sent), meant);
    }
}

#[test]
fn secrets_are_gone_and_groups_stay_apart() {
    let with = |password: &str| {
        let text = body(|body| {
            let url = format!("redis://:{password}@redis:6379");
            body["groupKey"] = json!(format!("{{}}:{{url=\"{url}\"}}"));
            body["commonAnnotations"] = json!({"token": "abcdef123"});
            body["alerts"][0]["labels"]["url"] = json!(url);
            body["alerts"][0]["annotations"]["description"] = json!(format!("cannot reach {url}"));
        });
        parse_text(&text).unwrap()
    };
    let (one, two) = (with("hunter2"), with("hunter3"));
    let text = serde_json::to_string(&one).unwrap();
    assert!(!text.contains("hunter2") && !text.contains("abcdef123"), "{text}");
    assert_eq!(one.alerts[0].labels["url"], "redis://:[REDACTED:url_password:1]@redis:6379");
    assert_eq!(one.alerts[0].annotations["description"], "cannot reach redis://:[REDACTED:url_password:1]@redis:6379");
    assert_ne!(one.group_key, two.group_key);
    assert_eq!(one.group_key, with("hunter2").group_key);
}

#[test]
fn long_texts_are_cut_and_say_so() {
    let limits = Limits { max_text_bytes: 10, ..Limits::default() };
    let text = body(|body| body["alerts"][0]["annotations"]["summary"] = json!("数据库连接失败"));
    let group = parse_at(text.as_bytes(), &limits, now()).unwrap();
    assert_eq!(group.alerts[0].annotations["summary"], "数据库… [cut, 21 bytes]");
    assert_eq!(crate::intake::cut_texts(&group), 1);
    let long_key = parse_text(&body(|body| body["groupKey"] = json!("k".repeat(100_000)))).unwrap().group_key;
    assert_eq!(long_key.len(), MAX_KEY_BYTES + 17);
}

#[test]
fn escaped_nul_characters_are_replaced() {
    let alert = one_alert(json!({"labels": {"a\0b": "c\0d"}, "annotations": {"x": "\0"}}));
    assert_eq!(alert.labels.into_iter().next(), Some(("a\u{fffd}b".to_owned(), "c\u{fffd}d".to_owned())));
    assert_eq!(alert.annotations["x"], "\u{fffd}");
}

#[test]
fn f43_what_is_refused_says_why_and_what_to_do() {
    let many =
        |count: usize| (0..count).map(|index| (format!("l{index}"), json!("v"))).collect::<serde_json::Map<_, _>>();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", b"".to_vec()),
        ("not json", b"{\"version\": \"4\",\n \"alerts\": [}".to_vec()),
        ("cut off", MIXED.as_bytes()[..200].to_vec()),
        ("more than one value", format!("{MIXED} {{}}").into_bytes()),
        ("a list", b"[{\"labels\":{}}]".to_vec()),
        ("a string", b" \"alert\"".to_vec()),
        ("a number", b"42".to_vec()),
        ("null", b"null".to_vec()),
        ("not utf-8", b"{\"version\":\"\xff\"}".to_vec()),
        ("raw nul", b"{\"version\":\"4\0\"}".to_vec()),
        ("lone surrogate", br#"{"version":"\ud800"}"#.to_vec()),
        ("custom payload", br#"{"text":"HighCPU is firing"}"#.to_vec()),
        ("version only", br#"{"version":"4"}"#.to_vec()),
        ("null alerts", br#"{"version":"4","alerts":null}"#.to_vec()),
        ("version 3", body(|body| body["version"] = json!("3")).into_bytes()),
        ("grafana", body(|body| body["version"] = json!("1")).into_bytes()),
        ("version as number", body(|body| body["version"] = json!(4)).into_bytes()),
        ("no alerts", body(|body| body["alerts"] = json!([])).into_bytes()),
        ("alerts as object", body(|body| body["alerts"] = json!({})).into_bytes()),
        ("too many alerts", body(|body| body["alerts"] = json!(vec![json!({}); 5_001])).into_bytes()),
        ("far too many alerts", body(|body| body["alerts"] = json!(vec![json!({}); 100_000])).into_bytes()),
        ("too many labels", body(|body| body["alerts"][1]["labels"] = Value::Object(many(10_000))).into_bytes()),
        ("too many annotations", body(|body| body["commonAnnotations"] = Value::Object(many(300))).into_bytes()),
        ("a huge label", body(|body| body["groupLabels"]["x"] = json!("v".repeat(1_000_000))).into_bytes()),
        ("label as number", body(|body| body["alerts"][1]["labels"]["severity"] = json!(1)).into_bytes()),
        ("label as list", body(|body| body["alerts"][1]["labels"]["severity"] = json!(["a"])).into_bytes()),
        ("labels as text", body(|body| body["alerts"][1]["labels"] = json!("password hunter2")).into_bytes()),
        ("unknown status", body(|body| body["alerts"][1]["status"] = json!("pending")).into_bytes()),
        ("bad time", body(|body| body["alerts"][0]["startsAt"] = json!("yesterday")).into_bytes()),
        ("negative count", body(|body| body["truncatedAlerts"] = json!(-1)).into_bytes()),
        ("key twice", br#"{"version":"4","version":"4","alerts":[{}]}"#.to_vec()),
        ("label twice", br#"{"version":"4","alerts":[{"labels":{"a":"1","a":"2"}}]}"#.to_vec()),
        ("deep", format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)).into_bytes()),
        (
            "deep label",
            format!(r#"{{"version":"4","alerts":[{{"labels":{{"a":{}1}}]}}"#, "{\"a\":".repeat(10_000)).into_bytes(),
        ),
    ];
    let answers: Vec<String> = cases
        .into_iter()
        .map(|(name, body)| {
            let error = parse_at(&body, &Limits::default(), now()).expect_err(name);
            let text = error.to_string();
            assert!(text.len() < 400 && !text.contains("hunter2"), "{text}");
            format!("{name}: {} {text}", error.status())
        })
        .collect();
    insta::assert_snapshot!(answers.join("\n"));
}

#[test]
fn depth_where_nobody_looks_is_skipped() {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let text = MIXED.replacen("{\"deep\":[1,[2,{\"x\":null}]]}", &deep, 1);
    assert_eq!(parse_text(&text).unwrap().alerts.len(), 2);
}

#[test]
fn every_scenario_parses() {
    let mut read = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios")).unwrap() {
        let body = std::fs::read(entry.unwrap().path().join("alert.json")).unwrap();
        let group = parse_at(&body, &Limits::default(), now()).unwrap();
        let text = serde_json::to_string(&group).unwrap();
        assert!(!text.contains("[REDACTED"), "nothing in the scenarios is a secret: {text}");
        read += 1;
    }
    assert!(read > 0);
}

/// Any JSON, with Alertmanager's keys likelier than others.
fn any_json() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "version",
        "alerts",
        "labels",
        "annotations",
        "status",
        "startsAt",
        "endsAt",
        "fingerprint",
        "receiver",
        "x",
        "\0",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["4", "firing", "resolved", "2026-11-23T01:00:00Z", "\u{0}\u{202e}", "a\\"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|pairs| Value::Object(
                pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_json_makes_it_panic(alerts in prop::collection::vec(any_json(), 0..4), extra in any_json()) {
        let text = json!({"version": "4", "alerts": alerts, "groupLabels": extra}).to_string();
        if let Ok(group) = parse_text(&text) {
            prop_assert!(!group.alerts.is_empty());
            prop_assert!(group.alerts.iter().all(|alert| (alert.status == AlertStatus::Firing) == alert.ends_at.is_none()));
        }
        let _ = parse_text(&extra.to_string());
    }

    #[test]
    fn no_bytes_make_it_panic(start in 0..MIXED.len(), bytes in prop::collection::vec(any::<u8>(), 0..8)) {
        let mut body = MIXED.as_bytes().to_vec();
        let end = (start + bytes.len()).min(body.len());
        body.splice(start..end, bytes);
        let _ = parse_at(&body, &Limits::default(), now());
    }
}
