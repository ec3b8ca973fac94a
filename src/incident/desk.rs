//! The desk: decides what a delivery means and writes everything that follows from it into the transaction it is taken in.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::again::{self, Again};
use super::decide::{self, Decision as Meaning};
use super::entry::Entry;
use super::line::Line;
use super::routes::{self, Route};
use crate::alert::{Alert, AlertGroup, Lang, Source};
use crate::notify::notice::{Notice, NoticeBody};
use crate::notify::pass::Passes;
use crate::store::{Decision, Incident, NewIncident, NewNotice, NoticeRole, Store, StoreError, Tx};
use crate::telemetry::Metrics;

/// How long a first message waits for the playbook. The promise is two seconds until people have it; the rest is for
/// the way to the chat service.
pub const FIRST_MESSAGE_HOLD: Duration = Duration::from_millis(1_400);

/// What the desk needs to know of the configuration.
#[derive(Debug, Clone, Default)]
pub struct DeskSettings {
    /// Language of messages.
    pub lang: Lang,
    /// IANA zone of the times in messages.
    pub timezone: String,
    /// Where this service's pages are reached, without a trailing slash.
    pub public_url: Option<String>,
    /// What links to pages carry, so that they open without a login; none: they need one, or nobody does.
    pub passes: Option<Passes>,
    /// Where people reach Alertmanager: silences are linked there.
    pub alertmanager_url: Option<String>,
    /// Routes, in order.
    pub routes: Vec<Route>,
    /// Channels of the receivers of `server.prometheusalert`, in place of those of the routes.
    pub receivers: HashMap<String, Vec<String>>,
    /// Names of all channels.
    pub channels: Vec<String>,
    /// Of these, those where an incident is one message, changed in place.
    pub in_place: Vec<String>,
    /// What every first message lacks, known before any alert came (no MCP server, no model).
    pub missing: Vec<String>,
    /// Whether anything can be investigated at all.
    pub investigates: bool,
    /// How long a diagnosis is trusted when the same alerts fire again after they resolved; zero: never.
    pub cooldown: SignedDuration,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The incident it belongs to; none when it was suppressed.
    pub incident: Option<Uuid>,
    /// What was decided.
    pub decision: Decision,
}

/// Wakes the workers, so that nothing waits for a poll.
#[derive(Debug, Clone, Default)]
pub struct Wake {
    /// An investigation was queued.
    pub investigations: Arc<Notify>,
    /// A message was queued or became due; each channel's worker watches its own. One bell for all of them would make
    /// every channel ask the store at every alert: with 50 channels that was most of the service's CPU time.
    outboxes: Arc<HashMap<String, watch::Sender<()>>>,
}

impl Wake {
    /// Bells for these channels.
    #[must_use]
    pub fn for_channels<'a>(channels: impl IntoIterator<Item = &'a str>) -> Self {
        let outboxes = channels.into_iter().map(|channel| (channel.to_owned(), watch::Sender::default())).collect();
        Self { investigations: Arc::default(), outboxes: Arc::new(outboxes) }
    }

    /// What the worker of a channel watches; none for a channel without a bell.
    #[must_use]
    pub fn outbox(&self, channel: &str) -> Option<watch::Receiver<()>> {
        self.outboxes.get(channel).map(watch::Sender::subscribe)
    }

    /// Tells the workers of these channels that there is something to send.
    pub fn ring<'a>(&self, channels: impl IntoIterator<Item = &'a str>) {
        for bell in channels.into_iter().filter_map(|channel| self.outboxes.get(channel)) {
            bell.send_replace(());
        }
    }

    fn ring_all(&self) {
        for bell in self.outboxes.values() {
            bell.send_replace(());
        }
    }
}

/// Takes deliveries.
#[derive(Clone)]
pub struct Desk {
    store: Store,
    settings: Arc<DeskSettings>,
    wake: Wake,
    metrics: Arc<Metrics>,
    line: Arc<Line>,
}

impl Desk {
    /// A desk over a store.
    #[must_use]
    pub fn new(store: Store, settings: DeskSettings, wake: Wake, metrics: Arc<Metrics>) -> Self {
        Self { store, settings: Arc::new(settings), wake, metrics, line: Arc::default() }
    }

