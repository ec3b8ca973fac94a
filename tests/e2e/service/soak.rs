//! A soak: alerts come and go while one call in a hundred fails in each way there is; the sum holds, and memory stays flat.
//!
//! A minute here; `scripts/soak.sh` makes it ten (`FIRSTLOOK_SOAK_SECONDS`).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::alerts::{PENDING, one_alert, resolved, scenario};
use crate::support::cluster;
use crate::support::feishu::Feishu;
use crate::support::model::{Answer, Asked, ModelServer};
use crate::support::service::{Home, Service};
use crate::support::wecom::Wecom;
use crate::support::{Fault, contract, eventually_async, pending};

/// Groups that fire and resolve.
const GROUPS: u32 = 60;
/// Between two deliveries.
const PACE: Duration = Duration::from_millis(60);
/// One of so many calls fails in each way.
const ONE_OF: u32 = 100;

struct Dice(TestRng);

impl Dice {
    fn new() -> Self {
        let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos().to_le_bytes();
        Self(TestRng::from_seed(RngAlgorithm::ChaCha, &[seed, seed].concat()))
    }

    /// A number below this one.
    fn below(&mut self, most: u32) -> u32 {
        self.0.next_u32() % most
    }
}

/// A way to a server on which one connection in a hundred is cut after a few bytes, and one stalls for a while.
async fn shaky(behind: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut dice = Dice::new();
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(pass(near, behind, dice.below(ONE_OF)));
        }
    });
    address
}

async fn pass(mut near: TcpStream, behind: SocketAddr, fate: u32) {
    let Ok(mut far) = TcpStream::connect(behind).await else { return };
    match fate {
        0 => {
            let mut first = [0; 64];
            if let Ok(read) = near.read(&mut first).await {
                let _ = far.write_all(&first[..read]).await;
            }
        }
        1 => {
            tokio::time::sleep(Duration::from_secs(3)).await;
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        }
        _ => drop(tokio::io::copy_bidirectional(&mut near, &mut far).await),
    }
}

/// A model that fails in each way once in a hundred answers.
async fn model() -> ModelServer {
    let mut dice = Dice::new();
    ModelServer::scripted(move |asked: &Asked| match dice.below(ONE_OF) {
        0 => Answer::error(500, &json!({"error": {"message": "overloaded"}})),
        1 => Answer::Raw(429, vec![("retry-after", "1".to_owned())], "{}".to_owned()),
        2 => Answer::Raw(200, vec![("content-type", "text/html".to_owned())], "<html>sign in</html>".to_owned()),
        3 => Answer::Cut(Box::new(pending::look())),
        4 => Answer::After(Duration::from_secs(2), Box::new(pending::investigate(asked))),
        5 => Answer::Text("<｜tool▁calls▁begin｜>nonsense".to_owned()),
        _ => pending::investigate(asked),
    })
    .await
}

fn resident(service: &Service) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn body(group: u32, generation: u32) -> Value {
    let name = format!("Soak{group:02}N{generation}");
    one_alert(&format!("soak {group}"), &json!({"alertname": name}))
}

/// Sends until the time is over; how many alerts were taken and which are to be told, and memory along the way.
async fn sends(service: &Service, feishu: &Feishu, wecom: &Wecom, seconds: u64) -> (usize, BTreeSet<String>, Vec<u64>) {
    let (mut dice, begun) = (Dice::new(), Instant::now());
    let mut generations = vec![(0, false); GROUPS as usize];
    let (mut accepted, mut told, mut memory) = (0, BTreeSet::new(), Vec::new());
    while begun.elapsed().as_secs() < seconds {
        let group = dice.below(GROUPS);
        let (generation, fires) = &mut generations[group as usize];
        let alert = body(group, *generation);
        let ends = *fires && dice.below(2) == 0;
        service.accept(&if ends { resolved(&alert) } else { alert.clone() }).await;
        accepted += 1;
        if ends {
            (*generation, *fires) = (*generation + 1, false);
        } else {
            *fires = true;
            told.insert(alert["alerts"][0]["labels"]["alertname"].as_str().unwrap().to_owned());
        }
        match dice.below(ONE_OF) {
            0 => feishu.fail([Fault::Code(9499, "too many request")]),
            1 => feishu.fail([Fault::Status(502)]),
            2 => wecom.fail([Fault::Status(500)]),
            3 => wecom.fail([Fault::Code(-1, "system error")]),
            _ => {}
        }
        if accepted % 100 == 0 {
            contract::balance(service).await;
            memory.push(resident(service));
        }
        tokio::time::sleep(PACE).await;
    }
    (accepted, told, memory)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soak_with_faults_everywhere_ends_with_the_sum_and_flat_memory() {
    let seconds = std::env::var("FIRSTLOOK_SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let (feishu, wecom) = (Feishu::start().await.without_rate_limit(), Wecom::start().await.without_rate_limit());
    let (model, api) = (model().await, cluster::serve(&scenario(PENDING)).await);
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let way = shaky(api.address).await;
    std::fs::write(&kubeconfig, firstlook::kube::snapshot::kubeconfig(way)).unwrap();
    let home = Home::new(&json!({
        "mcp": [{"name": "kubernetes", "transport": "builtin", "kubeconfig": kubeconfig}],
        "models": pending::models(&model),
        "triage": {"cooldown": "2s", "deadline": "20s", "flapping": {"count": 0}},
        "channels": [
            {"name": "oncall", "type": "feishu-bot", "url": feishu.url()},
            {"name": "ops", "type": "wecom-bot", "url": wecom.url()},
        ],
    }));
    let service = home.serve().await;
    let (accepted, told, memory) = sends(&service, &feishu, &wecom, seconds).await;
    // What waits beyond a product's rate goes as summaries, a minute's worth at a time.
    let is_out = || async { service.metric("firstlook_queue_length{queue=\"outbox\"}").await == Some(0.0) };
    eventually_async("everything is sent", 300, is_out).await;
    let balance = contract::holds(&service, accepted, 30).await;
    assert_eq!(balance.dead, 0, "{balance:?}");
    let (feishu, wecom) = (feishu.accepted(), wecom.accepted());
    for messages in [&feishu, &wecom] {
        let all: String = messages.iter().map(Value::to_string).collect();
        let silent: Vec<_> = told.iter().filter(|name| !all.contains(*name)).collect();
        assert!(silent.is_empty(), "nobody heard of {silent:?}");
        assert!(all.contains("com.tencent.cloud.csi.cbs"), "it looked meanwhile");
    }
    let asked = model.asked().len();
    let messages = (feishu.len(), wecom.len());
    println!("{seconds} s: {balance:?}, {messages:?} messages, {asked} questions, kB resident {memory:?}");
    assert!(asked > 0, "it asked the model meanwhile");
    // What is in use after a third of the time is enough for the rest, but for what an allocator keeps.
    let (third, last) = (memory[memory.len() / 3], memory[memory.len() - 1]);
    assert!(last < third + third / 3 + 20_000, "memory grows: {memory:?}");
}
