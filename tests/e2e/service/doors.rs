//! Who may come in, and what a wrong beginning says.

use hmac::{Hmac, KeyInit, Mac};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::Sha256;
use sqlx::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::alerts::{PENDING, in_group, webhook};
use crate::support::database::on_every_engine;
use crate::support::feishu::Feishu;
use crate::support::service::{Ended, Home, TOKEN, client, program, run};
use crate::support::webhook::Receiver;
use crate::support::{Fault, contract, eventually_async};

fn limited(limits: Value) -> Value {
    json!({"listen": "127.0.0.1:0", "tokens": [TOKEN], "limits": limits})
}

async fn serve_text(text: &str) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("firstlook.yaml");
    std::fs::write(&file, text.replace("STORE", &folder.path().join("x.db").display().to_string())).unwrap();
    let mut command = program();
    command.args(["serve", "--config"]).arg(&file);
    run(command).await
}

#[tokio::test]
async fn credentials_open_the_door_and_nothing_else_does() {
    let home = Home::new(&json!({"channels": []}));
    let mut parts: Value = serde_json::from_slice(&std::fs::read(home.config()).unwrap()).unwrap();
    parts["server"]["basic_auth"] = json!([{"username": "am", "password": "pass word"}]);
    home.write(&parts);
    let service = home.serve().await;
    let post = || client().post(format!("{}/webhooks/alertmanager", service.base())).body(webhook(PENDING).to_string());
    let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status();
    assert_eq!(status(post()).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(post().bearer_auth("wrong")).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(post().basic_auth("am", Some("wrong"))).await, StatusCode::UNAUTHORIZED);
    assert_eq!(service.incidents().await.len(), 0);
    assert_eq!(status(post().basic_auth("am", Some("pass word"))).await, StatusCode::ACCEPTED);
    assert_eq!(status(post().bearer_auth(TOKEN)).await, StatusCode::ACCEPTED);
    assert_eq!(service.incidents().await.len(), 1);
    for path in ["/api/v1/incidents", "/metrics", "/api/openapi.json", "/incidents/x", "/incidents", "/status"] {
        let asked = client().get(format!("{}{path}", service.base()));
        assert_eq!(status(asked).await, StatusCode::UNAUTHORIZED, "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(status(client().get(format!("{}{path}", service.base()))).await, StatusCode::OK, "{path}");
    }
}

/// A home whose settings under `server` are these besides the usual ones.
fn home_with(server: &Value) -> Home {
    let home = Home::new(&json!({"channels": []}));
    let mut parts: Value = serde_json::from_slice(&std::fs::read(home.config()).unwrap()).unwrap();
    parts["server"].as_object_mut().unwrap().extend(server.as_object().cloned().unwrap());
    home.write(&parts);
    home
}

async fn status(request: reqwest::RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a40_a_senders_token_opens_its_own_route_and_no_other() {
    on_every_engine(async || {
        let home = home_with(&json!({
            "senders": [{"source": "alertmanager", "token": "only-for-alertmanager"}],
            "token_header": "X-Firstlook-Token",
        }));
        let service = home.serve().await;
        let post = |path: &str| client().post(format!("{}{path}", service.base())).body(webhook(PENDING).to_string());
        let (alertmanager, own) = ("/webhooks/alertmanager", "only-for-alertmanager");
        assert_eq!(status(post(alertmanager).bearer_auth(own)).await, 202);
        assert_eq!(status(post(alertmanager).basic_auth("am", Some(own))).await, 202);
        assert_eq!(status(post(alertmanager).header("x-firstlook-token", own)).await, 202);
        assert_eq!(
            status(post(alertmanager).header("x-firstlook-token", own).bearer_auth(own)).await,
            401,
            "one too many"
        );
        assert_eq!(status(post(alertmanager).header("x-firstlook-token", "wrong")).await, 401);
        for path in ["/webhooks/grafana", "/webhooks/nightingale", "/prometheusalert"] {
            assert_eq!(status(post(path).bearer_auth(own)).await, 401, "{path}");
        }
        let list = client().get(format!("{}/api/v1/incidents", service.base()));
        assert_eq!(status(list.bearer_auth(own)).await, 401, "a sender does not read");
        assert!(!service.log().contains(own), "{}", service.log());
    })
    .await;
}

#[tokio::test]
async fn a42_with_a_secret_grafana_must_sign_and_nothing_else_opens_its_route() {
    on_every_engine(async || {
        let home = home_with(&json!({
            "grafana_hmac": {"secret": "between-grafana-and-us", "timestamp_header": "X-Grafana-Alerting-Timestamp"},
        }));
        let service = home.serve().await;
        let body = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/payloads/grafana.json")).unwrap();
        let now = jiff::Timestamp::now().as_second();
        let send = |method: reqwest::Method, time: i64, signed: &[u8], sent: &[u8]| {
            let mut mac = Hmac::<Sha256>::new_from_slice(b"between-grafana-and-us").unwrap();
            mac.update(&[format!("{time}:").as_bytes(), signed].concat());
            let signature: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            client()
                .request(method, format!("{}/webhooks/grafana", service.base()))
                .header("x-grafana-alerting-signature", signature)
                .header("x-grafana-alerting-timestamp", time)
                .body(sent.to_vec())
        };
        let post = |time: i64, signed: &[u8], sent: &[u8]| send(reqwest::Method::POST, time, signed, sent);
        assert_eq!(status(post(now, b"{}", &body)).await, 401, "another body");
        assert_eq!(status(post(now - 400, &body, &body)).await, 401, "old");
        let unsigned =
            client().post(format!("{}/webhooks/grafana", service.base())).bearer_auth(TOKEN).body(body.clone());
        assert_eq!(status(unsigned).await, 401, "a token is no signature");
        assert_eq!(service.incidents().await.len(), 0);
        assert_eq!(status(post(now, &body, &body)).await, 202);
        assert_eq!(status(post(now, &body, &body)).await, 401, "played again");
        assert_eq!(status(send(reqwest::Method::PUT, now - 1, &body, &body)).await, 202, "Grafana may PUT as well");
        // Many at once: while the first of them is being taken the others are told to come again, and refused then.
        let played = futures::future::join_all((0..12).map(|_| status(post(now - 2, &body, &body)))).await;
        assert_eq!(played.iter().filter(|status| **status == 202).count(), 1, "{played:?}");
        assert!(played.iter().all(|status| [202, 401, 503].contains(status)), "{played:?}");
        assert_eq!(status(post(now - 2, &body, &body)).await, 401, "played once more");
        assert_eq!(service.incidents().await.len(), 1);
        assert!(!service.log().contains("between-grafana-and-us"), "{}", service.log());
    })
    .await;
}

/// A reader without a token follows the link of a message; a person logs in and out again.
#[tokio::test]
async fn pages_open_by_a_messages_link_or_by_a_login() {
    let hook = Receiver::start("s3cret").await;
    let channel =
        json!({"name": "hook", "type": "webhook", "url": hook.url(), "secret": "s3cret", "headers": {"X-Team": "sre"}});
    let home = Home::new(&json!({"channels": [channel]}));
    let service = home.serve().await;
    let (id, _) = service.accept(&webhook(PENDING)).await;
    service.settled(&id, 20).await;
    assert_eq!(service.incident(&id).await["notices"][0]["last_error"], Value::Null);
    let link = hook.accepted()[0]["page_url"].as_str().unwrap().to_owned();
    let (page, pass) = link.strip_prefix("https://firstlook.example.com").unwrap().split_once('?').unwrap();
    assert_eq!(page, format!("/incidents/{id}"));
    let browser = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let get = |path: String| browser.get(format!("{}{path}", service.base())).header("accept", "text/html");
    let shown = get(format!("{page}?{pass}")).send().await.unwrap();
    assert_eq!(shown.status(), 200);
    assert!(shown.text().await.unwrap().contains(&pass.replace('&', "&amp;")), "its links carry the pass on");
    assert_eq!(status(get(format!("{page}/messages?{pass}"))).await, 200);
    for closed in [format!("/incidents?{pass}"), page.to_owned(), format!("{page}?pass=9999999999.x"), "/status".into()]
    {
        let answer = get(closed.clone()).send().await.unwrap();
        assert_eq!(answer.status(), 303, "{closed}");
        assert!(answer.headers()["location"].to_str().unwrap().contains("login?next="), "{closed}");
    }
    let enter = |password: &str| {
        let fields = [("password", password), ("next", "incidents?state=open")];
        let form =
            fields.map(|(key, value)| format!("{key}={}", value.replace('?', "%3F").replace('=', "%3D"))).join("&");
        browser
            .post(format!("{}/login", service.base()))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "text/html")
            .body(form)
    };
    assert_eq!(status(enter("wrong")).await, 401);
    let entered = enter(TOKEN).send().await.unwrap();
    assert_eq!(
        (entered.status().as_u16(), &entered.headers()["location"]),
        (303, &"incidents?state=open".parse().unwrap())
    );
    let cookie = entered.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert!(!cookie.contains(TOKEN));
    for open in ["/incidents", "/status", page] {
        assert_eq!(status(get(open.to_owned()).header("cookie", &cookie)).await, 200, "{open}");
    }
    let posted = browser.post(format!("{}/webhooks/alertmanager", service.base())).header("cookie", &cookie);
    assert_eq!(status(posted.body(webhook(PENDING).to_string())).await, 401, "a cookie sends no alerts");
    // A restart makes no new key: links in the chat and logins go on.
    drop(service);
    let service = home.serve().await;
    let again = browser.get(format!("{}{page}?{pass}", service.base())).header("accept", "text/html");
    assert_eq!(status(again).await, 200);
}

/// Another program holds the store's lock: each sender hears in time, and in its own words, that it should come again, and
/// whoever asks whether it is ready hears that it is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f12_a_locked_store_is_said_before_a_sender_gives_up() {
    on_every_engine(a_locked_store).await;
}

