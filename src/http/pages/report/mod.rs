//! One incident's page: the report in the cards' reading order, its evidence, and what happened when.

mod evidence;
mod timeline;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::Serialize;
use uuid::Uuid;

use super::base::{self, Trouble, Visit};
use super::words;
use crate::alert::{Alert, AlertStatus, Lang, ObjectRef};
use crate::http::{App, login};
use crate::incident::Desk;
use crate::notify::notice::NoticeBody;
use crate::notify::story::{self, Badge, Link, Tone, labelled_object, words as said};
use crate::notify::text;
use crate::report::{AnsweredBy, Cause, Led, Report, Usage};
use crate::series::svg;
use crate::store::{IncidentDetail, IncidentState, InvestigationState, PressEntry, Pulse, Sharing};
use crate::times;
use crate::toolbox::evidence::Evidence;

/// Alerts of a group that are listed.
const ALERTS: usize = 100;

/// The page.
pub async fn page(visit: Visit, State(app): State<Arc<App>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let shown = async {
        let id = id.parse::<Uuid>().map_err(|_| Trouble::Missing)?;
        // Read first: what changes while the rest is read makes the page be read again.
        let pulse = app.store.pulse(id).await?.ok_or(Trouble::Missing)?;
        let detail = app.store.incident(id).await?.ok_or(Trouble::Missing)?;
        let evidence = app.store.evidence(id).await?;
        let followers = app.store.followers(id).await?;
        let presses = app.store.presses(id).await?;
        let zone = app.desk.settings().timezone.clone();
        let links = links(&app.desk, &detail, visit.lang);
        let may_act = login::may_act(&app, &headers);
        Ok::<_, Trouble>(Shown {
            pulse,
            detail,
            evidence,
            followers,
            presses,
            links,
            zone,
            lang: visit.lang,
            now: Timestamp::now(),
            may_act,
        })
    };
    match shown.await {
        Ok(shown) => visit.page(StatusCode::OK, "report.html.j2", shown.values()),
        Err(trouble) => visit.trouble(&trouble),
    }
}

/// A recorded result as it was kept, for those that are too long for the page.
pub async fn whole(visit: Visit, State(app): State<Arc<App>>, Path((id, name)): Path<(String, String)>) -> Response {
    let found = async {
        let id = id.parse::<Uuid>().map_err(|_| Trouble::Missing)?;
        let all = app.store.evidence(id).await?;
        all.into_iter().find(|one| one.reference == name).ok_or(Trouble::Missing)
    };
    match found.await {
        Ok(one) => (base::headers(), [(CONTENT_TYPE, "text/plain; charset=utf-8")], one.full).into_response(),
        Err(trouble) => visit.trouble(&trouble),
    }
}

/// Where to go from here: the alert's graph, its runbook, and a silence while it fires.
fn links(desk: &Desk, detail: &IncidentDetail, lang: Lang) -> Vec<Link> {
    let incident = &detail.incident;
    let body = match (incident.state, incident.resolved_at) {
        (IncidentState::Resolved, at) => NoticeBody::Resolved { resolved_at: at.unwrap_or(incident.updated_at) },
        (IncidentState::Open, _) => NoticeBody::Alert { report: None, investigating: false, missing: Vec::new() },
    };
    let mut notice = desk.notice(incident.id, incident.opened_at, incident.group.clone(), body);
    notice.lang = lang;
    notice.page_url = None;
    story::links(&notice)
}

/// What a page is made of.
struct Shown {
    pulse: Pulse,
    detail: IncidentDetail,
    evidence: Vec<Evidence>,
    /// Incidents with the same cause that leave it to this one; the report knows those of its time only.
    followers: Vec<Sharing>,
    presses: Vec<PressEntry>,
    links: Vec<Link>,
    zone: String,
    lang: Lang,
    now: Timestamp,
    /// Whether whoever reads came with a login, not with a link alone.
    may_act: bool,
}

/// A word and what it says.
#[derive(Debug, Serialize)]
struct Fact {
    name: String,
    value: String,
}

/// A cause with its quotations.
#[derive(Debug, Serialize)]
struct CauseView {
    summary: String,
    object: String,
    code: Option<String>,
    confidence: Badge,
    quotes: Vec<evidence::Quote>,
}

/// One alert of the group.
#[derive(Debug, Serialize)]
struct AlertView {
    name: String,
    firing: bool,
    since: String,
    summary: String,
    labels: Vec<Fact>,
    annotations: Vec<Fact>,
}

