//! Measurements: the alert's own expression, evaluated around the moment it fired.

use std::time::Duration;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::alert::{Alert, AlertGroup, Lang};
use crate::prometheus::{LONGEST_RANGE, QUERY_RANGE};
use crate::series::{Point, Series, figure};
use crate::toolbox::{Recorded, Run};

/// Alerts of a group whose expressions are evaluated; the others have the same rule or wait for a person.
const MOST: usize = 3;
/// What is shown before an alert fired.
const BEFORE: SignedDuration = SignedDuration::from_mins(30);
/// The longest range, which is the tool's: an alert that fires for days is shown by its last one.
const LONGEST: SignedDuration = LONGEST_RANGE;
/// The first message waits for this, so it is short; what comes later a model can still ask for.
const PATIENCE: Duration = Duration::from_millis(900);
/// Characters of an expression in a sentence.
const SHOWN: usize = 160;
/// Labels that name a subject: a series that has another value there is of something else.
const SUBJECT: [&str; 12] = [
    "namespace",
    "pod",
    "container",
    "node",
    "instance",
    "service",
    "deployment",
    "statefulset",
    "daemonset",
    "job_name",
    "persistentvolumeclaim",
    "horizontalpodautoscaler",
];
/// Labels that belong to the alert and to no series.
const OWN: [&str; 4] = ["alertname", "severity", "prometheus", "alertgroup"];

/// What was measured, and what could not be.
#[derive(Debug, Default)]
pub struct Measured {
    /// One series for each alert that has one.
    pub series: Vec<Series>,
    /// One sentence each.
    pub gaps: Vec<String>,
}

/// Evaluates the expressions of the first alerts of a group; nothing where no Prometheus is configured.
pub async fn measure(run: &Run, group: &AlertGroup, now: Timestamp, lang: Lang) -> Measured {
    let mut measured = Measured::default();
    if !run.offers(QUERY_RANGE) {
        return measured;
    }
    let mut asked: Vec<(String, &Alert)> = Vec::new();
    for alert in group.firing() {
        let Some(expression) = alert.expression() else { continue };
        if asked.len() < MOST
            && !asked.iter().any(|(known, other)| *known == expression && other.labels == alert.labels)
        {
            asked.push((expression, alert));
        }
    }
    let late = || Err(lang.pick("没有及时应答", "no answer in time").to_owned());
    let bounded = asked.iter().map(|(expression, alert)| async move {
        tokio::time::timeout(PATIENCE, one(run, expression, alert, now, lang)).await.unwrap_or_else(|_| late())
    });
    let answers = join_all(bounded).await;
    for ((expression, _), answer) in asked.iter().zip(answers) {
        match answer {
            Ok(series) => measured.series.extend(series),
            Err(why) => {
                let expression = short(expression);
                measured.gaps.push(lang.pick(
                    format!("告警表达式 `{expression}` 未能求值：{why}"),
                    format!("The alert's expression `{expression}` could not be evaluated: {why}"),
                ));
            }
        }
    }
    measured
}

/// Why a question was not answered: what Prometheus says of it, or that there is none.
fn why(recorded: &Recorded, lang: Lang) -> String {
    match lang {
        Lang::Zh if recorded.is_away() => {
            "Prometheus 无法访问，请检查 prometheus.url 及其凭据、DNS、出网和代理设置".to_owned()
        }
        _ => recorded.evidence.text.clone(),
    }
}

/// The series an alert fired on. What the expression is compared with is taken off, so that its course is seen from
/// before it fired; the rule's whole expression answers only while it does.
async fn one(run: &Run, expression: &str, alert: &Alert, now: Timestamp, lang: Lang) -> Result<Option<Series>, String> {
    let fired = if alert.starts_at.as_second() > 0 && alert.starts_at < now { alert.starts_at } else { now };
    let start = (fired - BEFORE).max(now - LONGEST);
    let (measured, threshold) = threshold(expression);
    let labels: Vec<String> = alert
        .labels
        .iter()
        .filter(|(name, value)| !OWN.contains(&name.as_str()) && !value.contains(['\n', '"']))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let arguments =
        json!({"query": measured, "start": start.to_string(), "end": now.to_string(), "labels": labels.join("\n")});
    let recorded = run.record(QUERY_RANGE, arguments.clone()).await?;
    if recorded.is_error {
        return Err(why(&recorded, lang));
    }
    // A rule may give its alert labels that its series have otherwise: then the nearest series is the best there is.
    let recorded = if of(&recorded).is_some_and(|series| !series.is_empty()) {
        recorded
    } else {
        let mut arguments = arguments;
        arguments.as_object_mut().map(|arguments| arguments.remove("labels"));
        run.record(QUERY_RANGE, arguments).await?
    };
    let found = of(&recorded).map(Vec::as_slice).unwrap_or_default();
    let Some(first) = best(found, alert) else {
        let others = lang.pick("只有其他对象的序列", "only series of other objects answer");
        return if found.is_empty() { Ok(None) } else { Err(others.to_owned()) };
    };
    let labels = serde_json::from_value(first["labels"].clone()).unwrap_or_default();
    let series = Series::new(measured.to_owned(), labels, fired, points(first));
    let reference = recorded.evidence.reference.clone();
    Ok(series.map(|series| Series { threshold, reference, ..series }))
}

fn of(recorded: &Recorded) -> Option<&Vec<Value>> {
    recorded.structured.as_ref()?["series"].as_array()
}

