//! Progress for people who wait: one line on a terminal that says what is being read and how far things are.
//!
//! Rooms say what they do as events of the target [`TARGET`], with a field `step` or `stage`; nobody needs to know who
//! listens. Without a terminal they are debug logs like any other.

use std::fmt::Debug;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The target of events about progress.
pub const TARGET: &str = "firstlook::progress";

/// Columns used at most: a line that wraps cannot be taken back.
const COLUMNS: usize = 78;

/// Whether a line is on the terminal now.
static SHOWN: AtomicBool = AtomicBool::new(false);

/// Takes the line off the terminal, before something else is written there.
pub fn clear() {
    if SHOWN.swap(false, Ordering::Relaxed) {
        // A terminal that is gone is no reason to fail.
        let _ = write!(std::io::stderr(), "\r\x1b[2K");
    }
}

/// Draws the line, when standard error is a terminal that can take it back.
pub(super) fn on_terminal() -> Option<Progress> {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    (std::io::stderr().is_terminal() && !dumb).then(Progress::default)
}

/// The layer that draws.
#[derive(Default)]
pub(super) struct Progress(Mutex<Line>);

/// What the line says.
#[derive(Debug, Default)]
struct Line {
    stage: String,
    steps: u32,
    step: String,
}

impl<S: Subscriber> Layer<S> for Progress {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        event.record(&mut *line);
        if write!(std::io::stderr(), "\r\x1b[2K{}", line.text()).is_ok() {
            SHOWN.store(true, Ordering::Relaxed);
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "stage" => *self = Self { stage: value.to_owned(), ..Self::default() },
            "step" => {
                self.steps += 1;
                value.clone_into(&mut self.step);
            }
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

impl Line {
    /// At most [`COLUMNS`] wide, without anything a terminal would obey: names come from models and clusters.
    fn text(&self) -> String {
        let step = if self.steps == 0 { String::new() } else { format!(" · {} · {}", self.steps, self.step) };
        let mut columns = 0;
        let fits = |char: &char| {
            columns += if char.is_ascii() || *char == '·' { 1 } else { 2 };
            columns <= COLUMNS
        };
        format!("{}{step}", self.stage).chars().filter(|char| !char.is_control()).take_while(fits).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_begins_its_count_anew_and_a_step_is_shown_with_its_number() {
        let line = Line { stage: "2/18 oom".into(), steps: 3, step: "pods_get shop/web-0".into() };
        assert_eq!(line.text(), "2/18 oom · 3 · pods_get shop/web-0");
        assert_eq!(Line { stage: "查看集群".into(), ..Line::default() }.text(), "查看集群");
    }

    #[test]
    fn no_name_moves_the_cursor_or_breaks_the_line() {
        let line = Line { stage: String::new(), steps: 1, step: format!("\u{1b}[2J\n{}", "字".repeat(90)) };
        assert!(!line.text().contains(['\u{1b}', '\n']) && line.text().chars().count() < 50, "{}", line.text());
    }
}