async fn a_locked_store() {
    let home = Home::new(&json!({"channels": []}));
    let service = home.serve().await;
    sqlx::any::install_default_drivers();
    let mut other = sqlx::AnyConnection::connect(home.store()).await.unwrap();
    let lock = match home.store().starts_with("sqlite:") {
        true => "BEGIN EXCLUSIVE",
        false => "BEGIN; LOCK TABLE incident, delivery, outbox IN ACCESS EXCLUSIVE MODE",
    };
    sqlx::raw_sql(lock).execute(&mut other).await.unwrap();
    let nightingale = include_str!("../../payloads/nightingale.json");
    let post =
        |path: &str, body: String| client().post(format!("{}{path}", service.base())).bearer_auth(TOKEN).body(body);
    let begun = std::time::Instant::now();
    let (one, two, ready) = tokio::join!(
        post("/webhooks/alertmanager", webhook(PENDING).to_string()).send(),
        post("/webhooks/nightingale", nightingale.to_owned()).send(),
        client().get(format!("{}/readyz", service.base())).send(),
    );
    let ready = ready.unwrap();
    assert_eq!((ready.status().as_u16(), ready.json::<Value>().await.unwrap()["ready"].clone()), (503, json!(false)));
    for (answer, expected) in [(one.unwrap(), 503), (two.unwrap(), 429)] {
        assert_eq!(answer.status().as_u16(), expected);
        assert_eq!(answer.headers()["retry-after"], "5");
        assert!(answer.json::<Value>().await.unwrap()["error"].as_str().unwrap().contains("send it again"));
    }
    assert!(begun.elapsed().as_secs() < 9, "Nightingale and Alertmanager give up after 10 s");
    assert_eq!(status(client().get(format!("{}/healthz", service.base()))).await, 200);
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(status(client().get(format!("{}/readyz", service.base()))).await, 200);
    assert_eq!(status(post("/webhooks/alertmanager", webhook(PENDING).to_string())).await, 202);
    assert_eq!(status(post("/webhooks/nightingale", nightingale.to_owned())).await, 200);
    assert_eq!(service.incidents().await.len(), 2, "one of each, however often it came");
    contract::holds_at_least(&service, 1 + webhook(PENDING)["alerts"].as_array().unwrap().len() as u64, 5).await;
}