impl Shown {
    fn values(&self) -> Value {
        let incident = &self.detail.incident;
        let report = incident.report.as_ref();
        let pieces = report.map(|report| evidence::pieces(&self.evidence, report, &self.zone)).unwrap_or_default();
        let causes: Vec<CauseView> = report
            .map(|report| report.causes.iter().map(|cause| self.cause(cause, report)).collect())
            .unwrap_or_default();
        context! {
            id => incident.id.to_string(),
            title => self.title(),
            headline => self.headline(),
            subject => self.subject(),
            badges => Serde(self.badges()),
            facts => Serde(self.facts()),
            links => Serde(&self.links),
            alerts => Serde(self.alerts()),
            more_alerts => incident.group.alerts.len().saturating_sub(ALERTS),
            running => self.is_running(),
            live => self.pulse.is_live(),
            version => self.pulse.version.as_str(),
            first_step => report.filter(|_| incident.state == IncidentState::Open).and_then(|report| Some(report.steps.first()?.title.as_str())),
            undiagnosed => report.is_none(),
            failed => self.detail.investigation.as_ref().is_some_and(|one| one.state == InvestigationState::Dead),
            report => report.map(Serde),
            led_by => report.and_then(|report| report.same_cause.as_ref()?.led_by.as_ref()).map(Serde),
            followers => Serde(self.followers()),
            charts => self.charts(report),
            causes => Serde(causes),
            primary => report.map(|report| object(&report.primary.resource)),
            related => Serde(report.map(|report| self.related(report)).unwrap_or_default()),
            cited => Serde(pieces.iter().filter(|one| one.is_cited()).collect::<Vec<_>>()),
            uncited => Serde(pieces.iter().filter(|one| !one.is_cited()).collect::<Vec<_>>()),
            calls => Serde(&pieces),
            moments => Serde(timeline::moments(&self.detail, &self.presses, self.lang, &self.zone, self.may_act)),
            usage => Serde(report.map(|report| self.usage(&report.usage)).unwrap_or_default()),
        }
    }

    fn followers(&self) -> Vec<Led> {
        self.followers.iter().map(|one| Led { incident: one.incident, title: one.title.clone() }).collect()
    }

    /// The measured series as pictures; their text is escaped by whoever draws them.
    fn charts(&self, report: Option<&Report>) -> Vec<Value> {
        let series = report.map(|report| report.series.as_slice()).unwrap_or_default();
        series.iter().map(|one| Value::from_safe_string(svg(one, self.lang, &self.zone))).collect()
    }

    fn leading(&self) -> Option<&Alert> {
        self.detail.incident.group.leading()
    }

    fn title(&self) -> String {
        let of_report = self.detail.incident.report.as_ref().map(|report| report.overview.alertname.as_str());
        text::line(self.leading().map(Alert::name).or(of_report).unwrap_or_default(), 120)
    }

    /// What it comes to; until there is a diagnosis, what the alert says.
    fn headline(&self) -> String {
        let diagnosed = self.detail.incident.report.as_ref().map(|report| report.headline.as_str());
        let said = diagnosed.filter(|text| !text.is_empty()).or_else(|| self.leading()?.summary());
        text::line(said.unwrap_or_default(), 600)
    }

    /// The object, and the cluster it is in.
    fn subject(&self) -> String {
        let resource = self.detail.incident.report.as_ref().map(|report| object(&report.overview.resource));
        let labelled = || self.leading().and_then(labelled_object).map(|it| text::line(&it.to_string(), 80));
        let cluster = self.leading().and_then(|alert| alert.label("cluster")).map(|name| text::line(name, 60));
        let cluster = cluster.map(|name| self.lang.pick(format!("集群 {name}"), format!("cluster {name}")));
        let resource = resource.filter(|name| !name.is_empty()).or_else(labelled);
        resource.into_iter().chain(cluster).collect::<Vec<_>>().join(" · ")
    }

    fn badges(&self) -> Vec<Badge> {
        let incident = &self.detail.incident;
        let (text, tone) = match incident.state {
            IncidentState::Open => (self.lang.pick("进行中", "open"), Tone::Red),
            IncidentState::Resolved => (self.lang.pick("已恢复", "resolved"), Tone::Green),
        };
        let mut badges = vec![Badge { text: text.to_owned(), tone }];
        let severity = self.leading().and_then(|alert| alert.label("severity")).unwrap_or_default();
        badges.push(words::severity_badge(self.lang, severity));
        badges.extend(incident.report.as_ref().and_then(|report| words::verdict_badge(self.lang, report.verdict)));
        badges
    }

    fn is_running(&self) -> bool {
        let state = self.detail.investigation.as_ref().map(|one| one.state);
        matches!(state, Some(InvestigationState::Ready | InvestigationState::Running))
    }

