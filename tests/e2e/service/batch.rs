//! A window's mail: what is not critical shares one, what is critical waits for nobody, and a crash loses nothing.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use url::Url;

use crate::support::alerts::{PENDING, builtin, one_alert, resolved};
use crate::support::contract;
use crate::support::database::{Database, on_every_engine};
use crate::support::eventually;
use crate::support::gate::Gate;
use crate::support::service::{Home, program, run};
use crate::support::smtp::SmtpServer;

/// Seconds of a window.
const WINDOW: i64 = 8;

fn alert(name: &str, severity: &str) -> Value {
    let mut body = one_alert(name, &json!({"alertname": name, "severity": severity}));
    body["groupLabels"] = json!({"alertname": name});
    body
}

/// Waits until a window has just begun, so that all of a test happens in one.
async fn a_window_begins() {
    let into = Timestamp::now().as_millisecond() % (WINDOW * 1_000);
    tokio::time::sleep(Duration::from_millis(u64::try_from(WINDOW * 1_000 - into + 50).unwrap())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_critical_shares_a_mail_that_names_each_incident_over_a_crash_too() {
    on_every_engine(async || {
        let server = tokio::task::spawn_blocking(|| SmtpServer::start(&[])).await.unwrap();
        let home = Home::new(&json!({
            "mcp": builtin(PENDING),
            "channels": [{
                "name": "mail", "type": "email", "smtp": format!("smtp://{}", server.address()),
                "from": "Firstlook <fl@example.com>", "to": ["sre@example.com"], "batch": format!("{WINDOW}s"),
            }],
        }));
        let service = home.serve().await;
        a_window_begins().await;
        let ended = alert("DiskAlmostFull", "warning");
        let mut pages = Vec::new();
        for quiet in [&alert("CertificateExpires", "info"), &ended, &alert("JobSlow", "warning")] {
            pages.push(format!("https://firstlook.example.com/incidents/{}?pass=", service.accept(quiet).await.0));
        }
        let (urgent, _) = service.accept(&alert("ApiDown", "critical")).await;
        service.accept(&resolved(&ended)).await;
        let first = eventually("the critical one at once", 3, || server.received(0).into_iter().next()).await;
        assert!(first.header("Subject").contains("ApiDown"), "{}", first.header("Subject"));
        service.settled(&urgent, 10).await;
        service.kill_9().await;
        let service = home.serve().await;
        let mails =
            eventually("the window's mail", 30, || Some(server.received(0)).filter(|mails| mails.len() > 1)).await;
        let mail = &mails[1];
        assert!(mail.header("Subject").starts_with("[Firstlook] 3 incidents"), "{}", mail.header("Subject"));
        let text = mail.text.clone().unwrap();
        for name in ["CertificateExpires", "DiskAlmostFull", "JobSlow"] {
            assert_eq!(text.matches(name).count(), 1, "{name} has a line: {text}");
        }
        for page in pages {
            assert!(text.contains(&page), "each line leads to its incident's page: {text}");
            assert!(mail.html.as_ref().is_some_and(|html| html.replace("&#x2f;", "/").contains(&page)), "{page}");
        }
        let line = text.lines().find(|line| line.contains("DiskAlmostFull")).unwrap();
        assert!(line.contains("resolved"), "as it stands at the last: {line}");
        contract::holds(&service, 5, 10).await;
        assert_eq!(server.received(0).len(), 2, "nothing comes twice");

        a_window_begins().await;
        let (alone, _) = service.accept(&alert("NodeClockSkewed", "warning")).await;
        service.settled(&alone, 30).await;
        let mails = server.received(0);
        assert!(mails[2].header("Subject").contains("NodeClockSkewed"), "one alone comes in full");
        assert_eq!(mails.len(), 3);

        let mut command = program();
        command.args(["check", "--lang", "en", "--route", "severity=warning", "--config"]).arg(home.config());
        let said = run(command).await.stdout;
        assert!(said.contains("mail  together with what else is not critical (batch)"), "{said}");
    })
    .await;
}

/// Claiming thirty messages takes longer there than a claim is good for: fewer share a mail, and none waits for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_on_a_database_that_is_far_away_becomes_several_mails() {
    const INCIDENTS: usize = 30;
    let Some(database) = Database::postgres().await else { return };
    let address = database.address().unwrap();
    let mut far = Url::parse(&address).unwrap();
    let behind = far.socket_addrs(|| None).unwrap()[0];
    let gate = Gate::before(behind).await;
    gate.is_far(Duration::from_millis(40));
    far.set_port(Some(gate.address.port())).unwrap();
    let server = tokio::task::spawn_blocking(|| SmtpServer::start(&[])).await.unwrap();
    let home = Home::new(&json!({
        "store": far.as_str(),
        "mcp": builtin(PENDING),
        "channels": [{
            "name": "mail", "type": "email", "smtp": format!("smtp://{}", server.address()),
            "from": "Firstlook <fl@example.com>", "to": ["sre@example.com"], "batch": format!("{WINDOW}s"),
        }],
    }));
    let service = home.serve().await;
    let names: Vec<String> = (0..INCIDENTS).map(|number| format!("DiskAlmostFull{number:02}")).collect();
    for name in &names {
        service.accept(&alert(name, "warning")).await;
    }
    contract::holds(&service, INCIDENTS, 60).await;
    let mails = server.received(0);
    let texts: String = mails.iter().filter_map(|mail| mail.text.clone()).collect();
    for name in &names {
        assert!(texts.contains(name), "{name} stands in no mail: {texts}");
    }
    assert!((3..INCIDENTS).contains(&mails.len()), "{} mails", mails.len());
    drop(service);
    database.remove().await;
}