/// Ten thousand, or fewer where this process may not open so many (`scripts/test.sh` asks for all it can have).
fn crowd_size() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let open =
        limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok());
    open.unwrap_or(1_000_usize).saturating_sub(500).clamp(100, 10_000)
}

/// A crowd that opens connections and says nothing, or half of something, takes nobody's place.
#[tokio::test]
async fn a45_a_crowd_of_silent_connections_keeps_nobody_out() {
    on_every_engine(async || {
    let home = Home::new(&json!({"channels": []}));
    let service = home.serve().await;
    let address = service.base().strip_prefix("http://").unwrap();
    let mut crowd = Vec::new();
    for number in 0..crowd_size() {
        let mut stream = TcpStream::connect(address).await.unwrap();
        if number % 2 == 0 {
            let head = format!("POST /webhooks/alertmanager HTTP/1.1\r\nHost: {address}\r\nX-Slow: ");
            let _ = stream.write_all(head.as_bytes()).await;
        }
        if number % 3 == 0 {
            let head = format!(
                "POST /webhooks/alertmanager HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 900\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes()).await;
        }
        crowd.push(stream);
    }
    let begun = std::time::Instant::now();
    assert_eq!(status(client().get(format!("{}/healthz", service.base()))).await, 200);
    let (id, _) = service.accept(&webhook(PENDING)).await;
    assert!(begun.elapsed().as_secs() < 2, "{:?}", begun.elapsed());
    assert_eq!(service.incidents().await[0]["id"], id);
    contract::holds(&service, webhook(PENDING)["alerts"].as_array().unwrap().len(), 5).await;
    drop(crowd);
    })
    .await;
}

/// A channel takes nothing, and what waits for it is as much as may wait: what would need another message is refused in
/// its sender's language. What needs none is taken, and everything is when there is room again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f50_beyond_the_durable_limit_senders_keep_what_they_have() {
    on_every_engine(async || {
        let feishu = Feishu::start().await;
        feishu.fail((0..9).map(|_| Fault::Code(9499, "too many request")));
        let home = Home::new(&json!({
            "server": limited(json!({"max_waiting": 3})),
            "channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url()}],
        }));
        let service = home.serve().await;
        let post =
            |path: &str, body: &Value| client().post(format!("{}{path}", service.base())).bearer_auth(TOKEN).json(body);
        for group in ["a", "b", "c"] {
            assert_eq!(status(post("/webhooks/alertmanager", &in_group(PENDING, group))).await, 202);
        }
        let nightingale: Value = serde_json::from_str(include_str!("../../payloads/nightingale.json")).unwrap();
        let grafana: Value = serde_json::from_str(include_str!("../../payloads/grafana.json")).unwrap();
        let refused = [
            ("/webhooks/alertmanager", in_group(PENDING, "d"), 503),
            ("/webhooks/grafana", grafana, 503),
            ("/webhooks/nightingale", nightingale, 429),
            ("/prometheusalert?type=fs", in_group(PENDING, "d"), 503),
        ];
        for (path, body, expected) in &refused {
            let answer = post(path, body).send().await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["retry-after"]),
                (*expected, &"30".parse().unwrap())
            );
            let said = answer.json::<Value>().await.unwrap()["error"].to_string();
            assert!(said.contains("3 messages wait") && said.contains("server.limits.max_waiting"), "{said}");
        }
        assert_eq!(
            status(post("/webhooks/alertmanager", &in_group(PENDING, "a"))).await,
            202,
            "a repeat needs no message"
        );
        assert_eq!(service.incidents().await.len(), 3);
        let alerts = |body: &Value| body["alerts"].as_array().unwrap().len();
        let each = alerts(&in_group(PENDING, "a"));
        assert_eq!(contract::balance(&service).await.accepted, 4 * each as u64, "what was refused was not accepted");

        let comes_again = || async { status(post("/webhooks/alertmanager", &in_group(PENDING, "d"))).await == 202 };
        eventually_async("there is room again", 60, comes_again).await;
        contract::holds(&service, 5 * each, 60).await;
    })
    .await;
}

