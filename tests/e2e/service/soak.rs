//! A soak: alerts come and go while one call in a hundred fails in each way there is: to the cluster, an MCP server, the
//! model, two chat bots, an app and a mail server. The sum holds, and memory stays flat.
//!
//! A minute here; `scripts/soak.sh` makes it ten (`FIRSTLOOK_SOAK_SECONDS`).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
use regex::Regex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::alerts::{PENDING, one_alert, resolved, scenario};
use crate::support::cluster;
use crate::support::database::on_every_engine;
use crate::support::feishu::Feishu;
use crate::support::feishu_app::{FeishuApp, Refused};
use crate::support::model::{Answer, Asked, ModelServer};
use crate::support::original::Original;
use crate::support::service::{Home, Service};
use crate::support::smtp::SmtpServer;
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

/// A way to a server that is cut after a few bytes of one request in a hundred, and stalls for a while before one.
async fn shaky(behind: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(pass(near, behind));
        }
    });
    address
}

async fn pass(near: TcpStream, behind: SocketAddr) {
    let Ok(far) = TcpStream::connect(behind).await else { return };
    let ((mut near_read, mut near_write), (mut far_read, mut far_write)) = (near.into_split(), far.into_split());
    let answering = async {
        let _ = tokio::io::copy(&mut far_read, &mut near_write).await;
    };
    let asking = async {
        let (mut dice, mut part) = (Dice::new(), vec![0; 16 << 10]);
        while let Ok(read @ 1..) = near_read.read(&mut part).await {
            let fate = dice.below(ONE_OF);
            if fate == 1 {
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
            let passed = if fate == 0 { read.min(64) } else { read };
            if far_write.write_all(&part[..passed]).await.is_err() || fate == 0 {
                return;
            }
        }
        let _ = far_write.shutdown().await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = answering => {}
        () = asking => {}
    }
}

/// The same address by such a way.
async fn shaky_url(url: &str) -> String {
    let mut url: url::Url = url.parse().unwrap();
    let way = shaky(url.socket_addrs(|| None).unwrap()[0]).await;
    url.set_port(Some(way.port())).unwrap();
    url.to_string().trim_end_matches('/').to_owned()
}

/// A model that fails in each way once in a hundred answers.
async fn model() -> ModelServer {
    let mut dice = Dice::new();
    ModelServer::scripted(move |asked: &Asked| match dice.below(ONE_OF) {
        0 => Answer::error(500, &json!({"error": {"message": "overloaded"}})),
        1 => Answer::Raw(429, vec![("retry-after", "1".to_owned())], "{}".to_owned()),
        2 => Answer::Raw(200, vec![("content-type", "text/html".to_owned())], "<html>sign in</html>".to_owned()),
        3 => Answer::Cut(Box::new(pending::look())),
        4 => Answer::After(Duration::from_secs(2), Box::new(pending::investigate_what_answers(asked))),
        5 => Answer::Text("<｜tool▁calls▁begin｜>nonsense".to_owned()),
        _ => pending::investigate_what_answers(asked),
    })
    .await
}

fn body(group: u32, generation: u32) -> Value {
    let name = format!("Soak{group:02}N{generation}");
    one_alert(&format!("soak {group}"), &json!({"alertname": name}))
}

/// Where people hear of alerts.
struct Ends {
    feishu: Feishu,
    wecom: Wecom,
    app: FeishuApp,
    mail: SmtpServer,
}

impl Ends {
    async fn start() -> Self {
        Self {
            feishu: Feishu::start().await.without_rate_limit(),
            wecom: Wecom::start().await.without_rate_limit(),
            app: FeishuApp::start().await,
            mail: tokio::task::spawn_blocking(|| SmtpServer::start(&[])).await.unwrap(),
        }
    }

    /// Each over a line that fails as well.
    async fn channels(&self) -> Value {
        let line = shaky(self.mail.address().parse().unwrap()).await;
        let (feishu, wecom) = (shaky_url(&self.feishu.url()).await, shaky_url(&self.wecom.url()).await);
        let mut app = self.app.channel();
        app["name"] = "card".into();
        app["base_url"] = shaky_url(app["base_url"].as_str().unwrap()).await.into();
        json!([
            {"name": "oncall", "type": "feishu-bot", "url": feishu},
            {"name": "ops", "type": "wecom-bot", "url": wecom},
            app,
            {"name": "mail", "type": "email", "smtp": format!("smtp://{line}"), "from": "a@example.com", "to": ["b@example.com"]},
        ])
    }

    /// One of so many deliveries meets one of these.
    fn fail(&self, fate: u32) {
        match fate {
            0 => self.feishu.fail([Fault::Code(9499, "too many request")]),
            1 => self.feishu.fail([Fault::Status(502)]),
            2 => self.wecom.fail([Fault::Status(500)]),
            3 => self.wecom.fail([Fault::Code(-1, "system error")]),
            4 => self.app.fail([Refused::slow(1)]),
            5 => self.app.fail_changes([Refused { status: 502, ..Refused::code(-1, "bad gateway") }]),
            6 => self.app.swallow(1),
            7 => self.app.end_tokens(),
            _ => {}
        }
    }

    /// What each of them got to see.
    fn told(&self) -> [Told; 4] {
        let all = |messages: Vec<Value>| messages.iter().map(Value::to_string).collect::<Vec<_>>();
        let mails = self.mail.received(0);
        let cards = self.app.messages();
        [
            Told::of("oncall", all(self.feishu.accepted())),
            Told::of("ops", all(self.wecom.accepted())),
            Told { count: cards.len(), ..Told::of("card", cards.iter().flat_map(|card| card.history())) },
            Told::of("mail", mails.iter().filter_map(|mail| mail.text.clone())),
        ]
    }
}

/// What arrived on a channel.
struct Told {
    channel: &'static str,
    count: usize,
    /// The alerts it names.
    names: BTreeSet<String>,
    /// Whether one tells what was found.
    diagnosed: bool,
}

impl Told {
    /// Picks the names out of the messages: to look for each name in all of them takes longer than a request may.
    fn of(channel: &'static str, messages: impl IntoIterator<Item = String>) -> Self {
        let name = Regex::new(r"Soak\d\dN\d+").unwrap();
        let mut told = Self { channel, count: 0, names: BTreeSet::new(), diagnosed: false };
        for message in messages {
            told.count += 1;
            told.names.extend(name.find_iter(&message).map(|found| found.as_str().to_owned()));
            told.diagnosed |= message.contains("com.tencent.cloud.csi.cbs");
        }
        told
    }
}

/// Sends until the time is over; how many alerts were taken and which are to be told, and memory along the way.
async fn sends(service: &Service, ends: &Ends, seconds: u64) -> (usize, BTreeSet<String>, Vec<u64>) {
    let (mut dice, begun) = (Dice::new(), Instant::now());
    let mut generations = vec![(0, false); GROUPS as usize];
    let (mut accepted, mut told, mut memory) = (0, BTreeSet::new(), Vec::new());
    while begun.elapsed().as_secs() < seconds {
        let group = dice.below(GROUPS);
        let (generation, fires) = &mut generations[group as usize];
        let alert = body(group, *generation);
        let over = *fires && dice.below(2) == 0;
        service.accept(&if over { resolved(&alert) } else { alert.clone() }).await;
        accepted += 1;
        if over {
            (*generation, *fires) = (*generation + 1, false);
        } else {
            *fires = true;
            told.insert(alert["alerts"][0]["labels"]["alertname"].as_str().unwrap().to_owned());
        }
        ends.fail(dice.below(ONE_OF));
        if accepted % 100 == 0 {
            contract::balance(service).await;
            memory.push(service.resident());
        }
        tokio::time::sleep(PACE).await;
    }
    (accepted, told, memory)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soak_with_faults_everywhere_ends_with_the_sum_and_flat_memory() {
    on_every_engine(async || {
        let seconds = std::env::var("FIRSTLOOK_SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
        let (ends, model, api) = (Ends::start().await, model().await, cluster::serve(&scenario(PENDING)).await);
        // The real MCP server, over a line that fails, before an API server over another one.
        let way = shaky(api.address).await;
        let quick = [("KUBE_CLIENT_QPS", "1000"), ("KUBE_CLIENT_BURST", "2000")];
        let server = Original::with(way, &quick).await;
        let url = shaky_url(&server.url).await;
        let home = Home::new(&json!({
            "mcp": [{"name": "kubernetes", "url": url, "transport": "http"}],
            "models": pending::models(&model),
            "triage": {"cooldown": "2s", "deadline": "20s", "flapping": {"count": 0}},
            "channels": ends.channels().await,
        }));
        let service = home.serve().await;
        let (accepted, told, memory) = sends(&service, &ends, seconds).await;
        // What waits beyond a product's rate goes as summaries, a minute's worth at a time.
        let is_out = || async { service.metric("firstlook_queue_length{queue=\"outbox\"}").await == Some(0.0) };
        eventually_async("everything is sent", 300, is_out).await;
        let balance = contract::holds(&service, accepted, 30).await;
        assert_eq!(balance.dead, 0, "{balance:?}");
        let mut messages = Vec::new();
        for Told { channel, count, names, diagnosed } in ends.told() {
            let silent: Vec<_> = told.difference(&names).collect();
            assert!(silent.is_empty(), "nobody heard of {silent:?} on {channel}");
            // The others have sent their minute's worth by then: what was found stands in a summary's line, cut short.
            assert!(channel != "card" || diagnosed, "it looked meanwhile");
            messages.push((channel, count));
        }
        let asked = model.asked().len();
        let engine = home.store().split(':').next().unwrap_or_default();
        println!(
            "{engine}, {seconds} s: {balance:?}, {messages:?} messages, {asked} questions, kB resident {memory:?}"
        );
        assert!(asked > 0, "it asked the model meanwhile");
        // What is in use after a third of the time is enough for the rest, but for what an allocator keeps: in ten minutes
        // a tenth and 8 MB, in one a third and 20.
        let (third, last) = (memory[memory.len() / 3], memory[memory.len() - 1]);
        let (share, more) = if seconds >= 600 { (10, 8_000) } else { (3, 20_000) };
        assert!(last < third + third / share + more, "memory grows: {memory:?}");
    })
    .await;
}
