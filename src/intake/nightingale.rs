//! Nightingale's events (v6 to v8): one object, or a list of them from the callback channel; times are unix seconds.
//!
//! Nightingale does not group, and tells of one series at a time. Events of one rule make one group here; a delivery is
//! always a part of it ([`AlertGroup::is_partial`]), so that one series that recovers does not end the others.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::convert::{Conversion, fingerprint, overall, usable};
use super::read::{Format, check_alerts, check_count, check_labels, read, text};
use super::wire::{Alerts, Map};
use super::{IntakeError, Limits};
use crate::alert::{Alert, AlertGroup, AlertStatus, Labels, Source};

const FORMAT: Format = Format {
    sender: "Nightingale",
    wanted: "an event of Nightingale or a list of them",
    version: "",
    hint: |_| "",
    remedy: "send the whole event; in a notify channel the body is {{ jsonMarshal $events }}",
    fewer: "lower the batch of this notify channel",
    lists: true,
};

/// One event. What is not needed is not read.
#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "an event")]
struct Event {
    hash: Option<String>,
    cluster: Option<String>,
    group_id: Option<i64>,
    group_name: Option<String>,
    rule_id: Option<i64>,
    rule_name: Option<String>,
    rule_note: Option<String>,
    severity: Option<i64>,
    prom_ql: Option<String>,
    runbook_url: Option<String>,
    trigger_time: Option<i64>,
    first_trigger_time: Option<i64>,
    last_eval_time: Option<i64>,
    recover_time: Option<i64>,
    trigger_value: Option<String>,
    tags: Option<Vec<String>>,
    #[serde(default)]
    tags_map: Map,
    #[serde(default)]
    annotations: Map,
    is_recovered: Option<bool>,
}

/// Reads a webhook body received now: a group for each rule, in the order in which they stand.
///
/// # Errors
/// When the body is not Nightingale's or is too large; see [`IntakeError::status`].
pub fn parse(body: &[u8], limits: &Limits) -> Result<Vec<AlertGroup>, IntakeError> {
    parse_at(body, limits, Timestamp::now())
}

/// Reads a webhook body received at a given time.
///
/// # Errors
/// As [`parse`].
pub fn parse_at(body: &[u8], limits: &Limits, received_at: Timestamp) -> Result<Vec<AlertGroup>, IntakeError> {
    let body = text(body)?;
    let events: Alerts<Event> = if body.trim_start().starts_with('[') {
        read(body, &FORMAT)?
    } else {
        Alerts { list: vec![read(body, &FORMAT)?], found: 1 }
    };
    check_alerts(events.found, &FORMAT, limits)?;
    let conversion = Conversion::new(Source::Nightingale, limits, received_at);
    let mut groups: Vec<AlertGroup> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (index, event) in events.list.into_iter().enumerate() {
        let event = event.checked(index, limits)?;
        let key = conversion.key(&event.group_key());
        let place = *places.entry(key.clone()).or_insert_with(|| {
            groups.push(event.group(&conversion, key));
            groups.len() - 1
        });
        groups[place].alerts.push(event.alert(&conversion, received_at));
    }
    for group in &mut groups {
        newest_last(&mut group.alerts);
        group.status = overall(&group.alerts);
    }
    Ok(groups)
}

/// A queue may bring a series twice, fired and recovered: what stands last is how things are.
fn newest_last(alerts: &mut Vec<Alert>) {
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    for (index, alert) in alerts.iter().enumerate() {
        last.insert(alert.fingerprint.clone(), index);
    }
    let mut index = 0;
    alerts.retain(|alert| {
        index += 1;
        last.get(&alert.fingerprint) == Some(&(index - 1))
    });
}

