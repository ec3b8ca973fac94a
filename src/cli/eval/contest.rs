//! The contest: who runs which scenario how often, and what came of one run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::score::{self, Score};
use crate::cli::CliError;
use crate::cli::triage::{Setup, snapshot_server};
use crate::intake::{self, Limits};
use crate::model::{ModelConfig, Tape};
use crate::report::Report;

/// The name of the contestant without a model.
const PLAYBOOK: &str = "playbook";

/// Where recordings go to or come from: `DIR/MODEL/SCENARIO.RUN.jsonl`.
#[derive(Debug)]
pub(super) enum Tapes {
    /// Exchanges are kept.
    Record(PathBuf),
    /// They are played.
    Replay(PathBuf),
}

/// Everybody who takes part.
pub(super) struct Contest<'a> {
    setup: &'a Setup,
    contestants: Vec<Contestant>,
    tapes: Option<Tapes>,
}

/// The playbook alone, or a model.
struct Contestant {
    name: String,
    model: Option<ModelConfig>,
}

/// One run to come.
pub(super) struct Entry<'a> {
    contestant: &'a Contestant,
    scenario: &'a Path,
    run: u32,
}

/// One run of one scenario by one contestant.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) model: String,
    pub(super) scenario: String,
    /// Which of the repetitions, from 1.
    pub(super) run: u32,
    pub(super) score: Score,
    pub(super) reasons: Vec<String>,
    /// Whether the model submitted a diagnosis itself; without one the playbook's is what is scored.
    pub(super) answered: bool,
    pub(super) tool_calls: u32,
    pub(super) turns: u32,
    pub(super) tokens: u64,
    /// In the currency of the model's prices; 0 where none are known.
    pub(super) cost: f64,
    /// Wall-clock; for a replayed run, with what the model took when it was recorded.
    pub(super) seconds: f64,
    /// Bytes of all tool results, before they were cut to size.
    pub(super) read_bytes: u64,
    /// Bytes of the facts the playbook made of them, as a model is told.
    pub(super) facts_bytes: usize,
    pub(super) report: Report,
}

impl<'a> Contest<'a> {
    /// The models of a setup, and the playbook alone where it is wanted or there is no model.
    pub(super) fn new(setup: &'a Setup, playbook: bool, tapes: Option<Tapes>) -> Self {
        let mut contestants = Vec::new();
        if playbook || setup.models.is_empty() {
            contestants.push(Contestant { name: PLAYBOOK.to_owned(), model: None });
        }
        let models = setup.models.iter();
        contestants.extend(models.map(|model| Contestant { name: model.name.clone(), model: Some(model.clone()) }));
        Self { setup, contestants, tapes }
    }

    /// Names of the contestants, in order.
    pub(super) fn names(&self) -> Vec<&str> {
        self.contestants.iter().map(|contestant| contestant.name.as_str()).collect()
    }

    /// All runs. The playbook is code, and the same twice: it runs each scenario once.
    pub(super) fn entries(&'a self, scenarios: &'a [PathBuf], repeat: u32) -> Vec<Entry<'a>> {
        let mut entries = Vec::new();
        for contestant in &self.contestants {
            let runs = if contestant.model.is_some() { repeat } else { 1 };
            for scenario in scenarios {
                entries.extend((1..=runs).map(|run| Entry { contestant, scenario, run }));
            }
        }
        entries
    }

    /// Runs one and scores it.
    pub(super) async fn run(&self, entry: &Entry<'_>) -> Result<Row, CliError> {
        let dir = entry.scenario;
        let (truth, objects) = score::load(dir).map_err(CliError::Usage)?;
        let alert = dir.join("alert.json");
        let wrong = |problem: &dyn std::fmt::Display| CliError::Usage(format!("{}: {problem}", alert.display()));
        let body = std::fs::read(&alert).map_err(|error| wrong(&error))?;
        let group = intake::alertmanager::parse(&body, &Limits::default()).map_err(|error| wrong(&error))?;
        let tape = self.tape(entry)?;
        let models: Vec<ModelConfig> = entry.contestant.model.iter().cloned().collect();
        let triage = self.setup.triage(&models, &[snapshot_server(dir)], tape.clone())?;
        let look = triage.look(&group, Vec::new()).await;
        let report = triage.reason(&look).await;
        let scored = match tape.as_ref().and_then(|tape| tape.problem()) {
            Some(problem) => (Score::Unplayed, vec![problem]),
            None => score::score(&truth, &report, &objects),
        };
        let row = entry.row(scored, report, tape.as_deref());
        Ok(Row { facts_bytes: look.facts().iter().map(String::len).sum(), ..row })
    }

    /// The tape of a run; the playbook says nothing to anybody.
    fn tape(&self, entry: &Entry<'_>) -> Result<Option<Arc<Tape>>, CliError> {
        let (Some(tapes), Some(_)) = (&self.tapes, &entry.contestant.model) else { return Ok(None) };
        let tape = match tapes {
            Tapes::Record(folder) => {
                let path = entry.file(folder);
                let about =
                    json!({"model": entry.contestant.name, "scenario": entry.scenario_name(), "run": entry.run});
                Tape::record(&path, &about).map_err(|error| CliError::Failed(format!("{}: {error}", path.display())))?
            }
            Tapes::Replay(folder) => {
                let path = entry.file(folder);
                Tape::replay(&path).map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))?
            }
        };
        Ok(Some(Arc::new(tape)))
    }
}

impl Entry<'_> {
    /// Who and what, for the line of progress.
    pub(super) fn title(&self) -> String {
        format!("{} {}", self.contestant.name, self.scenario_name())
    }

    fn scenario_name(&self) -> String {
        self.scenario
            .file_name()
            .map_or_else(|| self.scenario.display().to_string(), |name| name.to_string_lossy().into_owned())
    }

    fn file(&self, folder: &Path) -> PathBuf {
        // A model may be called `Qwen/Qwen3-30B-A3B`; it is one folder all the same, and below this one.
        let safe = |name: &str| name.replace(['/', '\\'], "_").trim_start_matches('.').to_owned();
        folder.join(safe(&self.contestant.name)).join(format!("{}.{}.jsonl", safe(&self.scenario_name()), self.run))
    }

    fn row(&self, (score, mut reasons): (Score, Vec<String>), report: Report, tape: Option<&Tape>) -> Row {
        let usage = &report.usage;
        let answered = self.contestant.model.is_none() || usage.stopped_by == "submitted";
        if !answered && score != Score::Unplayed {
            reasons.push(format!("the model gave no answer ({}), the playbook's was scored", usage.stopped_by));
        }
        let waited = tape.map(Tape::waited).unwrap_or_default().as_secs_f64();
        Row {
            model: self.contestant.name.clone(),
            scenario: self.scenario_name(),
            run: self.run,
            score,
            reasons,
            answered,
            tool_calls: usage.tool_calls,
            turns: usage.turns,
            tokens: usage.prompt_tokens + usage.completion_tokens,
            cost: usage.cost,
            seconds: usage.seconds + waited,
            read_bytes: report.evidence.iter().map(|entry| entry.bytes as u64).sum(),
            facts_bytes: 0,
            report,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_lies_below_its_folder_whatever_the_model_is_called() {
        let contestant = Contestant { name: "../Qwen/Qwen3".to_owned(), model: None };
        let entry = Entry { contestant: &contestant, scenario: Path::new("scenarios/03-oomkilled"), run: 2 };
        assert_eq!(entry.file(Path::new("kept")), Path::new("kept/_Qwen_Qwen3/03-oomkilled.2.jsonl"));
    }
}
