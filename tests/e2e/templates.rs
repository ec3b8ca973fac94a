//! Layouts of the operator's own: sent, previewed, and when they are broken said everywhere and replaced by the built-in.

use serde_json::{Value, json};

use crate::support::alerts::{PENDING, builtin, webhook};
use crate::support::eventually;
use crate::support::service::{Home, program, run};
use crate::support::wecom::Wecom;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_layout_of_ones_own_is_sent_and_a_broken_one_costs_nobody_a_message() {
    let (own, other) = (Wecom::start().await, Wecom::start().await);
    let home = Home::new(&json!({
        "mcp": builtin(PENDING),
        "templates": "layouts",
        "channels": [
            {"name": "ops", "type": "wecom-bot", "url": own.url()},
            {"name": "team", "type": "wecom-bot", "url": other.url()},
            {"name": "wechat", "type": "wecom-bot", "url": other.url(), "msgtype": "text"},
        ],
        "routes": [{"channels": ["ops", "team"]}],
    }));
    let folder = home.config().with_file_name("layouts");
    for (path, source) in [
        ("ops/en/wecom.md.j2", "## OURS {{ story.title }}\n{{ story.lead[0].body }}"),
        ("en/wecom.md.j2", "{{ story.titel }}"),
    ] {
        std::fs::create_dir_all(folder.join(path).parent().unwrap()).unwrap();
        std::fs::write(folder.join(path), source).unwrap();
    }
    let service = home.serve().await;
    let (id, _) = service.accept(&webhook(PENDING)).await;
    service.settled(&id, 20).await;
    let content = |bot: &Wecom| bot.accepted()[0]["markdown_v2"]["content"].as_str().unwrap().to_owned();
    assert!(content(&own).starts_with("## OURS KubePodNotReady\n"), "{}", content(&own));
    assert!(content(&other).starts_with("### "), "the built-in one: {}", content(&other));
    eventually("the log says what is wrong", 10, || service.log().contains("story.titel").then_some(())).await;
    let ready: Value =
        service.request(reqwest::Method::GET, "/readyz?verbose").send().await.unwrap().json().await.unwrap();
    let expected = json!({"used": ["ops/en/wecom.md.j2"], "broken": ["en/wecom.md.j2"]});
    assert_eq!(ready["templates"], expected, "{ready:#}");
    assert_eq!(service.metric("firstlook_templates_broken").await, Some(1.0));

    let asked = async |arguments: &[&str]| {
        let mut command = program();
        command.args(arguments).arg("--config").arg(home.config());
        run(command).await
    };
    drop(service);
    let checked = asked(&["check"]).await;
    let line = checked.stdout.lines().find(|line| line.contains("templates")).unwrap_or_default().to_owned();
    assert!(checked.code == Some(1) && line.starts_with("fail") && line.contains("en/wecom.md.j2"), "{checked:?}");
    let render = ["render", "--channel", "wecom-bot", "--scenario", PENDING];
    let rendered = asked(&render).await;
    assert!(rendered.stdout.contains("## OURS"), "the first bot's: {rendered:?}");
    let other = asked(&[&render[..], &["--name", "team"]].concat()).await;
    assert!(!other.stdout.contains("## OURS") && other.stderr.contains("en/wecom.md.j2 is broken"), "{other:?}");
    let wechat = asked(&[&render[..], &["--name", "wechat"]].concat()).await;
    assert!(rendered.stdout.contains("markdown_v2") && wechat.stdout.contains("\"msgtype\": \"text\""), "{wechat:?}");
    assert_eq!(asked(&[&render[..], &["--name", "nobody"]].concat()).await.code, Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_has_the_links_of_the_configuration() {
    let bot = Wecom::start().await;
    let rendered = async |parts: &Value, arguments: &[&str]| {
        let home = Home::new(parts);
        let mut command = program();
        command.args(["render", "--channel", "feishu-bot", "--scenario", PENDING]).args(arguments);
        if !parts.is_null() {
            command.arg("--config").arg(home.config());
        }
        let rendered = run(command).await;
        assert_eq!(rendered.code, Some(0), "{rendered:?}");
        rendered.stdout
    };
    let mut parts = json!({
        "mcp": builtin(PENDING),
        "server": {"public_url": "https://look.example.org/"},
        "alertmanager": {"url": "https://alertmanager.example.org"},
        "channels": [{"name": "ops", "type": "wecom-bot", "url": bot.url()}],
    });
    let linked = rendered(&parts, &[]).await;
    assert!(linked.contains("https://look.example.org/incidents/"), "{linked}");
    assert!(linked.contains("https://alertmanager.example.org/#/silences/new"), "{linked}");
    assert!(!linked.contains("public_url"), "what is linked is not said to have no link: {linked}");
    parts["server"] = json!({});
    let bare = rendered(&parts, &[]).await;
    assert!(!bare.contains("/incidents/"), "as the service would send it: {bare}");
    for kind in ["waiting", "joined", "resolved", "summary", "batch", "digest"] {
        let shown = rendered(&Value::Null, &["--message", kind]).await;
        assert!(shown.contains("https://firstlook.example.com/incidents"), "{kind}: {shown}");
        assert!(shown.contains("KubePodNotReady") && !shown.contains("public_url"), "{kind}: {shown}");
    }
}