impl Event {
    /// The event with its tags in one place; without a rule or a hash it is none.
    fn checked(mut self, index: usize, limits: &Limits) -> Result<Self, IntakeError> {
        if self.rule_name.as_deref().is_none_or(str::is_empty) {
            return Err(FORMAT.lacks("rule_name"));
        }
        if self.hash.as_deref().is_none_or(str::is_empty) && self.rule_id.is_none() {
            return Err(FORMAT.lacks("hash"));
        }
        for tag in self.tags.take().unwrap_or_default() {
            let (name, value) = tag.split_once('=').unwrap_or((&tag, ""));
            if !self.tags_map.entries.contains_key(name) {
                self.tags_map.entries.insert(name.to_owned(), value.to_owned());
                self.tags_map.found += 1;
            }
        }
        check_labels(&format!("events[{index}].tags"), &self.tags_map, limits)?;
        check_count(&format!("events[{index}].annotations"), &self.annotations, limits)?;
        Ok(self)
    }

    fn group_key(&self) -> String {
        let rule = self.rule_id.map_or_else(|| self.hash.clone().unwrap_or_default(), |id| id.to_string());
        let cluster = self.cluster.as_deref().unwrap_or_default();
        format!("nightingale/{}/{cluster}/{rule}", self.group_id.unwrap_or_default())
    }

    fn group(&self, conversion: &Conversion<'_>, group_key: String) -> AlertGroup {
        let name = conversion.text(self.rule_name.as_deref().unwrap_or_default());
        AlertGroup {
            source: Source::Nightingale,
            receiver: conversion.text(self.group_name.as_deref().unwrap_or_default()),
            group_key,
            status: AlertStatus::Firing,
            group_labels: Labels::from([("alertname".to_owned(), name)]),
            common_labels: Labels::new(),
            common_annotations: Labels::new(),
            external_url: None,
            truncated_alerts: 0,
            notification_reason: None,
            alerts: Vec::new(),
        }
    }

    fn alert(mut self, conversion: &Conversion<'_>, received_at: Timestamp) -> Alert {
        let recovered = self.is_recovered.unwrap_or(false);
        let ended = seconds(self.recover_time).or_else(|| seconds(self.last_eval_time)).unwrap_or(received_at);
        let began = seconds(self.first_trigger_time).or_else(|| seconds(self.trigger_time));
        let annotations = std::mem::take(&mut self.annotations);
        let annotations = conversion.annotated(annotations, self.says());
        let hash = self.hash.take();
        let labels = conversion.labels(self.labelled());
        Alert {
            status: if recovered { AlertStatus::Resolved } else { AlertStatus::Firing },
            fingerprint: usable(hash).unwrap_or_else(|| fingerprint(&labels)),
            labels,
            annotations,
            starts_at: began.unwrap_or(if recovered { ended } else { received_at }),
            ends_at: recovered.then_some(ended),
            generator_url: None,
        }
    }

    /// What people are told beside the rule's annotations.
    fn says(&mut self) -> Vec<(&'static str, String)> {
        let said = [
            ("summary", self.rule_note.take()),
            ("runbook_url", self.runbook_url.take()),
            ("trigger_value", self.trigger_value.take()),
            ("prom_ql", self.prom_ql.take()),
        ];
        said.into_iter().filter_map(|(name, text)| Some((name, text.filter(|text| !text.trim().is_empty())?))).collect()
    }

    /// The tags, with the names that every other sender uses. The event's severity is the rule's and counts.
    fn labelled(self) -> Map {
        let mut map = self.tags_map;
        map.entries.entry("alertname".to_owned()).or_insert(self.rule_name.unwrap_or_default());
        if let Some(severity) = self.severity {
            map.entries.insert("severity".to_owned(), severity_word(severity).to_owned());
        }
        if let Some(cluster) = self.cluster.filter(|cluster| !cluster.is_empty()) {
            map.entries.entry("cluster".to_owned()).or_insert(cluster);
        }
        map
    }
}

/// Nightingale's 1 Emergency, 2 Warning, 3 Notice.
fn severity_word(severity: i64) -> &'static str {
    match severity {
        1 => "critical",
        2 => "warning",
        _ => "info",
    }
}

/// Unix seconds; nothing for 0, which means "not yet", and for what is no time.
fn seconds(time: Option<i64>) -> Option<Timestamp> {
    Timestamp::from_second(time.filter(|time| *time > 0)?).ok()
}

#[cfg(test)]
#[path = "nightingale_tests.rs"]
mod tests;
