//! `firstlook check` tells what works, what does not, and what to do: through the built program, before strict stand-ins.

use std::path::Path;
use std::process::Output;

use firstlook::kube::snapshot::kubeconfig;
use firstlook::notify::post;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::feishu::Feishu;
use crate::support::model::{Answer, Asked, KEY, ModelServer, capable};
use crate::support::serve;
use crate::support::smtp::SmtpServer;
use crate::support::wecom::Wecom;

const TOOL: &str = "report_ready";

/// A port nobody listens on.
fn closed() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn snapshot() -> Value {
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/01-pvc-provisioner-missing");
    json!([{"name": "kubernetes", "transport": "builtin", "snapshot": scenario}])
}

fn model(server: &ModelServer, key: &str) -> Value {
    json!([{"name": "fast", "base_url": server.url(), "api_key": key, "model": "stand-in"}])
}

/// Runs the program on a configuration, with a store of its own unless it names one.
async fn check(home: &TempDir, mut config: Value, arguments: &[&str]) -> Output {
    if config.get("store").is_none() {
        config["store"] = format!("sqlite:{}", home.path().join("firstlook.db").display()).into();
    }
    let file = home.path().join("firstlook.yaml");
    std::fs::write(&file, config.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstlook"));
    command.args(["check", "--config"]).arg(&file).args(arguments);
    for name in ["FIRSTLOOK_LOG", "RUST_LOG", "HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command.output().await.unwrap()
}

struct Checked {
    code: i32,
    lines: Vec<Value>,
    all: String,
}

impl Checked {
    async fn of(config: Value, arguments: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let output = check(&home, config, &[arguments, &["--output", "json"]].concat()).await;
        let all = String::from_utf8([output.stdout.clone(), output.stderr].concat()).unwrap();
        let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {all}"));
        let lines = json["checks"].as_array().unwrap().clone();
        assert_eq!(json["ok"], lines.iter().all(|line| line["ok"] == true), "{all}");
        Self { code: output.status.code().unwrap(), lines, all }
    }

    fn line(&self, name: &str) -> (bool, String) {
        let line =
            self.lines.iter().find(|line| line["name"] == name).unwrap_or_else(|| panic!("{name}: {}", self.all));
        assert!(line["latency_ms"].as_u64().unwrap() < 15_500, "{line}");
        (line["ok"].as_bool().unwrap(), line["detail"].as_str().unwrap().to_owned())
    }

    /// The line says that it failed, and all of these words.
    fn fails(&self, name: &str, words: &[&str]) {
        let (ok, detail) = self.line(name);
        assert!(!ok && words.iter().all(|word| detail.contains(word)), "{name}: {detail}");
        assert_eq!(self.code, 1);
    }
}

#[tokio::test]
async fn everything_works_and_one_line_each_says_so() {
    let server = ModelServer::examined(|asked| capable(&asked.body)).await;
    let (feishu, wecom) = (Feishu::with(Some("demo"), None).await, Wecom::start().await);
    let smtp = SmtpServer::start(&["--login", "user:right"]);
    let home = tempfile::tempdir().unwrap();
    let config = json!({
        "language": "en", "models": model(&server, KEY), "mcp": snapshot(),
        "channels": [
            {"name": "oncall", "type": "feishu-bot", "url": feishu.url(), "secret": "demo"},
            {"name": "ops", "type": "wecom-bot", "url": wecom.url()},
            {"name": "mail", "type": "email", "smtp": format!("smtp://user:right@{}", smtp.address()),
             "from": "fl@example.com", "to": ["a@example.com"]},
        ],
    });
    let output = check(&home, config, &[]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), text.lines().count()), (Some(0), 6), "{text}");
    assert!(text.lines().all(|line| line.starts_with("ok ") && line.contains(" ms ")), "{text}");
    assert!(text.contains("tools: native") && text.contains("10 usable tools, the cluster can be read"), "{text}");
    assert!(text.contains("login accepted") && text.contains("the first start creates it"), "{text}");
    assert_eq!(output.stderr, b"", "nothing is wrong, so nothing is said beside the result");
    assert!(feishu.accepted().is_empty() && feishu.refused().is_empty(), "nothing is posted unless asked");
    assert!(wecom.accepted().is_empty() && wecom.refused().is_empty() && smtp.received(0).is_empty());
    assert!(!home.path().join("firstlook.db").exists(), "a check leaves no store behind");
    assert_eq!(server.asked()[0].offered(), [TOOL]);
    assert_eq!(server.asked().len(), 2, "one question about calls, one about long prompts");
}

