//! Between Rust and columns: times, ids, fixed words and documents, with errors that name the column.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Serialize};
use sqlx::any::{Any, AnyRow};
use sqlx::{Decode, Row, Type};
use uuid::Uuid;

use super::StoreError;

/// What stands as the error of a message whose sender was killed or hung.
pub(super) const LEFT_BEHIND: &str = "whoever sent it was killed or hung, so it may have arrived; it is sent again";

/// Typed reading of one row.
pub(super) struct Columns<'r>(pub(super) &'r AnyRow);

impl<'r> Columns<'r> {
    pub(super) fn get<T: Decode<'r, Any> + Type<Any>>(&self, column: &str) -> Result<T, StoreError> {
        self.0.try_get(column).map_err(|error| StoreError::content(format!("column {column}"), error))
    }

    pub(super) fn text(&self, column: &str) -> Result<String, StoreError> {
        self.get(column)
    }

    pub(super) fn optional_text(&self, column: &str) -> Result<Option<String>, StoreError> {
        self.get(column)
    }

    /// A count, which no statement of ours ever makes negative.
    pub(super) fn count(&self, column: &str) -> Result<u64, StoreError> {
        Ok(self.get::<i64>(column)?.unsigned_abs())
    }

    pub(super) fn id(&self, column: &str) -> Result<Uuid, StoreError> {
        self.text(column)?.parse().map_err(|error: uuid::Error| StoreError::content(format!("column {column}"), error))
    }

    pub(super) fn time(&self, column: &str) -> Result<Timestamp, StoreError> {
        self.optional_time(column)?.ok_or_else(|| StoreError::content(format!("column {column}"), "it is empty"))
    }

    pub(super) fn optional_time(&self, column: &str) -> Result<Option<Timestamp>, StoreError> {
        let Some(millis) = self.get::<Option<i64>>(column)? else { return Ok(None) };
        let time = Timestamp::from_millisecond(millis);
        time.map(Some).map_err(|error| StoreError::content(format!("column {column}"), error))
    }

    /// One of the fixed words of an enum.
    pub(super) fn word<T: for<'w> Deserialize<'w>>(&self, column: &str) -> Result<T, StoreError> {
        let text = self.text(column)?;
        let word: StrDeserializer<'_, serde::de::value::Error> = text.as_str().into_deserializer();
        T::deserialize(word).map_err(|error| StoreError::content(format!("column {column}"), error))
    }

    pub(super) fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        read_json(column, &self.text(column)?)
    }

    pub(super) fn optional_json<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>, StoreError> {
        self.optional_text(column)?.map(|text| read_json(column, &text)).transpose()
    }
}

fn read_json<T: DeserializeOwned>(column: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::content(format!("column {column}"), error))
}

pub(super) fn to_json<T: Serialize>(what: &str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::content(what, error))
}

pub(super) fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

/// A lease in milliseconds, for statements that add it to `{clock}`.
pub(super) fn millis(lease: Duration) -> i64 {
    i64::try_from(lease.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Text as both databases take it: PostgreSQL stores no NUL, and logs of crashed programs hold some.
pub(super) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}
