//! The contract under sequences nobody thought of: deliveries, kills at every border, restarts and faults in random order,
//! against a model of what has to become of each alert. On both engines. Every other sequence has rules: routes by
//! severity, a maintenance window and quiet hours that end while it plays, and a channel that waits for neither hours nor
//! gravity. In the others the chats also refuse messages for good, and one is the other's fallback. In every third one
//! messages merge into summaries as soon as another one waits.
//!
//! Without a word the same two are played, so that a change is judged by what it did and not by the hour; the night plays
//! new ones. `FIRSTLOOK_SEED=N` plays one again, `FIRSTLOOK_SEQUENCES=N` so many new ones.

mod dead;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use self::dead::Dead;
use self::rules::{Rules, Told};
use crate::support::alerts::{PENDING, builtin, one_alert, resolved};
use crate::support::database::on_every_engine;
use crate::support::feishu::Feishu;
use crate::support::model::{Answer, ModelServer};
use crate::support::service::{Home, Service};
use crate::support::wecom::Wecom;
use crate::support::{Fault, contract, pending};

/// One with rules and summaries, one with neither and dead letters: what is played where nobody asks for others.
const SEEDS: [u64; 2] = [1_795_729_263, 1_795_729_264];

/// Steps of one sequence.
const STEPS: usize = 16;

/// The borders between two stages, as the callers of `src/failpoint.rs` name them.
const BORDERS: [&str; 9] = [
    "before-commit",
    "after-commit",
    "before-claim",
    "after-claim",
    "in-tool-call",
    "after-diagnosis",
    "before-send",
    "before-mark",
    "after-mark",
];

#[derive(Debug, Clone)]
enum Step {
    /// These alerts of a group fire.
    Fire { group: usize, alerts: BTreeSet<usize> },
    /// These alerts of a group ended unseen and fire again: they began later than what was known.
    Anew { group: usize, alerts: BTreeSet<usize> },
    /// These alerts of a group are over, and the others fire on.
    EndPart { group: usize, alerts: BTreeSet<usize> },
    /// All of a group is over.
    End { group: usize },
    /// `kill -9`, and another process.
    Kill,
    /// SIGTERM, and another process.
    Stop,
    /// A process that dies at this border while these alerts come in, and another one.
    DieAt { border: &'static str, group: usize, alerts: BTreeSet<usize> },
    /// The chat products fail so many times.
    Faults { feishu: usize, wecom: usize },
    /// The chat products refuse so many messages for good, where rules say nothing.
    Refusals { feishu: usize, wecom: usize },
    /// Nothing for a moment.
    Breathe,
}

fn step() -> impl Strategy<Value = Step> {
    let alerts = || prop::collection::btree_set(0..3_usize, 1..=3);
    prop_oneof![
        6 => (0..4_usize, alerts()).prop_map(|(group, alerts)| Step::Fire { group, alerts }),
        1 => (0..4_usize, alerts()).prop_map(|(group, alerts)| Step::Anew { group, alerts }),
        3 => (0..4_usize, alerts()).prop_map(|(group, alerts)| Step::EndPart { group, alerts }),
        2 => (0..4_usize).prop_map(|group| Step::End { group }),
        1 => Just(Step::Kill),
        1 => Just(Step::Stop),
        3 => (prop::sample::select(BORDERS.as_slice()), 0..4_usize, alerts())
            .prop_map(|(border, group, alerts)| Step::DieAt { border, group, alerts }),
        1 => (0..4_usize, 0..4_usize).prop_map(|(feishu, wecom)| Step::Faults { feishu, wecom }),
        2 => (0..3_usize, 0..3_usize).prop_map(|(feishu, wecom)| Step::Refusals { feishu, wecom }),
        2 => Just(Step::Breathe),
    ]
}

fn sequence(seed: u64) -> Vec<Step> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    prop::collection::vec(step(), STEPS).new_tree(&mut runner).unwrap().current()
}

/// What a delivery says of alerts of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Says {
    Fire,
    Anew,
    EndPart,
    End,
}

/// What has to be true of one group.
#[derive(Debug, Default)]
struct Group {
    generation: usize,
    /// Those that fire, while it is open.
    firing: Option<BTreeSet<usize>>,
    /// When those began that began anew; the others began when the recorded alert did.
    began: BTreeMap<usize, jiff::Timestamp>,
}

