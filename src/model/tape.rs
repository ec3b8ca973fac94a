//! Tape: what was said between Firstlook and a model's provider, kept to be played again without a network.
//!
//! One file holds one run: a line that says what it is, then one line for each exchange in order, with the request's body
//! and the assembled completion or the error. Secrets are taken out of both; headers and addresses are never in it.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::{Class, ModelError};
use crate::redact::Redactor;

/// The format of the lines; a file of another one is refused.
const FORMAT: u32 = 1;

/// The most of a differing line that is shown, in characters.
const SHOWN_CHARS: usize = 120;

/// One run's recording, being written or being played.
#[derive(Debug)]
pub struct Tape {
    redactor: Redactor,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    side: Side,
    exchanges: usize,
    /// What the played exchanges took when they were recorded.
    waited: Duration,
    problem: Option<String>,
}

#[derive(Debug)]
enum Side {
    Records(File),
    Plays(VecDeque<Exchange>),
}

/// One line: a request with its completion or its error; with neither, the run's time was over before either came.
#[derive(Debug, Serialize, Deserialize)]
struct Exchange {
    request: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    completion: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<ModelError>,
    seconds: f64,
}

/// The first line.
#[derive(Debug, Deserialize)]
struct Label {
    format: u32,
}

impl Tape {
    /// Begins a recording, in place of an older one. `about` says in the first line what is recorded.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn record(path: &Path, about: &Value) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = File::create(path)?;
        let label = json!({"format": FORMAT, "firstlook": env!("CARGO_PKG_VERSION"), "about": about});
        writeln!(file, "{label}")?;
        Ok(Self::new(Side::Records(file)))
    }

    /// Reads a recording to play it.
    ///
    /// # Errors
    /// When the file cannot be read or is no recording of this format.
    pub fn replay(path: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(path)?;
        let mut lines = text.lines();
        let label: Label = serde_json::from_str(lines.next().unwrap_or_default())?;
        if label.format != FORMAT {
            let problem = format!("format {}, and this version plays {FORMAT}: record it again", label.format);
            return Err(io::Error::other(problem));
        }
        let exchanges = lines.map(serde_json::from_str).collect::<Result<_, _>>()?;
        Ok(Self::new(Side::Plays(exchanges)))
    }

    fn new(side: Side) -> Self {
        let state = State { side, exchanges: 0, waited: Duration::ZERO, problem: None };
        Self { redactor: Redactor::default(), state: Mutex::new(state) }
    }

    /// What kept the run from being recorded, or from being the recorded one; asked when the run is over.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let state = self.state();
        let left = match &state.side {
            Side::Plays(left) if !left.is_empty() => {
                Some(format!("the run ended after {} of {}", requests(state.exchanges), state.exchanges + left.len()))
            }
            _ => None,
        };
        state.problem.clone().or(left)
    }

    /// How long the model took for what was played, when it was recorded.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.state().waited
    }

    /// One exchange: asks and keeps what comes back, or gives back what was kept for the same request.
    pub(super) async fn exchange(
        &self,
        model: &str,
        body: &[u8],
        ask: impl Future<Output = Result<Value, ModelError>>,
    ) -> Result<Value, ModelError> {
        let request = self.normalised(body);
        if matches!(self.state().side, Side::Plays(_)) {
            let misfit =
                |problem| ModelError::new(model, Class::Config, format!("the recording does not fit: {problem}"));
            return self.play(&request).map_err(misfit)?;
        }
        // Dropped in the middle when the run's time is over; the line is written all the same.
        let mut kept = Kept { tape: self, request, outcome: None, started: Instant::now() };
        let outcome = ask.await;
        kept.outcome = Some(outcome.clone());
        outcome
    }

    /// A request as it is kept and compared: without secrets, and without the tag that is new in every run.
    fn normalised(&self, body: &[u8]) -> Value {
        let mut request = serde_json::from_slice(body).unwrap_or_default();
        self.redactor.redact_value(&mut request);
        each_text(&mut request, &|text| {
            if let Some(tag) = TAG.as_ref().filter(|tag| tag.is_match(text)) {
                *text = tag.replace_all(text, "data-of-this-run").into_owned();
            }
        });
        request
    }

    fn play(&self, request: &Value) -> Result<Result<Value, ModelError>, String> {
        let mut state = self.state();
        if let Some(problem) = &state.problem {
            return Err(problem.clone());
        }
        state.exchanges += 1;
        let number = state.exchanges;
        let Side::Plays(exchanges) = &mut state.side else { return Err("it is still being written".to_owned()) };
        let found = match exchanges.pop_front() {
            None => Err(format!("request {number} was never made when it was recorded")),
            Some(kept) => match difference("", &kept.request, request) {
                Some(difference) => Err(format!("request {number} differs at {difference}")),
                None => Ok(kept),
            },
        };
        let kept = match found {
            Ok(kept) => kept,
            Err(problem) => {
                state.problem = Some(problem.clone());
                return Err(problem);
            }
        };
        state.waited += Duration::try_from_secs_f64(kept.seconds).unwrap_or_default();
        match (kept.completion, kept.error) {
            (Some(completion), _) => Ok(Ok(completion)),
            (None, Some(error)) => Ok(Err(error.judged())),
            (None, None) => {
                let problem = format!("request {number} had no answer yet when the recorded run's time was over");
                state.problem = Some(problem.clone());
                Err(problem)
            }
        }
    }

    fn keep(&self, exchange: &Exchange) {
        let mut state = self.state();
        state.exchanges += 1;
        let Side::Records(file) = &mut state.side else { return };
        let written =
            serde_json::to_string(exchange).map_err(io::Error::from).and_then(|line| writeln!(file, "{line}"));
        if let Err(error) = written {
            state.problem = Some(format!("the recording could not be written: {error}"));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The envelope's tag: `agent/envelope.rs` makes it of 16 hexadecimal digits.
static TAG: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\bdata-[0-9a-f]{16}\b").ok());

/// An exchange that is written when it ends, however it ends.
struct Kept<'a> {
    tape: &'a Tape,
    request: Value,
    outcome: Option<Result<Value, ModelError>>,
    started: Instant,
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        let redactor = &self.tape.redactor;
        let (completion, error) = match self.outcome.take() {
            Some(Ok(mut completion)) => {
                redactor.redact_value(&mut completion);
                (Some(completion), None)
            }
            Some(Err(mut error)) => {
                error.detail = redactor.redact(&error.detail).into_owned();
                (None, Some(error))
            }
            None => (None, None),
        };
        // Milliseconds are enough, and short.
        let seconds = (self.started.elapsed().as_secs_f64() * 1e3).round() / 1e3;
        self.tape.keep(&Exchange { request: self.request.take(), completion, error, seconds });
    }
}

