//! All incidents, newest first, narrowed down by state, severity, namespace and alert.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::{Deserialize, Serialize};
use url::form_urlencoded;
use uuid::Uuid;

use super::base::{Trouble, Visit};
use super::words;
use crate::alert::Lang;
use crate::http::{App, login};
use crate::notify::story::{Badge, words as said};
use crate::notify::{send, text};
use crate::store::{ByState, Choices, IncidentState, InvestigationState, Listed, Narrowed, UndeliveredDigest};
use crate::times;

/// Incidents on one page: about three screens of a phone.
const PAGE: u32 = 50;

/// What the address asks for. What makes no sense narrows nothing down: addresses are edited by hand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Asked {
    state: String,
    severity: String,
    namespace: String,
    alert: String,
    /// Time opened and id of the last incident of the page before, as `MILLISECONDS_ID`.
    before: String,
    lang: String,
}

/// The page.
pub async fn page(
    visit: Visit,
    State(app): State<Arc<App>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let settings = app.desk.settings();
    let shown = async {
        let narrowed = asked.narrowed();
        let mut listed = app.store.listed(&narrowed, asked.before(), PAGE + 1).await?;
        let more = listed.len() > PAGE as usize;
        listed.truncate(PAGE as usize);
        let (counts, choices) =
            tokio::try_join!(app.store.incidents_by_state(&narrowed), app.store.incident_choices())?;
        let lost = match login::may_act(&app, &headers) {
            true => app.store.undelivered_digests().await?,
            false => Vec::new(),
        };
        Ok::<_, Trouble>(Browse { listed, more, counts, choices, lost })
    };
    match shown.await {
        Ok(browse) => {
            let values = browse.values(&asked, visit.lang, &settings.timezone, Timestamp::now());
            visit.page(StatusCode::OK, "list.html.j2", values)
        }
        Err(trouble) => visit.trouble(&trouble),
    }
}

impl Asked {
    fn narrowed(&self) -> Narrowed {
        let state = match self.state.as_str() {
            "open" => Some(IncidentState::Open),
            "resolved" => Some(IncidentState::Resolved),
            _ => None,
        };
        Narrowed {
            state,
            severity: self.severity.clone(),
            namespace: self.namespace.trim().to_owned(),
            alert: self.alert.trim().to_owned(),
        }
    }

    fn before(&self) -> Option<(Timestamp, Uuid)> {
        let (at, id) = self.before.split_once('_')?;
        Some((Timestamp::from_millisecond(at.parse().ok()?).ok()?, id.parse().ok()?))
    }

    /// The address of the same list in another state or further down.
    fn link(&self, state: &str, before: &str) -> String {
        let pairs = [
            ("state", state),
            ("severity", &self.severity),
            ("namespace", &self.namespace),
            ("alert", &self.alert),
            ("before", before),
            ("lang", &self.lang),
        ];
        let given = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        format!("?{}", form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish())
    }

    fn is_narrowed(&self) -> bool {
        [&self.severity, &self.namespace, &self.alert, &self.before].iter().any(|value| !value.is_empty())
    }
}

/// What was read for a page.
struct Browse {
    listed: Vec<Listed>,
    more: bool,
    counts: ByState,
    choices: Choices,
    /// Daily summaries nobody got, for those who may send them again.
    lost: Vec<UndeliveredDigest>,
}

/// A daily summary nobody got.
#[derive(Serialize)]
struct Lost<'a> {
    channel: &'a str,
    day: &'a str,
    why: String,
    /// Where the button leads, below the root.
    again: String,
}

/// A name as one segment of an address.
fn segment(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let part = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(part).collect()
}

/// A state to choose, with how many there are.
#[derive(Serialize)]
struct Tab {
    label: &'static str,
    link: String,
    count: u64,
    chosen: bool,
}

/// One incident.
#[derive(Serialize)]
struct Row {
    id: String,
    title: String,
    namespace: String,
    /// What it comes to; until there is a diagnosis, empty.
    headline: String,
    badges: Vec<Badge>,
    is_open: bool,
    /// In full, for those who point at the short form.
    opened_at: String,
    /// How long ago it opened, and how long its alerts went on.
    age: String,
    lasted: String,
    firing: u64,
    undelivered: u64,
    running: bool,
}

