//! One incident's page: the report in the cards' reading order, its evidence, and what happened when.

mod evidence;
mod facts;
mod looks;
mod timeline;
mod usage;

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
use super::{live, words};
use crate::alert::{Alert, AlertStatus, Lang, ObjectRef};
use crate::http::{App, login};
use crate::incident::Desk;
use crate::notify::notice::NoticeBody;
use crate::notify::story::{self, Badge, Link, Tone, known, object_of, words as said};
use crate::notify::text;
use crate::report::{Cause, Led, Report, SameCause};
use crate::series::{in_words, svg};
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
        let mut presses = app.store.presses(id).await?;
        for press in &mut presses {
            press.person = app.desk.settings().people.name(&press.person).to_owned();
        }
        let zone = app.desk.settings().timezone.clone();
        let links = links(&app.desk, &detail, visit.lang);
        let may_act = login::may_act(&app, &headers);
        let step = live::step(&app.live, id, &pulse, visit.lang);
        Ok::<_, Trouble>(Shown {
            pulse,
            step,
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
    let mut notice = desk.notice(incident.into(), incident.group.clone(), body);
    notice.lang = lang;
    notice.page_url = None;
    story::links(&notice)
}

/// What a page is made of.
struct Shown {
    pulse: Pulse,
    /// What its investigation does now, where this process runs it.
    step: Option<String>,
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
    labels: Vec<Fact>,
    annotations: Vec<Fact>,
}

impl Shown {
    fn values(&self) -> Value {
        let incident = &self.detail.incident;
        let (report, is_first_look) = (self.report(), incident.report.is_none());
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
            says => self.says(),
            alerts => Serde(self.alerts()),
            more_alerts => incident.group.alerts.len().saturating_sub(ALERTS),
            running => self.is_running(),
            first_look => report.is_some() && is_first_look,
            step => self.step.as_deref(),
            live => self.pulse.is_live(),
            version => self.pulse.version.as_str(),
            first_step => report.filter(|_| incident.state == IncidentState::Open).and_then(|report| Some(report.steps.first()?.title.as_str())),
            undiagnosed => report.is_none(),
            failed => self.detail.investigation.as_ref().is_some_and(|one| one.state == InvestigationState::Dead),
            report => report.map(Serde),
            led_by => report.and_then(|report| report.same_cause.as_ref()?.led_by.as_ref()).map(Serde),
            followers => Serde(self.followers()),
            // Those that came after the report was written are not in it.
            shared => report.and_then(|report| report.same_cause.as_ref()).unwrap_or(&SameCause::default()).label(self.lang),
            charts => self.charts(report),
            causes => Serde(causes),
            primary => report.map(|report| object(&report.primary.resource)),
            related => Serde(report.map(|report| self.related(report)).unwrap_or_default()),
            cited => Serde(pieces.iter().filter(|one| one.is_cited()).collect::<Vec<_>>()),
            uncited => Serde(pieces.iter().filter(|one| !one.is_cited()).collect::<Vec<_>>()),
            calls => Serde(&pieces),
            moments => Serde(timeline::moments(&self.detail, &self.presses, self.lang, &self.zone, self.may_act)),
            usage => Serde(report.filter(|_| !is_first_look).map(|report| usage::facts(&report.usage, self.lang)).unwrap_or_default()),
        }
    }

    /// What is known by now: the report, and until there is one what the playbook found.
    fn report(&self) -> Option<&Report> {
        self.detail.incident.report.as_ref().or(self.detail.first_look.as_ref())
    }

    fn followers(&self) -> Vec<Led> {
        self.followers.iter().map(|one| Led { incident: one.incident, title: one.title.clone() }).collect()
    }

    /// The measured series as pictures; their text is escaped by whoever draws them.
    fn charts(&self, report: Option<&Report>) -> Vec<Value> {
        let series = report.map(|report| report.series.as_slice()).unwrap_or_default();
        let drawn = series.iter().map(|one| {
            let picture = Value::from_safe_string(svg(one, self.lang, &self.zone));
            context! { picture => picture, said => text::line(&in_words(one, self.lang), 400) }
        });
        drawn.collect()
    }

    fn leading(&self) -> Option<&Alert> {
        self.detail.incident.group.leading()
    }

    fn title(&self) -> String {
        let of_report = self.report().map(|report| report.overview.alertname.as_str());
        text::line(self.leading().map(Alert::name).or(of_report).unwrap_or_default(), 120)
    }

    /// What it comes to; until there is a diagnosis, what the alert says.
    fn headline(&self) -> String {
        let diagnosed = self.report().map(|report| report.headline.as_str());
        let said = diagnosed.filter(|text| !text.is_empty()).or_else(|| self.leading()?.summary());
        text::line(said.unwrap_or_default(), 600)
    }

    /// What the alert that leads says of itself.
    fn says(&self) -> String {
        let of_report =
            self.report().and_then(|report| known(report, self.leading())).map(|known| known.summary.as_str());
        let said = of_report.filter(|text| !text.is_empty()).or_else(|| self.leading()?.summary());
        text::line(said.unwrap_or_default(), 600)
    }

    /// The object, and the cluster it is in.
    fn subject(&self) -> String {
        let resource = object_of(self.report(), self.leading());
        let resource = resource.map(|object| text::line(&object.to_string(), 200));
        let cluster = self.leading().and_then(|alert| alert.label("cluster")).map(|name| text::line(name, 60));
        let cluster = cluster.map(|name| self.lang.pick(format!("集群 {name}"), format!("cluster {name}")));
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
        let gravest = incident.group.gravest().unwrap_or_default();
        badges.extend(words::graver_before(self.lang, severity, gravest));
        badges.extend(self.report().and_then(|report| words::verdict_badge(self.lang, report.verdict)));
        badges
    }

    fn is_running(&self) -> bool {
        let state = self.detail.investigation.as_ref().map(|one| one.state);
        matches!(state, Some(InvestigationState::Ready | InvestigationState::Running))
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

    /// The alerts, the one that leads first.
    fn alerts(&self) -> Vec<AlertView> {
        let leading = self.leading();
        let leads = |alert: &&Alert| leading.is_some_and(|leading| std::ptr::eq(leading, *alert));
        let others = self.detail.incident.group.alerts.iter().filter(|alert| !leads(alert));
        leading.into_iter().chain(others).take(ALERTS).map(|alert| self.alert(alert)).collect()
    }

    fn alert(&self, alert: &Alert) -> AlertView {
        let facts = |pairs: &crate::alert::Labels| {
            pairs.iter().map(|(name, value)| fact(&text::line(name, 120), text::line(value, 2_000))).collect()
        };
        AlertView {
            name: text::line(alert.name(), 120),
            firing: alert.status == AlertStatus::Firing,
            since: times::moment(alert.starts_at, &self.zone).unwrap_or_default(),
            labels: facts(&alert.labels),
            annotations: facts(&alert.annotations),
        }
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
