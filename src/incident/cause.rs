//! One investigation per cause: when a node dies and forty alerts come, the first that shows it is investigated for all.
//!
//! The playbook looks at each incident, which costs neither time nor money, and names what it blames. The first incident
//! to blame it goes on to the model; those after it keep what the playbook found and say whom they follow.

use jiff::Timestamp;

use super::worker::Worker;
use crate::notify::rule::Rule;
use crate::report::{Led, NAMED_OF, Report, SameCause};
use crate::store::Claim;
use crate::triage::Look;

impl Worker {
    /// Leaves the cause to the incident that is investigated for it, if there is one. What was investigated before is
    /// investigated again for a reason of its own.
    pub(super) async fn share_cause(&self, claim: &Claim, look: &mut Look) {
        let trusted = self.desk.settings().cooldown;
        let (None, Some(shared)) = (&claim.incident.report, look.shared()) else { return };
        if trusted.is_zero() {
            return;
        }
        let (id, now) = (claim.incident.id, Timestamp::now());
        let leader = self.store.lead_or_follow(&shared.key, id, &title(&look.report), now, now - trusted).await;
        match leader {
            Ok(Some(leader)) => {
                tracing::info!(incident.id = %id, leader = %leader.incident, "another incident has the same cause");
                self.metrics.rule(Rule::SameCause.word());
                look.leave_to(Led { incident: leader.incident, title: leader.title }, shared.common);
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(incident.id = %id, %error, "it is investigated by itself"),
        }
    }

    /// Notes in a report who follows it by now.
    pub(super) async fn note_followers(&self, claim: &Claim, look: &Look, report: &mut Report) {
        match self.store.followers(claim.incident.id).await {
            Ok(followers) if followers.is_empty() || report.same_cause.is_some() => {}
            Ok(followers) => {
                let followers = followers.into_iter().map(|one| one.title).collect();
                report.same_cause = look.shared().map(|shared| SameCause::over(shared.common, None, followers));
            }
            Err(error) => {
                tracing::warn!(incident.id = %claim.incident.id, %error, "who has the same cause is not told")
            }
        }
    }
}

/// What an incident's alert is about, in a line.
fn title(report: &Report) -> String {
    format!("{}{NAMED_OF}{}", report.overview.alertname, report.overview.resource)
}
