//! A notice: one thing an incident has to tell people, before any channel gives it a form.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::alert::{Alert, AlertGroup, Lang};
use crate::report::Report;

/// What is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum NoticeBody {
    /// The first message: the alert, with the playbook's findings when they were ready in time.
    Alert {
        /// The playbook's report, when it was ready within two seconds and found something.
        report: Option<Box<Report>>,
        /// Whether a model goes on investigating, so that a second message may follow.
        investigating: bool,
        /// What this first look lacks and why ("no model is configured", "MCP server kubernetes is unreachable"), one sentence each.
        missing: Vec<String>,
    },
    /// The second message: a diagnosis that adds to the first.
    Diagnosis {
        /// The checked report.
        report: Box<Report>,
    },
    /// The alerts are gone.
    Resolved {
        /// When the group resolved.
        resolved_at: Timestamp,
    },
    /// The summary of a day.
    Digest {
        /// What happened.
        digest: Box<Digest>,
    },
    /// Many messages in one: more wait than the channel takes, or none of them is urgent.
    Summary {
        /// What each of them tells.
        told: Vec<Told>,
        /// Whether they are incidents that nobody had to hear of at once, collected over a while.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        collected: bool,
    },
    /// Nothing happened: an operator tries the channel.
    Test,
}

/// What one of many messages tells, in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What happened.
    pub event: Event,
    /// The leading alert's name.
    pub alertname: String,
    /// Its severity as the sender spells it.
    pub severity: String,
    /// What it is about; empty when nothing says.
    pub object: String,
    /// Its cluster, when a label says; shown where the message speaks of several.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// How many alerts the message speaks of.
    pub alerts: usize,
    /// Names of those that are not called as the leading one is, each once: nobody else tells of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// What was found, in a sentence.
    pub headline: Option<String>,
    /// Address of the incident's page, when `server.public_url` is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// What fires anew, which decides whom to call. Known only to whoever sends: nothing of it is written.
    #[serde(skip)]
    pub firing: Vec<Alert>,
}

/// What a message tells of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Alerts fire.
    Firing,
    /// A diagnosis was found.
    Diagnosed,
    /// The alerts are gone.
    Resolved,
}

/// The last time the same group fired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastTime {
    /// When it was over.
    pub resolved_at: Timestamp,
    /// What was found, in a sentence; none when nothing was.
    pub headline: Option<String>,
    /// Whether that still holds, so that nothing was investigated this time.
    pub holds: bool,
}

/// What was held back or merged before a message, so that nobody wonders what they were not told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meanwhile {
    /// Deliveries of the incident that told nothing new.
    #[serde(default)]
    pub repeats: u64,
    /// Seconds its investigation waited in case it resolved by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debounced_s: Option<u64>,
    /// Seconds the message waited for the end of its channel's quiet hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_s: Option<u64>,
    /// Generations of the group before this one of which nobody was told.
    #[serde(default)]
    pub untold: u64,
    /// What the alerts of other incidents are about that were left to this one's investigation, when it is over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub led: Vec<String>,
}

impl Meanwhile {
    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A channel that a message did not reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undelivered {
    /// Its configured name.
    pub channel: String,
    /// Why, in the words of its last error, which never hold a secret.
    pub why: String,
}

/// One message to people about an incident. Serialised into the outbox; rendered by a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// The incident's id.
    pub incident: Uuid,
    /// When the incident was opened here.
    pub opened_at: Timestamp,
    /// The alerts as they stood when the notice was written.
    pub group: AlertGroup,
    /// What is told.
    pub body: NoticeBody,
    /// The gravest alert the incident opened with, as it was then: every mail of it has its name in the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_with: Option<Box<Alert>>,
    /// The last time, when it fires again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_time: Option<LastTime>,
    /// What was held back or merged before it; known when it is sent.
    #[serde(default, skip_serializing_if = "Meanwhile::is_empty")]
    pub meanwhile: Meanwhile,
    /// Channels it was meant for that gave it up: it goes elsewhere instead, and says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undelivered: Vec<Undelivered>,
    /// The language to tell it in.
    pub lang: Lang,
    /// IANA name of the zone in which times are shown, for example `Asia/Shanghai`.
    pub timezone: String,
    /// Where people reach Alertmanager, as configured. What a payload claims is never linked for actions.
    #[serde(default)]
    pub alertmanager_url: Option<String>,
    /// Address of the incident's page, when `server.public_url` is configured.
    pub page_url: Option<String>,
}

