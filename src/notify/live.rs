//! What goes on in investigations just now, for messages that change in place. Kept in memory: it is nothing to lose.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use uuid::Uuid;

/// Tools of an investigation that are remembered by name: more of them no card shows.
const MOST_TOOLS: usize = 60;

/// What an investigation does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// How many results were read.
    pub read: usize,
    /// The tool that was read last.
    pub tool: String,
    /// All that were, in order; the first few of very many.
    pub tools: Vec<String>,
    /// When the investigation began.
    pub since: Timestamp,
}

/// Who investigates what. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Live(Arc<Mutex<HashMap<Uuid, Step>>>);

impl Live {
    /// Notes that an investigation begins; it is over when the answer is dropped.
    #[must_use]
    pub fn begin(&self, incident: Uuid) -> Going {
        Going { live: self.clone(), incident, since: Timestamp::now() }
    }

    /// All investigations that go on, the oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<(Uuid, Step)> {
        let mut all: Vec<(Uuid, Step)> = self.lock().iter().map(|(id, step)| (*id, step.clone())).collect();
        all.sort_by_key(|(id, step)| (step.since, *id));
        all
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Step>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An investigation that goes on.
#[derive(Debug)]
pub struct Going {
    live: Live,
    incident: Uuid,
    since: Timestamp,
}

impl Going {
    /// Notes what it does: so many results read, the last of them from this tool.
    pub fn note(&self, read: usize, tool: String) {
        let mut steps = self.live.lock();
        let before = steps.remove(&self.incident).map(|step| step.tools).unwrap_or_default();
        let tools = before.into_iter().chain([tool.clone()]).take(MOST_TOOLS).collect();
        steps.insert(self.incident, Step { read, tool, tools, since: self.since });
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.live.lock().remove(&self.incident);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_investigation_is_seen_from_its_first_step_to_its_end() {
        let (live, incident) = (Live::default(), Uuid::now_v7());
        let going = live.begin(incident);
        assert!(live.all().is_empty());
        going.note(3, "pods_log".into());
        assert_eq!(live.all().iter().map(|(id, step)| (*id, step.read)).collect::<Vec<_>>(), [(incident, 3)]);
        going.note(4, "events_list".into());
        assert_eq!(live.all()[0].1.tools, ["pods_log", "events_list"]);
        drop(going);
        assert!(live.all().is_empty());
    }
}
