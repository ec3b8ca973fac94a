//! Tool results of 5 MB: what one costs until a model can be shown it, and how much of it the model is shown.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use firstlook::agent::tools::Tools;
use firstlook::telemetry::Metrics;
use firstlook::toolbox::server::Server;
use firstlook::toolbox::{Limits, Toolbox};
use serde_json::json;

use crate::figures::Durations;
use crate::stand_ins::StandIns;
use crate::table::Table;

const BYTES: usize = 5_000_000;
/// Tokens that fit into the model: what is assumed of one that nobody describes.
const WINDOW: usize = 32_768;
const TIMES: usize = 7;

/// Kinds of results: their tool, and the namespace by which the stand-in knows them.
const KINDS: [(&str, &str, &str); 6] = [
    ("plain log", "pods_log", "large-log"),
    ("log of JSON lines", "pods_log", "large-json-log"),
    ("log with a secret in one line of a hundred", "pods_log", "large-secrets"),
    ("log with a secret in every line", "pods_log", "large-nothing-but-secrets"),
    ("table", "pods_list_in_namespace", "large-table"),
    ("events", "events_list", "large-events"),
];

/// The large text of a namespace; none for namespaces of the scenario.
pub fn text(namespace: &str) -> Option<String> {
    const TABLE: &str = "NAMESPACE   APIVERSION   KIND   NAME                         READY   STATUS    LABELS\n";
    const EVENTS: &str = "# The following events (YAML format) were found:\n";
    let (head, line): (&str, fn(usize) -> String) = match namespace {
        "large-log" => ("", |n| format!("2026-11-23T02:33:{:02}Z INFO GET /orders/{n} 200 in {} ms\n", n % 60, n % 97)),
        "large-json-log" => ("", |n| {
            format!(
                "{{\"ts\":\"2026-11-23T02:33:29Z\",\"level\":\"info\",\"msg\":\"GET /orders/{n}\",\"tokens\":12}}\n"
            )
        }),
        "large-secrets" => ("", |n| match n % 100 {
            0 => format!("2026-11-23T02:33:29Z WARN login failed token=abc{n}def\n"),
            _ => format!("2026-11-23T02:33:29Z INFO GET /orders/{n} 200\n"),
        }),
        "large-nothing-but-secrets" => ("", |n| format!("2026-11-23T02:33:29Z INFO user={n} token=abc{n}def\n")),
        "large-table" => {
            (TABLE, |n| format!("shop        v1           Pod    web-7d9f8b6c5d-{n:<13} 1/1     Running   app=web\n"))
        }
        "large-events" => (EVENTS, |n| {
            format!(
                "- InvolvedObject:\n    Kind: Pod\n    Name: web-{0}\n    apiVersion: v1\n  Message: Back-off restarting failed container web in pod web-{0}\n  Namespace: shop\n  Reason: BackOff\n  Timestamp: 2026-11-23 02:{1:02}:00 +0000 UTC\n  Type: Warning\n",
                n % 500,
                n % 60
            )
        }),
        _ => return None,
    };
    let mut text = head.to_owned();
    (0..)
        .take_while(|&n| {
            text.push_str(&line(n));
            text.len() < BYTES
        })
        .for_each(drop);
    Some(text)
}

/// Each kind through the toolbox as in an investigation; how long the same answer takes to arrive is told beside it.
pub async fn five_megabytes(world: &StandIns, table: &mut Table) {
    let settings = [world.mcp_settings()];
    let toolbox = Toolbox::new(&settings, Arc::new(Metrics::new())).unwrap();
    let server = Server::new(&settings[0]).unwrap();
    for (kind, tool, namespace) in KINDS {
        let arguments = json!({ "namespace": namespace, "name": "web-0" });
        let mut arguments = arguments.as_object().unwrap().clone();
        if tool != "pods_log" {
            arguments.remove("name");
        }
        let (mut wholes, mut arrivals, mut shown) = (Durations::default(), Durations::default(), 0);
        for _ in 0..TIMES {
            // A run of its own each time: the second call of one run would be answered from its cache.
            let run = toolbox.run(Limits::for_window(WINDOW), None).await;
            let started = Instant::now();
            let answer = run.call(tool, arguments.clone().into()).await;
            wholes.0.push(started.elapsed());
            assert!(!answer.is_error && answer.text.len() > 1_000, "{tool}: {}", answer.text);
            shown = answer.text.len();
            let started = Instant::now();
            server.call(tool, &arguments, Duration::from_secs(15)).await.unwrap();
            arrivals.0.push(started.elapsed());
        }
        let (whole, arrival) = (wholes.at(0.5), arrivals.at(0.5));
        let mut said = format!("{whole:.0} ({arrival:.0} of them to arrive)");
        write!(said, ", {shown} bytes").unwrap();
        table.row([&format!("5 MB result, {kind}: median ms, bytes the model is shown"), &said]);
    }
}