impl Group {
    /// What is left to say of these alerts as the group stands: nothing begins anew or ends that does not fire.
    fn sayable(&self, says: Says, alerts: &BTreeSet<usize>) -> Says {
        match (says, &self.firing) {
            (Says::Anew, None) => Says::Fire,
            (Says::EndPart, None) => Says::End,
            (Says::EndPart, Some(firing)) if firing.is_subset(alerts) => Says::End,
            (Says::Anew | Says::EndPart, Some(firing)) if firing.is_disjoint(alerts) => Says::Fire,
            _ => says,
        }
    }

    /// Which alerts a delivery lists, and what it and the same once more have to be taken for.
    fn listed(&self, says: Says, alerts: &BTreeSet<usize>) -> (BTreeSet<usize>, [&'static str; 2]) {
        match (says, &self.firing) {
            (Says::Fire, None) => (alerts.clone(), ["opened", "merged"]),
            (Says::Fire, Some(firing)) if alerts.is_subset(firing) => (alerts.clone(), ["merged", "merged"]),
            (Says::Fire, Some(firing)) => (firing | alerts, ["joined", "merged"]),
            (Says::Anew, Some(firing)) => (firing.clone(), ["joined", "merged"]),
            (Says::EndPart, Some(firing)) => (firing.clone(), ["merged", "merged"]),
            (Says::End, Some(firing)) => (firing.clone(), ["resolved", "suppressed"]),
            (Says::Anew | Says::EndPart | Says::End, None) => (BTreeSet::from([0]), ["suppressed", "suppressed"]),
        }
    }
}

/// What is known from outside.
struct Play {
    home: Home,
    service: Service,
    feishu: Feishu,
    wecom: Wecom,
    /// Who hears of everything, where there are rules.
    everyone: Option<Feishu>,
    /// Whether messages become summaries.
    merges: bool,
    groups: BTreeMap<usize, Group>,
    /// Alerts of deliveries that were answered 202.
    accepted: u64,
    /// Alerts of deliveries whose answer never came.
    unsure: u64,
    opened: usize,
    kills: usize,
    /// Alerts people have to hear of, and where.
    told: Told,
}

fn name(group: usize, generation: usize, alert: usize) -> String {
    format!("G{group}N{generation:02}A{alert}")
}

impl Play {
    /// A delivery, what it has to be taken for, and what the same has to be taken for when it comes again.
    fn delivery(&mut self, group: usize, alerts: &BTreeSet<usize>, says: Says) -> (Value, [&'static str; 2]) {
        let state = self.groups.entry(group).or_default();
        let says = state.sayable(says, alerts);
        let (listed, decisions) = state.listed(says, alerts);
        if says == Says::Anew {
            let began = jiff::Timestamp::now() - jiff::SignedDuration::from_millis(1_100);
            state.began.extend(alerts.iter().map(|number| (*number, began)));
        }
        let over = |number: &usize| says == Says::EndPart && alerts.contains(number);
        let one = one_alert(&format!("group {group}"), &json!({}));
        let made = |number: &usize| {
            let name = name(group, state.generation, *number);
            let mut body = one.clone();
            let alert = &mut body["alerts"][0];
            (alert["labels"]["alertname"], alert["fingerprint"]) = (name.as_str().into(), name.as_str().into());
            alert["labels"]["severity"] = rules::SEVERITIES[*number].into();
            if let Some(began) = state.began.get(number) {
                alert["startsAt"] = began.to_string().into();
            }
            let body = if over(number) { resolved(&body) } else { body };
            body["alerts"][0].clone()
        };
        let mut body = one.clone();
        body["alerts"] = listed.iter().map(made).collect();
        let names = |numbers: &mut dyn Iterator<Item = &usize>| -> Vec<(usize, String)> {
            numbers.map(|number| (*number, name(group, state.generation, *number))).collect()
        };
        if says == Says::End {
            self.told.ended(&names(&mut listed.iter()));
            body = resolved(&body);
            (state.firing, state.generation) = (None, state.generation + 1);
            state.began.clear();
            return (body, decisions);
        }
        self.told.fires(&names(&mut listed.iter()));
        self.told.ended(&names(&mut listed.iter().filter(|number| over(number))));
        self.opened += usize::from(decisions[0] == "opened");
        // What a delivery leaves out goes on: Alertmanager says so when it is over.
        let mut firing = &state.firing.take().unwrap_or_default() | &listed;
        firing.retain(|number| !over(number));
        state.firing = Some(firing);
        (body, decisions)
    }

    async fn deliver(&mut self, group: usize, alerts: &BTreeSet<usize>, says: Says) {
        let (body, [expected, _]) = self.delivery(group, alerts, says);
        let (_, decision) = self.service.accept(&body).await;
        assert_eq!(decision, expected, "{body:#}");
        self.accepted += body["alerts"].as_array().unwrap().len() as u64;
    }

    /// Delivers to a process that dies at a border, and again, as senders do, when no 202 came.
    async fn deliver_and_die(&mut self, border: &'static str, group: usize, alerts: &BTreeSet<usize>) {
        self.service.end().await;
        self.kills += 2;
        let Some(service) = self.home.serve_until(border).await else {
            // What waited brought it there at once.
            self.restart().await;
            return self.deliver(group, alerts, Says::Fire).await;
        };
        self.service = service;
        let (body, decisions) = self.delivery(group, alerts, Says::Fire);
        let count = body["alerts"].as_array().unwrap().len() as u64;
        let request = self.service.request(reqwest::Method::POST, "/webhooks/alertmanager");
        let answer = request.json(&body).send().await;
        let taken = answer.is_ok_and(|answer| answer.status() == 202);
        self.accepted += if taken { count } else { 0 };
        // It may have nothing to do that brings it to this border; then it is killed wherever it is.
        tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
        self.restart().await;
        if !taken {
            self.unsure += count;
            let (_, decision) = self.service.accept(&body).await;
            assert!(decisions.contains(&decision.as_str()), "{decision} is none of {decisions:?}");
            self.accepted += count;
        }
    }

    /// Another process in place of this one, however that ended.
    async fn restart(&mut self) {
        self.service.end().await;
        self.service = self.home.serve().await;
    }

    async fn play(&mut self, step: &Step) {
        match step {
            Step::Fire { group, alerts } => self.deliver(*group, alerts, Says::Fire).await,
            Step::Anew { group, alerts } => {
                // They have to begin after the group was last heard of.
                tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
                self.deliver(*group, alerts, Says::Anew).await;
            }
            Step::EndPart { group, alerts } => self.deliver(*group, alerts, Says::EndPart).await,
            Step::End { group } => self.deliver(*group, &BTreeSet::new(), Says::End).await,
            Step::Kill => {
                self.restart().await;
                self.kills += 1;
            }
            Step::Stop => {
                assert_eq!(self.service.ask_to_end().await.code(), Some(0), "{}", self.service.log());
                self.service = self.home.serve().await;
            }
            Step::DieAt { border, group, alerts } => self.deliver_and_die(border, *group, alerts).await,
            Step::Faults { feishu, wecom } => {
                self.feishu.fail((0..*feishu).map(|_| Fault::Code(9499, "too many request")));
                self.wecom.fail((0..*wecom).map(|_| Fault::Status(502)));
            }
            Step::Refusals { .. } if self.everyone.is_some() => {}
            Step::Refusals { feishu, wecom } => {
                self.feishu.fail((0..*feishu).map(|_| Fault::Code(19001, "incoming webhook access token invalid")));
                self.wecom.fail((0..*wecom).map(|_| Fault::Code(93000, "invalid webhook url")));
            }
            Step::Breathe => tokio::time::sleep(std::time::Duration::from_millis(800)).await,
        }
        contract::balance(&self.service).await;
        self.told.not_too_early(&self.messages());
    }

    /// What each channel accepted.
    fn messages(&self) -> BTreeMap<&'static str, Vec<Value>> {
        let mut messages = BTreeMap::from([("oncall", self.feishu.accepted()), ("ops", self.wecom.accepted())]);
        messages.extend(self.everyone.iter().map(|everyone| ("everyone", everyone.accepted())));
        messages
    }

