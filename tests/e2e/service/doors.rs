//! Who may come in, and what a wrong beginning says.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::alerts::{PENDING, webhook};
use crate::support::service::{Ended, Home, TOKEN, client, program, run};

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
    for path in ["/api/v1/incidents", "/metrics", "/api/openapi.json", "/incidents/x"] {
        let asked = client().get(format!("{}{path}", service.base()));
        assert_eq!(status(asked).await, StatusCode::UNAUTHORIZED, "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(status(client().get(format!("{}{path}", service.base()))).await, StatusCode::OK, "{path}");
    }
}

/// The answer comes although not one byte of the announced body does.
#[tokio::test]
async fn strangers_are_refused_before_their_body_is_read() {
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
async fn an_open_door_beyond_loopback_is_refused() {
    let ended = serve_text("server: { listen: 0.0.0.0:0 }\nstore: sqlite:STORE\nchannels: []\n").await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("firstlook.yaml:1") && ended.stderr.contains("server.tokens"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
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
