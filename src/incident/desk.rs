//! The desk: decides what a delivery means and writes everything that follows from it into the transaction it is taken in.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::again::{self, Again};
use super::backlog::Backlog;
use super::decide::{self, Decision as Meaning};
use super::entry::{self, Because, Entry};
use super::hold::{self, Flapping, Hold};
use super::line::Line;
use super::routes::When;
use super::settings::{DeskSettings, severity};
use super::telling::{Opening, Told, too_mild};
use super::wake::Wake;
use crate::alert::{AlertGroup, AlertStatus, Lang, Source, severity_rank};
use crate::notify::notice::{Notice, NoticeBody};
use crate::notify::rule::{Applied, Rule};
use crate::store::{Decision, Incident, NewIncident, NoticeRole, Revival, Store, StoreError, Tx};
use crate::telemetry::Metrics;

/// How long a first message waits for the playbook. The promise is two seconds until people have it; the rest is for
/// the way to the chat service.
pub const FIRST_MESSAGE_HOLD: Duration = Duration::from_millis(1_400);

/// How long alerts that change the picture wait for others before a group is investigated once more.
pub(super) const REPEAT_AFTER: Duration = Duration::from_secs(10);

/// How often that happens in the life of an incident.
pub(super) const REPEATS: u32 = 1;

/// Why a group is not investigated that its route only tells.
const BY_ROUTE: (&str, &str) = ("按路由配置（triage）不做研判", "It is not investigated, as its route says (triage).");

/// The same where it is looked at the first time only.
const NOT_FIRST: (&str, &str) = (
    "按路由配置（triage: on_first）只在首次触发时研判",
    "It is investigated the first time it fires only, as its route says (triage: on_first).",
);

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The incident it belongs to; none when it was suppressed.
    pub incident: Option<Uuid>,
    /// What was decided.
    pub decision: Decision,
    /// The rules it was decided by.
    pub rules: Vec<Rule>,
}

/// Takes deliveries.
#[derive(Clone)]
pub struct Desk {
    store: Store,
    settings: Arc<DeskSettings>,
    wake: Wake,
    metrics: Arc<Metrics>,
    line: Arc<Line>,
    backlog: Arc<Backlog>,
}

impl Desk {
    /// A desk over a store.
    #[must_use]
    pub fn new(store: Store, settings: DeskSettings, wake: Wake, metrics: Arc<Metrics>) -> Self {
        Self { store, settings: Arc::new(settings), wake, metrics, line: Arc::default(), backlog: Arc::default() }
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

    /// Investigates an incident once more whose investigation was given up.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn investigate_again(&self, incident: Uuid) -> Result<Revival<()>, StoreError> {
        let revival = self.store.revive_investigation(incident).await?;
        if revival == Revival::Again(()) {
            self.wake.investigations.notify_one();
        }
        Ok(revival)
    }

    /// The store that deliveries are kept in.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// What waits to be delivered.
    pub(super) fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// Counts a delivery that was committed, and wakes those who have something to do now.
    pub(super) fn committed(&self, group: &AlertGroup, receipt: &Receipt) {
        self.metrics.delivery(receipt.decision.word());
        receipt.rules.iter().for_each(|rule| self.metrics.rule(rule.word()));
        self.wake_for(group, receipt.decision);
    }

