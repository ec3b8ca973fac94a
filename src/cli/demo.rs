//! `firstlook demo`: the whole service on a recorded broken cluster. No network, no cluster, no key.
//!
//! Nothing here is special to the demo but its configuration: the webhook arrives over HTTP at the same route, is stored,
//! investigated through MCP and sent by the same outbox. Only the chat services are stand-ins on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::routing::post;
use clap::Args;
use reqwest::ClientBuilder;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::service::{self, Service};
use super::{CliError, ReportFormat, language, scenario, stage};
use crate::alert::Lang;
use crate::config::{self, Config};
use crate::markdown;
use crate::report::Report;
use crate::store::{IncidentDetail, InvestigationState, NoticeState, Store};
use crate::telemetry::{Metrics, progress};
use crate::trust;

/// The scenario of the article Firstlook grew from.
pub(super) const DEFAULT_SCENARIO: &str = "01-pvc-provisioner-missing";
/// Longer than any investigation's own deadline.
const PATIENCE: Duration = Duration::from_secs(240);

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The scenario to show; see --list.
    #[arg(long, default_value = DEFAULT_SCENARIO)]
    scenario: String,
    /// List the scenarios and end.
    #[arg(long)]
    list: bool,
    /// Print the report and end; no page.
    #[arg(long)]
    once: bool,
    /// Language of the report and the messages.
    #[arg(long)]
    lang: Option<Lang>,
    /// How to print the report.
    #[arg(long, value_enum, default_value = "markdown")]
    output: ReportFormat,
    /// Where the page listens; only loopback addresses.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// Shows a scenario. Exit code 0 when a report came out and every message was delivered.
