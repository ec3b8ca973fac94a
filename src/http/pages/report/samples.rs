//! Incidents as pages meet them, for tests and pictures: diagnosed, under way, over, hostile, endless.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::alert::AlertGroup;
use crate::notify::fixtures::{notice, now};
use crate::store::{
    Changes, Decision, Delivery, Incident, Investigation, Named, NoticeRole, NoticeState, OutboxEntry, PastLook,
    PressState,
};

/// What is written into every place somebody else writes to.
pub(super) const ATTACK: &str = "\"><script>alert(1)</script><img src=x onerror=alert(1)> \u{202e}gnp.exe \
     [a](javascript:alert(1)) {{ 7*7 }} </pre></details> https://evil.example";

/// Every sample, by the name of its picture.
pub(super) const ALL: [&str; 6] = ["report", "running", "resolved", "undiagnosed", "hostile", "longest"];

/// One of them.
pub(super) fn sample(kind: &str, lang: Lang) -> Shown {
    let mut shown = diagnosed(lang);
    match kind {
        "report" => {}
        "charted" => charted(&mut shown),
        "running" => running(&mut shown),
        "begun" => begun(&mut shown),
        "resolved" => resolved(&mut shown),
        "second look" => second_look(&mut shown),
        "no second look" => {
            second_look(&mut shown);
            resolved(&mut shown);
            ended(&mut shown, InvestigationState::Cancelled, 2_520);
        }
        "undiagnosed" => undiagnosed(&mut shown),
        "hostile" => hostile(&mut shown),
        "longest" => longest(&mut shown),
        other => panic!("there is no sample {other}"),
    }
    let group = &shown.detail.incident.group;
    let mut told = notice(lang.pick("diagnosis-pvc.zh", "diagnosis-pvc.en"));
    told.group = group.clone();
    told.page_url = None;
    shown.links = story::links(&told);
    shown
}

/// An alert about what is measured, of another object: only its picture is of interest.
fn charted(shown: &mut Shown) {
    let told = notice(shown.lang.pick("alert-oom.zh", "alert-oom.en"));
    let report = told.report().cloned().unwrap();
    shown.evidence = report.evidence.iter().map(|entry| result(entry, &report)).collect();
    shown.followers.clear();
    shown.detail.evidence = report.evidence.clone();
    shown.detail.incident.group = told.group;
    shown.detail.incident.report = Some(report);
}

pub(super) fn after(seconds: i64) -> Timestamp {
    let opened: Timestamp = "2026-11-23T03:35:00Z".parse().unwrap();
    Timestamp::from_second(opened.as_second() + seconds).unwrap()
}

fn diagnosed(lang: Lang) -> Shown {
    let told = notice(lang.pick("diagnosis-pvc.zh", "diagnosis-pvc.en"));
    let report = told.report().cloned().unwrap();
    let evidence = report.evidence.iter().map(|entry| result(entry, &report)).collect();
    let incident = incident(told.incident, told.group, report.clone());
    let detail = IncidentDetail {
        incident,
        first_look: None,
        investigation: Some(Investigation {
            state: InvestigationState::Done,
            attempts: 1,
            repeats: 0,
            created_at: after(0),
            asked_at: after(0),
            due_at: after(0),
            last_error: None,
            ended_at: Some(after(22)),
            diagnosed_at: Some(after(22)),
        }),
        looks: Vec::new(),
        deliveries: vec![
            delivery(0, Decision::Opened, ""),
            delivery(300, Decision::Merged, "repeat interval"),
            delivery(600, Decision::Merged, "repeat interval"),
        ],
        notices: vec![sent("oncall", NoticeRole::First, 2), failed("ops"), sent("oncall", NoticeRole::Second, 23)],
        evidence: report.evidence,
    };
    Shown {
        pulse: Pulse { version: "open-1".into(), investigating_since: None, unsent: false },
        step: None,
        detail,
        evidence,
        followers: [
            "KubeDeploymentReplicasMismatch · Deployment aiops/test-deployment",
            "KubeHpaMaxedOut · HorizontalPodAutoscaler aiops/test",
        ]
        .map(|title| Sharing { incident: Uuid::nil(), title: title.to_owned() })
        .to_vec(),
        presses: Vec::new(),
        links: Vec::new(),
        zone: "Asia/Shanghai".into(),
        lang,
        now: now() + Duration::from_secs(420),
        may_act: true,
    }
}

fn incident(id: Uuid, group: AlertGroup, report: Report) -> Incident {
    Incident {
        id,
        source: group.source,
        group_key_hash: "k".into(),
        generation: 2,
        state: IncidentState::Open,
        opened_at: after(0),
        updated_at: after(600),
        resolved_at: None,
        group,
        opened_with: None,
        report: Some(report),
        deliveries: 3,
    }
}