    /// Everything came to its end, everybody heard of everything, and nobody heard it more often than kills explain.
    async fn ends_well(&self) {
        let begun = std::time::Instant::now();
        let balance = loop {
            let balance = contract::balance(&self.service).await;
            if balance.pending == 0 && self.is_quiet().await {
                break balance;
            }
            assert!(begun.elapsed().as_secs() < 150, "it does not come to an end: {balance:?}\n{}", self.service.log());
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        };
        assert!(
            (self.accepted..=self.accepted + self.unsure).contains(&balance.accepted),
            "{} to {} more accepted: {balance:?}",
            self.accepted,
            self.unsure
        );
        let dead = Dead::of(&self.home).await;
        assert_eq!(balance.dead, dead.alerts, "{balance:?} {dead:#?}");
        let incidents = self.service.incidents().await;
        assert_eq!(incidents.len(), self.opened);
        let (mut sent, mut merged) = (BTreeMap::new(), 0);
        for incident in &incidents {
            let detail = self.service.incident(incident["id"].as_str().unwrap()).await;
            for notice in detail["notices"].as_array().unwrap().iter().filter(|notice| notice["state"] == "sent") {
                *sent.entry(notice["channel"].as_str().unwrap().to_owned()).or_insert(0_usize) += 1;
                merged += usize::from(notice["form"] == "summary");
            }
        }
        let messages = self.messages();
        eprintln!(
            "{} messages, {merged} notices in summaries, {} given up; {} alerts nobody was told of",
            messages.values().map(Vec::len).sum::<usize>(),
            dead.messages(),
            dead.alerts
        );
        self.told.all_heard(&messages, &dead);
        for (channel, messages) in messages {
            let sent = sent.get(channel).copied().unwrap_or_default();
            // Of many that go as one, nobody says how many that are.
            let least = if self.merges { usize::from(sent > 0) } else { sent };
            let told = least..=sent + self.kills;
            assert!(told.contains(&messages.len()), "{sent} notices became {} on {channel}", messages.len());
        }
    }

