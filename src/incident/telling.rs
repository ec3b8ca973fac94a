//! Putting messages into the outbox: to which channels, when each of them hears, and by which rules it waits.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::desk::Desk;
use super::entry::Because;
use crate::alert::{Alert, AlertGroup};
use crate::notify::notice::{Meanwhile, Notice, NoticeBody};
use crate::notify::pass;
use crate::notify::rule::{Applied, Rule};
use crate::store::{Incident, NewNotice, NoticeRole, StoreError, Tx};
use crate::times;

/// Alerts that were put in words: what is told, from when on, and what the alerts' fate depends on. Channels that are told
/// of them differently share it.
#[derive(Clone, Copy)]
pub(super) struct Told<'n> {
    pub(super) notice: &'n Notice,
    pub(super) role: NoticeRole,
    pub(super) at: Timestamp,
    pub(super) telling: Uuid,
}

impl<'n> Told<'n> {
    /// What stands for itself.
    pub(super) fn alone(notice: &'n Notice, role: NoticeRole, at: Timestamp) -> Self {
        Self { notice, role, at, telling: Uuid::now_v7() }
    }
}

/// A message that was put into the outbox of its channels.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// Its id; none when no channel is told.
    pub(super) id: Option<String>,
    /// Why channels wait with it.
    pub(super) waits: Vec<Because>,
}

/// What all messages of an incident have in common: which it is, and how it began.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    pub(super) incident: Uuid,
    pub(super) at: Timestamp,
    pub(super) with: Option<&'a Alert>,
}

impl<'a> From<&'a Incident> for Opening<'a> {
    fn from(incident: &'a Incident) -> Self {
        let with = incident.opened_with.as_ref().or_else(|| incident.group.leading());
        Self { incident: incident.id, at: incident.opened_at, with }
    }
}

impl Desk {
    /// Puts a message into the outbox of these channels.
    pub(super) async fn tell(
        &self,
        tx: &mut Tx<'_>,
        told: Told<'_>,
        channels: &[String],
    ) -> Result<Telling, StoreError> {
        let Told { notice, role, at, telling } = told;
        let mut waits = Vec::new();
        for channel in channels {
            let held = self.settings().waits(channel, &notice.group, at);
            let due = held.last().map_or(at, |(_, until)| *until);
            waits.extend(
                held.into_iter().map(|(rule, until)| waiting(channel, rule, at, until, &self.settings().timezone)),
            );
            if role == NoticeRole::Joined {
                tx.hurry(notice.incident, channel, due).await?;
            }
            tx.enqueue_notice(&NewNotice { incident: notice.incident, channel, role, telling, notice, due }).await?;
        }
        self.backlog().grew(channels.len());
        Ok(Telling { id: (!channels.is_empty()).then(|| telling.to_string()), waits })
    }

    /// The channels that hear of a group.
    #[must_use]
    pub fn channels_for(&self, group: &AlertGroup) -> Vec<String> {
        self.settings().routed(group).channels
    }

    /// A notice in the configured language and zone.
    #[must_use]
    pub fn notice(&self, of: Opening<'_>, group: AlertGroup, body: NoticeBody) -> Notice {
        let settings = self.settings();
        Notice {
            incident: of.incident,
            opened_at: of.at,
            group,
            body,
            lang: settings.lang,
            timezone: settings.timezone.clone(),
            opened_with: of.with.map(|alert| Box::new(alert.by_its_labels())),
            last_time: None,
            meanwhile: Meanwhile::default(),
            undelivered: Vec::new(),
            alertmanager_url: settings.alertmanager_url.clone(),
            page_url: self.page(of.incident, Timestamp::now()),
        }
    }

    /// Where people see an incident, in a link written now.
    fn page(&self, incident: Uuid, now: Timestamp) -> Option<String> {
        let base = self.settings().public_url.as_ref()?;
        Some(pass::page(base, self.settings().passes.as_ref(), incident, now))
    }
}

/// Why a channel is told later than it could be.
fn waiting(channel: &str, rule: Rule, at: Timestamp, until: Timestamp, zone: &str) -> Because {
    let wait: SignedDuration = until.duration_since(at);
    let reason = format!("{channel} is told at {} ({})", times::moment(until, zone).unwrap_or_default(), rule.word());
    (Applied::wait(rule, wait), reason)
}

/// Why a channel of a group's routes is not told of it.
pub(super) fn too_mild(channels: &[String]) -> impl Iterator<Item = Because> {
    channels.iter().map(|channel| {
        let reason = format!("{channel} is not told (min_severity)");
        (Applied::just(Rule::MinSeverity), reason)
    })
}