    /// What the desk knows of the configuration.
    #[must_use]
    pub fn settings(&self) -> &DeskSettings {
        &self.settings
    }

    /// Decides what a delivery means and commits it with all that follows. When this returns, nothing can be lost any more.
    ///
    /// # Errors
    /// When the store fails; nothing was kept then and the sender should come again.
    pub async fn receive(&self, group: AlertGroup) -> Result<Receipt, Arc<StoreError>> {
        self.line.receive(self, group).await
    }

    /// The store that deliveries are kept in.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Counts a delivery that was committed, and wakes those who have something to do now.
    pub(super) fn committed(&self, group: &AlertGroup, receipt: Receipt) {
        self.metrics.delivery(receipt.decision.word());
        self.wake_for(group, receipt.decision);
    }

    /// A joined or resolved group may be told where its first delivery was not.
    fn wake_for(&self, group: &AlertGroup, decision: Decision) {
        match decision {
            Decision::Opened => {
                self.wake.ring(self.channels_for(group).iter().map(String::as_str));
                self.wake.investigations.notify_one();
            }
            Decision::Joined | Decision::Resolved => self.wake.ring_all(),
            Decision::Merged | Decision::Suppressed => {}
        }
    }

    /// Decides what a delivery means, as things stand in this transaction, and writes what follows.
    ///
    /// # Errors
    /// When the store fails; the transaction is spoilt then. [`StoreError::Conflict`] when another one changed the same
    /// incident at this moment.
    pub(super) async fn take(&self, tx: &mut Tx<'_>, group: &AlertGroup) -> Result<Receipt, StoreError> {
        let (key, now) = (hash(&group.group_key), Timestamp::now());
        let open = tx.open_incident(group.source, &key).await?;
        let meaning = decide::decide(open.as_ref().map(|incident| &incident.group), group);
        let entry = match (meaning, open) {
            (Meaning::Open, _) => self.open(tx, group, &key, now).await?,
            (Meaning::Join(new), Some(open)) => self.join(tx, &open, group, new, now).await?,
            (Meaning::Resolve, Some(open)) => self.resolve(tx, &open, group, now).await?,
            (Meaning::Merge, Some(open)) => {
                tx.update_group(open.id, &decide::merge(&open.group, group), now).await?;
                let reason = group.notification_reason.clone().unwrap_or_else(|| "the same alerts again".to_owned());
                Entry::silent(Some(open.id), Decision::Merged).because(reason)
            }
            (Meaning::Suppress(reason), open) => {
                Entry::silent(open.map(|open| open.id), Decision::Suppressed).because(reason.to_owned())
            }
            // `decide` joins, merges and resolves only what is open.
            (Meaning::Join(_) | Meaning::Resolve | Meaning::Merge, None) => return Err(StoreError::Conflict),
        };
        tx.record_delivery(&entry.delivery(group, now)).await?;
        Ok(Receipt { incident: entry.incident, decision: entry.decision })
    }

    async fn open(&self, tx: &mut Tx<'_>, group: &AlertGroup, key: &str, now: Timestamp) -> Result<Entry, StoreError> {
        let last = tx.last_time(group.source, key).await?;
        let Again { last_time, holds } = again::again(last, group, now, self.settings.cooldown);
        let id = Uuid::now_v7();
        tx.insert_incident(&NewIncident { id, source: group.source, group_key_hash: key, opened_at: now, group })
            .await?;
        let investigates = self.settings.investigates && holds.is_none();
        let body = NoticeBody::Alert {
            report: holds.as_ref().map(|found| Box::new(found.report.clone())),
            investigating: investigates,
            missing: self.settings.missing.clone(),
        };
        let notice = Notice { last_time, ..self.notice(id, now, group.clone(), body) };
        let hold = if investigates { FIRST_MESSAGE_HOLD } else { Duration::ZERO };
        let telling = self.tell(tx, &notice, NoticeRole::First, now + hold).await?;
        let entry = Entry::telling(id, Decision::Opened, group.alerts.len(), telling);
        if let Some(found) = holds {
            tx.set_report(id, &found.report, found.at).await?;
            return Ok(entry.because(found.reason(now)));
        }
        if investigates {
            tx.enqueue_investigation(id, now).await?;
        }
        Ok(entry)
    }