/// A result in which the quotations from it stand, in the middle of others' lines.
fn result(entry: &crate::report::EvidenceEntry, report: &Report) -> Evidence {
    let quotes = report.causes.iter().flat_map(|cause| &cause.evidence).filter(|one| one.reference == entry.reference);
    let line = |number: usize| format!("  - lastTransitionTime: \"2026-11-23T02:{number:02}:00Z\"");
    let mut lines: Vec<String> = (10..30).map(line).collect();
    lines.extend(quotes.map(|one| format!("    message: {}", one.quote)));
    lines.extend((30..50).map(line));
    let full = lines.join("\n");
    Evidence {
        reference: entry.reference.clone(),
        tool: entry.tool.clone(),
        arguments: entry.arguments.clone(),
        text: full.clone(),
        full,
        taken_at: entry.taken_at,
    }
}

pub(super) fn delivery(second: i64, decision: Decision, reason: &str) -> Delivery {
    Delivery {
        id: Uuid::from_u128(second.unsigned_abs().into()),
        incident: None,
        received_at: after(second),
        status: AlertStatus::Firing,
        alerts: 2,
        decision,
        reason: reason.into(),
        rules: Vec::new(),
        changes: Changes::default(),
        told: 2,
        outcome: crate::store::Outcome::Sent,
        telling: None,
    }
}

fn sent(channel: &str, role: NoticeRole, second: i64) -> OutboxEntry {
    OutboxEntry {
        id: Uuid::from_u128(1),
        channel: channel.into(),
        role,
        state: NoticeState::Sent,
        attempts: 1,
        due_at: after(second),
        last_error: None,
        sent_at: Some(after(second)),
        form: Some("full".into()),
    }
}

fn failed(channel: &str) -> OutboxEntry {
    OutboxEntry {
        state: NoticeState::Dead,
        attempts: 8,
        sent_at: None,
        due_at: after(190),
        last_error: Some(
            "WeCom answered 93008 \"not in chat\": the bot is not in the group any more; add it again and copy its address \
             into `url` (auth)"
                .into(),
        ),
        form: None,
        ..sent(channel, NoticeRole::First, 2)
    }
}

fn running(shown: &mut Shown) {
    shown.pulse.investigating_since = Some(after(0));
    shown.now = after(8);
    shown.detail.first_look = shown.detail.incident.report.take();
    shown.followers.clear();
    shown.detail.deliveries.truncate(1);
    shown.detail.notices.truncate(1);
    if let Some(one) = &mut shown.detail.investigation {
        (one.state, one.ended_at, one.diagnosed_at) = (InvestigationState::Running, None, None);
    }
}

fn resolved(shown: &mut Shown) {
    shown.detail.incident.state = IncidentState::Resolved;
    shown.detail.incident.resolved_at = Some(after(2_520));
    shown.detail.incident.group.alerts.iter_mut().for_each(|alert| alert.status = AlertStatus::Resolved);
    shown.detail.incident.group.status = AlertStatus::Resolved;
    shown.detail.deliveries.push(delivery(2_520, Decision::Resolved, ""));
    shown.detail.notices.push(sent("oncall", NoticeRole::Resolved, 2_521));
    shown.now = after(3_000);
}

pub(super) fn ended(shown: &mut Shown, state: InvestigationState, second: i64) {
    if let Some(one) = &mut shown.detail.investigation {
        (one.state, one.ended_at) = (state, Some(after(second)));
    }
}

/// Another kind of alert joined what was investigated, and calls for a second look.
fn second_look(shown: &mut Shown) {
    let name = "KubeJobFailed · Job aiops/seed";
    let joined = Named { alerts: vec![name.into()], more: 0 };
    shown.detail.deliveries.push(Delivery {
        changes: Changes { joined, ..Changes::default() },
        ..delivery(900, Decision::Joined, &format!("1 new alert of the group ({name})"))
    });
    shown.detail.looks.push(past_look(1, InvestigationState::Done, 0, 22));
    if let Some(one) = &mut shown.detail.investigation {
        (one.state, one.attempts, one.due_at, one.ended_at) = (InvestigationState::Ready, 0, after(910), None);
        one.asked_at = after(900);
    }
}

/// Nothing was looked at yet.
fn begun(shown: &mut Shown) {
    running(shown);
    shown.detail.first_look = None;
    (shown.evidence, shown.detail.evidence) = (Vec::new(), Vec::new());
}