#[tokio::test]
async fn send_delivers_a_message_that_says_it_is_a_test() {
    let (feishu, wecom) = (Feishu::with(Some("demo"), None).await, Wecom::start().await);
    let smtp = SmtpServer::start(&[]);
    let channels = json!([
        {"name": "oncall", "type": "feishu-bot", "url": feishu.url(), "secret": "demo"},
        {"name": "ops", "type": "wecom-bot", "url": wecom.url()},
        {"name": "mail", "type": "email", "smtp": format!("smtp://{}", smtp.address()), "from": "fl@example.com",
         "to": ["a@example.com"]},
    ]);
    let checked = Checked::of(json!({"channels": channels}), &["--send"]).await;
    assert_eq!(checked.code, 0, "{}", checked.all);
    let card = feishu.accepted()[0]["card"].to_string();
    assert!(card.contains("Firstlook 测试消息") && card.contains("不是告警"), "{card}");
    let text = wecom.accepted()[0]["markdown_v2"]["content"].as_str().unwrap().to_owned();
    assert!(text.contains("测试消息") && text.contains("无需处理"), "{text}");
    let mail = smtp.received(1).remove(0);
    assert!(mail.header("subject").contains("测试消息"), "{mail:?}");
    assert_eq!(feishu.accepted().len() + wecom.accepted().len(), 2);

    let english = Checked::of(json!({"language": "en", "channels": channels}), &["--send"]).await;
    assert!(english.line("oncall").1.contains("accepted"), "{}", english.all);
    let card = feishu.accepted()[1]["card"].to_string();
    assert!(card.contains("Firstlook test message") && card.contains("not an alert"), "{card}");
    let notes = ["请人工排查", "look into it", "已持续", "告警概览"];
    assert!(notes.iter().all(|note| !card.contains(note) && !text.contains(note)), "nobody is asked to act");
}

#[tokio::test]
async fn a_model_s_failures_are_told_apart() {
    let server = ModelServer::examined(|_| Answer::Hang).await;
    let wrong = Checked::of(json!({"language": "en", "models": model(&server, "sk-wrong-0123456789")}), &[]).await;
    wrong.fails("fast", &["HTTP 401", "auth", "check api_key"]);
    assert!(!wrong.all.contains("sk-wrong"), "{}", wrong.all);
    assert_eq!(server.take_refusals().len(), 1, "a refused key is not tried again");

    let unknown = json!({"error": {"message": "The model `stand-in` does not exist", "code": "model_not_found"}});
    let server = ModelServer::examined(move |_| Answer::error(404, &unknown)).await;
    let config = json!({"language": "en", "models": model(&server, KEY)});
    Checked::of(config, &[]).await.fails("fast", &["does not exist", "name under model"]);

    let gateway =
        |_: &Asked| Answer::Raw(200, vec![("content-type", "text/html".into())], "<html>sign in</html>".into());
    let server = ModelServer::examined(gateway).await;
    let config = json!({"language": "en", "models": model(&server, KEY)});
    Checked::of(config, &[]).await.fails("fast", &["bad_answer", "OpenAI-compatible", "/v1"]);

    let server = ModelServer::examined(|_| Answer::KeepAlive).await;
    let mut config = json!({"language": "en", "models": model(&server, KEY)});
    config["models"][0]["timeout"] = "1s".into();
    Checked::of(config, &[]).await.fails("fast", &["timeout", "use a faster model"]);

    let base = format!("http://{}/v1", closed());
    let away = json!({"models": [{"name": "fast", "base_url": base, "model": "m"}]});
    Checked::of(away, &["--lang", "en"]).await.fails("fast", &["network", "check base_url"]);
}

/// What a check says of a model that answers its examination like this.
async fn examined(script: impl FnMut(&Asked) -> Answer + Send + 'static) -> (Value, String) {
    let server = ModelServer::examined(script).await;
    let checked = Checked::of(json!({"language": "en", "models": model(&server, KEY)}), &[]).await;
    let line = checked.lines.iter().find(|line| line["name"] == "fast").unwrap().clone();
    assert_eq!((checked.code, &line["ok"]), (0, &json!(true)), "{}", checked.all);
    let notes = line["notes"].as_array().into_iter().flatten().map(|note| format!("\n- {}", note.as_str().unwrap()));
    let (detail, at) = line["detail"].as_str().unwrap().rsplit_once(", examined ").expect("its date");
    assert!(at.starts_with("20") && at.ends_with("UTC"), "{at}");
    let told = detail.to_owned() + &notes.collect::<String>();
    (line["capabilities"].clone(), told)
}

