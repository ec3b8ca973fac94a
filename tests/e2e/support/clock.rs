//! A scenario moved in time: recorded moments become as old as they were when the recording was made.
//!
//! The built-in toolset lets a snapshot's clock stand still. The real server, and what reads through it, knows only
//! today's, so that a Pod that was leaving for ten seconds would be stuck for days.

use std::fs;
use std::path::{Path, PathBuf};

use firstlook::kube::snapshot::Snapshot;
use jiff::{SignedDuration, Timestamp};
use regex::{Captures, Regex};

/// A copy of a scenario whose newest moment is now. It is deleted when this is dropped.
pub struct Moved {
    folder: tempfile::TempDir,
    name: std::ffi::OsString,
}

impl Moved {
    pub fn to_now(scenario: &Path) -> Self {
        let later = Timestamp::now().duration_since(Snapshot::load(scenario).unwrap().now());
        let moved = Self { folder: tempfile::tempdir().unwrap(), name: scenario.file_name().unwrap().to_owned() };
        copy(scenario, &moved.path(), later);
        moved
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join(&self.name)
    }
}

fn copy(from: &Path, to: &Path, later: SignedDuration) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target, later);
        } else {
            fs::write(&target, shift(&fs::read_to_string(entry.path()).unwrap(), later)).unwrap();
        }
    }
}

/// Every moment of the text later, with as many digits as before: the API has times with none and with six. Go's time
/// zero, which stands for "no end yet", stays.
fn shift(text: &str, later: SignedDuration) -> String {
    let moment = Regex::new(r"(\d{4})-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(?:Z|[+-]\d\d:\d\d)").unwrap();
    moment
        .replace_all(text, |found: &Captures<'_>| match found[0].parse::<Timestamp>() {
            Ok(at) if &found[1] != "0001" => {
                let digits = found.get(2).map_or(0, |fraction| fraction.len() - 1);
                format!("{:.digits$}", at + later)
            }
            _ => found[0].to_owned(),
        })
        .into_owned()
}

#[test]
fn a_moved_moment_keeps_its_digits_and_no_end_stays_no_end() {
    let text = "a 2026-01-02T03:04:05Z b 2026-01-02T03:04:05.123456+01:00 c 0001-01-01T00:00:00Z";
    let moved = "a 2026-01-02T03:05:05Z b 2026-01-02T02:05:05.123456Z c 0001-01-01T00:00:00Z";
    assert_eq!(shift(text, SignedDuration::from_secs(60)), moved);
}
