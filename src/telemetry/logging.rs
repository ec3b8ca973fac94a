//! Logs: to standard error, because standard output carries results; filtered by the environment; text or JSON.

use std::io::IsTerminal;

use thiserror::Error;
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use super::progress;

/// What the process was started for. Decides what is logged when nobody says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// A service: our own doings, and of libraries only what went wrong.
    Service,
    /// A person waits for a result: what went wrong, and progress on a terminal.
    Result,
    /// The result itself says what went wrong: nothing but defects of ours, and progress on a terminal.
    Verdict,
}

impl Occasion {
    fn default_filter(self) -> &'static str {
        match self {
            Self::Service => "warn,firstlook=info",
            Self::Result => "warn",
            Self::Verdict => "off,firstlook=error",
        }
    }
}

/// Never logged, whatever the filter says: the one writes whole request and answer bodies, which hold cluster data, the
/// other addresses of MCP servers, which can hold tokens. What they report reaches the log in our own words.
const NEVER: &str = "async_openai=off,rmcp=off";

/// The variables that hold a filter, the first that is set counts.
const FILTER_VARIABLES: [&str; 2] = ["FIRSTLOOK_LOG", "RUST_LOG"];

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line, for collectors.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// The filter is none.
    #[error(
        "{variable} is no log filter ({cause}); write for example {variable}=info or {variable}=warn,firstlook=debug"
    )]
    Filter {
        /// The variable that holds it.
        variable: &'static str,
        /// What is wrong with it.
        cause: tracing_subscriber::filter::ParseError,
    },
    /// It was set up before.
    #[error("logging was already set up: {0}")]
    Twice(#[from] TryInitError),
}

/// Sends all logs of this process to standard error. Called once, before anything else.
///
/// # Errors
/// When `FIRSTLOOK_LOG` or `RUST_LOG` holds no filter, or logging is set up already.
pub fn init_logging(format: LogFormat, occasion: Occasion) -> Result<(), LoggingError> {
    let filter = filter(occasion, |name| std::env::var(name).ok())?;
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let shows_progress = occasion != Occasion::Service && format == LogFormat::Text;
    let progress = shows_progress.then(progress::on_terminal).flatten();
    let writer = || {
        progress::clear();
        std::io::stderr()
    };
    let of_progress = Targets::new().with_target(progress::TARGET, Level::DEBUG);
    subscriber(format, filter, color, writer).with(progress.with_filter(of_progress)).try_init()?;
    Ok(())
}

fn filter(occasion: Occasion, variable: impl Fn(&str) -> Option<String>) -> Result<EnvFilter, LoggingError> {
    let given = FILTER_VARIABLES
        .iter()
        .find_map(|name| variable(name).filter(|filter| !filter.trim().is_empty()).map(|filter| (*name, filter)));
    let (name, text) = given.unwrap_or((FILTER_VARIABLES[0], occasion.default_filter().to_owned()));
    let parse = |text: &str| EnvFilter::try_new(text);
    parse(&format!("{text},{NEVER}")).map_err(|cause| LoggingError::Filter { variable: name, cause })
}

fn subscriber<W>(
    format: LogFormat,
    filter: EnvFilter,
    color: bool,
    writer: W,
) -> impl Subscriber + for<'s> LookupSpan<'s> + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = match format {
        LogFormat::Text => fmt::layer().with_ansi(color).with_writer(writer).boxed(),
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
    };
    Registry::default().with(lines.with_filter(filter))
}

#[cfg(test)]
mod tests {

    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter_text: &str, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let filter = filter(Occasion::Service, |name| (name == "RUST_LOG").then(|| filter_text.to_owned())).unwrap();
        tracing::subscriber::with_default(subscriber(format, filter, false, move || writer.clone()), log);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn request_bodies_are_never_logged() {
        for asked in ["trace", "async_openai=trace"] {
            let text = logged(LogFormat::Text, asked, || {
                tracing::error!(target: "async_openai", "a body");
                tracing::error!(target: "async_openai::client", "a body");
            });
            assert_eq!(text, "", "RUST_LOG={asked}");
        }
    }

    #[test]
    fn a07_a_line_cannot_forge_another() {
        let evil = "x\n2026-11-23T00:00:00Z ERROR firstlook: forged \u{1b}[31m";
        let json = logged(LogFormat::Json, "info", || tracing::info!(alert = evil, "received"));
        assert_eq!(json.lines().count(), 1);
        let line: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((line["message"].as_str(), line["alert"].as_str()), (Some("received"), Some(evil)));
        let text = logged(LogFormat::Text, "info", || tracing::info!(alert = evil, "received"));
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn without_a_filter_we_are_heard_and_libraries_only_warn() {
        let text = logged(LogFormat::Text, "", || {
            tracing::info!("heard");
            tracing::info!(target: "sqlx::query", "unheard");
            tracing::warn!(target: "sqlx::query", "slow");
        });
        assert!(text.contains("heard") && text.contains("slow") && !text.contains("unheard"), "{text}");
    }

    #[test]
    fn a_wrong_filter_names_its_variable() {
        let error = filter(Occasion::Service, |name| (name == "FIRSTLOOK_LOG").then(|| "firstlook=loud".to_owned()))
            .unwrap_err();
        assert!(error.to_string().starts_with("FIRSTLOOK_LOG is no log filter"), "{error}");
    }
}
