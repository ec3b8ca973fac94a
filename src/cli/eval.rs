//! `firstlook eval`: scenario directories run and scored, per model.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::CliError;
use super::score::{self, Score};
use super::triage::{Setup, snapshot_server};
use crate::alert::Lang;
use crate::intake::{self, Limits};
use crate::model::ModelConfig;
use crate::report::Report;
use crate::telemetry::progress;

/// Arguments of `eval`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file whose models are scored; the playbook alone without one.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Language of the reports.
    #[arg(long)]
    lang: Option<Lang>,
    /// How to print the scores.
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
    /// Scenario directories, or directories that hold some.
    #[arg(required = true)]
    dirs: Vec<PathBuf>,
}

/// How scores are printed.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// For programs, with every report.
    Json,
}

/// One scenario, one model.
#[derive(Debug, Serialize)]
struct Row {
    model: String,
    scenario: String,
    score: Score,
    reasons: Vec<String>,
    tool_calls: u32,
    turns: u32,
    tokens: u64,
    seconds: f64,
    report: Report,
}

/// All scenarios of one model.
#[derive(Debug, Serialize)]
struct Total {
    model: String,
    scenarios: usize,
    right: usize,
    wrong: usize,
    confidently_wrong: usize,
    false_alarm: usize,
    tool_calls: u32,
    turns: u32,
    tokens: u64,
    seconds: f64,
}

/// Runs and scores.
pub(super) async fn run(arguments: Arguments) -> Result<(), CliError> {
    let setup = Setup::load(arguments.config.as_deref(), arguments.lang)?;
    let scenarios = scenarios(&arguments.dirs)?;
    let contestants: Vec<Vec<ModelConfig>> = if setup.models.is_empty() {
        vec![Vec::new()]
    } else {
        setup.models.iter().map(|model| vec![model.clone()]).collect()
    };
    let mut rows = Vec::new();
    let all = contestants.len() * scenarios.len();
    for models in &contestants {
        for dir in &scenarios {
            super::stage(&format!("{}/{all} {} {}", rows.len() + 1, contestant(models), name_of(dir)));
            rows.push(one(&setup, models, dir).await?);
        }
    }
    progress::clear();
    let totals = totals(&rows);
    match arguments.output {
        Format::Table => print!("{}", table(&rows, &totals)),
        Format::Json => {
            let json = serde_json::json!({"scenarios": rows, "totals": totals});
            println!("{}", serde_json::to_string_pretty(&json).map_err(CliError::failed)?);
        }
    }
    Ok(())
}

/// The scenario directories among the arguments and directly below them, in order of name.
fn scenarios(dirs: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    let mut found = Vec::new();
    for dir in dirs {
        if is_scenario(dir) {
            found.push(dir.clone());
            continue;
        }
        let entries = std::fs::read_dir(dir).map_err(|error| CliError::Usage(format!("{}: {error}", dir.display())))?;
        let mut below: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_scenario(path)).collect();
        if below.is_empty() {
            let problem = "holds no scenario; one is a directory with objects.json, alert.json and truth.json";
            return Err(CliError::Usage(format!("{} {problem}", dir.display())));
        }
        below.sort();
        found.append(&mut below);
    }
    Ok(found)
}

fn is_scenario(dir: &Path) -> bool {
    dir.join("objects.json").is_file() && dir.join("alert.json").is_file()
}

/// Who is scored: a model, or the playbook alone.
fn contestant(models: &[ModelConfig]) -> String {
    models.first().map_or_else(|| "playbook".to_owned(), |model| model.name.clone())
}

/// A scenario's name: its directory's.
fn name_of(dir: &Path) -> String {
    dir.file_name().map_or_else(|| dir.display().to_string(), |name| name.to_string_lossy().into_owned())
}

async fn one(setup: &Setup, models: &[ModelConfig], dir: &Path) -> Result<Row, CliError> {
    let (truth, objects) = score::load(dir).map_err(CliError::Usage)?;
    let alert = dir.join("alert.json");
    let wrong = |problem: &dyn std::fmt::Display| CliError::Usage(format!("{}: {problem}", alert.display()));
    let body = std::fs::read(&alert).map_err(|error| wrong(&error))?;
    let group = intake::alertmanager::parse(&body, &Limits::default()).map_err(|error| wrong(&error))?;
    let triage = setup.triage(models, &[snapshot_server(dir)])?;
    let (report, _) = triage.run(&group).await;
    let (score, reasons) = score::score(&truth, &report, &objects);
    let usage = &report.usage;
    Ok(Row {
        model: contestant(models),
        scenario: name_of(dir),
        score,
        reasons,
        tool_calls: usage.tool_calls,
        turns: usage.turns,
        tokens: usage.prompt_tokens + usage.completion_tokens,
        seconds: usage.seconds,
        report,
    })
}

fn totals(rows: &[Row]) -> Vec<Total> {
    let mut models: Vec<&str> = rows.iter().map(|row| row.model.as_str()).collect();
    models.dedup();
    models
        .into_iter()
        .map(|model| {
            let own: Vec<&Row> = rows.iter().filter(|row| row.model == model).collect();
            let count = |score| own.iter().filter(|row| row.score == score).count();
            Total {
                model: model.to_owned(),
                scenarios: own.len(),
                right: count(Score::Right),
                wrong: count(Score::Wrong),
                confidently_wrong: count(Score::ConfidentlyWrong),
                false_alarm: count(Score::FalseAlarm),
                tool_calls: own.iter().map(|row| row.tool_calls).sum(),
                turns: own.iter().map(|row| row.turns).sum(),
                tokens: own.iter().map(|row| row.tokens).sum(),
                seconds: own.iter().map(|row| row.seconds).sum(),
            }
        })
        .collect()
}

fn table(rows: &[Row], totals: &[Total]) -> String {
    let mut out = format!(
        "{:<12} {:<32} {:<18} {:>5} {:>5} {:>8} {:>8}\n",
        "MODEL", "SCENARIO", "SCORE", "CALLS", "TURNS", "TOKENS", "SECONDS"
    );
    for row in rows {
        let Row { model, scenario, score, tool_calls, turns, tokens, seconds, .. } = row;
        out += &format!(
            "{model:<12} {scenario:<32} {:<18} {tool_calls:>5} {turns:>5} {tokens:>8} {seconds:>8.2}\n",
            score.label()
        );
        for reason in &row.reasons {
            out += &format!("{:<13}- {reason}\n", "");
        }
    }
    for total in totals {
        let Total {
            model,
            scenarios,
            right,
            wrong,
            confidently_wrong,
            false_alarm,
            tool_calls,
            turns,
            tokens,
            seconds,
        } = total;
        let score = format!("{right}/{scenarios} right");
        out +=
            &format!("{model:<12} {:<32} {score:<18} {tool_calls:>5} {turns:>5} {tokens:>8} {seconds:>8.2}\n", "TOTAL");
        out += &format!("{:<13}{wrong} wrong, {confidently_wrong} confidently wrong, {false_alarm} false alarms\n", "");
    }
    out
}