    /// New alerts of an open group travel with the first message while it waits, and get a message of their own after
    /// that: an alert nobody hears of would be worse than no AI.
    async fn join(
        &self,
        tx: &mut Tx<'_>,
        open: &Incident,
        group: &AlertGroup,
        new: Vec<Alert>,
        now: Timestamp,
    ) -> Result<Entry, StoreError> {
        let merged = decide::merge(&open.group, group);
        tx.update_group(open.id, &merged, now).await?;
        let (told, reason) = (new.len(), format!("{} new alert(s) of the group", new.len()));
        if let Some(telling) = tx.set_first_group(open.id, &merged).await? {
            return Ok(Entry::telling(open.id, Decision::Joined, told, Some(telling)).because(reason));
        }
        let joined = AlertGroup { alerts: new, ..group.clone() };
        let body = NoticeBody::Alert { report: None, investigating: false, missing: Vec::new() };
        let notice = self.notice(open.id, open.opened_at, joined, body);
        let telling = self.tell(tx, &notice, NoticeRole::Joined, now).await?;
        Ok(Entry::telling(open.id, Decision::Joined, told, telling).because(reason))
    }

    async fn resolve(
        &self,
        tx: &mut Tx<'_>,
        open: &Incident,
        group: &AlertGroup,
        now: Timestamp,
    ) -> Result<Entry, StoreError> {
        let merged = decide::merge(&open.group, group);
        tx.resolve_incident(open.id, &merged, now).await?;
        tx.cancel_investigation(open.id).await?;
        let resolved_at = merged.alerts.iter().filter_map(|alert| alert.ends_at).max().unwrap_or(now);
        let notice = self.notice(open.id, open.opened_at, merged, NoticeBody::Resolved { resolved_at });
        let telling = self.tell(tx, &notice, NoticeRole::Resolved, now).await?;
        Ok(Entry::telling(open.id, Decision::Resolved, group.alerts.len(), telling))
    }

    /// Puts a message into the outbox of every channel that hears of the group; none when no channel does.
    async fn tell(
        &self,
        tx: &mut Tx<'_>,
        notice: &Notice,
        role: NoticeRole,
        due: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        let (channels, telling) = (self.channels_for(&notice.group), Uuid::now_v7());
        for channel in &channels {
            tx.enqueue_notice(&NewNotice { incident: notice.incident, channel, role, telling, notice, due }).await?;
        }
        Ok((!channels.is_empty()).then(|| telling.to_string()))
    }

    /// The channels that hear of a group.
    #[must_use]
    pub fn channels_for(&self, group: &AlertGroup) -> Vec<String> {
        let own = self.settings.receivers.get(&group.receiver).filter(|_| group.source == Source::PrometheusAlert);
        own.cloned().unwrap_or_else(|| routes::channels_for(&self.settings.routes, &self.settings.channels, group))
    }

    /// A notice in the configured language and zone.
    #[must_use]
    pub fn notice(&self, incident: Uuid, opened_at: Timestamp, group: AlertGroup, body: NoticeBody) -> Notice {
        Notice {
            incident,
            opened_at,
            group,
            body,
            lang: self.settings.lang,
            timezone: self.settings.timezone.clone(),
            last_time: None,
            alertmanager_url: self.settings.alertmanager_url.clone(),
            page_url: self.page(incident, Timestamp::now()),
        }
    }

    /// Where people see an incident, in a link written now.
    fn page(&self, incident: Uuid, now: Timestamp) -> Option<String> {
        let base = self.settings.public_url.as_ref()?;
        let page = format!("{base}/incidents/{incident}");
        Some(match &self.settings.passes {
            Some(passes) => format!("{page}?pass={}", passes.of(incident, now)),
            None => page,
        })
    }
}

/// Group keys have no length limit; their hash has.
fn hash(group_key: &str) -> String {
    Sha256::digest(group_key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