    /// A joined or resolved group may be told where its first delivery was not.
    fn wake_for(&self, group: &AlertGroup, decision: Decision) {
        match decision {
            Decision::Opened => {
                self.wake.ring(self.channels_for(group).iter().map(String::as_str));
                self.wake.investigations.notify_one();
            }
            Decision::Joined | Decision::Resolved => {
                self.wake.ring_all();
                // What waited for a rule's end may begin now.
                self.wake.investigations.notify_one();
            }
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
        let known = open.as_ref().map(|incident| (&incident.group, incident.updated_at));
        let meaning = decide::decide(known, group, &self.settings.cluster_label, now);
        if matches!(meaning, Meaning::Open | Meaning::Reopen | Meaning::Join(_)) {
            self.backlog.room(tx, self.settings.max_waiting).await?;
        }
        let entry = match (meaning, open) {
            (Meaning::Open, _) => self.open(tx, group, &key, now).await?,
            (Meaning::Join(new), Some(open)) => self.join(tx, &open, group, new, now).await?,
            (Meaning::Resolve, Some(open)) => self.resolve(tx, &open, group, now).await?,
            (Meaning::Reopen, Some(open)) => {
                let over = decide::over_since(&open.group, open.updated_at);
                self.resolve(tx, &open, &over, now).await?;
                self.open(tx, group, &key, now).await?.because("the end of the last firing was never sent")
            }
            (Meaning::Merge, Some(open)) => {
                tx.update_group(open.id, &decide::merge(&open.group, group), now).await?;
                Entry::merged(&open, group)
            }
            (Meaning::Suppress(rule, reason), open) => {
                Entry::silent(open.map(|open| open.id), Decision::Suppressed).by(Applied::just(rule), reason)
            }
            // `decide` joins, merges, resolves and opens again only what is open.
            (Meaning::Join(_) | Meaning::Resolve | Meaning::Reopen | Meaning::Merge, None) => {
                return Err(StoreError::Conflict);
            }
        };
        tx.record_delivery(&entry.delivery(group, now)).await?;
        let rules = entry.rules.iter().map(|applied| applied.rule).collect();
        Ok(Receipt { incident: entry.incident, decision: entry.decision, rules })
    }

    async fn open(&self, tx: &mut Tx<'_>, group: &AlertGroup, key: &str, now: Timestamp) -> Result<Entry, StoreError> {
        let routed = self.settings.routed(group);
        let hold = self.hold(tx, group, key, now).await?;
        let last = tx.last_time(group.source, key).await?;
        let wanted = match routed.triage {
            Some(When::Never) => false,
            Some(When::OnFirst) => last.is_none(),
            Some(When::Always) | None => true,
        };
        let cooldown = if routed.triage == Some(When::Always) { SignedDuration::ZERO } else { self.settings.cooldown };
        let Again { last_time, holds } = again::again(last, group, now, cooldown);
        let id = Uuid::now_v7();
        tx.insert_incident(&NewIncident { id, source: group.source, group_key_hash: key, opened_at: now, group })
            .await?;
        let investigates = self.settings.investigates && holds.is_none() && wanted;
        let mut missing = self.settings.missing.clone();
        let by_route = if routed.triage == Some(When::OnFirst) { NOT_FIRST } else { BY_ROUTE };
        missing.extend((!wanted).then(|| self.settings.lang.pick(by_route.0, by_route.1).to_owned()));
        missing.extend(hold.as_ref().map(|hold| hold.reason(self.settings.lang)));
        let body = NoticeBody::Alert {
            report: holds.as_ref().map(|found| Box::new(found.report.clone())),
            investigating: investigates,
            missing,
        };
        let opening = Opening { incident: id, at: now, with: group.leading() };
        let notice = Notice { last_time, ..self.notice(opening, group.clone(), body) };
        let begin = hold.as_ref().map_or(now, |hold| hold.until);
        let looked_at = begin + self.debounce(group);
        // A first message waits for the playbook only where that starts at once.
        let wait = if investigates && looked_at == begin { FIRST_MESSAGE_HOLD } else { Duration::ZERO };
        let first = Told::alone(&notice, NoticeRole::First, begin + wait);
        let telling = self.tell(tx, first, &routed.channels).await?;
        let held = hold.map(|hold| (Applied::wait(hold.rule, hold.until.duration_since(now)), hold.reason(Lang::En)));
        let entry = Entry::telling(id, Decision::Opened, group.alerts.len(), telling.id)
            .by_all(too_mild(&routed.too_mild))
            .by_all(held)
            .by_all(telling.waits);
        if let Some(found) = holds {
            tx.set_report(id, &found.report, found.at).await?;
            return Ok(entry.by(Applied::just(Rule::Cooldown), &found.reason(now)));
        }
        if investigates {
            tx.enqueue_investigation(id, looked_at).await?;
        }
        Ok(match (wanted, looked_at == begin) {
            (false, _) => entry.by(Applied::just(Rule::Route), by_route.1),
            (true, false) if investigates => entry.by_all([self.debounced()]),
            (true, _) => entry,
        })
    }

    fn debounced(&self) -> Because {
        let wait = self.settings.debounce;
        let reason = format!("investigated after {} s, if it goes on until then (triage.debounce)", wait.as_secs());
        (Applied::wait(Rule::Debounce, wait), reason)
    }

    /// Whether a group that begins to fire waits.
    async fn hold(
        &self,
        tx: &mut Tx<'_>,
        group: &AlertGroup,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<Hold>, StoreError> {
        let firings = 1 + self.firings(tx, group.source, key, now).await?;
        Ok(hold::hold(group, &self.settings.maintenance, self.settings.flapping, firings, now, &self.settings.zone()))
    }

    /// How often a group began to fire within the span that makes it one that flaps; nobody counts where none ever does.
    pub(super) async fn firings(
        &self,
        tx: &mut Tx<'_>,
        source: Source,
        key: &str,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let Flapping { count, within, .. } = self.settings.flapping;
        if count == 0 { Ok(0) } else { tx.firings_since(source, key, now - within).await }
    }

    /// How long a group may resolve by itself before it is investigated.
    pub(super) fn debounce(&self, group: &AlertGroup) -> SignedDuration {
        let grave = severity_rank(severity(group)) == 0;
        if grave { SignedDuration::ZERO } else { self.settings.debounce }
    }

    async fn resolve(
        &self,
        tx: &mut Tx<'_>,
        open: &Incident,
        group: &AlertGroup,
        now: Timestamp,
    ) -> Result<Entry, StoreError> {
        // Believed over as a whole, whatever else was known to fire.
        let merged = AlertGroup { status: AlertStatus::Resolved, ..decide::merge(&open.group, group) };
        tx.resolve_incident(open.id, &merged, now).await?;
        tx.cancel_investigation(open.id).await?;
        let withdrawn = tx.withdraw_held(open.id, entry::NEVER_TOLD, &self.settings.batches).await?;
        let mut channels = self.channels_for(&merged);
        channels.retain(|channel| !withdrawn.contains(channel));
        if channels.is_empty() && !withdrawn.is_empty() {
            return Ok(Entry::never_told(open.id, Decision::Resolved));
        }
        let resolved_at = merged.ended(now);
        let notice = self.notice(open.into(), merged, NoticeBody::Resolved { resolved_at });
        let telling = self.tell(tx, Told::alone(&notice, NoticeRole::Resolved, now), &channels).await?;
        Ok(Entry::telling(open.id, Decision::Resolved, group.alerts.len(), telling.id).by_all(telling.waits))
    }
}

/// Group keys have no length limit; their hash has.
fn hash(group_key: &str) -> String {
    Sha256::digest(group_key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