pub(super) async fn run(arguments: Arguments) -> Result<ExitCode, CliError> {
    if arguments.list {
        for scenario in scenario::all() {
            println!("{:<40} {}", scenario.name, scenario.alert_summary());
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !arguments.listen.ip().is_loopback() {
        return Err(CliError::Usage(format!(
            "the demo has no login, so it only listens on loopback, not on {}",
            arguments.listen
        )));
    }
    let lang = language(arguments.lang);
    let home = tempfile::tempdir().map_err(CliError::failed)?;
    let scenario = scenario::unpack(&arguments.scenario, home.path()).map_err(CliError::Usage)?;
    let stop = CancellationToken::new();
    let inbox = inbox(stop.clone()).await?;
    let listener = TcpListener::bind(arguments.listen).await.map_err(CliError::failed)?;
    let address = listener.local_addr().map_err(CliError::failed)?;
    let configuration = configuration(home.path(), &scenario, inbox, address, lang)?;
    let timezone = configuration.timezone.clone();
    let store = service::open(&configuration).await?;
    let service = Service::build(configuration, store.clone(), Arc::new(Metrics::new())).await?;
    let serving = tokio::spawn(service.run(listener, stop.clone()));
    announce(lang);
    stage(lang.pick("查看故障现场", "looking at the broken cluster"));
    let incident = send_alert(address, &scenario).await?;
    let detail = wait_for(&store, incident).await?;
    progress::clear();
    let report = detail.incident.report.clone().ok_or_else(|| CliError::Failed(undiagnosed(&detail)))?;
    print_report(&report, lang, &timezone, arguments.output)?;
    if !arguments.once {
        eprintln!(
            "\n{} http://{address}/incidents/{incident}/messages",
            lang.pick("群消息、邮件与证据见页面（Ctrl-C 结束）：", "The messages beside their evidence (Ctrl-C ends):")
        );
        tokio::signal::ctrl_c().await.map_err(CliError::failed)?;
    }
    stop.cancel();
    serving.await.map_err(CliError::failed)?;
    store.close().await;
    let delivered = detail.notices.iter().all(|notice| notice.state == NoticeState::Sent);
    Ok(if delivered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn announce(lang: Lang) {
    let line = match env_model() {
        Some(model) => lang.pick(format!("使用模型 {model} 研判"), format!("Investigating with the model {model}.")),
        None => lang
            .pick(
                "未设置 OPENAI_BASE_URL / OPENAI_API_KEY / OPENAI_MODEL：仅由内置规则库 (playbook) 研判",
                "OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL are not set: the playbook alone is answering.",
            )
            .to_owned(),
    };
    eprintln!("{line}");
}

fn env_model() -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    set("OPENAI_BASE_URL").and(set("OPENAI_MODEL"))
}

/// The demo's configuration, through the same loader as everybody's.
fn configuration(
    home: &Path,
    scenario: &Path,
    inbox: SocketAddr,
    address: SocketAddr,
    lang: Lang,
) -> Result<Config, CliError> {
    let models = if env_model().is_some() {
        json!([{"name": "env", "base_url": "${OPENAI_BASE_URL}", "api_key": "${OPENAI_API_KEY:-}", "model": "${OPENAI_MODEL}"}])
    } else {
        json!([])
    };
    let file = json!({
        "server": {"listen": address, "public_url": format!("http://{address}")},
        "store": format!("sqlite:{}", home.join("firstlook.db").display()),
        "language": lang,
        "models": models,
        "mcp": [{"name": "kubernetes", "transport": "builtin", "snapshot": scenario}],
        "channels": [
            {"name": "feishu", "type": "feishu-bot", "url": format!("http://{inbox}/feishu")},
            {"name": "wecom", "type": "wecom-bot", "url": format!("http://{inbox}/wecom")},
        ],
    });
    let path = home.join("firstlook.yaml");
    // YAML is a superset of JSON.
    std::fs::write(&path, file.to_string()).map_err(CliError::failed)?;
    config::load(&path).map_err(CliError::usage)
}

/// Stands in for the chat services: accepts what they accept in shape, keeps nothing.
async fn inbox(stop: CancellationToken) -> Result<SocketAddr, CliError> {
    let routes = axum::Router::new()
        .route("/feishu", post(|_: Json<Value>| async { Json(json!({"code": 0, "msg": "success"})) }))
        .route("/wecom", post(|_: Json<Value>| async { Json(json!({"errcode": 0, "errmsg": "ok"})) }));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(CliError::failed)?;
    let address = listener.local_addr().map_err(CliError::failed)?;
    tokio::spawn(async move { axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await });
    Ok(address)
}

/// Posts the scenario's webhook the way Alertmanager would.
async fn send_alert(address: SocketAddr, scenario: &Path) -> Result<Uuid, CliError> {
    let body = std::fs::read(scenario.join("alert.json")).map_err(CliError::failed)?;
    let client = trust::client(ClientBuilder::no_proxy).map_err(CliError::failed)?;
    let request = client
        .post(format!("http://{address}/webhooks/alertmanager"))
        .header("content-type", "application/json")
        .body(body);
    let answer: Value = request.send().await.map_err(CliError::failed)?.json().await.map_err(CliError::failed)?;
    answer
        .get("incident")
        .and_then(Value::as_str)
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| CliError::Failed(format!("the alert was not accepted: {answer}")))
}

/// Waits until the investigation is over and its messages are out.
async fn wait_for(store: &Store, incident: Uuid) -> Result<IncidentDetail, CliError> {
    let over = async {
        loop {
            if let Some(detail) = store.incident(incident).await.map_err(CliError::failed)?
                && is_over(&detail)
            {
                return Ok(detail);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let patience = CliError::Failed(format!("no report after {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, over).await.unwrap_or(Err(patience))
}

fn is_over(detail: &IncidentDetail) -> bool {
    let investigated = detail.investigation.as_ref().is_none_or(|one| {
        matches!(one.state, InvestigationState::Done | InvestigationState::Dead | InvestigationState::Cancelled)
    });
    investigated && detail.notices.iter().all(|notice| matches!(notice.state, NoticeState::Sent | NoticeState::Dead))
}

fn undiagnosed(detail: &IncidentDetail) -> String {
    let error = detail.investigation.as_ref().and_then(|one| one.last_error.clone());
    format!("the investigation failed: {}", error.unwrap_or_else(|| "it left no error".to_owned()))
}

fn print_report(report: &Report, lang: Lang, zone: &str, output: ReportFormat) -> Result<(), CliError> {
    match output {
        ReportFormat::Markdown => println!("{}", markdown::report(report, lang, zone)),
        ReportFormat::Json => println!("{}", serde_json::to_string_pretty(report).map_err(CliError::failed)?),
    }
    Ok(())
}