/// PrometheusAlert would have posted to the address in its query. Here it only chooses among what is configured.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_in_prometheusalert_s_query_chooses_a_channel_and_is_never_called() {
    on_every_engine(async || {
        let (pay, other) = (Feishu::start().await, Feishu::start().await);
        let named = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/open-apis/bot/v2/hook/x", named.local_addr().unwrap());
        let destination = json!({"receiver": "pay", "match": {"type": "fs", "fsurl": url}, "channels": ["pay"]});
        let home = Home::new(&json!({
            "server": {"listen": "127.0.0.1:0", "tokens": [TOKEN], "prometheusalert": [destination]},
            "channels": [
                {"name": "pay", "type": "feishu-bot", "url": pay.url()},
                {"name": "other", "type": "feishu-bot", "url": other.url()},
            ],
            "routes": [{"channels": ["other"]}],
        }));
        let service = home.serve().await;
        let post = async |fsurl: &str, group: &str| {
            let request = service.request(reqwest::Method::POST, "/prometheusalert");
            let query = [("type", "fs"), ("tpl", "prometheus-fs"), ("fsurl", fsurl)];
            let answer = request.query(&query).json(&in_group(PENDING, group)).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            answer.json::<Value>().await.unwrap()["incident"].as_str().unwrap().to_owned()
        };
        service.settled(&post(&url, "known").await, 20).await;
        assert_eq!((pay.arrivals().len(), other.arrivals().len()), (1, 0), "the channel that is configured for it");
        service.settled(&post(&format!("{url}/else"), "unknown").await, 20).await;
        assert_eq!((pay.arrivals().len(), other.arrivals().len()), (1, 1), "what matches nothing goes by the routes");
        let called = tokio::time::timeout(std::time::Duration::from_millis(500), named.accept()).await;
        assert!(called.is_err(), "{called:?}");
        let alerts = in_group(PENDING, "known")["alerts"].as_array().unwrap().len();
        contract::holds(&service, 2 * alerts, 5).await;
    })
    .await;
}

