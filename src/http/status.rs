//! The status page: what Firstlook depends on, how it went last, and what each model was found to be able to do.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::{Html, IntoResponse, Response};
use jiff::Timestamp;
use minijinja::context;
use minijinja::value::Serde;
use serde::Serialize;

use super::error::ApiError;
use super::pages::base::Visit;
use super::{App, ChannelHealth};
use crate::alert::Lang;
use crate::model::{Capabilities, Client, Model, Standing};
use crate::notify::feishu::app::LineSeen;
use crate::notify::{send, template, text};
use crate::store::Counts;
use crate::telemetry::{Seen, State as Condition};
use crate::times;

/// Nothing is loaded and nothing runs; the one style sheet is inline.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page.
pub async fn page(visit: Visit, State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let counts = app.store.counts().await?;
    let teller = Teller { lang: visit.lang, zone: &app.desk.settings().timezone };
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
        keep => visit.keep,
        other => visit.other,
        now => times::moment(Timestamp::now(), teller.zone).unwrap_or_default(),
        version => env!("CARGO_PKG_VERSION"),
        models => Serde(models),
        servers => Serde(servers),
        channels => Serde(teller.channels(&app.desk.settings().channels, &app.channels, &counts)),
        waiting => counts.investigations_pending,
        running => counts.investigations_running,
        dead => counts.investigations_dead,
        open => counts.incidents_open,
    };
    let page = template::render("status.html.j2", include_str!("status.html.j2"), context)
        .map_err(|error| ApiError::internal(&error))?;
    Ok(([(CONTENT_SECURITY_POLICY, POLICY)], Html(page)).into_response())
}

/// How sending goes on a channel, what waits at it, and how the connection fares that presses arrive over.
#[derive(Serialize)]
struct ChannelRow {
    row: Row,
    line: Option<Row>,
    pending: u64,
    dead: u64,
}

