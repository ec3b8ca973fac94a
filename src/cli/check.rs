//! `firstlook check`: every model, MCP server, channel and the store tried once, one line each with what to do.

mod callbacks;
mod model;
mod route;

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::Serialize;
use tokio::time::Instant;

use super::{CliError, service};
use crate::alert::Lang;
use crate::config::{self, Config};
use crate::model::Capabilities;
use crate::notify::channel::Channel;
use crate::notify::layout::Layouts;
use crate::notify::rehearsal;
use crate::notify::send::Reason;
use crate::prometheus::{self, PrometheusSettings};
use crate::redact::redact;
use crate::series::figure;
use crate::store::{Found, Store};
use crate::telemetry::Metrics;
use crate::toolbox::config::McpSettings;
use crate::toolbox::probe::{self, Probed};

/// Longest wait for one answer: as long as a tool call may take. A model that needs longer is too slow for alerts.
const LIMIT: Duration = Duration::from_secs(15);

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file.
    #[arg(long)]
    config: PathBuf,
    /// Also send a test message to every channel.
    #[arg(long)]
    send: bool,
    /// Only says where an alert with these labels would go, and why: `severity=critical,namespace=pay`.
    #[arg(long, value_name = "LABELS")]
    route: Option<String>,
    /// Language of facts and remedies; the configuration's when left out.
    #[arg(long)]
    lang: Option<Lang>,
    /// How to print them.
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
}

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What trying one thing showed.
#[derive(Debug, Serialize)]
struct Line {
    ok: bool,
    kind: &'static str,
    name: String,
    latency_ms: u64,
    /// A fact when it works, what happened and what to do when it does not.
    detail: String,
    /// What a model can do, as it was found out just now.
    #[serde(skip_serializing_if = "Option::is_none")]
    capabilities: Option<Capabilities>,
    /// What would make a model work better, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// What is true of a thing that works.
#[derive(Default)]
struct Fact {
    detail: String,
    capabilities: Option<Capabilities>,
    notes: Vec<String>,
}

impl From<String> for Fact {
    fn from(detail: String) -> Self {
        Self { detail, ..Self::default() }
    }
}

/// A fact, or what is wrong.
type Tried = Result<String, String>;

/// Tries everything at once. Exit code 0 when all of it works, 1 when something does not.
pub(super) async fn run(arguments: Arguments) -> Result<ExitCode, CliError> {
    let config = config::load(&arguments.config).map_err(CliError::usage)?;
    let lang = arguments.lang.unwrap_or(config.language);
    if let Some(labels) = &arguments.route {
        println!("{}", route::explain(&config, labels, lang, Timestamp::now())?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut pending = futures::stream::iter(attempts(&config, lang, arguments.send)?).buffered(usize::MAX);
    let mut lines = Vec::new();
    while let Some(line) = pending.next().await {
        if arguments.output == Format::Text {
            println!("{}", text(&line));
        }
        lines.push(line);
    }
    let ok = lines.iter().all(|line| line.ok);
    match arguments.output {
        Format::Text => config.warnings.iter().for_each(|warning| eprintln!("warning: {warning}")),
        Format::Json => {
            let json = serde_json::json!({"ok": ok, "checks": lines, "warnings": config.warnings});
            println!("{}", serde_json::to_string_pretty(&json).map_err(CliError::failed)?);
        }
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(line: &Line) -> String {
    let verdict = if line.ok { "ok" } else { "fail" };
    let latency = format!("{} ms", line.latency_ms);
    let first = format!("{verdict:<4}  {:<10}  {:<14}  {latency:>8}  {}", line.kind, line.name, line.detail);
    line.notes.iter().fold(first, |text, note| format!("{text}\n      - {note}"))
}

/// One attempt for each thing the configuration names. Settings that `serve` would refuse are refused here too.
fn attempts(config: &Config, lang: Lang, send: bool) -> Result<Vec<BoxFuture<'static, Line>>, CliError> {
    service::triage(config, Arc::new(Metrics::new()))?;
    let url = config.store.clone();
    let kind = url.expose_secret().split(':').next().unwrap_or_default().to_owned();
    let mut attempts = vec![timed("store", kind, lang, async move { store(url.expose_secret(), lang).await })];
    for model in config.models.iter().cloned() {
        let examined = model::examine(model.clone(), config.store.clone(), config.timezone.clone(), lang);
        attempts.push(timed("model", model.name, lang, examined));
    }
    for server in config.mcp.iter().cloned() {
        attempts.push(timed("mcp", server.name.clone(), lang, try_server(server, lang)));
    }
    if let Some(settings) = config.prometheus.clone() {
        attempts.push(timed("prometheus", "prometheus".to_owned(), lang, try_prometheus(settings, lang)));
    }
    let layouts = service::layouts(config);
    if let Some(folder) = &config.templates {
        let (name, tried) = (folder.display().to_string(), templates(&layouts, lang));
        attempts.push(timed("templates", name, lang, std::future::ready(tried)));
    }
    for channel in service::channels(config, &layouts)? {
        if let Some(app) = callbacks::listening(&channel) {
            attempts.push(timed("callbacks", channel.name().to_owned(), lang, callbacks::dial(app, lang)));
        }
        let notice = send.then(|| rehearsal::notice(config.language, &config.timezone));
        attempts.push(timed(channel.kind(), channel.name().to_owned(), lang, async move {
            match notice {
                Some(notice) => channel.send(&notice).await.map(|form| sent(form.label(), lang)),
                None => channel.reach().await.map(|()| reached(&channel, lang)),
            }
            .map_err(|error| match (error.reason, &channel) {
                (Reason::Network, Channel::Email(_)) => with_advice(error, mail_advice(lang), lang),
                (Reason::Network, _) => with_advice(error, network_advice(lang), lang),
                _ => error.to_string(),
            })
        }));
    }
    Ok(attempts)
}

/// Runs one attempt against the clock. What it says is redacted: foreign errors like to repeat what they were given.
fn timed(
    kind: &'static str,
    name: String,
    lang: Lang,
    attempt: impl Future<Output = Result<impl Into<Fact> + Send, String>> + Send + 'static,
) -> BoxFuture<'static, Line> {
    async move {
        let started = Instant::now();
        let tried = tokio::time::timeout(LIMIT, attempt).await.unwrap_or_else(|_| Err(too_slow(lang)));
        let latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (ok, Fact { detail, capabilities, notes }) =
            tried.map_or_else(|wrong| (false, wrong.into()), |fact| (true, fact.into()));
        let detail = redact(&detail).split_whitespace().collect::<Vec<_>>().join(" ");
        Line { ok, kind, name, latency_ms, detail, capabilities, notes }
    }
    .boxed()
}

fn too_slow(lang: Lang) -> String {
    let seconds = LIMIT.as_secs();
    lang.pick(
        format!("{seconds} 秒内没有应答；检查网络与代理"),
        format!("no answer within {seconds} s; check network and proxy"),
    )
}

/// What happened, and what to do.
fn with_advice(what: impl Display, advice: &str, lang: Lang) -> String {
    lang.pick(format!("{what}；{advice}"), format!("{what}; {advice}"))
}

async fn store(url: &str, lang: Lang) -> Tried {
    let found = Store::probe(url).await.map_err(|error| error.to_string())?;
    let (zh, en) = match found {
        Found::Ready => ("可读写", "takes transactions"),
        Found::InUse => ("正由运行中的 firstlook 使用", "in use by a running firstlook"),
        Found::Creatable => ("尚不存在，首次启动时创建", "not there yet; the first start creates it"),
    };
    Ok(lang.pick(zh, en).to_owned())
}

async fn try_server(settings: McpSettings, lang: Lang) -> Tried {
    let probed = probe::probe(&settings, LIMIT)
        .await
        .map_err(|error| with_advice(&error, error.advice(settings.transport, lang), lang))?;
    let Probed { offered, missing, read } = probed;
    let mut said = lang.pick(format!("{offered} 个可用工具"), format!("{offered} usable tools"));
    if !missing.is_empty() {
        said += &lang.pick(format!("，缺少 {}", missing.join("、")), format!(", without {}", missing.join(", ")));
    }
    said += match read {
        Some(_) => lang.pick("，可读取集群", ", the cluster can be read"),
        None => lang.pick("，没有可供试读的工具", ", and none to try a read with"),
    };
    Ok(said)
}

/// Asks for what every Prometheus has: whether its targets are up.
async fn try_prometheus(settings: PrometheusSettings, lang: Lang) -> Tried {
    let client = prometheus::Client::new(&settings).map_err(|error| error.to_string())?;
    let answer = client.query("count(up)", Timestamp::now()).await.map_err(|error| error.to_string())?;
    let up = answer.series.first().and_then(|series| series.points.first()).map(|point| figure(point.value));
    let (host, up) = (client.host(), up.unwrap_or_else(|| "0".to_owned()));
    Ok(lang.pick(format!("{host} 可查询，{up} 个采集目标"), format!("{host} answers, {up} targets are scraped")))
}

/// What the operator's templates are like. They were tried when they were read.
fn templates(layouts: &Layouts, lang: Lang) -> Tried {
    let used = layouts.used().join(", ");
    let broken = layouts.broken();
    if broken.is_empty() {
        return Ok(lang.pick(format!("使用 {used}"), format!("used: {used}")));
    }
    let said: Vec<String> = broken.into_iter().map(|(path, why)| format!("{path}: {why}")).collect();
    let said = said.join("; ");
    Err(lang.pick(format!("用内置布局代替 {said}"), format!("the built-in layout is used instead of {said}")))
}

fn network_advice(lang: Lang) -> &'static str {
    lang.pick(
        "检查 DNS、出口网络和代理设置（HTTPS_PROXY、NO_PROXY）",
        "check DNS, egress and the proxy settings (HTTPS_PROXY, NO_PROXY)",
    )
}

fn mail_advice(lang: Lang) -> &'static str {
    lang.pick(
        "检查 smtp 的主机、端口和协议（smtps 为 465，STARTTLS 为 587）以及出口网络",
        "check host, port and scheme of smtp (smtps is 465, STARTTLS 587), and egress",
    )
}

fn sent(form: &str, lang: Lang) -> String {
    lang.pick(format!("测试消息已送达（{form}）"), format!("the test message was accepted ({form})"))
}

fn reached(channel: &Channel, lang: Lang) -> String {
    let (zh, en) = match channel {
        Channel::Email(_) => {
            ("服务器可达，登录成功；--send 发送测试邮件", "reachable, login accepted; --send sends a test mail")
        }
        Channel::FeishuApp(_) => (
            "可达，应用凭据有效；--send 验证能否写入会话",
            "reachable, the app's credentials are accepted; --send shows whether it may write to the chat",
        ),
        _ => (
            "主机可达；地址与签名要用 --send 验证",
            "the host is reachable; only --send shows whether address and signature are right",
        ),
    };
    lang.pick(zh, en).to_owned()
}