/// Whoever comes from PrometheusAlert changes the host in Alertmanager's configuration and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_recorded_on_its_way_to_prometheusalert_is_taken_as_it_came() {
    on_every_engine(async || {
        let (head, body) = include_str!("../../payloads/prometheusalert.http").split_once("\n\n").unwrap();
        let path = head.split(' ').nth(1).unwrap();
        let address = path.split('&').find_map(|pair| pair.strip_prefix("fsurl=")).unwrap();
        let feishu = Feishu::start().await;
        let destination = json!({"receiver": "pay", "match": {"type": "fs", "fsurl": address}, "channels": ["pay"]});
        let home = Home::new(&json!({
            "server": {"listen": "127.0.0.1:0", "tokens": [TOKEN], "prometheusalert": [destination]},
            "channels": [{"name": "pay", "type": "feishu-bot", "url": feishu.url()}],
            "routes": [{"match": {"severity": "nothing"}, "channels": ["pay"]}],
        }));
        let service = home.serve().await;
        let answer = service.request(reqwest::Method::POST, path).body(body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let id = answer.json::<Value>().await.unwrap()["incident"].as_str().unwrap().to_owned();
        service.settled(&id, 20).await;
        let told = feishu.arrivals()[0].1.to_string();
        for word in ["KubePodCrashLooping", "pay-api-7c9d8b6f5-q9k2m", "pay-api-7c9d8b6f5-x2x4z", "反复重启"] {
            assert!(told.contains(word), "{word}: {told}");
        }
        assert_eq!(contract::holds(&service, 2, 5).await.sent, 2);
    })
    .await;
}