/// One model or server.
#[derive(Serialize)]
struct Row {
    name: String,
    /// `good`, `bad` or `idle`.
    tone: &'static str,
    state: &'static str,
    detail: String,
    /// What it says while it fails.
    said: String,
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
            .map(|(at, word)| (at, failure(self.lang, word)))
            .map(|(at, word)| self.lang.pick(format!("{at} 失败：{word}"), format!("failed {at}: {word}")));
        let detail = success.into_iter().chain(failure).collect::<Vec<_>>().join(" · ");
        let failing = seen.state == Condition::Failing;
        Row {
            name: name.to_owned(),
            tone,
            state,
            detail,
            said: if failing { text::line(&seen.said, 600) } else { String::new() },
            advice: seen.advice.filter(|_| failing).map(|advice| advice.told(self.lang)),
        }
    }

    /// Every configured channel, and those that are configured no more but still have messages. What is said of sending is
    /// what this process met; what waits is the same for all.
    fn channels(&self, configured: &[String], known: &[ChannelHealth], counts: &Counts) -> Vec<ChannelRow> {
        let gone = counts.outbox.keys().filter(|name| !configured.contains(name));
        let row = |name: &String| {
            let waiting = counts.outbox.get(name).copied().unwrap_or_default();
            let known = known.iter().find(|channel| channel.name == *name);
            let seen = known.map(|channel| channel.health.seen()).unwrap_or_default();
            let mut row = self.row(name, &seen);
            let said = send::told_whole(self.lang, &row.said);
            if said != row.said {
                // In Chinese it says what to do as well.
                (row.said, row.advice) = (said, None);
            }
            if !configured.contains(name) {
                row.state = self.lang.pick("已不在配置中", "configured no more");
            }
            let line = known.and_then(|channel| channel.app.as_ref()?.line()).map(|seen| self.line(&seen));
            ChannelRow { row, line, pending: waiting.pending, dead: waiting.dead }
        };
        configured.iter().chain(gone).map(row).collect()
    }

    /// The long connection of an app, without which nobody's press arrives.
    fn line(&self, line: &LineSeen) -> Row {
        let lang = self.lang;
        let row = self.row(lang.pick("长连接", "Long connection"), &line.seen);
        let (tone, state) = match (line.connected, line.seen.state) {
            (true, _) => ("good", lang.pick("已连接", "connected")),
            (false, Condition::Unused) => ("idle", lang.pick("尚未连接", "not connected yet")),
            (false, _) => ("bad", lang.pick("未连接，按钮操作收不到", "down: presses do not arrive")),
        };
        Row { tone, state, ..row }
    }

    fn model(&self, model: &Client, seen: &Seen, standing: Standing, tokens_today: u64) -> ModelRow {
        let known = model.capabilities();
        // A rest that is over lasts in the books until somebody asks again.
        let rests = standing.resting.filter(|(_, left)| !left.is_zero()).map(|(class, left)| {
            let (why, seconds) = (failure(self.lang, class.label()), left.as_secs() + 1);
            self.lang.pick(format!("暂停使用 {seconds} 秒（{why}）"), format!("rests {seconds} s after {why}"))
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

/// What a fixed word for a failure means to whoever reads.
fn failure(lang: Lang, word: &'static str) -> &'static str {
    let known = FAILURES.iter().find(|(known, _, _)| *known == word);
    known.map_or(word, |(_, zh, en)| lang.pick(zh, en))
}

const FAILURES: [(&str, &str, &str); 19] = [
    ("network", "网络不通", "not reached"),
    ("unreachable", "连接不上", "not reached"),
    ("timeout", "超时", "no answer in time"),
    ("rate_limited", "对方限流", "asked to slow down"),
    ("server", "对方服务出错", "it failed on its side"),
    ("bad_answer", "答复无法识别", "an answer that cannot be read"),
    ("auth", "凭据不被接受", "credentials refused"),
    ("quota", "额度用完", "quota used up"),
    ("not_found", "地址或模型不存在", "no such address or model"),
    ("tools_unsupported", "不支持函数调用", "no function calls"),
    ("context_length", "超出上下文长度", "too long for it"),
    ("content_filter", "被内容审核拦截", "content filter"),
    ("rejected", "请求被拒绝", "refused"),
    ("config", "配置有误", "settings"),
    ("refused", "对方拒绝", "refused"),
    ("closed", "对方断开", "closed by the other end"),
    ("silent", "长时间没有响应", "silent"),
    ("broken", "连接中断", "broke off"),
    ("daily_limit", "今日限额已用完", "daily limit used up"),
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::Class;
    use crate::notify::send::{Reason, SendError};
    use crate::store::ChannelCounts;
    use crate::telemetry::Health;

    /// A channel that works, one that is refused, one that was not used yet, and one that is configured no more.
    fn shown(lang: Lang) -> String {
        let teller = Teller { lang, zone: "UTC" };
        let [good, bad, unused] = [(); 3].map(|()| Arc::new(Health::default()));
        good.succeeded(Duration::from_millis(120));
        let answer = SendError::new(Reason::Auth, "Feishu answered 19024 \"Key Words Not Found\": add a keyword");
        bad.failed(Reason::Auth.label(), &answer, |lang| Reason::Auth.advice(lang));
        let known = [("good", good), ("bad", bad), ("unused", unused)].map(|(name, health)| ChannelHealth {
            name: name.into(),
            health,
            app: None,
        });
        let counts = Counts {
            outbox: [
                ("bad".to_owned(), ChannelCounts { pending: 3, dead: 0 }),
                ("gone".to_owned(), ChannelCounts { pending: 0, dead: 2 }),
            ]
            .into(),
            ..Counts::default()
        };
        let rows = teller.channels(&["good", "bad", "unused"].map(str::to_owned), &known, &counts);
        let tones: Vec<_> = rows.iter().map(|one| (&*one.row.name, one.row.tone, one.pending, one.dead)).collect();
        assert_eq!(
            tones,
            [("good", "good", 0, 0), ("bad", "bad", 3, 0), ("unused", "idle", 0, 0), ("gone", "idle", 0, 2)]
        );
        rendered(lang, rows, 0)
    }

    fn rendered(lang: Lang, rows: Vec<ChannelRow>, open: u64) -> String {
        let context = context! {
            zh => lang == Lang::Zh, lang => lang.tag(), keep => "?lang=en", other => "?lang=zh-CN", now => "", version => "",
            models => Serde(Vec::<ModelRow>::new()), servers => Serde(Vec::<Row>::new()), channels => Serde(rows),
            waiting => 0, running => 0, dead => 0, open => open,
        };
        template::render("status.html.j2", include_str!("status.html.j2"), context).unwrap()
    }

    #[test]
    fn a_channel_is_as_well_as_its_last_message() {
        for (lang, failing, put_aside, advice) in [
            (Lang::En, "failing", "2 put aside", "mend what the product complains of"),
            (Lang::Zh, "失败", "2 条无法送达", "请按对方的答复核对渠道配置，改好后可重新发送</p>"),
        ] {
            let page = shown(lang);
            let card = |name: &str| {
                let (_, card) = page.split_once(&format!("<span class=\"name\">{name}</span>")).unwrap();
                card.split_once("</section>").unwrap().0.to_owned()
            };
            let bad = card("bad");
            assert!(
                bad.contains(&format!("<span class=\"pill bad\">{failing}</span>")) && bad.contains(advice),
                "{bad}"
            );
            assert!(bad.contains("19024") && bad.contains("add a keyword"), "what the product complains of: {bad}");
            assert_eq!(bad.matches(lang.pick("请按对方的答复", "mend what")).count(), 1, "{bad}");
            assert!(bad.contains(lang.pick("失败：凭据不被接受", ": credentials refused")), "{bad}");
            assert!(!card("good").contains("19024"), "{page}");
            assert!(bad.contains(lang.pick("3 条等待发送", "3 waiting")) && !bad.contains("pill good"), "{bad}");
            assert!(card("gone").contains(&format!("<span class=\"pill bad\">{put_aside}</span>")), "{page}");
            assert!(card("good").contains("pill good") && !card("unused").contains("pill good"), "{page}");
        }
    }

    #[test]
    fn every_word_for_a_failure_is_said_in_both_languages() {
        let reasons = [Reason::Network, Reason::RateLimited, Reason::Server, Reason::Auth, Reason::Rejected];
        let classes = [
            Class::Network,
            Class::Timeout,
            Class::RateLimited,
            Class::Server,
            Class::BadAnswer,
            Class::Auth,
            Class::Quota,
            Class::NotFound,
            Class::ToolsUnsupported,
            Class::ContextLength,
            Class::ContentFilter,
            Class::Rejected,
            Class::Config,
        ];
        let labels = reasons.map(Reason::label).into_iter().chain(classes.map(Class::label));
        for word in labels.chain(["refused", "closed", "silent", "broken", "timeout", "unreachable"]) {
            let told = failure(Lang::Zh, word);
            assert!(told != word && !told.is_ascii(), "{word}");
            assert!(failure(Lang::En, word).contains(|c: char| c.is_ascii_lowercase()), "{word}");
        }
        assert_eq!(failure(Lang::Zh, "of_next_year"), "of_next_year");
    }

    #[test]
    fn a_connection_that_is_down_is_told_with_what_was_said() {
        let health = Health::default();
        health.failed("closed", "the platform closed it", |lang| lang.pick("自动重连", "it is dialled again"));
        for (lang, down, what) in [
            (Lang::Zh, "未连接，按钮操作收不到", "自动重连"),
            (Lang::En, "down: presses do not arrive", "it is dialled again"),
        ] {
            let teller = Teller { lang, zone: "UTC" };
            let row = teller.line(&LineSeen { connected: false, ends: 3, seen: health.seen() });
            assert_eq!((row.tone, row.state, row.advice), ("bad", down, Some(what)));
            assert_eq!(row.said, "the platform closed it");
            let begun = teller.line(&LineSeen { connected: false, ends: 0, seen: Seen::default() });
            assert_eq!(begun.tone, "idle");
            let page = rendered(lang, vec![ChannelRow { row: begun, line: Some(row), pending: 0, dead: 0 }], 1);
            assert!(page.contains(down) && page.contains("the platform closed it"), "{page}");
            assert!(page.contains(lang.pick("进行中的事件", ">incident open<")), "{page}");
        }
    }
}
