//! A notice: one thing an incident has to tell people, before any channel gives it a form.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::alert::{AlertGroup, Lang};
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
    /// Nothing happened: an operator tries the channel.
    Test,
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
            NoticeBody::Resolved { .. } | NoticeBody::Test => None,
        }
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
}
