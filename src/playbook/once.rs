//! Once: what many analyzers ask of the same logs, worked out a single time in a diagnosis.

use std::ops::Range;
use std::sync::OnceLock;

use crate::playbook::facts::{Facts, SeenLog};
use crate::playbook::present;
use crate::playbook::reach::{Call, Failure};

/// What is known of the logs so far.
#[derive(Debug)]
pub struct Once {
    /// Where the present begins in each log, by its place among the logs.
    presents: Vec<OnceLock<usize>>,
    /// The calls that fail by the logs of each Pod, by its place among the Pods.
    calls: Vec<OnceLock<Vec<Told>>>,
}

/// A failing call by where it stands: it borrows nothing, which leaves the scene as free as its facts.
#[derive(Debug)]
struct Told {
    log: usize,
    line: Range<usize>,
    failure: Failure,
    hosts: Vec<String>,
}

impl Once {
    /// Of these facts and so many Pods nothing yet.
    #[must_use]
    pub fn of(facts: &Facts, pods: usize) -> Self {
        Self {
            presents: facts.logs().iter().map(|_| OnceLock::new()).collect(),
            calls: (0..pods).map(|_| OnceLock::new()).collect(),
        }
    }

    /// What a log's text says of the present.
    #[must_use]
    pub fn present<'a>(&self, facts: &Facts, log: &SeenLog, text: &'a str) -> &'a str {
        let begins = || text.len() - present::of(text).len();
        match place(facts, log).and_then(|place| self.presents.get(place)) {
            Some(known) => &text[*known.get_or_init(begins)..],
            None => present::of(text),
        }
    }

    /// The failing calls of the Pod at a place, looked for when they are first asked for.
    pub fn calls<'a>(&self, facts: &'a Facts, pod: usize, look: impl FnOnce() -> Vec<Call<'a>>) -> Vec<Call<'a>> {
        let Some(known) = self.calls.get(pod) else { return look() };
        let told = known.get_or_init(|| look().into_iter().filter_map(|call| Told::of(facts, call)).collect());
        told.iter().filter_map(|told| told.call(facts)).collect()
    }
}

impl Told {
    fn of(facts: &Facts, call: Call<'_>) -> Option<Self> {
        let start = present::offset(call.log.lines.as_deref().ok()?, call.line)?;
        let line = start..start + call.line.len();
        Some(Self { log: place(facts, call.log)?, line, failure: call.failure, hosts: call.hosts })
    }

    fn call<'a>(&self, facts: &'a Facts) -> Option<Call<'a>> {
        let log = facts.logs().get(self.log)?;
        let line = log.lines.as_deref().ok()?.get(self.line.clone())?;
        Some(Call { line, log, failure: self.failure, hosts: self.hosts.clone() })
    }
}

fn place(facts: &Facts, log: &SeenLog) -> Option<usize> {
    facts.logs().iter().position(|seen| std::ptr::eq(seen, log))
}