#[tokio::test]
async fn what_a_model_can_do_is_told_with_what_to_do() {
    let (found, told) = examined(|asked| capable(&asked.body)).await;
    insta::assert_snapshot!(told, @"stand-in, tools: native, several at once");
    assert_eq!((&found["native_tools"], &found["front_truncated"]), (&json!(true), &json!(false)), "{found}");
    assert!(found["probed_at"].is_string() && found["reports_usage"] == true, "{found}");

    let markup = "<think>Two calls.</think><tool_call>{\"name\": \"report_ready\", \"arguments\": {\"part\": \"first\"}}</tool_call>";
    let (found, told) = examined(move |asked| match asked.offered().is_empty() {
        true => capable(&asked.body),
        false => Answer::Text(markup.to_owned()),
    })
    .await;
    assert!(
        told.contains("tools: text, one at a time, thinking in its text\n- it writes calls into its text"),
        "{told}"
    );
    assert_eq!((&found["native_tools"], &found["text_calls"]), (&json!(false), &json!(true)), "{found}");

    let (found, told) = examined(|asked| match asked.offered().is_empty() {
        false => Answer::error(400, &json!({"error": {"message": "stand-in does not support Function Calling"}})),
        true if asked.body.to_string().contains(TOOL) => {
            Answer::Text(r#"{"tool_calls":[{"name":"report_ready","arguments":{"part":"first"}}]}"#.into())
        }
        true => capable(&asked.body),
    })
    .await;
    assert!(told.contains("tools: prompt\n- it does not call functions by the protocol"), "{told}");
    assert_eq!((&found["native_tools"], &found["prompt_calls"]), (&json!(false), &json!(true)), "{found}");

    let (_, told) = examined(|_| Answer::Text("I am ready.".into())).await;
    assert!(told.contains("tools: none") && told.contains("the playbook's answer stands"), "{told}");
}

/// The window of an Ollama nobody set up, counted as the stand-in counts.
#[tokio::test]
async fn a_server_that_drops_the_front_is_found_and_the_remedy_told() {
    let cut = json!({
        "choices": [{"message": {"role": "assistant", "content": "unknown"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 4096, "completion_tokens": 2},
    });
    let (found, told) = examined(move |asked| match asked.offered().is_empty() {
        true => Answer::Raw(200, vec![("content-type", "application/json".into())], cut.to_string()),
        false => capable(&asked.body),
    })
    .await;
    assert!(told.contains("loses the front of long prompts") && told.contains("OLLAMA_CONTEXT_LENGTH=32768"), "{told}");
    assert_eq!(found["front_truncated"], json!(true));
}

#[tokio::test]
async fn what_is_away_fails_without_hiding_what_works() {
    let feishu = Feishu::with(Some("right"), None).await;
    let config = json!({
        "language": "en",
        "mcp": [{"name": "away", "url": format!("http://{}/mcp", closed())}, snapshot()[0]],
        "channels": [
            {"name": "oncall", "type": "feishu-bot", "url": feishu.url(), "secret": "wrong-secret"},
            {"name": "ops", "type": "wecom-bot", "url": format!("http://{}/cgi-bin/webhook/send?key=do-not-print-me", closed())},
            {"name": "mail", "type": "email", "smtp": format!("smtp://user:do-not-print-me@{}", closed()),
             "from": "fl@example.com", "to": ["a@example.com"]},
        ],
    });
    let checked = Checked::of(config, &["--send"]).await;
    checked.fails("away", &["unreachable", "check host, port and path of url"]);
    checked.fails("oncall", &["19021", "check `secret`"]);
    checked.fails("ops", &["is not reached"]);
    checked.fails("mail", &["smtp://127.0.0.1"]);
    assert!(checked.line("kubernetes").0 && checked.line("sqlite").0, "{}", checked.all);
    assert!(!checked.all.contains("print-me") && !checked.all.contains("wrong-secret"), "{}", checked.all);
}

#[tokio::test]
async fn a_wrong_login_shows_without_sending() {
    let smtp = SmtpServer::start(&["--login", "user:right"]);
    let smtp_url = format!("smtp://user:wrong-password@{}", smtp.address());
    let mail =
        json!({"name": "mail", "type": "email", "smtp": smtp_url, "from": "fl@example.com", "to": ["a@example.com"]});
    let checked = Checked::of(json!({"channels": [mail]}), &[]).await;
    checked.fails("mail", &["535", "check user and password"]);
    assert!(!checked.all.contains("wrong-password"), "{}", checked.all);
}

#[tokio::test]
async fn f32_an_account_that_may_not_read_is_told_what_it_lacks() {
    let refusing = axum::Router::new().fallback(|| async {
        let message = "namespaces is forbidden: User \"firstlook\" cannot list resource \"namespaces\"";
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
            "message": message});
        (axum::http::StatusCode::FORBIDDEN, axum::Json(status))
    });
    let address = serve(refusing).await.trim_start_matches("http://").parse().unwrap();
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("kubeconfig");
    std::fs::write(&file, kubeconfig(address)).unwrap();
    let config = json!({"language": "en", "mcp": [{"name": "kubernetes", "transport": "builtin", "kubeconfig": file}]});
    Checked::of(config, &[]).await.fails("kubernetes", &["forbidden", "ClusterRole view"]);
}

#[tokio::test]
async fn a_store_in_use_is_fine_and_one_of_another_program_is_not() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("firstlook.db");
    let url = format!("sqlite:{}", file.display());
    let store = firstlook::store::Store::open(&url).await.unwrap();
    let config = json!({"language": "en", "store": url});
    let (ok, detail) = Checked::of(config.clone(), &[]).await.line("sqlite");
    assert!(ok && detail.contains("in use by a running firstlook"), "{detail}");
    store.close().await;
    drop(store);
    let (ok, detail) = Checked::of(config.clone(), &[]).await.line("sqlite");
    assert!(ok && detail.contains("takes transactions"), "{detail}");
    std::fs::write(&file, "not a database, but long enough to be looked at ".repeat(200)).unwrap();
    Checked::of(config, &[]).await.fails("sqlite", &["not an SQLite database"]);
    let nowhere = format!("sqlite:{}/no/such/folder/firstlook.db", home.path().display());
    Checked::of(json!({"store": nowhere}), &[]).await.fails("sqlite", &["Create the directory"]);
}

