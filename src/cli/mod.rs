//! The command line: arguments to calls, and nothing else.

mod check;
mod debug;
mod demo;
mod eval;
mod examination;
mod reload;
mod render;
mod scenario;
mod serve;
mod service;
mod triage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use thiserror::Error;

use crate::alert::Lang;
use crate::config;
use crate::telemetry::{self, LogFormat, Occasion, progress};

/// A true first look at every alert, before it reaches the group chat.
#[derive(Debug, Parser)]
#[command(name = "firstlook", version, about)]
struct Arguments {
    /// Write logs as JSON.
    #[arg(long, global = true)]
    log_json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take alerts, investigate them, tell people.
    Serve {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
    },
    /// Investigate a recorded broken cluster: no network, no cluster, no key.
    Demo(demo::Arguments),
    /// Print the report of a webhook body.
    Triage(triage::Arguments),
    /// Print the message a channel would get about a scenario: try layout and language without sending anything.
    Render(render::Arguments),
    /// Run scenario directories and score the reports.
    Eval(eval::Arguments),
    /// Try every model, MCP server, channel and the store of a configuration; say what to do about what fails.
    Check(check::Arguments),
    /// Print the JSON schema of the configuration file, for editors.
    ConfigSchema,
    /// Look at single parts of the program, for those who work on it.
    #[command(subcommand, hide = true)]
    Debug(debug::Command),
}

impl Command {
    fn occasion(&self) -> Occasion {
        match self {
            Self::Serve { .. } => Occasion::Service,
            Self::Demo(_) | Self::Triage(_) | Self::Render(_) | Self::Eval(_) => Occasion::Result,
            Self::Check(_) | Self::ConfigSchema | Self::Debug(_) => Occasion::Verdict,
        }
    }
}

fn config_schema() -> Result<ExitCode, CliError> {
    println!("{}", serde_json::to_string_pretty(&config::schema()).map_err(CliError::failed)?);
    Ok(ExitCode::SUCCESS)
}

/// Says on a terminal what is being done now.
fn stage(what: &str) {
    tracing::debug!(target: progress::TARGET, stage = what);
}

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// For people.
    Markdown,
    /// For programs.
    Json,
}

/// Why a command ended without its result.
#[derive(Debug, Error)]
enum CliError {
    /// The arguments or the configuration are wrong.
    #[error("{0}")]
    Usage(String),
    /// The work failed.
    #[error("{0}")]
    Failed(String),
}

impl CliError {
    fn usage(error: impl ToString) -> Self {
        Self::Usage(error.to_string())
    }

    fn failed(error: impl ToString) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Runs the command line. Exit codes: 0 done, 1 the work failed, 2 wrong usage or configuration.
pub async fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            // Help goes to standard output, complaints to standard error; a closed pipe is no reason to fail.
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    // One TLS provider for every client. A second installation only happens in tests of this process and changes nothing.
    crate::trust::cryptography();
    let format = if arguments.log_json { LogFormat::Json } else { LogFormat::Text };
    if let Err(error) = telemetry::init_logging(format, arguments.command.occasion()) {
        eprintln!("firstlook: {error}");
        return ExitCode::from(2);
    }
    let outcome = match arguments.command {
        Command::Serve { config } => serve::run(&config).await.map(|()| ExitCode::SUCCESS),
        Command::Demo(arguments) => demo::run(arguments).await,
        Command::Triage(arguments) => triage::run(arguments).await.map(|()| ExitCode::SUCCESS),
        Command::Render(arguments) => render::run(arguments).await.map(|()| ExitCode::SUCCESS),
        Command::Eval(arguments) => eval::run(arguments).await.map(|()| ExitCode::SUCCESS),
        Command::Check(arguments) => check::run(arguments).await,
        Command::ConfigSchema => config_schema(),
        Command::Debug(command) => debug::run(&command),
    };
    progress::clear();
    outcome.unwrap_or_else(|error| {
        eprintln!("firstlook: {error}");
        ExitCode::from(match error {
            CliError::Usage(_) => 2,
            CliError::Failed(_) => 1,
        })
    })
}

/// The language of a command without a configuration: the one asked for, else English where the locale says so, else
/// Chinese, the default of the configuration.
fn language(asked: Option<Lang>) -> Lang {
    let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    asked.unwrap_or_else(|| if locale.is_some_and(|value| value.starts_with("en")) { Lang::En } else { Lang::Zh })
}