/// A look that another followed.
pub(super) fn past_look(number: u64, state: InvestigationState, asked: i64, ended: i64) -> PastLook {
    let (asked_at, ended_at) = (after(asked), Some(after(ended)));
    PastLook { number, state, attempts: 1, last_error: None, asked_at, ended_at }
}

fn undiagnosed(shown: &mut Shown) {
    begun(shown);
    shown.pulse.investigating_since = None;
    if let Some(one) = &mut shown.detail.investigation {
        (one.state, one.attempts, one.ended_at) = (InvestigationState::Dead, 5, Some(after(120)));
        one.last_error = Some("the store failed while it could keep evidence: disk full".into());
    }
}

/// A press on a card, with what the person wrote beside it.
pub(super) fn press(action: &str, person: &str, state: PressState, second: i64) -> PressEntry {
    PressEntry {
        id: second.to_string(),
        channel: "oncall".into(),
        message: "om_1".into(),
        person: person.into(),
        action: action.into(),
        reason: String::new(),
        pressed_at: after(second),
        state,
        outcome: String::new(),
    }
}

fn hostile(shown: &mut Shown) {
    let pressed = press(ATTACK, ATTACK, PressState::Failed, 30);
    shown.presses =
        vec![PressEntry { channel: ATTACK.into(), reason: ATTACK.into(), outcome: ATTACK.into(), ..pressed }];
    let say = |text: &mut String| ATTACK.clone_into(text);
    let incident = &mut shown.detail.incident;
    for alert in &mut incident.group.alerts {
        alert.labels.values_mut().chain(alert.annotations.values_mut()).for_each(say);
        alert.labels.insert(ATTACK.into(), ATTACK.into());
        alert.annotations.insert("runbook_url".into(), "javascript:alert(1)".into());
        alert.generator_url = Some("javascript:alert(1)//https://evil.example".into());
    }
    say(&mut incident.group.receiver);
    let report = incident.report.as_mut().unwrap();
    let mut all = json!(report);
    infect(&mut all);
    *report = serde_json::from_value(all).unwrap();
    report.steps.iter_mut().for_each(|step| step.blocked = Some(ATTACK.into()));
    for one in &mut shown.evidence {
        (one.tool, one.full, one.text) = (ATTACK.into(), ATTACK.into(), ATTACK.into());
        one.arguments = json!({ATTACK: ATTACK});
    }
    for notice in &mut shown.detail.notices {
        (notice.channel, notice.last_error, notice.form) = (ATTACK.into(), Some(ATTACK.into()), Some(ATTACK.into()));
    }
    let named = Named { alerts: vec![ATTACK.into()], more: 1 };
    for one in &mut shown.detail.deliveries {
        say(&mut one.reason);
        one.changes = Changes { joined: named.clone(), ended: named.clone() };
    }
}

/// Writes the attack into every text of a report but its fixed words and references.
fn infect(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) => ATTACK.clone_into(text),
        serde_json::Value::Array(items) => items.iter_mut().for_each(infect),
        serde_json::Value::Object(fields) => {
            let fixed = ["verdict", "confidence", "effect", "ref", "source", "taken_at", "arguments"];
            fields.iter_mut().filter(|(key, _)| !fixed.contains(&key.as_str())).for_each(|(_, value)| infect(value));
        }
        _ => {}
    }
}

fn longest(shown: &mut Shown) {
    let incident = &mut shown.detail.incident;
    let first = incident.group.alerts[0].clone();
    let many = (0..120).map(|number| {
        let mut alert = first.clone();
        alert.labels.insert(
            "pod".into(),
            format!("test-deployment-d49fc6fff-{number:05}-with-a-name-as-long-as-names-get-in-real-clusters"),
        );
        alert.annotations.insert("description".into(), "存储类 cbs does not exist ".repeat(40));
        alert
    });
    incident.group.alerts = many.collect();
    let report = incident.report.as_mut().unwrap();
    report.headline =
        format!("{} {}", report.headline, "pvc/test-data-with-a-very-long-name-without-any-break-".repeat(6));
    report.primary.findings = vec![report.primary.findings.clone(); 8].concat();
    report.steps = vec![report.steps.clone(); 6].concat();
    if let Some(step) = report.steps.first_mut() {
        step.command = Some(format!("kubectl get pods -o jsonpath='{}'", "{.items[*].metadata.name}".repeat(20)));
    }
    if let Some(one) = shown.evidence.first_mut() {
        one.full = format!("{{\"items\":[{}]}}", "\"x\",".repeat(60_000));
    }
    shown.detail.notices =
        (0..20).map(|number| sent(&format!("channel-{number}"), NoticeRole::First, number)).collect();
}