#[tokio::test]
async fn a_wrong_configuration_is_no_failed_check() {
    let home = tempfile::tempdir().unwrap();
    let output = check(&home, json!({"chanels": []}), &[]).await;
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), b"".as_slice()));
    assert!(String::from_utf8(output.stderr).unwrap().contains("did you mean \"channels\"?"));
}

/// What a check finds out stands in the store for the service, whose start then asks nothing, and for the next check,
/// when the model is away.
#[tokio::test]
async fn what_a_check_found_out_is_known_to_the_service_and_to_the_next_check() {
    let server = ModelServer::examined(|asked| capable(&asked.body)).await;
    let home = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", home.path().join("firstlook.db").display());
    let (address, models) = (closed(), model(&server, KEY));
    let config = json!({"language": "en", "server": {"listen": address}, "store": url, "models": models});
    let running = firstlook::store::Store::open(&url).await.unwrap();
    let checked = Checked::of(config.clone(), &[]).await;
    assert!(checked.line("fast").1.ends_with("UTC, kept in the store"), "beside a running service: {}", checked.all);
    let found = checked.lines.iter().find(|line| line["name"] == "fast").unwrap()["capabilities"].clone();
    running.close().await;
    drop(running);

    let asked = server.asked().len();
    let file = home.path().join("firstlook.yaml");
    std::fs::write(&file, config.to_string()).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_firstlook"));
    let program = program.args(["serve", "--config"]).arg(&file).kill_on_drop(true);
    let mut service = program.stderr(std::process::Stdio::null()).spawn().unwrap();
    until(|| async { tokio::net::TcpStream::connect(&address).await.is_ok() }).await;
    until(|| async { readiness(&address, "?verbose").await["models"][0]["capabilities"].is_object() }).await;
    assert_eq!(readiness(&address, "?verbose").await["models"][0]["capabilities"], found);
    assert_eq!(server.asked().len(), asked, "the service asks nothing again");
    service.kill().await.unwrap();

    drop(server);
    let away = Checked::of(config, &[]).await;
    away.fails("fast", &["network", "; last examined 20", "UTC: tools: native, several at once"]);
}

