//! `firstlook eval`: scenario directories run and scored, for the playbook alone and for each model.

mod contest;
mod page;
mod score;
mod table;
mod totals;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use futures::{StreamExt, TryStreamExt, stream};

use super::CliError;
use super::triage::Setup;
use crate::alert::Lang;
use crate::telemetry::progress;
use contest::{Contest, Row, Tapes};
use totals::Total;

/// Arguments of `eval`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file whose models are scored beside the playbook; the playbook alone without one.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Language of the reports.
    #[arg(long)]
    lang: Option<Lang>,
    /// How to print the scores.
    #[arg(long, value_enum, default_value = "table")]
    output: Format,
    /// Leave out the playbook alone, which is scored for comparison.
    #[arg(long)]
    no_playbook: bool,
    /// How often a model runs each scenario; pass^k is the chance that k runs of one are all right.
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,
    /// How many runs go on at the same time. More end sooner, but wait for each other and meet rate limits.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    concurrency: u32,
    /// Keep every exchange with a model in this directory, without secrets.
    #[arg(long, value_name = "DIR", conflicts_with = "replay")]
    record: Option<PathBuf>,
    /// Play the exchanges recorded in this directory, without network.
    #[arg(long, value_name = "DIR")]
    replay: Option<PathBuf>,
    /// End with exit code 1 when a contestant has less than this share of its runs right.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    fail_under: Option<u8>,
    /// Scenario directories, or directories that hold some.
    #[arg(required = true)]
    dirs: Vec<PathBuf>,
}

/// How scores are printed.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// For a page: what each run read and took.
    Markdown,
    /// For programs, with every report.
    Json,
}

/// Runs and scores.
pub(super) async fn run(arguments: Arguments) -> Result<(), CliError> {
    let setup = Setup::load(arguments.config.as_deref(), arguments.lang)?;
    let scenarios = scenarios(&arguments.dirs)?;
    let tapes = match (&arguments.record, &arguments.replay) {
        (Some(folder), _) => Some(Tapes::Record(folder.clone())),
        (None, Some(folder)) => Some(Tapes::Replay(folder.clone())),
        (None, None) => None,
    };
    let contest = Contest::new(&setup, !arguments.no_playbook, tapes);
    let rows = all(&contest, &scenarios, &arguments).await?;
    progress::clear();
    let totals = totals::of(&contest.names(), &rows);
    match arguments.output {
        Format::Table => print!("{}", table::table(&rows, &totals)),
        Format::Markdown => print!("{}", page::page(&rows, &totals)),
        Format::Json => {
            let json = serde_json::json!({"scenarios": rows, "totals": totals});
            println!("{}", serde_json::to_string_pretty(&json).map_err(CliError::failed)?);
        }
    }
    verdict(&totals, arguments.fail_under)
}

/// Every run of every contestant, in the order they are told in, whichever ends first.
async fn all(contest: &Contest<'_>, scenarios: &[PathBuf], arguments: &Arguments) -> Result<Vec<Row>, CliError> {
    let entries = contest.entries(scenarios, arguments.repeat);
    let count = entries.len();
    let runs = entries.into_iter().enumerate().map(|(index, entry)| async move {
        super::stage(&format!("{}/{count} {}", index + 1, entry.title()));
        contest.run(&entry).await
    });
    stream::iter(runs).buffered(usize::try_from(arguments.concurrency).unwrap_or(1)).try_collect().await
}

/// Wrong answers are a result like any other; what could not be judged is none.
fn verdict(totals: &[Total], fail_under: Option<u8>) -> Result<(), CliError> {
    let unplayed: usize = totals.iter().map(|total| total.unplayed).sum();
    if unplayed > 0 {
        let advice = "the table says where; record again with --record once the difference is meant";
        return Err(CliError::Failed(format!("{unplayed} run(s) do not fit their recording: {advice}")));
    }
    let low = |total: &&Total| fail_under.is_some_and(|percent| total.right * 100 < total.runs * usize::from(percent));
    match totals.iter().find(low) {
        Some(Total { model, right, runs, .. }) => Err(CliError::Failed(format!(
            "{model} has {right} of {runs} right, less than the {} % asked for",
            fail_under.unwrap_or_default()
        ))),
        None => Ok(()),
    }
}

/// The scenario directories among the arguments and directly below them, in order of their numbers and names.
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
        below.sort_by_cached_key(|path| place(path));
        found.append(&mut below);
    }
    Ok(found)
}

/// A directory's number, when its name begins with one, and its name: 97 comes before 100.
fn place(dir: &Path) -> (u64, String) {
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let digits = name.find(|letter: char| !letter.is_ascii_digit()).map_or(name.as_str(), |end| &name[..end]);
    (digits.parse().unwrap_or(u64::MAX), name)
}

fn is_scenario(dir: &Path) -> bool {
    dir.join("objects.json").is_file() && dir.join("alert.json").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_come_in_order_of_their_numbers_and_those_without_one_last() {
        let mut names = ["100-late", "97-early", "own", "02-first"].map(PathBuf::from);
        names.sort_by_cached_key(|path| place(path));
        assert_eq!(names.map(|path| path.display().to_string()), ["02-first", "97-early", "100-late", "own"]);
    }
}
