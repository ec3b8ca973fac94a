//! A program of our own choosing, spoken to through its standard input and output. It ends with the session.

use std::process::Stdio;
use std::time::Duration;

use futures::StreamExt;
use rmcp::ServiceExt;
use rmcp::transport::TokioChildProcess;
use tokio::process::{ChildStderr, Command};
use tokio::task::JoinHandle;
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};

use super::error::DialError;
use super::session::{Connection, LastWords};
use crate::redact::redact;

/// Longest line of standard error that is kept, in bytes; the rest of a longer one is dropped.
const LINE_LIMIT: usize = 2_000;
/// Lines of standard error that are logged per session; a program that complains forever must not fill a disk.
const LOGGED_LINES: usize = 1_000;
/// How a line begins that explains why a program ended; after it often stands how to call the program.
const TELLING: [&str; 3] = ["error", "fatal", "panic"];
/// A program that ended has its last lines in the pipe; so long they are waited for.
const LAST_WORDS_LIMIT: Duration = Duration::from_millis(200);

/// A program and its arguments.
pub(super) struct Program(Vec<String>);

impl Program {
    pub(super) fn new(command: &[String]) -> Self {
        Self(command.to_vec())
    }

    /// Starts it and initializes a session.
    pub(super) async fn start(&self) -> Result<Connection, DialError> {
        let name = self.0.first().map(String::as_str).unwrap_or_default();
        let mut command = Command::new(name);
        command.args(self.0.iter().skip(1)).kill_on_drop(true);
        let (transport, stderr) =
            TokioChildProcess::builder(command).stderr(Stdio::piped()).spawn().map_err(|error| {
                let problem = format!("cannot start `{name}`: {error}; install it, or give its whole path in command");
                DialError { problem, speaks_otherwise: false }
            })?;
        let last_words = LastWords::default();
        let drained = stderr.map(|stderr| drain(stderr, name.to_owned(), last_words.clone()));
        match ().serve(transport).await {
            Ok(service) => Ok(Connection { service, last_words, _kept: None }),
            Err(error) => {
                if let Some(drained) = drained {
                    let _ = tokio::time::timeout(LAST_WORDS_LIMIT, drained).await;
                }
                Err(DialError::from(error).with(&last_words))
            }
        }
    }
}

/// Reads standard error until it ends: a full pipe would stop the program.
fn drain(stderr: ChildStderr, program: String, last_words: LastWords) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut lines = FramedRead::new(stderr, LinesCodec::new_with_max_length(LINE_LIMIT));
        let mut logged = 0;
        let mut has_told = false;
        while let Some(line) = lines.next().await {
            let line = match line {
                Ok(line) => redact(&line).into_owned(),
                Err(LinesCodecError::MaxLineLengthExceeded) => "[a line too long to keep]".to_owned(),
                Err(LinesCodecError::Io(_)) => return,
            };
            if logged < LOGGED_LINES {
                tracing::debug!(mcp.program = %program, "{line}");
                logged += 1;
            }
            let lower = line.trim_start().to_ascii_lowercase();
            let tells = TELLING.iter().any(|word| lower.starts_with(word));
            if (tells || !has_told) && !line.trim().is_empty() {
                last_words.say(format!("it said: {line}"));
                has_told |= tells;
            }
        }
    })
}