async fn readiness(address: &str, query: &str) -> Value {
    let url = format!("http://{address}/readyz{query}");
    post::client().unwrap().get(url).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn readiness_tells_what_the_running_service_met() {
    let server = ModelServer::start([]).await;
    let home = tempfile::tempdir().unwrap();
    let (address, file) = (closed(), home.path().join("firstlook.yaml"));
    let config = json!({
        "server": {"listen": address}, "store": format!("sqlite:{}", home.path().join("firstlook.db").display()),
        "models": model(&server, "sk-wrong-0123456789"), "mcp": snapshot(),
    });
    std::fs::write(&file, config.to_string()).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_firstlook"));
    let program = program.args(["serve", "--config"]).arg(&file).kill_on_drop(true);
    let _service = program.stderr(std::process::Stdio::null()).spawn().unwrap();
    until(|| async { tokio::net::TcpStream::connect(&address).await.is_ok() }).await;
    assert_eq!(readiness(&address, "").await, json!({"ready": true, "models": ["fast"], "mcp": ["kubernetes"]}));
    let fresh = readiness(&address, "?verbose").await;
    assert_eq!((&fresh["models"][0]["state"], &fresh["mcp"][0]["state"]), (&json!("unused"), &json!("unused")));
    assert!(server.take_refusals().is_empty(), "nothing is dialled to answer");

    until(|| async { readiness(&address, "?verbose").await["models"][0]["capabilities"].is_object() }).await;
    let found = &readiness(&address, "?verbose").await["models"][0]["capabilities"];
    assert_eq!((&found["native_tools"], &found["parallel_calls"]), (&json!(true), &json!(true)), "{found}");

    let alert = snapshot()[0]["snapshot"].as_str().unwrap().to_owned() + "/alert.json";
    let client = post::client().unwrap();
    let post = client.post(format!("http://{address}/webhooks/alertmanager")).body(std::fs::read(alert).unwrap());
    assert_eq!(post.header("content-type", "application/json").send().await.unwrap().status(), 202);
    until(|| async { readiness(&address, "?verbose").await["models"][0]["state"] == "failing" }).await;
    let met = readiness(&address, "?verbose").await;
    let (model, mcp) = (&met["models"][0], &met["mcp"][0]);
    assert_eq!((&model["name"], &model["failure"]), (&json!("fast"), &json!("auth")), "{met}");
    assert!(model["advice"].as_str().unwrap().contains("api_key") && model["last_success"].is_null(), "{met}");
    assert_eq!((&mcp["name"], &mcp["state"]), (&json!("kubernetes"), &json!("ok")), "{met}");
    assert!(mcp["last_success"].is_string() && mcp["latency_ms"].is_u64() && mcp["last_failure"].is_null(), "{met}");
    assert!(!server.take_refusals().is_empty());
}

/// Waits until it is so, ten seconds at most.
async fn until<F: Future<Output = bool>>(holds: impl Fn() -> F) {
    for _ in 0..200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("it did not come to pass within 10 s");
}

#[tokio::test]
async fn results_are_quiet_when_nobody_watches() {
    let output = Command::new(env!("CARGO_BIN_EXE_firstlook"))
        .args(["demo", "--once", "--lang", "en"])
        .env_remove("OPENAI_BASE_URL")
        .env_remove("FIRSTLOOK_LOG")
        .env_remove("RUST_LOG")
        .output()
        .await
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.lines().count(), 1, "only who answers: {stderr}");
    assert!(stderr.contains("the playbook alone") && !stderr.contains('\u{1b}'), "{stderr:?}");
    assert!(output.status.success() && output.stdout.starts_with(b"# "));
}

#[tokio::test]
async fn progress_shows_on_a_terminal_and_leaves_the_result_clean() {
    let program = format!("{} demo --once --lang en", env!("CARGO_BIN_EXE_firstlook"));
    let watched = Command::new("script")
        .args(["--quiet", "--return", "--command", &program, "/dev/null"])
        .env("TERM", "xterm")
        .env_remove("OPENAI_BASE_URL")
        .env_remove("FIRSTLOOK_LOG")
        .env_remove("RUST_LOG")
        .output()
        .await
        .expect("script of util-linux gives the program a terminal");
    let seen = String::from_utf8(watched.stdout).unwrap();
    assert!(seen.contains("looking at the broken cluster · ") && seen.contains("resources_get"), "{seen:?}");
    let (_, after) = seen.rsplit_once("\u{1b}[2K").unwrap();
    assert!(after.starts_with("# "), "the last line of progress is taken back before the report: {after:?}");
}
