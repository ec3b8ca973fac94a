//! What can go wrong with the store, in words that say what to do next.

use thiserror::Error;

/// A failed use of the store. Its text never holds a password.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The store cannot be used as it is configured, or as it lies on disk.
    #[error("store {store}: {problem}. {advice}")]
    Unusable {
        /// The file, or the address without password and parameters.
        store: String,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        advice: String,
    },
    /// Another process holds the operating-system lock of the file.
    #[error(
        "store {file}: another firstlook process is using this file. Stop that one first, \
         give this one a file of its own, or use PostgreSQL to run several"
    )]
    Locked {
        /// The database file.
        file: String,
    },
    /// Somebody else changed the same incident first.
    #[error("another delivery changed the same incident at this moment. Run the whole transaction again")]
    Conflict,
    /// A statement of this transaction failed, and the failure was overlooked.
    #[error("the transaction had already failed, so nothing of it was kept. Run the whole transaction again")]
    Overlooked,
    /// More messages wait to be delivered than may.
    #[error("{waiting} messages wait to be delivered, as many as server.limits.max_waiting allows")]
    Full {
        /// How many wait.
        waiting: u64,
    },
    /// A row holds what this version cannot read or write.
    #[error("{what} of the store cannot be read or written: {detail}. Was it written by another version of firstlook?")]
    Content {
        /// The column or document.
        what: String,
        /// Why not.
        detail: String,
    },
    /// The database refused or did not answer.
    #[error("the store could not {doing}: {source}")]
    Database {
        /// What was attempted, as a verb phrase.
        doing: &'static str,
        /// What the database said.
        source: sqlx::Error,
    },
}

impl StoreError {
    /// Whether the same call can succeed in a moment without anybody changing anything: a lock was not
    /// granted in time, no connection was free, the server was gone for a moment.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        match self {
            Self::Conflict | Self::Overlooked => true,
            Self::Database { source, .. } => is_passing(source),
            Self::Unusable { .. } | Self::Locked { .. } | Self::Full { .. } | Self::Content { .. } => false,
        }
    }

    pub(super) fn content(what: impl Into<String>, detail: impl ToString) -> Self {
        Self::Content { what: what.into(), detail: detail.to_string() }
    }
}

fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_passing_code(&code)),
        _ => false,
    }
}

/// SQLite's extended result codes are numbers whose low byte is the primary code: 5 busy, 6 locked.
/// PostgreSQL's SQLSTATEs have five characters: class 08 connection, 40 rollback, 53 resources,
/// 57P0x shutdown, 55P03 lock not available.
fn is_passing_code(code: &str) -> bool {
    if code.len() == 5 {
        return ["08", "40", "53", "57P0"].iter().any(|class| code.starts_with(class)) || code == "55P03";
    }
    code.parse::<i64>().is_ok_and(|code| matches!(code & 0xff, 5 | 6))
}

/// Names what was attempted when a statement fails.
pub(super) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError>;
}

impl<T> Doing<T> for Result<T, sqlx::Error> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Database { doing, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_and_lost_connections_pass_but_wrong_sql_and_full_disks_do_not() {
        for passing in ["5", "517", "6", "40001", "40P01", "55P03", "57P01", "08006", "53300"] {
            assert!(is_passing_code(passing), "{passing}");
        }
        for lasting in ["1", "8", "13", "26", "2067", "42P01", "23505", "57014", "28P01"] {
            assert!(!is_passing_code(lasting), "{lasting}");
        }
    }
}