fn lost(lost: &UndeliveredDigest, lang: Lang) -> Lost<'_> {
    let why = send::told(lang, lost.last_error.as_deref().unwrap_or_default());
    let again = format!("incidents/summaries/{}/{}/again", segment(&lost.day), segment(&lost.channel));
    Lost { channel: &lost.channel, day: &lost.day, why: text::said(&why, 200), again }
}

impl Browse {
    fn values(&self, asked: &Asked, lang: Lang, zone: &str, now: Timestamp) -> Value {
        let last = self.listed.last().filter(|_| self.more).map(|last| &last.incident);
        let next = last.map(|last| format!("{}_{}", last.opened_at.as_millisecond(), last.id));
        let rows: Vec<Row> = self.listed.iter().map(|one| row(one, lang, zone, now)).collect();
        context! {
            tabs => Serde(self.tabs(asked, lang)),
            rows => Serde(&rows),
            lost => Serde(self.lost.iter().map(|one| lost(one, lang)).collect::<Vec<_>>()),
            next => next.map(|next| asked.link(&asked.state, &next)),
            first => (!asked.before.is_empty()).then(|| asked.link(&asked.state, "")),
            clear => Asked { lang: asked.lang.clone(), ..Asked::default() }.link(&asked.state, ""),
            is_narrowed => asked.is_narrowed(),
            state => asked.state.as_str(),
            severity => asked.severity.as_str(),
            namespace => asked.namespace.as_str(),
            alert => asked.alert.as_str(),
            asked_lang => asked.lang.as_str(),
            severities => Serde(self.severities(asked, lang)),
            namespaces => Serde(&self.choices.namespaces),
            alerts => Serde(&self.choices.alerts),
            any_running => rows.iter().any(|row| row.running),
        }
    }

    fn tabs(&self, asked: &Asked, lang: Lang) -> Vec<Tab> {
        let ByState { open, resolved } = self.counts;
        let chosen = asked.narrowed().state.map_or("", IncidentState::word);
        [
            (lang.pick("进行中", "Open"), "open", open),
            (lang.pick("已恢复", "Resolved"), "resolved", resolved),
            (lang.pick("全部", "All"), "", open + resolved),
        ]
        .into_iter()
        .map(|(label, state, count)| Tab { label, link: asked.link(state, ""), count, chosen: chosen == state })
        .collect()
    }

    /// The severities there are, and the one asked for even when it is none of them.
    fn severities(&self, asked: &Asked, lang: Lang) -> Vec<(String, String)> {
        let known = self.choices.severities.iter();
        let other = Some(&asked.severity).filter(|one| !one.is_empty() && !self.choices.severities.contains(one));
        known.chain(other).map(|one| (one.clone(), said::severity(lang, &text::line(one, 24)))).collect()
    }
}

fn row(listed: &Listed, lang: Lang, zone: &str, now: Timestamp) -> Row {
    let one = &listed.incident;
    let seconds = |from: Timestamp, to: Timestamp| to.as_second() - from.as_second();
    let mut badges = vec![words::severity_badge(lang, &one.severity)];
    badges.extend(words::graver_before(lang, &one.severity, &one.gravest));
    badges.extend(one.verdict.and_then(|verdict| words::verdict_badge(lang, verdict)));
    Row {
        id: one.id.to_string(),
        title: text::line(&one.alertname, 120),
        namespace: text::line(&one.namespace, 80),
        headline: text::line(one.headline.as_deref().unwrap_or_default(), 300),
        badges,
        is_open: one.state == IncidentState::Open,
        opened_at: times::moment(one.opened_at, zone).unwrap_or_default(),
        age: words::ago(lang, seconds(one.opened_at, now)),
        lasted: times::duration(lang, seconds(one.began_at, one.ended_at.unwrap_or(now))),
        firing: one.firing,
        undelivered: listed.undelivered,
        running: matches!(listed.investigation, Some(InvestigationState::Ready | InvestigationState::Running)),
    }
}

#[cfg(test)]
mod tests;
