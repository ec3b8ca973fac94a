//! Who is called by name: by the configuration's rules, never by what an alert says, and not for every message of a storm.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

use super::notice::{Notice, NoticeBody};
use crate::alert::{Alert, Labels};

/// Who was called is not called again for so long: the first call brought them to the group.
const QUIET: Duration = Duration::from_secs(5 * 60);
/// People called by one message.
const MOST: usize = 10;
/// The word for everybody.
pub const ALL: &str = "all";

/// Whom to call, and for what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MentionRule {
    /// Labels a firing alert must carry; none match every alert.
    #[serde(default, rename = "match")]
    pub matches: Labels,
    /// Ids of the product's users (Feishu: `open_id` or `user_id`; WeCom: userid), or `all`.
    pub users: Vec<String>,
}

/// A user id no product has.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no user id: it has letters, digits, `_`, `-`, `.` and `@`; `all` calls everybody")]
pub struct BadUser(String);

/// The rules of one channel, and whom it called when. Kept in memory: replicas and restarts may call once more.
#[derive(Debug, Default)]
pub struct Mentions {
    rules: Vec<MentionRule>,
    owners: BTreeMap<String, String>,
    called: Mutex<HashMap<String, Instant>>,
}

/// Whether a notice calls anybody: alerts call people, diagnoses and ends do not, nor do batches that were collected.
#[must_use]
pub fn may_call(notice: &Notice) -> bool {
    matches!(notice.body, NoticeBody::Alert { .. } | NoticeBody::Summary { collected: false, .. })
}

impl Mentions {
    /// Rules, and the users that a label or annotation `owner` names.
    ///
    /// # Errors
    /// When an id could be more than an id.
    pub fn new(rules: Vec<MentionRule>, owners: BTreeMap<String, String>) -> Result<Self, BadUser> {
        let users = rules.iter().flat_map(|rule| &rule.users).chain(owners.values());
        let is_id = |user: &&String| {
            !user.is_empty() && user.chars().all(|char| char.is_ascii_alphanumeric() || "_-.@".contains(char))
        };
        match users.into_iter().find(|user| !is_id(user)) {
            Some(bad) => Err(BadUser(bad.clone())),
            None => Ok(Self { rules, owners, called: Mutex::default() }),
        }
    }

    /// Whom this notice calls. A message that stands for many calls whom they would have called.
    #[must_use]
    pub fn due(&self, notice: &Notice) -> Vec<String> {
        let alerts: Vec<&Alert> = match &notice.body {
            NoticeBody::Summary { told, .. } => told.iter().flat_map(|one| &one.firing).collect(),
            _ => notice.group.firing().collect(),
        };
        if !may_call(notice) {
            return Vec::new();
        }
        let called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
        let rested = |user: &&String| called.get(*user).is_none_or(|at| at.elapsed() >= QUIET);
        let mut users: Vec<String> = Vec::new();
        for user in alerts.into_iter().flat_map(|alert| self.of(alert)).filter(rested) {
            if !users.contains(user) && users.len() < MOST {
                users.push(user.clone());
            }
        }
        users
    }

    /// Notes that they were called: the message went out.
    pub fn note(&self, users: &[String]) {
        let mut called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
        called.retain(|_, at| at.elapsed() < QUIET);
        called.extend(users.iter().map(|user| (user.clone(), Instant::now())));
    }

    fn of<'a>(&'a self, alert: &'a Alert) -> impl Iterator<Item = &'a String> {
        let matches =
            |rule: &&MentionRule| rule.matches.iter().all(|(key, value)| alert.label(key).unwrap_or_default() == value);
        let owner = alert.owner().and_then(|owner| self.owners.get(owner));
        self.rules.iter().filter(matches).flat_map(|rule| &rule.users).chain(owner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::notify::fixtures::notice;
    use crate::notify::summary;
    use crate::store::{NoticeRole, Outgoing};

    fn rule(severity: &str, users: &[&str]) -> MentionRule {
        let matches = Labels::from([("severity".to_owned(), severity.to_owned())]);
        MentionRule { matches, users: users.iter().map(|&user| user.to_owned()).collect() }
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_called_is_left_alone_for_a_while() {
        let mentions = Mentions::new(vec![rule("warning", &["ou_1", "all"])], BTreeMap::new()).expect("rules");
        let alert = notice("alert-waiting.en");
        assert_eq!(mentions.due(&alert), ["ou_1", "all"]);
        assert_eq!(mentions.due(&alert), ["ou_1", "all"], "a message that did not go out called nobody");
        mentions.note(&["ou_1".to_owned()]);
        assert_eq!(mentions.due(&alert), ["all"]);
        tokio::time::advance(QUIET).await;
        assert_eq!(mentions.due(&alert), ["ou_1", "all"]);
    }

    #[test]
    fn rules_and_owners_decide_and_the_end_calls_nobody() {
        let owners = BTreeMap::from([("alice".to_owned(), "ou_alice".to_owned())]);
        let mentions = Mentions::new(vec![rule("critical", &["all"])], owners).expect("rules");
        let mut alert = notice("alert-waiting.en");
        assert_eq!(mentions.due(&alert), Vec::<String>::new(), "a warning, and nobody owns it");
        alert.group.alerts[1].annotations.insert("owner".into(), "alice".into());
        assert_eq!(mentions.due(&alert), ["ou_alice"]);
        alert.group.alerts[1].annotations.insert("owner".into(), "<at id=all></at>".into());
        assert_eq!(mentions.due(&alert), Vec::<String>::new(), "who writes alerts cannot call whom they like");
        for quiet in ["diagnosis-pvc.en", "resolved.en"] {
            let rules =
                Mentions::new(vec![MentionRule { users: vec!["all".into()], ..Default::default() }], BTreeMap::new());
            assert!(rules.expect("rules").due(&notice(quiet)).is_empty(), "{quiet}");
        }
    }

    #[test]
    fn a_message_that_stands_for_many_calls_whom_its_firing_ones_would_have_called() {
        let [bob, carol] = ["bob", "carol"].map(|name| (name.to_owned(), format!("ou_{name}")));
        let mentions = Mentions::new(vec![rule("warning", &["ou_1"])], [bob, carol].into()).expect("rules");
        let waiting = |fixture: &str, role, owner: &str| {
            let mut notice = notice(fixture);
            notice.group.alerts.iter_mut().for_each(|alert| drop(alert.labels.insert("owner".into(), owner.into())));
            Outgoing {
                id: Uuid::nil(),
                incident: Uuid::nil(),
                channel: String::new(),
                role,
                notice,
                attempt: 1,
                left_behind: false,
            }
        };
        let waiting = [
            waiting("alert-waiting.en", NoticeRole::First, "bob"),
            waiting("diagnosis-pvc.en", NoticeRole::Second, "carol"),
            waiting("alert-waiting.en", NoticeRole::Joined, "bob"),
        ];
        let together = summary::summary(&waiting).expect("a message");
        assert_eq!(mentions.due(&together), ["ou_1", "ou_bob"], "each once, and nobody for a diagnosis");
        mentions.note(&["ou_1".to_owned()]);
        assert_eq!(mentions.due(&together), ["ou_bob"]);
    }

    #[test]
    fn an_id_that_is_more_than_an_id_is_refused() {
        for bad in ["", "ou_1></at>", "a b", "\"", "张三"] {
            assert!(Mentions::new(vec![rule("critical", &[bad])], BTreeMap::new()).is_err(), "{bad}");
        }
    }
}