fn requests(count: usize) -> String {
    if count == 1 { "1 request".to_owned() } else { format!("{count} requests") }
}

fn each_text(value: &mut Value, change: &impl Fn(&mut String)) {
    match value {
        Value::String(text) => change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| each_text(item, change)),
        Value::Object(map) => map.values_mut().for_each(|item| each_text(item, change)),
        _ => {}
    }
}

/// Where two values first differ, and how: the path, in a text the line, and what stands there in both.
fn difference(path: &str, recorded: &Value, now: &Value) -> Option<String> {
    match (recorded, now) {
        (Value::Object(before), Value::Object(after)) => {
            let added = after.keys().filter(|key| !before.contains_key(*key));
            before.keys().chain(added).find_map(|key| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                difference_of(&path, before.get(key), after.get(key))
            })
        }
        (Value::Array(before), Value::Array(after)) => (0..before.len().max(after.len()))
            .find_map(|index| difference_of(&format!("{path}[{index}]"), before.get(index), after.get(index))),
        (Value::String(before), Value::String(after)) if before != after => Some(line_difference(path, before, after)),
        _ if recorded == now => None,
        _ => Some(format!("{path}: recorded {}, now {}", shown(recorded), shown(now))),
    }
}

fn difference_of(path: &str, recorded: Option<&Value>, now: Option<&Value>) -> Option<String> {
    match (recorded, now) {
        (Some(recorded), Some(now)) => difference(path, recorded, now),
        (Some(recorded), None) => Some(format!("{path}: recorded {}, now nothing", shown(recorded))),
        (None, Some(now)) => Some(format!("{path}: recorded nothing, now {}", shown(now))),
        (None, None) => None,
    }
}

