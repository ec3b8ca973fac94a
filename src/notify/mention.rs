//! Who is called by name: by the configuration's rules, never by what an alert says, and not for every message of a storm.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::notice::{Notice, NoticeBody};
use crate::alert::{Alert, Labels};
use crate::store::{Store, StoreError};

/// Who was called is not called again for so long: the first call brought them to the group.
const QUIET: Duration = Duration::from_secs(5 * 60);
/// As long as one attempt to send may take: whose sender died is called by whoever sends the message then.
const LEASE: Duration = Duration::from_secs(12);
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

/// The rules of one channel, and whom it called when: counted with the other processes of a store, once there is one.
#[derive(Debug, Default)]
pub struct Mentions {
    rules: Vec<MentionRule>,
    owners: BTreeMap<String, String>,
    called: Mutex<HashMap<String, Instant>>,
    shared: OnceLock<Shared>,
}

/// Where all processes count together, and as whom this one does.
#[derive(Debug)]
struct Shared {
    store: Store,
    channel: String,
    caller: Uuid,
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
            None => Ok(Self { rules, owners, called: Mutex::default(), shared: OnceLock::new() }),
        }
    }

    /// Counts calls together with all processes of a store, from now on.
    pub fn share(&self, store: &Store, channel: &str) {
        let shared = Shared { store: store.clone(), channel: channel.to_owned(), caller: Uuid::now_v7() };
        // A second store would be a mistake of the service; the first one stays.
        let _ = self.shared.set(shared);
    }

    /// Whom this notice calls. A message that stands for many calls whom they would have called. They count as called when
    /// [`Self::settle`] says so; until then no other process calls them.
    pub async fn due(&self, notice: &Notice) -> Vec<String> {
        let mut users = Vec::new();
        for user in self.rested(notice) {
            if users.len() < MOST && self.is_free(&user).await {
                users.push(user);
            }
        }
        users
    }

    /// Says whether the message that calls them went out. One that did not has called nobody.
    pub async fn settle(&self, users: &[String], went_out: bool) {
        if went_out {
            let mut called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
            called.retain(|_, at| at.elapsed() < QUIET);
            called.extend(users.iter().map(|user| (user.clone(), Instant::now())));
        }
        let Some(shared) = self.shared.get() else { return };
        for user in users {
            let (store, channel) = (&shared.store, &shared.channel);
            let noted = match went_out {
                true => store.note_call(channel, user, QUIET).await,
                false => store.give_call_back(channel, user, shared.caller).await,
            };
            noted.unwrap_or_else(|error| alone(&error));
        }
    }

    /// Whom the rules call for this notice, and who has not been called by this process for a while.
    fn rested(&self, notice: &Notice) -> Vec<String> {
        if !may_call(notice) {
            return Vec::new();
        }
        let alerts: Vec<&Alert> = match &notice.body {
            NoticeBody::Summary { told, .. } => told.iter().flat_map(|one| &one.firing).collect(),
            _ => notice.group.firing().collect(),
        };
        let called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
        let rested = |user: &&String| called.get(*user).is_none_or(|at| at.elapsed() >= QUIET);
        let mut users: Vec<String> = Vec::new();
        for user in alerts.into_iter().flat_map(|alert| self.of(alert)).filter(rested) {
            if !users.contains(user) {
                users.push(user.clone());
            }
        }
        users
    }

    /// Whether no other process called or calls them. A store that does not answer keeps nobody from being called.
    async fn is_free(&self, user: &str) -> bool {
        let Some(Shared { store, channel, caller }) = self.shared.get() else { return true };
        store.take_call(channel, user, *caller, LEASE, QUIET).await.unwrap_or_else(|error| {
            alone(&error);
            true
        })
    }

    /// What alerts call a user.
    #[must_use]
    pub fn name_of(&self, user: &str) -> Option<&str> {
        self.owners.iter().find(|(_, known)| *known == user).map(|(name, _)| name.as_str())
    }

    fn of<'a>(&'a self, alert: &'a Alert) -> impl Iterator<Item = &'a String> {
        let matches =
            |rule: &&MentionRule| rule.matches.iter().all(|(key, value)| alert.label(key).unwrap_or_default() == value);
        let owner = alert.owner().and_then(|owner| self.owners.get(owner));
        self.rules.iter().filter(matches).flat_map(|rule| &rule.users).chain(owner)
    }
}

