//! The worker: claims investigations, runs them side by side up to a limit, and keeps what they find.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use uuid::Uuid;

use super::books::Books;
use super::decide;
use super::desk::{Desk, REPEAT_AFTER, REPEATS};
use super::wake::Wake;
use crate::alert::AlertGroup;
use crate::failpoint;
use crate::notify::live::Live;
use crate::notify::notice::{Notice, NoticeBody};
use crate::report::{AnsweredBy, Report, news};
use crate::store::{Again, Claim, IncidentState, NewNotice, NoticeRole, Store, StoreError};
use crate::telemetry::Metrics;
use crate::triage::{Look, Triage};

/// Renewed every third of this; a killed process' work is taken up again after at most this.
const LEASE: Duration = Duration::from_secs(15);
/// Wakes come through [`Wake`]; this is for what other replicas queue and for leases that ran out.
const POLL: Duration = Duration::from_secs(1);

/// Runs investigations.
#[derive(Clone)]
pub struct Worker {
    name: String,
    pub(super) store: Store,
    pub(super) desk: Desk,
    pub(super) triage: Arc<Triage>,
    wake: Wake,
    pub(super) metrics: Arc<Metrics>,
    books: Books,
    pub(super) live: Live,
}

impl Worker {
    /// A worker; `name` tells replicas apart in the store.
    #[must_use]
    pub fn new(name: String, store: Store, desk: Desk, triage: Arc<Triage>, wake: Wake, metrics: Arc<Metrics>) -> Self {
        let books = Books::new(store.clone(), triage.clone());
        Self { name, store, desk, triage, wake, metrics, books, live: Live::default() }
    }

    /// What goes on in this worker's investigations, for messages that change in place.
    #[must_use]
    pub fn live(&self) -> Live {
        self.live.clone()
    }

    /// Works until it is told to stop, then hands back what is under way so that the next process takes it up at once.
    pub async fn run(self, concurrency: usize, stop: CancellationToken) {
        let slots = Arc::new(Semaphore::new(concurrency.max(1)));
        let tasks = TaskTracker::new();
        tasks.spawn(self.books.clone().keep(stop.clone()));
        loop {
            let slot = tokio::select! {
                slot = slots.clone().acquire_owned() => slot,
                () = stop.cancelled() => break,
            };
            let Ok(slot) = slot else { break };
            failpoint::pass("before-claim").await;
            match self.store.claim_investigation(&self.name, LEASE).await {
                Ok(Some(claim)) => {
                    let (worker, stop) = (self.clone(), stop.clone());
                    tasks.spawn(async move {
                        worker.guard(claim, stop).await;
                        drop(slot);
                    });
                    continue;
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "could not look for investigations"),
            }
            drop(slot);
            tokio::select! {
                () = self.wake.investigations.notified() => {}
                () = tokio::time::sleep(POLL) => {}
                () = stop.cancelled() => break,
            }
        }
        tasks.close();
        tasks.wait().await;
        self.books.settle().await;
    }

    /// Runs one investigation while renewing its lease; a failure or a panic is tried again by the store's rules.
    async fn guard(&self, claim: Claim, stop: CancellationToken) {
        let incident = claim.incident.id;
        let this = self.clone();
        let theirs = claim.clone();
        // Whatever is logged on the way, down to a call of a tool, names the incident.
        let span = tracing::info_span!("incident", incident.id = %incident);
        let mut work = tokio::spawn(async move { this.investigate(&theirs).await }.instrument(span));
        let mut renew = tokio::time::interval(LEASE / 3);
        renew.tick().await;
        let outcome = loop {
            tokio::select! {
                outcome = &mut work => break outcome,
                _ = renew.tick() => match self.store.extend(&claim, LEASE).await {
                    Ok(true) => {}
                    Ok(false) => {
                        work.abort();
                        tracing::warn!(incident.id = %incident, "the investigation was taken over by another process");
                        return;
                    }
                    Err(error) => tracing::warn!(incident.id = %incident, %error, "could not renew the lease"),
                },
                () = stop.cancelled() => {
                    work.abort();
                    if let Err(error) = self.store.hand_back(&claim).await {
                        tracing::warn!(incident.id = %incident, %error, "could not hand the investigation back; its lease will run out");
                    }
                    return;
                }
            }
        };
        let error = match outcome {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("the investigation broke off: {panic}"),
        };
        tracing::error!(incident.id = %incident, attempt = claim.attempt, %error, "investigation failed");
        let again = Timestamp::now() + Duration::from_secs(u64::from(claim.attempt) * 5);
        if let Err(error) = self.store.retry_investigation(&claim, &error, again).await {
            tracing::error!(incident.id = %incident, %error, "could not put the investigation back");
        }
        self.release_bare(&claim).await;
    }

