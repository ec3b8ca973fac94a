//! Gather: waves of concurrent reads, each chosen from what the last one showed, until nothing more is worth reading.

use std::collections::HashSet;
use std::time::Duration;

use futures::StreamExt;

use super::follow;
use super::gap::Gap;
use super::outside;
use super::ring;
use super::seen::Seen;
use super::want::Want;
use crate::alert::ObjectRef;
use crate::playbook::Question;
use crate::playbook::facts::Facts;
use crate::toolbox::Run;

/// Reads in all for one incident: the widest of all recorded ones takes 62. The real server lets five a second through by
/// default.
const READ_LIMIT: usize = 80;
/// Waves: three for each call that fails behind another (Service, Pod, log), two calls behind the alert's own, then claim and
/// class, with one to spare. What ends a chain sooner is that nothing more is worth reading.
const WAVE_LIMIT: usize = 12;
/// Reads under way at once.
const PARALLEL: usize = 8;
/// What was read by then has to do.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// What was read, and what could not be.
pub struct Gathered {
    /// The facts for the analyzers.
    pub facts: Facts,
    /// The question's objects, with those its hosts, addresses and components turned out to be.
    pub targets: Vec<ObjectRef>,
    /// What could not be read.
    pub gaps: Vec<Gap>,
}

/// Reads what the question asks for and what that leads to.
pub async fn gather(run: &Run, question: &Question, now: jiff::Timestamp) -> Gathered {
    let mut seen = Seen::of(now, question);
    seen.gaps.extend(run.gaps().iter().cloned().map(Gap::Server));
    if tokio::time::timeout(TIME_LIMIT, all(run, &mut seen, question)).await.is_err() {
        seen.gaps.push(Gap::CutOff(TIME_LIMIT));
    }
    Gathered { facts: seen.facts, targets: seen.targets, gaps: seen.gaps }
}

async fn all(run: &Run, seen: &mut Seen, question: &Question) {
    // What keeps a server away was said once; each read would say it again.
    if run.is_blind() {
        return;
    }
    let mut asked: HashSet<Want> = HashSet::new();
    waves(run, seen, &mut asked, READ_LIMIT).await;
    if ring::is_worth_it(seen, question) {
        further(run, seen, question, &mut asked).await;
    }
    if asked.len() >= READ_LIMIT {
        seen.gaps.push(Gap::TooMuch(READ_LIMIT));
    }
}

/// Looks one ring further. What is read there becomes part of the incident only where the logs in question speak of it.
async fn further(run: &Run, seen: &mut Seen, question: &Question, asked: &mut HashSet<Want>) {
    read(run, seen, new(asked, ring::lists(seen, question))).await;
    let pods = ring::pods(seen, question);
    read(run, seen, new(asked, pods.iter().cloned().map(Want::Object).collect())).await;
    read(run, seen, new(asked, ring::log_wants(seen, &pods))).await;
    let telling = ring::telling(seen, &pods);
    if !telling.is_empty() {
        seen.relevant.extend(telling);
        let limit = READ_LIMIT.min(asked.len() + ring::FOLLOWED);
        waves(run, seen, asked, limit).await;
    }
}

/// Of some reads those that nobody asked for yet, within what one incident may read.
fn new(asked: &mut HashSet<Want>, wants: Vec<Want>) -> Vec<Want> {
    wants.into_iter().filter(|want| asked.len() < READ_LIMIT && asked.insert(want.clone())).collect()
}

async fn waves(run: &Run, seen: &mut Seen, asked: &mut HashSet<Want>, limit: usize) {
    for _ in 0..WAVE_LIMIT {
        let mut wave: Vec<Want> = Vec::new();
        for want in follow::next(seen) {
            if asked.len() < limit && !is_asked(asked, &want) && asked.insert(want.clone()) {
                wave.push(want);
            }
        }
        if wave.is_empty() {
            return;
        }
        for want in &wave {
            if let Want::Object(object) = want
                && !seen.relevant.contains(object)
            {
                seen.relevant.push(object.clone());
            }
        }
        read(run, seen, wave).await;
        seen.aim_at(outside::found(seen));
    }
}

/// Whether an object that is only looked at is read and followed anyway.
fn is_asked(asked: &HashSet<Want>, want: &Want) -> bool {
    matches!(want, Want::Aside(object) if asked.contains(&Want::Object(object.clone())))
}

/// Reads one wave. Answers are taken in as they come, so that a cut-off keeps what was read.
async fn read(run: &Run, seen: &mut Seen, wave: Vec<Want>) {
    let calls = futures::stream::iter(wave).map(|want| async move {
        let answer = match want.call() {
            Some((tool, arguments)) => run.record(tool, arguments).await,
            None => Err("gather does not know this kind".to_owned()),
        };
        (want, answer)
    });
    let mut answers = calls.buffer_unordered(PARALLEL);
    while let Some((want, answer)) = answers.next().await {
        seen.take(&want, answer.as_deref().map_err(String::as_str));
    }
}