fn alone(error: &StoreError) {
    tracing::warn!(%error, "the store does not say who was called lately; this process counts alone");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::fixtures::notice;
    use crate::notify::summary;
    use crate::store::tests::fixtures::on_every_engine;
    use crate::store::{NoticeRole, Outgoing};

    fn rule(severity: &str, users: &[&str]) -> MentionRule {
        let matches = Labels::from([("severity".to_owned(), severity.to_owned())]);
        MentionRule { matches, users: users.iter().map(|&user| user.to_owned()).collect() }
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_called_is_left_alone_for_a_while() {
        let mentions = Mentions::new(vec![rule("warning", &["ou_1", "all"])], BTreeMap::new()).expect("rules");
        let alert = notice("alert-waiting.en");
        assert_eq!(mentions.due(&alert).await, ["ou_1", "all"]);
        assert_eq!(mentions.due(&alert).await, ["ou_1", "all"], "a message that did not go out called nobody");
        mentions.settle(&["ou_1".to_owned()], true).await;
        assert_eq!(mentions.due(&alert).await, ["all"]);
        tokio::time::advance(QUIET).await;
        assert_eq!(mentions.due(&alert).await, ["ou_1", "all"]);
    }

    #[tokio::test]
    async fn rules_and_owners_decide_and_the_end_calls_nobody() {
        let owners = BTreeMap::from([("alice".to_owned(), "ou_alice".to_owned())]);
        let mentions = Mentions::new(vec![rule("critical", &["all"])], owners).expect("rules");
        let mut alert = notice("alert-waiting.en");
        assert_eq!(mentions.due(&alert).await, Vec::<String>::new(), "a warning, and nobody owns it");
        alert.group.alerts[1].annotations.insert("owner".into(), "alice".into());
        assert_eq!(mentions.due(&alert).await, ["ou_alice"]);
        alert.group.alerts[1].annotations.insert("owner".into(), "<at id=all></at>".into());
        assert_eq!(mentions.due(&alert).await, Vec::<String>::new(), "who writes alerts cannot call whom they like");
        for quiet in ["diagnosis-pvc.en", "resolved.en"] {
            let rules =
                Mentions::new(vec![MentionRule { users: vec!["all".into()], ..Default::default() }], BTreeMap::new());
            assert!(rules.expect("rules").due(&notice(quiet)).await.is_empty(), "{quiet}");
        }
    }

    #[tokio::test]
    async fn a_message_that_stands_for_many_calls_whom_its_firing_ones_would_have_called() {
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
                ends: 0,
                claimed_at: std::time::Instant::now(),
            }
        };
        let waiting = [
            waiting("alert-waiting.en", NoticeRole::First, "bob"),
            waiting("diagnosis-pvc.en", NoticeRole::Second, "carol"),
            waiting("alert-waiting.en", NoticeRole::Joined, "bob"),
        ];
        let together = summary::summary(&waiting).expect("a message");
        assert_eq!(mentions.due(&together).await, ["ou_1", "ou_bob"], "each once, and nobody for a diagnosis");
        mentions.settle(&["ou_1".to_owned()], true).await;
        assert_eq!(mentions.due(&together).await, ["ou_bob"]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn replicas_and_restarts_call_nobody_twice_and_what_did_not_go_out_called_nobody() {
        on_every_engine(async |store| {
            let alert = notice("alert-waiting.en");
            let process = || {
                let mentions = Mentions::new(vec![rule("warning", &["ou_1", "ou_2"])], BTreeMap::new()).expect("rules");
                mentions.share(&store, "cards");
                mentions
            };
            let (one, other) = (process(), process());
            assert_eq!(one.due(&alert).await, ["ou_1", "ou_2"]);
            assert_eq!(other.due(&alert).await, Vec::<String>::new(), "the first is about to call them");
            assert_eq!(one.due(&alert).await, ["ou_1", "ou_2"], "an attempt that was cut off is made again");
            one.settle(&["ou_1".into(), "ou_2".into()], false).await;
            assert_eq!(other.due(&alert).await, ["ou_1", "ou_2"], "it did not go out");
            other.settle(&["ou_1".into()], true).await;
            other.settle(&["ou_2".into()], false).await;
            assert_eq!(one.due(&alert).await, ["ou_2"]);
            one.settle(&["ou_2".into()], true).await;
            for process in [&one, &other, &process()] {
                assert_eq!(process.due(&alert).await, Vec::<String>::new());
            }
            let elsewhere = Mentions::new(vec![rule("warning", &["ou_1"])], BTreeMap::new()).expect("rules");
            elsewhere.share(&store, "another");
            assert_eq!(elsewhere.due(&alert).await, ["ou_1"], "each channel has its own readers");
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_eight_processes_that_would_call_at_once_one_does() {
        on_every_engine(async |store| {
            let asking = (0..8).map(|_| {
                let store = store.clone();
                tokio::spawn(async move { store.take_call("c", "ou_1", Uuid::now_v7(), LEASE, QUIET).await })
            });
            let answers = futures::future::join_all(asking.collect::<Vec<_>>()).await;
            let taken = answers.into_iter().filter(|one| matches!(one, Ok(Ok(true)))).count();
            assert_eq!(taken, 1);
            let moment = Duration::from_millis(20);
            assert!(store.take_call("c", "ou_9", Uuid::now_v7(), moment, QUIET).await.expect("a store"));
            tokio::time::sleep(moment * 2).await;
            let next = store.take_call("c", "ou_9", Uuid::now_v7(), LEASE, QUIET).await;
            assert!(next.expect("a store"), "whose sender died is called by the next");
            let wrong = LEASE + QUIET;
            assert!(store.take_call("c", "ou_8", Uuid::now_v7(), wrong, wrong).await.expect("a store"));
            let after = store.take_call("c", "ou_8", Uuid::now_v7(), LEASE, QUIET).await;
            assert!(after.expect("a store"), "a clock that was far ahead keeps nobody from being called");
        })
        .await;
    }

    #[test]
    fn an_id_that_is_more_than_an_id_is_refused() {
        for bad in ["", "ou_1></at>", "a b", "\"", "张三"] {
            assert!(Mentions::new(vec![rule("critical", &[bad])], BTreeMap::new()).is_err(), "{bad}");
        }
    }
}