    /// Looks, lets the first message go with what was found, reasons, and keeps the outcome.
    async fn investigate(&self, claim: &Claim) -> Result<(), StoreError> {
        failpoint::pass("after-claim").await;
        let incident = &claim.incident;
        self.books.look().await;
        let read = self.read_before(claim).await;
        let kept = read.iter().map(|one| one.evidence.reference.clone()).collect();
        let mut look = self.triage.look(&incident.group, read).await;
        self.share_cause(claim, &mut look).await;
        self.release(claim, &look).await?;
        self.show_first_look(claim, &look).await;
        let mut report = self.reason(claim, &look, kept).await;
        self.note_followers(claim, &look, &mut report).await;
        self.count(&report);
        let notices = self.second_notices(claim, &report).await?;
        let telling = Uuid::now_v7();
        let outgoing: Vec<NewNotice<'_>> = notices
            .iter()
            .map(|(channel, notice)| NewNotice {
                incident: incident.id,
                channel,
                role: NoticeRole::Second,
                telling,
                notice,
                due: self.desk.settings().due(channel, &notice.group, Timestamp::now()),
            })
            .collect();
        // What joined while it was investigated may have changed the picture.
        let again = |now: &AlertGroup| {
            let asking = now.firing().filter(|alert| self.desk.settings().is_looked_into(alert));
            let changed = decide::changes_the_picture(&claim.incident.group, asking);
            changed.then(|| Again { at: Timestamp::now() + REPEAT_AFTER, most: REPEATS })
        };
        if !self.store.finish_investigation(claim, &report, &look.run.log().all(), &outgoing, again).await? {
            tracing::warn!(incident.id = %incident.id, "the investigation was taken over by another process; its result is dropped");
        }
        failpoint::pass("after-diagnosis").await;
        self.wake.ring(notices.iter().map(|(channel, _)| channel.as_str()));
        self.books.settle().await;
        Ok(())
    }

    /// Keeps what the first message tells where its page finds it too, while the model is asked. What was diagnosed before
    /// stands until the model is done.
    async fn show_first_look(&self, claim: &Claim, look: &Look) {
        if !look.will_be_reasoned_about() || claim.incident.report.is_some() {
            return;
        }
        if let Err(error) = self.store.keep_first_look(claim, &look.report, &look.run.log().all()).await {
            tracing::warn!(incident.id = %claim.incident.id, %error, "the page has no report until the model is done");
        }
    }

    fn count(&self, report: &Report) {
        let usage = &report.usage;
        let source = match usage.source {
            AnsweredBy::Model => "model",
            AnsweredBy::Playbook => "playbook",
        };
        self.metrics.investigation(&usage.stopped_by, source, Duration::from_secs_f64(usage.seconds.max(0.0)));
        self.triage.take_recovered_calls().for_each(|(model, calls)| self.metrics.recovered_calls(model, calls));
    }

    /// Adds the playbook's report to first messages that still wait and lets them go.
    async fn release(&self, claim: &Claim, look: &Look) -> Result<(), StoreError> {
        let investigating = look.will_be_reasoned_about();
        let released = self
            .store
            .release_notice(claim.incident.id, NoticeRole::First, |channel, notice| {
                let missing = match &notice.body {
                    NoticeBody::Alert { missing, .. } => missing.clone(),
                    _ => Vec::new(),
                };
                notice.body = NoticeBody::Alert { report: Some(Box::new(look.report.clone())), investigating, missing };
                self.due(channel, notice)
            })
            .await?;
        self.wake.ring(released.iter().map(String::as_str));
        Ok(())
    }

    /// When a channel may be told of it that could be told now.
    fn due(&self, channel: &str, notice: &Notice) -> Timestamp {
        self.desk.settings().due(channel, &notice.group, Timestamp::now())
    }

    async fn release_bare(&self, claim: &Claim) {
        let due = |channel: &str, notice: &mut Notice| self.due(channel, notice);
        match self.store.release_notice(claim.incident.id, NoticeRole::First, due).await {
            Ok(released) => self.wake.ring(released.iter().map(String::as_str)),
            Err(error) => {
                tracing::error!(incident.id = %claim.incident.id, %error, "could not let the first message go; it goes when it is due")
            }
        }
    }

    /// A second message goes to the channels whose first one had no findings, and to those to whose findings the report
    /// adds. What they were told is asked of the store: a process before this one may have told it. None goes once the
    /// incident is over.
    async fn second_notices(&self, claim: &Claim, report: &Report) -> Result<Vec<(String, Notice)>, StoreError> {
        let Some(now) = self.store.incident_alone(claim.incident.id).await? else { return Ok(Vec::new()) };
        if now.state == IncidentState::Resolved {
            return Ok(Vec::new());
        }
        let told = self.store.first_notices(claim.incident.id).await?;
        // What was found before is told already, with the first message or after it.
        let last = claim.incident.report.as_ref().filter(|_| !told.is_empty());
        let knows = |channel: &str| {
            let first = told.iter().find(|(name, _)| name == channel).and_then(|(_, notice)| notice.report());
            first.is_some_and(|known| news(report, known).is_none())
                || last.is_some_and(|known| news(report, known).is_none())
        };
        let body = NoticeBody::Diagnosis { report: Box::new(report.clone()) };
        // Alerts that joined meanwhile may have other channels.
        let channels = self.desk.channels_for(&now.group);
        let notice = self.desk.notice((&claim.incident).into(), now.group, body);
        let settings = self.desk.settings();
        // A message that can be changed must not say "investigating" for ever, and takes what a second look found.
        let again = claim.incident.report.is_some();
        let is_open = |channel: &str| told.iter().any(|(name, first)| name == channel && first.is_investigating());
        let waits =
            |channel: &String| !knows(channel) || (settings.in_place.contains(channel) && (again || is_open(channel)));
        Ok(channels.into_iter().filter(waits).map(|channel| (channel, notice.clone())).collect())
    }
}
