//! Our own credentials in what others say: servers like to repeat what they refuse.

use http::HeaderValue;
use url::Url;

/// What stands in place of a credential of ours.
const WITHHELD: &str = "[REDACTED:credential]";
/// Shorter values are words that stand in any text.
const SHORTEST: usize = 6;
/// Shorter values of an address' query name a tenant or a cluster as often as they open a door.
const SHORTEST_IN_A_QUERY: usize = 12;

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
        Self::of(credentials)
    }

    /// These, and those that stand in the address itself: its password, and long values of its query.
    #[must_use]
    pub fn and_of_address(mut self, address: &Url) -> Self {
        let password = address.password().filter(|password| password.len() >= SHORTEST).map(str::to_owned);
        self.0.extend(password);
        let values =
            address.query().into_iter().flat_map(|query| query.split('&')).filter_map(|pair| pair.split_once('='));
        // As it was sent, and as a server reads it.
        let both =
            values.map(|(_, value)| value.to_owned()).chain(address.query_pairs().map(|(_, value)| value.into_owned()));
        self.0.extend(both.filter(|value| value.len() >= SHORTEST_IN_A_QUERY));
        Self::of(self.0)
    }

    fn of(mut credentials: Vec<String>) -> Self {
        // A longer one may hold a shorter one.
        credentials.sort_by_key(|credential| std::cmp::Reverse(credential.len()));
        credentials.dedup();
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
        let address = "https://ops:pa55word@mcp.example.com/mcp?tenant=shop&key=0123456789%2Fabcdef".parse().unwrap();
        let said = "401 for ops:pa55word at /mcp?tenant=shop&key=0123456789%2Fabcdef (0123456789/abcdef)".to_owned();
        assert_eq!(
            Echo::default().and_of_address(&address).without(said),
            "401 for ops:[REDACTED:credential] at /mcp?tenant=shop&key=[REDACTED:credential] ([REDACTED:credential])"
        );
        let open = HeaderValue::from_static("application/json");
        assert_eq!(Echo::of_headers([&open]).without("application/json".into()), "application/json");
    }
}