    fn facts(&self) -> Vec<Fact> {
        let (lang, incident) = (self.lang, &self.detail.incident);
        // As the messages count it: as long as the condition was there, which can be long before we were told of it.
        let began = incident.group.began(incident.opened_at, self.now);
        let ended = incident.resolved_at.map(|told| {
            let said = incident.group.ended(told);
            if said < began { told } else { said }
        });
        let lasted = times::duration(lang, ended.unwrap_or(self.now).as_second() - began.as_second());
        let firing = incident.group.firing().count();
        let all = incident.group.alerts.len();
        let mut facts = vec![
            fact(lang.pick("开始", "Began"), times::moment(began, &self.zone).unwrap_or_default()),
            fact(lang.pick("收到", "Received"), times::moment(incident.opened_at, &self.zone).unwrap_or_default()),
            fact(lang.pick("持续", "Lasted"), lasted),
            fact(lang.pick("触发中", "Firing"), format!("{firing} / {all}")),
        ];
        let ended = ended.and_then(|at| times::moment(at, &self.zone));
        facts.extend(ended.map(|at| fact(lang.pick("恢复", "Resolved"), at)));
        if incident.generation > 1 {
            facts.push(fact(lang.pick("同组触发次数", "Times fired"), incident.generation.to_string()));
        }
        facts.push(fact(lang.pick("接收器", "Receiver"), text::line(&incident.group.receiver, 80)));
        facts.push(fact(lang.pick("事件", "Incident"), incident.id.to_string()));
        facts
    }

    fn cause(&self, cause: &Cause, report: &Report) -> CauseView {
        let (text, tone) = said::confidence(self.lang, cause.confidence);
        CauseView {
            summary: cause.summary.clone(),
            object: object(&cause.resource),
            code: cause.code.as_deref().map(|code| text::line(code, 80)),
            confidence: Badge { text: text.to_owned(), tone },
            quotes: cause.evidence.iter().map(|one| evidence::quote(one, &self.evidence, report)).collect(),
        }
    }

    /// Objects beside the alert's own, with why they were looked at and what was found.
    fn related(&self, report: &Report) -> Vec<(String, String, Vec<String>)> {
        let told = |one: &crate::report::Related| (object(&one.resource), one.why.clone(), one.findings.clone());
        report.related.iter().map(told).collect()
    }

    fn alerts(&self) -> Vec<AlertView> {
        self.detail.incident.group.alerts.iter().take(ALERTS).map(|alert| self.alert(alert)).collect()
    }

    fn alert(&self, alert: &Alert) -> AlertView {
        let facts = |pairs: &crate::alert::Labels| {
            pairs.iter().map(|(name, value)| fact(&text::line(name, 120), text::line(value, 2_000))).collect()
        };
        AlertView {
            name: text::line(alert.name(), 120),
            firing: alert.status == AlertStatus::Firing,
            since: times::moment(alert.starts_at, &self.zone).unwrap_or_default(),
            summary: text::line(alert.summary().unwrap_or_default(), 600),
            labels: facts(&alert.labels),
            annotations: facts(&alert.annotations),
        }
    }

    fn usage(&self, usage: &Usage) -> Vec<Fact> {
        let lang = self.lang;
        let model = usage.model.as_deref().map(|name| text::line(name, 80));
        let who = match (usage.source, model) {
            (AnsweredBy::Model, Some(model)) => lang.pick(format!("模型 {model}"), format!("model {model}")),
            (_, Some(model)) => lang.pick(
                format!("规则库 (playbook)，模型 {model} 未给出结论"),
                format!("the playbook; {model} gave no conclusion"),
            ),
            (_, None) => lang.pick("规则库 (playbook)", "the playbook").to_owned(),
        };
        let mut facts = vec![
            fact(lang.pick("作答", "Answered by"), who),
            fact(
                lang.pick("用时", "Took"),
                lang.pick(format!("{:.1} 秒", usage.seconds), format!("{:.1} s", usage.seconds)),
            ),
            fact(lang.pick("工具调用", "Tool calls"), usage.tool_calls.to_string()),
        ];
        if usage.turns > 0 {
            let (question, answer) = (said::tokens(usage.prompt_tokens), said::tokens(usage.completion_tokens));
            facts.push(fact(lang.pick("模型轮次", "Model turns"), usage.turns.to_string()));
            let tokens =
                lang.pick(format!("提问 {question}，回答 {answer}"), format!("{question} asked, {answer} answered"));
            facts.push(fact("Tokens", tokens));
        }
        facts.extend(usage.money().map(|money| fact(lang.pick("费用", "Cost"), text::line(&money, 40))));
        facts.push(fact(lang.pick("结束原因", "Ended by"), text::line(&usage.stopped_by, 60)));
        for passed in &usage.passed_over {
            facts.push(fact(&text::line(&passed.model, 80), text::line(&passed.why, 200)));
        }
        facts
    }
}

fn fact(name: &str, value: String) -> Fact {
    Fact { name: name.to_owned(), value }
}

fn object(named: &ObjectRef) -> String {
    if named.name.is_empty() { String::new() } else { text::line(&named.to_string(), 200) }
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
