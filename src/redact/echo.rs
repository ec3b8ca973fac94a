//! Our own credentials in what others say: servers like to repeat what they refuse.

use http::HeaderValue;

/// What stands in place of a credential of ours.
const WITHHELD: &str = "[REDACTED:credential]";
/// Shorter values are words that stand in any text.
const SHORTEST: usize = 6;

/// The credentials that are sent to one server.
#[derive(Clone, Default)]
pub struct Echo(Vec<String>);

impl std::fmt::Debug for Echo {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Echo({} credentials)", self.0.len())
    }
}

impl Echo {
    /// Those of its requests' headers: the values that are marked as sensitive, and what follows `Bearer` or `Basic`.
    #[must_use]
    pub fn of_headers<'a>(values: impl IntoIterator<Item = &'a HeaderValue>) -> Self {
        let sensitive = values.into_iter().filter(|value| value.is_sensitive()).filter_map(|value| value.to_str().ok());
        let mut credentials: Vec<String> =
            sensitive.map(|value| value.split_once(' ').map_or(value, |(_, rest)| rest).to_owned()).collect();
        credentials.retain(|credential| credential.len() >= SHORTEST);
        // A longer one may hold a shorter one.
        credentials.sort_by_key(|credential| std::cmp::Reverse(credential.len()));
        Self(credentials)
    }

    /// A text without them.
    #[must_use]
    pub fn without(&self, text: String) -> String {
        self.0.iter().fold(text, |text, credential| {
            if text.contains(credential.as_str()) { text.replace(credential.as_str(), WITHHELD) } else { text }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(values: &[&str]) -> Echo {
        let headers: Vec<HeaderValue> = values
            .iter()
            .map(|value| {
                let mut value = HeaderValue::from_str(value).unwrap();
                value.set_sensitive(true);
                value
            })
            .collect();
        Echo::of_headers(&headers)
    }

    #[test]
    fn what_was_sent_does_not_come_back() {
        let echo = echo(&["Bearer abcdef123", "tenant-key-1", "no"]);
        let said = "no key \"abcdef123\" for tenant-key-1, no".to_owned();
        assert_eq!(echo.without(said), "no key \"[REDACTED:credential]\" for [REDACTED:credential], no");
        let open = HeaderValue::from_static("application/json");
        assert_eq!(Echo::of_headers([&open]).without("application/json".into()), "application/json");
    }
}
