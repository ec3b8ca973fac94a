//! Alerts that join an open group: which messages they travel with, and which they get of their own.

use jiff::Timestamp;

use super::decide;
use super::desk::{Desk, REPEAT_AFTER, REPEATS};
use super::entry::{self, Entry};
use super::hold;
use super::telling::{Told, too_mild};
use crate::alert::{Alert, AlertGroup, Lang};
use crate::notify::notice::NoticeBody;
use crate::notify::rule::Applied;
use crate::notify::story::words;
use crate::store::{Changes, Decision, Incident, NoticeRole, StoreError, Tx};

impl Desk {
    /// New alerts of an open group go where their own routes lead, when rules let them: with the first message where it
    /// still waits, which goes earlier for what is graver; as the first message where nobody heard of the group; and with
    /// a message of their own elsewhere. An alert nobody hears of would be worse than no AI.
    pub(super) async fn join(
        &self,
        tx: &mut Tx<'_>,
        open: &Incident,
        group: &AlertGroup,
        new: Vec<Alert>,
        now: Timestamp,
    ) -> Result<Entry, StoreError> {
        let merged = decide::merge(&open.group, group);
        tx.update_group(open.id, &merged, now).await?;
        let (fires, ended) = (entry::named(&new), entry::named(decide::ended(&open.group, group)));
        let count = words::counted(new.len() as u64, "new alert");
        let mut reason = format!("{count} of the group ({})", entry::in_words(&fires));
        let joined = AlertGroup { alerts: new, ..group.clone() };
        let settings = self.settings();
        let hold = hold::hold(&joined, &settings.maintenance, settings.flapping, 0, now, &settings.zone());
        let begin = hold.as_ref().map_or(now, |hold| hold.until);
        let flaps = self.flaps(tx, open, &joined, now).await?;
        let look = if flaps { Timestamp::MAX } else { begin + self.debounce(&joined) };
        let routed = settings.routed(&joined);
        let mut investigating = tx.investigate_by(open.id, look).await?;
        // What its route only tells is no reason to look; and where nobody looked yet there is nothing to repeat.
        let mut asking = joined.alerts.iter().filter(|alert| settings.is_looked_into(alert));
        if settings.investigates && decide::changes_the_picture(&open.group, &mut asking) {
            if tx.repeat_investigation(open.id, now + REPEAT_AFTER, REPEATS).await? {
                investigating = true;
                reason += " of another kind, so it is investigated once more";
            } else if !flaps && tx.enqueue_investigation(open.id, look).await? {
                investigating = true;
                reason += " of another kind, so it is investigated";
            }
        }
        let due = |channel: &str| {
            let hears = !flaps && routed.channels.iter().any(|hears| hears == channel);
            hears.then(|| settings.due(channel, &joined, begin))
        };
        let firsts = tx.carry_with_first(open.id, &merged, due).await?;
        let held = hold.map(|hold| (Applied::wait(hold.rule, hold.until.duration_since(now)), hold.reason(Lang::En)));
        let told = joined.alerts.len();
        let entry = |telling| {
            Entry::telling(open.id, Decision::Joined, told, telling)
                .because(&reason)
                .changing(Changes { joined: fires, ended })
                .by_all(too_mild(&routed.too_mild))
                .by_all(held)
        };
        let rest: Vec<String> = routed.channels.iter().filter(|name| !firsts.carry.contains(name)).cloned().collect();
        if rest.is_empty() && firsts.telling.is_some() {
            return Ok(entry(firsts.telling));
        }
        let (heard, unheard): (Vec<String>, Vec<String>) = rest.into_iter().partition(|it| firsts.gone.contains(it));
        let body = NoticeBody::Alert { report: None, investigating: false, missing: Vec::new() };
        let notice = self.notice(open.into(), joined, body);
        let late = Told::alone(&notice, NoticeRole::Joined, begin);
        let mut telling = self.tell(tx, late, &heard).await?;
        if unheard.is_empty() {
            return Ok(entry(telling.id).by_all(telling.waits));
        }
        let report = open.report.clone().map(Box::new);
        let body = NoticeBody::Alert { report, investigating, missing: settings.missing.clone() };
        let whole = self.notice(open.into(), merged, body);
        let first = self.tell(tx, Told { notice: &whole, role: NoticeRole::First, ..late }, &unheard).await?;
        telling.waits.extend(first.waits);
        Ok(entry(telling.id.or(first.id)).by_all(telling.waits))
    }

    /// Whether a group is one that comes and goes: what joins it does not end its hold, unless it is critical.
    async fn flaps(
        &self,
        tx: &mut Tx<'_>,
        open: &Incident,
        joined: &AlertGroup,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let firings = self.firings(tx, open.source, &open.group_key_hash, now).await?;
        Ok(hold::hold(joined, &[], self.settings().flapping, firings, now, &self.settings().zone()).is_some())
    }
}
