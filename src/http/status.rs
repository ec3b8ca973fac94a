//! The status page: what Firstlook depends on, how it went last, and what each model was found to be able to do.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::{Html, IntoResponse, Response};
use jiff::Timestamp;
use minijinja::context;
use minijinja::value::Serde;
use serde::Serialize;

use super::App;
use super::error::ApiError;
use crate::alert::Lang;
use crate::model::{Capabilities, Client, Model, Standing};
use crate::notify::template;
use crate::store::Counts;
use crate::telemetry::{Seen, State as Condition};
use crate::times;

/// Nothing is loaded and nothing runs; the one style sheet is inline.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page.
pub async fn page(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let counts = app.store.counts().await?;
    let teller = Teller { lang: app.desk.settings().lang, zone: &app.desk.settings().timezone };
    let models: Vec<ModelRow> = app
        .triage
        .model_health()
        .map(|(model, seen, standing)| {
            let spent = app.triage.ledger().spent(model.name());
            teller.model(model, &seen, standing, spent.tokens())
        })
        .collect();
    let servers: Vec<Row> = app.triage.server_health().map(|(name, seen)| teller.row(name, &seen)).collect();
    let context = context! {
        zh => teller.lang == Lang::Zh,
        lang => teller.lang.tag(),
        now => times::moment(Timestamp::now(), teller.zone).unwrap_or_default(),
        version => env!("CARGO_PKG_VERSION"),
        models => Serde(models),
        servers => Serde(servers),
        channels => Serde(channels(&app.desk.settings().channels, &counts)),
        waiting => counts.investigations_pending,
        running => counts.investigations_running,
        dead => counts.investigations_dead,
        open => counts.incidents_open,
    };
    let page = template::render("status.html.j2", include_str!("status.html.j2"), context)
        .map_err(|error| ApiError::internal(&error))?;
    Ok(([(CONTENT_SECURITY_POLICY, POLICY)], Html(page)).into_response())
}

/// What waits at a channel.
#[derive(Serialize)]
struct ChannelRow {
    name: String,
    tone: &'static str,
    pending: u64,
    dead: u64,
}

/// Every configured channel, and those that are configured no more but still have messages.
fn channels(configured: &[String], counts: &Counts) -> Vec<ChannelRow> {
    let gone = counts.outbox.keys().filter(|name| !configured.contains(name));
    let row = |name: &String| {
        let waiting = counts.outbox.get(name).copied().unwrap_or_default();
        let tone = if waiting.dead > 0 { "bad" } else { "good" };
        ChannelRow { name: name.clone(), tone, pending: waiting.pending, dead: waiting.dead }
    };
    configured.iter().chain(gone).map(row).collect()
}

/// One model or server.
#[derive(Serialize)]
struct Row {
    name: String,
    /// `good`, `bad` or `idle`.
    tone: &'static str,
    state: &'static str,
    detail: String,
    advice: Option<&'static str>,
}

/// One model, and what was found out about it.
#[derive(Serialize)]
struct ModelRow {
    row: Row,
    tokens_today: u64,
    standing: Option<String>,
    probed: Option<String>,
    abilities: Vec<Ability>,
}

/// One answer of the probe.
#[derive(Serialize)]
struct Ability {
    what: &'static str,
    /// `good`, `bad` or `idle`: not every "no" is bad.
    tone: &'static str,
    said: &'static str,
}

struct Teller<'a> {
    lang: Lang,
    zone: &'a str,
}

impl Teller<'_> {
    fn row(&self, name: &str, seen: &Seen) -> Row {
        let (tone, state) = match seen.state {
            Condition::Unused => ("idle", self.lang.pick("尚未使用", "not used yet")),
            Condition::Ok => ("good", self.lang.pick("正常", "ok")),
            Condition::Failing => ("bad", self.lang.pick("失败", "failing")),
        };
        let at = |moment: Option<Timestamp>| moment.map(|moment| times::moment(moment, self.zone).unwrap_or_default());
        let success = at(seen.last_success).map(|at| match seen.latency_ms {
            Some(latency) => {
                self.lang.pick(format!("{at} 成功，{latency} 毫秒"), format!("answered {at} in {latency} ms"))
            }
            None => at,
        });
        let failure = at(seen.last_failure)
            .zip(seen.failure)
            .map(|(at, word)| self.lang.pick(format!("{at} 失败：{word}"), format!("failed {at}: {word}")));
        let detail = success.into_iter().chain(failure).collect::<Vec<_>>().join(" · ");
        let failing = seen.state == Condition::Failing;
        Row { name: name.to_owned(), tone, state, detail, advice: seen.advice.filter(|_| failing) }
    }

    fn model(&self, model: &Client, seen: &Seen, standing: Standing, tokens_today: u64) -> ModelRow {
        let known = model.capabilities();
        let rests = standing.resting.map(|(class, left)| {
            let (word, seconds) = (class.label(), left.as_secs());
            self.lang.pick(format!("因 {word} 暂停 {seconds} 秒"), format!("rests {seconds} s after {word}"))
        });
        let capped = standing.capped.then(|| self.lang.pick("今日限额已用完", "today's limit is used up").to_owned());
        ModelRow {
            row: self.row(model.name(), seen),
            tokens_today,
            standing: rests.or(capped),
            probed: known.as_ref().and_then(|known| times::moment(known.probed_at, self.zone)),
            abilities: known.as_ref().map(|known| self.abilities(known)).unwrap_or_default(),
        }
    }

    fn abilities(&self, known: &Capabilities) -> Vec<Ability> {
        let lang = self.lang;
        // What is asked, whether yes is good news, and whether no is bad news.
        let asked = [
            (lang.pick("函数调用", "native function calls"), known.native_tools, true, true),
            (lang.pick("一轮多个调用", "several calls in a turn"), known.parallel_calls, true, false),
            (lang.pick("把调用写进正文", "writes calls into its text"), known.text_calls, false, false),
            (lang.pick("按提示词调用", "calls functions described in the prompt"), known.prompt_calls, true, true),
            (lang.pick("思考混入正文", "thinking stands in its text"), known.thinking_leaks, false, false),
            (lang.pick("长提示丢掉开头", "loses the front of a long prompt"), known.front_truncated, false, false),
            (lang.pick("报告 token 用量", "counts tokens"), known.reports_usage, true, false),
        ];
        let ability = |(what, known, yes_is_good, no_is_bad): (&'static str, Option<bool>, bool, bool)| {
            let (tone, said) = match known? {
                true if yes_is_good => ("good", lang.pick("是", "yes")),
                true => ("bad", lang.pick("是", "yes")),
                false if no_is_bad => ("bad", lang.pick("否", "no")),
                false => ("idle", lang.pick("否", "no")),
            };
            Some(Ability { what, tone, said })
        };
        asked.into_iter().filter_map(ability).collect()
    }
}
