//! Detail: PostgreSQL and its clients say in a line of its own below a fatal error what it found, and what may help: the error alone is a
//! heading.

use crate::playbook::pattern::Pattern;

/// The line of a server that gives up: `2026-11-23 02:59:00.123 UTC [1] FATAL:  database files are incompatible with server`.
static FATAL: Pattern = Pattern::new(
    r"(?:^|\s)(?:FATAL|PANIC):\s|^(?:pg_\w+|psql|(?:create|drop)(?:db|user)|(?:vacuum|reindex|cluster)db): error:\s",
);
/// The lines below that belong to it, and what they say.
static MORE: Pattern = Pattern::new(r"(?:^|\s)(DETAIL|HINT|detail|hint):\s+(\S.*)$");
/// Which rule of `pg_hba.conf` applied says nothing of why.
const ASIDE: &str = "Connection matched ";

/// How long the part of a text behind a line is that tells the line's details, to the end of its last word.
pub(super) fn behind(line: &str, after: &str) -> usize {
    if !FATAL.hits(line) {
        return 0;
    }
    let (mut length, mut told) = (0, 0);
    for (at, next) in after.split_inclusive('\n').enumerate() {
        length += next.len();
        // The first piece is what is left of the line itself.
        if at > 0 && !next.trim().is_empty() {
            let Some(said) = MORE.group(next.trim_end(), 2) else { break };
            if said.starts_with(ASIDE) {
                break;
            }
            told = length - (next.len() - next.trim_end().len());
        }
    }
    told
}

/// Whether a text is such an error with its details.
pub(super) fn is_told_by(text: &str) -> bool {
    text.lines().next().is_some_and(|line| FATAL.hits(line)) && text.lines().skip(1).any(|line| MORE.hits(line))
}

/// Such an error in one sentence: what happened, and after it what was found.
pub(super) fn in_one(text: &str) -> Option<String> {
    let mut lines = text.lines();
    let first = lines.next()?.trim_end();
    let told: Option<Vec<String>> =
        lines.filter(|line| !line.trim().is_empty()).map(|line| MORE.group(line.trim_end(), 2)).collect();
    let told = told.filter(|told| !told.is_empty())?;
    Some(format!("{first}: {}", told.iter().map(|line| line.trim_end_matches('.')).collect::<Vec<_>>().join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playbook::logs::{culprit, said};

    const OLD: &str = "\nPostgreSQL Database directory appears to contain a database; Skipping initialization\n\n2026-11-23 02:59:00.123 UTC [1] FATAL:  database files are incompatible with server\n2026-11-23 02:59:00.123 UTC [1] DETAIL:  The data directory was initialized by PostgreSQL version 15, which is not compatible with this version 16.2.\n2026-11-23 02:59:01.000 UTC [1] LOG:  database system is shut down\n";

    /// `pg_dump` and the others name themselves before each line.
    #[test]
    fn a_client_of_another_version_says_which() {
        let log = "pg_dump: error: aborting because of server version mismatch\npg_dump: detail: server version: 17.2 (Debian 17.2-1); pg_dump version: 16.6\n";
        let told = said(culprit(log).unwrap());
        assert!(
            told.contains("version mismatch") && told.contains("server version: 17.2") && told.ends_with("16.6"),
            "{told}"
        );
    }

    #[test]
    fn every_pattern_compiles() {
        assert!(FATAL.compiles() && MORE.compiles());
    }

    #[test]
    fn the_detail_below_a_fatal_error_is_told_with_it_and_no_prefix_is() {
        let told = culprit(OLD).map(said).unwrap();
        assert_eq!(
            told,
            "database files are incompatible with server: The data directory was initialized by PostgreSQL version 15, which is not compatible with this version 16.2"
        );
        let hint = "2026-11-23 02:59:00 CET [7] FATAL:  lock file \"postmaster.pid\" already exists\n2026-11-23 02:59:00 CET [7] HINT:  Is another postmaster (PID 9) running?\n";
        assert_eq!(
            culprit(hint).map(said).as_deref(),
            Some("lock file \"postmaster.pid\" already exists: Is another postmaster (PID 9) running?")
        );
    }

    #[test]
    fn what_belongs_to_another_line_or_explains_nothing_is_left_out() {
        let apart = "FATAL:  no such role\nLOG:  shutting down\nDETAIL:  of something else\n";
        assert_eq!(culprit(apart), Some("FATAL:  no such role"));
        let rule = "2026-11-23 02:59:00 UTC [7] shop@orders FATAL:  password authentication failed for user \"shop\"\n2026-11-23 02:59:00 UTC [7] shop@orders DETAIL:  Connection matched file \"pg_hba.conf\" line 9\n";
        assert_eq!(culprit(rule).map(said).as_deref(), Some("password authentication failed for user \"shop\""));
        let other = "ERROR cannot start\nDETAIL: of a program that is no server\n";
        assert_eq!(culprit(other), Some("ERROR cannot start"));
    }

    #[test]
    fn the_zone_and_the_process_of_a_servers_line_are_not_said() {
        for prefix in ["UTC [1] ", "UTC ", "CET [12] ", "+08 [12] ", "UTC [12] shop@orders ", "UTC [12]: [3-1] "] {
            let line = format!("2026-11-23 02:59:00.123 {prefix}FATAL:  the database system is starting up");
            assert_eq!(said(&line), "the database system is starting up", "{prefix}");
        }
        assert_eq!(said("2026-11-23 02:59:00 GET /orders failed"), "GET /orders failed");
    }
}
