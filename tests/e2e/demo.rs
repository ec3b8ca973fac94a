//! The commands people try first: demo, triage and eval, with and without a model, and the page in a real browser.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::support::alerts::{PENDING, scenario};
use crate::support::model::KEY;
use crate::support::service::{Ended, Lines, client, program, run};
use crate::support::{eventually, pending, tools};

async fn firstlook(arguments: &[&str]) -> Ended {
    let mut command = program();
    command.args(arguments);
    run(command).await
}

/// How many of the repository's scenarios come inside the binary: those numbered with two digits.
fn recorded() -> usize {
    let names = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")).unwrap();
    names.filter(|name| name.as_ref().unwrap().file_name().to_string_lossy().find('-') == Some(2)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_names_the_claim_and_the_missing_provisioner() {
    for (lang, heading, alone) in [("zh-CN", "诊断分析", "仅由内置规则库"), ("en", "Diagnosis", "the playbook alone")]
    {
        let ended = firstlook(&["demo", "--once", "--lang", lang]).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        for word in ["test-data", "com.tencent.cloud.csi.cbs", heading] {
            assert!(ended.stdout.contains(word), "{word}: {}", ended.stdout);
        }
        assert!(ended.stdout.starts_with("# ") && !ended.stdout.contains("INFO"), "{}", ended.stdout);
        assert!(ended.stderr.contains(alone), "{}", ended.stderr);
    }
}

/// A bare container image has no certificates, and the demo needs none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_runs_where_nobody_is_trusted() {
    let nobody = tempfile::tempdir().unwrap();
    let mut command = program();
    command
        .args(["demo", "--once", "--lang", "en"])
        .envs([("SSL_CERT_FILE", "/dev/null")])
        .env("SSL_CERT_DIR", nobody.path());
    let ended = run(command).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("com.tencent.cloud.csi.cbs"), "{}", ended.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_lists_its_scenarios_and_shows_another() {
    let ended = firstlook(&["demo", "--list"]).await;
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(0), recorded()), "{}", ended.stdout);
    assert!(ended.stdout.contains("03-oomkilled"));
    let ended = firstlook(&["demo", "--scenario", "oomkilled", "--once", "--lang", "en"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("OOMKilled"), "{}", ended.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_asks_the_model_of_the_environment() {
    let model = pending::model().await;
    let mut command = program();
    command.args(["demo", "--once", "--lang", "en", "--output", "json"]);
    command.envs([("OPENAI_BASE_URL", model.url()), ("OPENAI_API_KEY", KEY.into()), ("OPENAI_MODEL", "m".into())]);
    let ended = run(command).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&report["usage"]["source"], &report["usage"]["turns"]), (&json!("model"), &json!(2)), "{report:#}");
    assert_eq!(model.asked().len(), 2);
    assert!(!ended.stderr.contains(KEY) && ended.stderr.contains("Investigating with the model m"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triage_reads_an_alert_from_standard_input() {
    let directory = scenario(PENDING);
    let mut command = program();
    command.args(["triage", "--output", "json", "--lang", "en", "--snapshot"]).arg(&directory).arg("-");
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&std::fs::read(directory.join("alert.json")).unwrap()).await.unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    let stable = [
        "verdict",
        "headline",
        "overview",
        "causes",
        "primary",
        "related",
        "impact",
        "steps",
        "ruled_out",
        "unresolved",
        "data_gaps",
        "evidence",
        "usage",
    ];
    assert_eq!(keys, stable);
    assert_eq!(report["causes"][0]["code"], "pvc_unbound_provisioner_missing");
    let usage: Vec<&str> = report["usage"].as_object().unwrap().keys().map(String::as_str).collect();
    let spent = [
        "source",
        "model",
        "turns",
        "tool_calls",
        "prompt_tokens",
        "completion_tokens",
        "cost",
        "passed_over",
        "seconds",
        "stopped_by",
    ];
    assert_eq!(usage, spent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_playbook_alone_is_right_about_every_scenario() {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let ended = firstlook(&["eval", "--output", "json", scenarios.to_str().unwrap()]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let scores: Value = serde_json::from_str(&ended.stdout).unwrap();
    let total = &scores["totals"][0];
    let count = json!(std::fs::read_dir(&scenarios).unwrap().count());
    assert_eq!((&total["model"], &total["scenarios"]), (&json!("playbook"), &count), "{total:#}");
    assert_eq!(total["right"], count, "{total:#}");
    assert_eq!(total["confidently_wrong"], 0, "{total:#}");
}

fn screens() -> PathBuf {
    let folder = tools::folder().join("screens");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A picture of a page, as a visitor's browser draws it.
async fn photograph(url: &str, name: &str, width: u32, height: u32) -> PathBuf {
    let file = screens().join(name);
    drop(std::fs::remove_file(&file));
    let profile = tempfile::tempdir().unwrap();
    let mut command = Command::new(tools::chromium());
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=2000"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--window-size={width},{height}"))
        .arg(format!("--screenshot={}", file.display()))
        .arg(url)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let ended = run(command).await;
    assert!(file.exists(), "no picture: {}", ended.stderr);
    file
}

/// Fails on an empty page: a PNG of one colour packs to almost nothing.
fn assert_not_blank(file: &Path, width: u32) {
    let png = std::fs::read(file).unwrap();
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    assert_eq!(u32::from_be_bytes(png[16..20].try_into().unwrap()), width);
    assert!(png.len() > 60_000, "{} has only {} bytes", file.display(), png.len());
    let different: std::collections::HashSet<&[u8]> = png.chunks(64).collect();
    assert!(different.len() > 900, "{} repeats itself", file.display());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_every_message_in_a_real_browser() {
    for (lang, heading) in [("zh-CN", "根本原因"), ("en", "Root cause")] {
        let mut command = program();
        let mut demo = command.args(["demo", "--lang", lang]).spawn().unwrap();
        let said = Lines::of(demo.stderr.take().unwrap());
        let address =
            |line: &String| Some(line.split_whitespace().find(|word| word.contains("/incidents/"))?.to_owned());
        let url = eventually("the page's address", 30, || {
            said.find(|line| address(line).filter(|url| url.starts_with("http://127")))
        })
        .await;
        let page = client().get(&url).send().await.unwrap();
        assert_eq!(page.status(), 200);
        assert!(page.headers().contains_key("content-security-policy"));
        let html = page.text().await.unwrap();
        for word in ["test-data", "com.tencent.cloud.csi.cbs", heading] {
            assert!(html.contains(word), "{word}");
        }
        assert!(!html.contains("src=\"http") && !html.contains("@import"), "the page loads nothing from elsewhere");
        let wide = photograph(&url, &format!("demo-{lang}.png"), 1280, 2400).await;
        assert_not_blank(&wide, 1280);
        let narrow = photograph(&url, &format!("demo-{lang}-narrow.png"), 500, 3200).await;
        assert_not_blank(&narrow, 500);
        demo.kill().await.unwrap();
    }
}

#[tokio::test]
async fn render_prints_what_each_channel_would_get() {
    let card = firstlook(&["render", "--lang", "en"]).await;
    let card: Value = serde_json::from_str(&card.stdout).unwrap();
    assert_eq!(crate::support::card::check(&card["card"]), Ok(()), "{card}");
    for message in ["first", "diagnosis", "resolved"] {
        let app = firstlook(&["render", "--channel", "feishu-app", "--message", message, "--lang", "en"]).await;
        let app: Value = serde_json::from_str(&app.stdout).unwrap();
        assert_eq!(crate::support::card_app::check(&app["content"]), Ok(()), "{app}");
        assert!(app.to_string().contains("com.tencent.cloud.csi.cbs"), "its card keeps what was found: {app}");
    }
    let chat = firstlook(&["render", "--channel", "wecom-bot", "--message", "diagnosis", "--lang", "zh-CN"]).await;
    assert!(
        chat.stdout.contains("markdown_v2") && chat.stdout.contains("com.tencent.cloud.csi.cbs"),
        "{}",
        chat.stdout
    );
    let mail = firstlook(&["render", "--channel", "email", "--message", "resolved", "--lang", "en"]).await;
    assert!(mail.stdout.starts_with("Subject: [Firstlook]"), "{}", mail.stdout);
    let hook = firstlook(&["render", "--channel", "webhook", "--message", "test"]).await;
    assert_eq!(serde_json::from_str::<Value>(&hook.stdout).unwrap()["event"], "test");
    let nothing = firstlook(&["render", "--scenario", "no-such-scenario"]).await;
    assert_eq!(nothing.code, Some(2), "{}", nothing.stderr);
    assert!(nothing.stderr.contains("01-pvc-provisioner-missing"), "{}", nothing.stderr);
}