    async fn is_quiet(&self) -> bool {
        let length = async |queue: &str| {
            let metric = format!("firstlook_queue_length{{queue=\"{queue}\"}}");
            self.service.metric(&metric).await.unwrap_or_else(|| panic!("there is no {metric}"))
        };
        length("outbox").await + length("investigations").await == 0.0
    }
}

async fn plays(seed: u64) {
    let (feishu, wecom) = (Feishu::start().await.without_rate_limit(), Wecom::start().await.without_rate_limit());
    let mut asked = 0;
    let model = ModelServer::scripted(move |question| {
        asked += 1;
        match asked % 5 {
            4 => Answer::error(500, &json!({"error": {"message": "overloaded"}})),
            _ => pending::investigate(question),
        }
    })
    .await;
    let merges = seed.is_multiple_of(3);
    let delivery = json!({"merge_above": if merges { 1 } else { 1_000 }});
    let everyone = if seed.is_multiple_of(2) { None } else { Some(Feishu::start().await.without_rate_limit()) };
    let rules = everyone.as_ref().map_or_else(Rules::none, |everyone| Rules::ending_soon(everyone.url()));
    let mut parts = json!({
        "mcp": builtin(PENDING), "models": pending::models(&model), "triage": {"flapping": {"count": 0}},
        "channels": [
            {"name": "oncall", "type": "feishu-bot", "url": feishu.url(), "delivery": delivery},
            {"name": "ops", "type": "wecom-bot", "msgtype": "text", "url": wecom.url(), "delivery": delivery},
        ],
    });
    rules.configure(&mut parts);
    let home = Home::new(&parts);
    let service = home.serve().await;
    let (groups, told) = (BTreeMap::new(), Told::under(rules));
    let (accepted, unsure, opened, kills) = (0, 0, 0, 0);
    let mut play =
        Play { home, service, feishu, wecom, everyone, merges, groups, accepted, unsure, opened, kills, told };
    let steps = sequence(seed);
    for (number, step) in steps.iter().enumerate() {
        eprintln!("{number}: {step:?}");
        play.play(step).await;
    }
    play.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_in_whatever_order_the_contract_holds() {
    let variable = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds: Vec<u64> = match (variable("FIRSTLOOK_SEED"), variable("FIRSTLOOK_SEQUENCES")) {
        (Some(seed), _) => vec![seed],
        (None, Some(count)) => {
            let first = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
            (first..first + count).collect()
        }
        (None, None) => SEEDS.to_vec(),
    };
    for seed in seeds {
        eprintln!("FIRSTLOOK_SEED={seed}");
        on_every_engine(async || plays(seed).await).await;
    }
}