impl Notice {
    /// The report it carries, if any.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        match &self.body {
            NoticeBody::Alert { report, .. } => report.as_deref(),
            NoticeBody::Diagnosis { report } => Some(report),
            NoticeBody::Resolved { .. } | NoticeBody::Digest { .. } | NoticeBody::Summary { .. } | NoticeBody::Test => {
                None
            }
        }
    }

    /// Whether it speaks of more than one incident.
    #[must_use]
    pub fn is_collective(&self) -> bool {
        matches!(self.body, NoticeBody::Digest { .. } | NoticeBody::Summary { .. })
    }

    /// Whether it belongs to one incident, by whose id it goes.
    #[must_use]
    pub fn is_of_one(&self) -> bool {
        !self.is_collective() && !matches!(self.body, NoticeBody::Test)
    }

    /// Whether it tells of alerts that joined an incident people know: nothing was looked at for it, and nothing is missing
    /// either.
    #[must_use]
    pub fn joins(&self) -> bool {
        matches!(&self.body, NoticeBody::Alert { report: None, investigating: false, missing } if missing.is_empty())
    }

    /// Whether it says that the investigation goes on.
    #[must_use]
    pub fn is_investigating(&self) -> bool {
        matches!(self.body, NoticeBody::Alert { investigating: true, .. })
    }

    /// The short form of the incident's id that people can read out: the last eight digits.
    #[must_use]
    pub fn short_id(&self) -> String {
        let id = self.incident.simple().to_string();
        id[id.len().saturating_sub(8)..].to_owned()
    }

    /// Where the whole report is to be had: on its page, or where there is none by the API.
    #[must_use]
    pub fn place(&self) -> String {
        self.page_url.clone().unwrap_or_else(|| format!("GET /api/v1/incidents/{}", self.incident))
    }
}

/// What happened between two moments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// The day it is sent on, in the configured zone.
    pub day: String,
    /// Incidents that opened.
    pub opened: u64,
    /// Incidents that resolved.
    pub resolved: u64,
    /// Incidents that go on now, whenever they opened.
    pub open_now: u64,
    /// Opened incidents by severity as the sender spells it, most first; told the gravest first.
    pub severities: Vec<Tally>,
    /// Of the opened: those with a diagnosis that names a fault.
    pub diagnosed: u64,
    /// Of the opened: those found healthy.
    pub healthy: u64,
    /// Incidents that go on, the oldest first.
    pub open: Vec<Line>,
    /// Alerts that opened most incidents.
    pub noisiest: Vec<Tally>,
    /// Resolved incidents that lasted longest.
    pub slowest: Vec<Line>,
    /// Messages of all channels that were given up.
    pub put_aside: u64,
    /// What people pressed below diagnoses; none when nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<Feedback>,
}

/// How diagnoses were judged by those who read them: the last press below each counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    /// Diagnoses that were judged.
    pub judged: u64,
    /// Of those: said to have helped.
    pub right: u64,
    /// The others, the newest first; a few of them.
    pub wrong: Vec<Judged>,
}

/// A diagnosis that did not help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// Its incident.
    pub line: Line,
    /// Who said so, by the platform's id.
    pub person: String,
    /// What the person wrote beside it; empty when nothing.
    pub reason: String,
}

/// A name and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// What is counted.
    pub name: String,
    /// How many incidents.
    pub incidents: u64,
    /// How many deliveries they took.
    pub deliveries: u64,
}

/// An incident in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The leading alert's name.
    pub alertname: String,
    /// Its severity as the sender spells it.
    pub severity: String,
    /// Its namespace; empty when it has none.
    pub namespace: String,
    /// The diagnosis in a sentence, when there is one.
    pub headline: Option<String>,
    /// When the leading alert began.
    #[serde(alias = "opened_at")]
    pub began_at: Timestamp,
    /// When the alerts were over; none while it goes on.
    #[serde(alias = "resolved_at")]
    pub ended_at: Option<Timestamp>,
    /// Its identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<Uuid>,
    /// Address of its page, when `server.public_url` is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
}

impl Digest {
    /// Every incident it lists.
    pub fn lines_mut(&mut self) -> impl Iterator<Item = &mut Line> {
        let judged = self.feedback.iter_mut().flat_map(|feedback| &mut feedback.wrong).map(|judged| &mut judged.line);
        self.open.iter_mut().chain(&mut self.slowest).chain(judged)
    }
}