/// An expression on one line, cut where it is too long to be read.
fn short(expression: &str) -> String {
    let line = expression.split_whitespace().collect::<Vec<_>>().join(" ").replace('`', "'");
    match line.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

/// The series that shares most labels with the alert, of those that are of no other object.
fn best<'a>(series: &'a [Value], alert: &Alert) -> Option<&'a Value> {
    let of_another = |one: &&Value| {
        SUBJECT.iter().any(|name| {
            let (told, measured) = (alert.label(name), one["labels"][name].as_str());
            told.zip(measured).is_some_and(|(told, measured)| told != measured)
        })
    };
    let shared = |one: &&Value| {
        let labels = one["labels"].as_object();
        labels.into_iter().flatten().filter(|(name, value)| alert.label(name) == value.as_str()).count()
    };
    // The first of equals, as Prometheus lists them.
    series.iter().rev().filter(|one| !of_another(one)).max_by_key(shared)
}

fn points(series: &Value) -> Vec<Point> {
    let point = |pair: &Value| {
        Some(Point { at: Timestamp::from_millisecond(pair[0].as_i64()?).ok()?, value: pair[1].as_f64()? })
    };
    series["points"].as_array().into_iter().flatten().filter_map(point).collect()
}

/// Splits `expr > 0.9` into the expression and `> 0.9`. What is compared with another expression, or is one of several
/// conditions, stays whole.
fn threshold(expression: &str) -> (&str, Option<String>) {
    let whole = (expression, None);
    let bytes = expression.as_bytes();
    let (mut depth, mut quote, mut found) = (0_i32, None, None);
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        match (quote, byte) {
            (Some(_), b'\\') => at += 1,
            (Some(open), _) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'' | b'`') => quote = Some(byte),
            (None, b'(' | b'[' | b'{') => depth += 1,
            (None, b')' | b']' | b'}') => depth -= 1,
            (None, b'>' | b'<' | b'=' | b'!') if depth == 0 => {
                let length = if bytes.get(at + 1) == Some(&b'=') { 2 } else { 1 };
                if found.is_some() {
                    return whole;
                }
                found = Some((at, length));
                at += length - 1;
            }
            (None, _) if depth == 0 && byte.is_ascii_alphabetic() => {
                let begins = at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
                if begins && joins(&expression[at..]) {
                    return whole;
                }
            }
            _ => {}
        }
        at += 1;
    }
    let Some((at, length)) = found else { return whole };
    let (left, right) = (expression[..at].trim(), expression[at + length..].trim());
    if left.is_empty() || !right.parse::<f64>().is_ok_and(f64::is_finite) {
        return whole;
    }
    (left, Some(format!("{} {right}", &expression[at..at + length])))
}

/// Whether a set operator, or one that changes what a comparison means, begins here.
fn joins(rest: &str) -> bool {
    let word = |word: &str| {
        rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
            && !rest[word.len()..].starts_with(|char: char| char.is_ascii_alphanumeric() || char == '_')
    };
    ["and", "or", "unless", "bool"].into_iter().any(word)
}

/// What was measured in a sentence, for the facts a model is given and for alerts about no object.
#[must_use]
pub fn sentence(series: &Series, lang: Lang) -> String {
    let [least, greatest, latest] = [series.least, series.greatest, series.latest].map(figure);
    let (expression, reference) = (short(&series.expression), &series.reference);
    let limit = series
        .threshold
        .as_deref()
        .map(|limit| lang.pick(format!("（告警条件 {limit}）"), format!(" (fires when {limit})")));
    let limit = limit.unwrap_or_default();
    lang.pick(
        format!("`{expression}` 最新 {latest}{limit}，这段时间最低 {least}、最高 {greatest}（{reference}）"),
        format!(
            "`{expression}`: latest {latest}{limit}; least {least}, greatest {greatest} in this time ({reference})"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_of_another_object_is_not_taken_for_the_alert_s() {
        let mut alert = crate::notify::fixtures::notice("alert-oom.en").group.alerts[0].clone();
        alert.labels =
            [("pod", "web-1"), ("namespace", "shop")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let series = |pod: &str| json!({"labels": {"pod": pod, "job": "x"}});
        let (other, own) = (series("other-a"), series("web-1"));
        assert_eq!(best(&[other.clone(), own.clone()], &alert), Some(&own));
        assert_eq!(best(&[other], &alert), None);
        let sum = json!({"labels": {}});
        assert_eq!(best(std::slice::from_ref(&sum), &alert), Some(&sum), "an aggregate names nobody else");
    }

    #[test]
    fn a_threshold_is_taken_off_and_conditions_stay_whole() {
        for (expression, left, limit) in [
            ("up == 0", "up", Some("== 0")),
            (
                "rate(http_errors_total{code=~\"5..\"}[5m]) > 0.9",
                "rate(http_errors_total{code=~\"5..\"}[5m])",
                Some("> 0.9"),
            ),
            ("a / b >= 1e3", "a / b", Some(">= 1e3")),
            ("sum(x > 3) by (pod) > 1", "sum(x > 3) by (pod)", Some("> 1")),
            ("a > b", "a > b", None),
            ("a > 1 and b < 2", "a > 1 and b < 2", None),
            ("a > 1 unless on(pod) b", "a > 1 unless on(pod) b", None),
            ("absent(up{job=\"x\"})", "absent(up{job=\"x\"})", None),
            ("android_orders > 5", "android_orders", Some("> 5")),
            ("x{y=\"a > 3\"} != 7", "x{y=\"a > 3\"}", Some("!= 7")),
            ("", "", None),
        ] {
            let (found, threshold) = threshold(expression);
            assert_eq!((found, threshold.as_deref()), (left, limit), "{expression}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_expression_is_split_without_panic(text in "\\PC{0,80}") {
            let (left, _) = threshold(&text);
            proptest::prop_assert!(text.contains(left));
        }
    }
}