/// The answer comes although not one byte of the announced body does.
#[tokio::test]
async fn a40_strangers_are_refused_before_their_body_is_read() {
    let home = Home::new(&json!({"channels": []}));
    let service = home.serve().await;
    let address = service.base().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("POST /webhooks/alertmanager HTTP/1.1\r\nHost: {address}\r\nContent-Length: 7000000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    tokio::time::timeout(std::time::Duration::from_secs(5), stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(std::str::from_utf8(&answer).unwrap(), "HTTP/1.1 401");
}

#[tokio::test]
async fn a41_an_open_door_beyond_loopback_is_refused() {
    for store in ["sqlite:STORE", "postgres://firstlook@127.0.0.1/firstlook"] {
        let ended = serve_text(&format!("server: {{ listen: 0.0.0.0:0 }}\nstore: {store}\nchannels: []\n")).await;
        assert_eq!(ended.code, Some(2), "{store}");
        assert!(
            ended.stderr.contains("firstlook.yaml:1") && ended.stderr.contains("server.tokens"),
            "{}",
            ended.stderr
        );
        assert_eq!(ended.stdout, "");
    }
}

#[tokio::test]
async fn a_misspelt_key_is_named_with_its_line_and_its_neighbour() {
    let ended = serve_text("store: sqlite:STORE\nchannels: []\ntriage:\n  max_turn: 5\n").await;
    assert_eq!(ended.code, Some(2));
    let said = &ended.stderr;
    assert!(said.contains("firstlook.yaml:4") && said.contains("max_turn") && said.contains("\"max_turns\""), "{said}");
}

#[tokio::test]
async fn a_missing_variable_is_named_with_its_line() {
    let text = "store: sqlite:STORE\nserver:\n  tokens: [\"${FIRSTLOOK_E2E_UNSET}\"]\nchannels: []\n";
    let ended = serve_text(text).await;
    assert_eq!(ended.code, Some(2));
    let said = &ended.stderr;
    assert!(said.contains("firstlook.yaml:3") && said.contains("FIRSTLOOK_E2E_UNSET"), "{said}");
}

#[tokio::test]
async fn a_taken_port_is_said_with_the_remedy() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let ended = serve_text(&format!("server: {{ listen: \"{address}\" }}\nstore: sqlite:STORE\nchannels: []\n")).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains(&address.to_string()) && ended.stderr.contains("server.listen"), "{}", ended.stderr);
}

#[tokio::test]
async fn help_and_wrong_usage_have_their_own_streams_and_codes() {
    for (arguments, code) in [
        (&["--help"][..], 0),
        (&["serve", "--help"], 0),
        (&["--version"], 0),
        (&["serve"], 2),
        (&["frobnicate"], 2),
        (&["serve", "--config", "/nowhere/firstlook.yaml"], 2),
        (&["triage", "/nowhere/alert.json"], 2),
        (&["eval", "/nowhere"], 2),
        (&["demo", "--scenario", "no-such-scenario"], 2),
        (&["demo", "--listen", "0.0.0.0:0"], 2),
    ] {
        let mut command = program();
        command.args(arguments);
        let ended = run(command).await;
        assert_eq!(ended.code, Some(code), "{arguments:?}\n{}", ended.stderr);
        let (full, empty) = if code == 0 { (&ended.stdout, &ended.stderr) } else { (&ended.stderr, &ended.stdout) };
        assert!(!full.is_empty() && empty.is_empty(), "{arguments:?}\n{}\n{}", ended.stdout, ended.stderr);
    }
}
