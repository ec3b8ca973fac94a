//! Who has to hear of an alert under rules, and when: routes by severity, maintenance and quiet hours.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::dead::Dead;

/// The severity of each alert of a group, by its number.
pub const SEVERITIES: [&str; 3] = ["warning", "critical", "info"];

/// How long the maintenance window holds, from the start of a sequence.
const MAINTENANCE: SignedDuration = SignedDuration::from_secs(25);

/// What ends this much later than a hold was certainly told of; what ends earlier may have been over first.
const SURELY_TOLD: SignedDuration = SignedDuration::from_secs(20);

/// The rules of one sequence.
#[derive(Debug)]
pub enum Rules {
    /// Everything goes to both channels at once, and to `ops` once more what `oncall` refuses for good.
    None,
    /// Warnings go to `oncall` once a maintenance window is over, infos to `ops` once its quiet hours are and not to
    /// `oncall`, for which they are too mild, and what is critical to both at once. A third channel, at this address, hears
    /// of all: what joins finds that one told already and another one waiting.
    Some { maintenance: Timestamp, quiet: Timestamp, everyone: String },
}

impl Rules {
    pub fn none() -> Self {
        Self::None
    }

    /// Quiet hours end on a full minute: the first that is at least half a minute away.
    pub fn ending_soon(everyone: String) -> Self {
        let now = Timestamp::now();
        let minute = (now.as_second() + 30) / 60 * 60 + 60;
        Self::Some { maintenance: now + MAINTENANCE, quiet: Timestamp::from_second(minute).unwrap(), everyone }
    }

    pub fn configure(&self, parts: &mut Value) {
        let Self::Some { maintenance, quiet, everyone } = self else {
            parts["channels"][0]["delivery"]["fallback"] = "ops".into();
            return;
        };
        let hour = |at: Timestamp| at.to_zoned(jiff::tz::TimeZone::UTC).strftime("%H:%M").to_string();
        parts["maintenance"] =
            json!([{"name": "upgrade", "match": {"severity": "warning"}, "to": maintenance.to_string()}]);
        parts["channels"][1]["delivery"]["quiet_hours"] =
            format!("{}-{}", hour(*quiet - SignedDuration::from_hours(2)), hour(*quiet)).into();
        parts["channels"][0]["delivery"]["min_severity"] = "warning".into();
        let mut third = parts["channels"][1]["delivery"].clone();
        third.as_object_mut().unwrap().remove("quiet_hours");
        let third = json!({"name": "everyone", "type": "feishu-bot", "url": everyone, "delivery": third});
        parts["channels"].as_array_mut().unwrap().push(third);
        parts["routes"] = json!([
            {"match": {"severity": "warning"}, "channels": ["oncall", "everyone"]},
            {"channels": ["oncall", "ops", "everyone"]},
        ]);
    }

    /// Where an alert has to be told, and until when it may wait for that.
    fn channels(&self, alert: usize) -> Vec<(&'static str, Option<Timestamp>)> {
        match (self, SEVERITIES[alert]) {
            (Self::None, _) => vec![("oncall", None), ("ops", None)],
            (Self::Some { .. }, "critical") => vec![("oncall", None), ("ops", None), ("everyone", None)],
            (Self::Some { maintenance, .. }, "warning") => {
                vec![("oncall", Some(*maintenance)), ("everyone", Some(*maintenance))]
            }
            (Self::Some { quiet, .. }, _) => vec![("ops", Some(*quiet)), ("everyone", None)],
        }
    }
}

/// What people have to hear of, and may not hear of yet.
#[derive(Debug)]
pub struct Told {
    rules: Rules,
    /// For each channel: what it has to hear of.
    wanted: BTreeMap<&'static str, BTreeSet<String>>,
    /// For each channel: what waits for the end of a hold.
    held: BTreeMap<&'static str, BTreeMap<String, Timestamp>>,
    /// Alerts that fired, by the beginning of their names: group and generation.
    severities: BTreeMap<String, BTreeSet<usize>>,
}

/// What names of one group and generation have in common.
fn generation(name: &str) -> String {
    name.split('A').next().unwrap_or_default().to_owned()
}

/// The line above a message: what it is about.
fn heading(message: &Value) -> &str {
    let text = || message["text"]["content"].as_str()?.lines().next();
    let heading = message["card"]["header"]["title"]["content"].as_str().or_else(text);
    heading.unwrap_or_else(|| panic!("a message without a heading: {message}"))
}

impl Told {
    pub fn under(rules: Rules) -> Self {
        Self { rules, wanted: BTreeMap::new(), held: BTreeMap::new(), severities: BTreeMap::new() }
    }

    /// These alerts were said to fire, or were known to.
    pub fn fires(&mut self, alerts: &[(usize, String)]) {
        let now = Timestamp::now();
        for (number, name) in alerts {
            self.severities.entry(generation(name)).or_default().insert(*number);
            for (channel, until) in self.rules.channels(*number) {
                let wanted = self.wanted.entry(channel).or_default();
                match until.filter(|until| now < *until && !wanted.contains(name)) {
                    Some(until) => drop(self.held.entry(channel).or_default().insert(name.clone(), until)),
                    None => drop(wanted.insert(name.clone())),
                }
            }
        }
    }

    /// These alerts are over: what was held until then need not be told any more.
    pub fn ended(&mut self, alerts: &[(usize, String)]) {
        let now = Timestamp::now();
        for held in self.held.values_mut() {
            held.retain(|name, until| now > *until + SURELY_TOLD || alerts.iter().all(|(_, ended)| ended != name));
        }
    }

    /// Nobody hears before the end of a hold of a group in which there is nothing else. What another incident's message
    /// says of it, as of one with the same cause, is no message about it: its heading counts.
    pub fn not_too_early(&self, messages: &BTreeMap<&'static str, Vec<Value>>) {
        let soon = Timestamp::now() + SignedDuration::from_secs(2);
        for (channel, held) in &self.held {
            let alone = |name: &str| self.severities[&generation(name)].len() == 1;
            for (name, _) in held.iter().filter(|(name, until)| soon < **until && alone(name)) {
                let told = messages[channel].iter().find(|message| heading(message).contains(name));
                assert!(told.is_none(), "{name} was told on {channel} before the end of its hold: {told:?}");
            }
        }
    }

    /// Everybody heard of everything in the end, or it stands in a message that was given up; then the fallback heard of
    /// it, or gave it up too.
    pub fn all_heard(&self, messages: &BTreeMap<&'static str, Vec<Value>>, dead: &Dead) {
        for (channel, messages) in messages {
            let all: String = messages.iter().map(Value::to_string).collect();
            let wanted = self.wanted.get(channel).into_iter().flatten();
            let held = self.held.get(channel).into_iter().flat_map(BTreeMap::keys);
            let given_up = |name: &str| dead.names(channel, name);
            let heard = |name: &str| all.contains(name);
            let silent: Vec<_> = wanted.chain(held).filter(|name| !heard(name) && !given_up(name)).collect();
            assert!(silent.is_empty(), "nobody heard of {silent:?} on {channel}: {messages:#?}");
        }
    }
}