fn line_difference(path: &str, before: &str, after: &str) -> String {
    let (mut before, mut after) = (before.split('\n'), after.split('\n'));
    let mut line = 1;
    loop {
        match (before.next(), after.next()) {
            (Some(one), Some(other)) if one == other => line += 1,
            (one, other) => {
                let text = |line: Option<&str>| line.map_or_else(|| "nothing".to_owned(), |line| shown(&line.into()));
                return format!("{path} line {line}: recorded {}, now {}", text(one), text(other));
            }
        }
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completion(text: &str) -> Value {
        json!({"choices": [{"message": {"role": "assistant", "content": text}}]})
    }

    fn body(text: &str) -> Vec<u8> {
        json!({"model": "m", "messages": [{"role": "user", "content": text}]}).to_string().into_bytes()
    }

    async fn never() -> Result<Value, ModelError> {
        panic!("a replay must not ask anybody")
    }

    /// Records exchanges and returns the file's path with the folder that holds it.
    async fn recorded(exchanges: Vec<(&str, Result<Value, ModelError>)>) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m/one.jsonl");
        let tape = Tape::record(&path, &json!({"scenario": "one"})).unwrap();
        for (text, outcome) in exchanges {
            assert_eq!(tape.exchange("m", &body(text), async { outcome.clone() }).await, outcome);
        }
        assert_eq!(tape.problem(), None);
        (folder, path)
    }

    #[tokio::test]
    async fn what_was_recorded_is_played_in_order_without_asking() {
        let refused = ModelError::refused("m", Some(429), Some(Duration::from_secs(2)), "slow down");
        let outcomes = [Err(refused), Ok(completion("done"))];
        let (_folder, path) = recorded(vec![("a", outcomes[0].clone()), ("a", outcomes[1].clone())]).await;
        let tape = Tape::replay(&path).unwrap();
        for outcome in outcomes {
            assert_eq!(tape.exchange("m", &body("a"), never()).await, outcome);
        }
        assert_eq!(tape.problem(), None);
    }

    #[tokio::test]
    async fn the_tag_of_a_run_is_no_difference_and_a_changed_line_is_named() {
        let (_folder, path) = recorded(vec![("x\n<data-0123456789abcdef>\nold", Ok(completion("done")))]).await;
        let tape = Tape::replay(&path).unwrap();
        assert!(tape.exchange("m", &body("x\n<data-fedcba9876543210>\nold"), never()).await.is_ok());

        let tape = Tape::replay(&path).unwrap();
        let error = tape.exchange("m", &body("x\n<data-fedcba9876543210>\nnew"), never()).await.unwrap_err();
        let problem = r#"request 1 differs at messages[0].content line 3: recorded "old", now "new""#;
        assert_eq!(tape.problem().as_deref(), Some(problem));
        assert_eq!((error.class, error.detail), (Class::Config, format!("the recording does not fit: {problem}")));
        let again = tape.exchange("m", &body("x"), never()).await.unwrap_err();
        assert!(again.detail.ends_with(problem), "after that nothing is played any more: {again}");
    }

    #[tokio::test]
    async fn a_run_that_asks_more_or_less_is_not_the_recorded_one() {
        let (_folder, path) = recorded(vec![("a", Ok(completion("1"))), ("b", Ok(completion("2")))]).await;
        let tape = Tape::replay(&path).unwrap();
        tape.exchange("m", &body("a"), never()).await.unwrap();
        assert_eq!(tape.problem().as_deref(), Some("the run ended after 1 request of 2"));
        tape.exchange("m", &body("b"), never()).await.unwrap();
        assert_eq!(tape.problem(), None);
        tape.exchange("m", &body("c"), never()).await.unwrap_err();
        assert_eq!(tape.problem().as_deref(), Some("request 3 was never made when it was recorded"));
    }

    #[tokio::test]
    async fn no_secret_is_kept_and_the_run_still_fits_its_recording() {
        let secret = "token: ghp_0123456789abcdefABCDEF0123456789abcd";
        let (_folder, path) = recorded(vec![(secret, Ok(completion(secret))), (secret, Ok(completion("done")))]).await;
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("ghp_0123") && text.contains("[REDACTED:"), "{text}");
        let tape = Tape::replay(&path).unwrap();
        let said = tape.exchange("m", &body(secret), never()).await.unwrap();
        // What the model is said to have said comes back in the next request, already without the secret.
        let echoed = said.pointer("/choices/0/message/content").and_then(Value::as_str).unwrap();
        tape.exchange("m", &body(echoed), never()).await.unwrap();
        assert_eq!(tape.problem(), None);
    }

    #[tokio::test]
    async fn an_exchange_that_was_cut_off_is_kept_as_such() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.jsonl");
        let tape = Tape::record(&path, &Value::Null).unwrap();
        let asked = body("a");
        let mut cut = Box::pin(tape.exchange("m", &asked, std::future::pending()));
        assert!(futures::poll!(&mut cut).is_pending());
        std::thread::sleep(Duration::from_millis(2));
        drop(cut);
        let tape = Tape::replay(&path).unwrap();
        tape.exchange("m", &body("a"), never()).await.unwrap_err();
        let problem = tape.problem().unwrap();
        assert!(problem.contains("no answer yet when the recorded run's time was over"), "{problem}");
        assert!(tape.waited() > Duration::ZERO);
    }

    #[test]
    fn differences_say_where_and_what() {
        let cases = [
            (json!({"a": 1}), json!({"a": 1, "b": [2]}), "b: recorded nothing, now [2]"),
            (json!({"a": [1, 2]}), json!({"a": [1]}), "a[1]: recorded 2, now nothing"),
            (json!({"a": {"b": true}}), json!({"a": {"b": false}}), "a.b: recorded true, now false"),
            (json!({"a": "x\ny"}), json!({"a": "x"}), "a line 2: recorded \"y\", now nothing"),
        ];
        for (recorded, now, expected) in cases {
            assert_eq!(difference("", &recorded, &now).as_deref(), Some(expected));
            assert_eq!(difference("", &now, &now), None);
        }
    }

    #[test]
    fn another_format_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.jsonl");
        fs::write(&path, "{\"format\":99}\n").unwrap();
        assert!(Tape::replay(&path).unwrap_err().to_string().contains("record it again"));
        fs::write(&path, "hello\n").unwrap();
        assert!(Tape::replay(&path).is_err());
    }
}
