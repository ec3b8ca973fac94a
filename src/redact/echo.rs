//! Our own credentials in what others say: servers like to repeat what they refuse.

use http::HeaderValue;
use url::Url;

/// What stands in place of a credential of ours.
const WITHHELD: &str = "[REDACTED:credential]";
/// Shorter values are words that stand in any text.
const SHORTEST: usize = 6;
/// Parts of the names under which an address' query holds a credential. Other values name a tenant or a cluster, and would
/// be missed where the cluster speaks of itself.
const KEYS: [&str; 6] = ["key", "token", "secret", "auth", "sig", "pass"];

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
        let credentials: Vec<String> =
            sensitive.map(|value| value.split_once(' ').map_or(value, |(_, rest)| rest).to_owned()).collect();
        Self::of(credentials)
    }

    /// These, and those that stand in the address itself: its password, and what its query calls a key or a token.
    #[must_use]
    pub fn and_of_address(mut self, address: &Url) -> Self {
        self.0.extend(address.password().map(str::to_owned));
        let is_key = |name: &str| KEYS.iter().any(|key| name.to_lowercase().contains(key));
        // As a server reads it, and as it was sent.
        let read = address.query_pairs().filter(|(name, _)| is_key(name)).map(|(_, value)| value.into_owned());
        let pairs = address.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        let sent = pairs.filter(|(name, _)| is_key(name)).map(|(_, value)| value.to_owned());
        self.0.extend(read.chain(sent));
        Self::of(self.0)
    }

    fn of(mut credentials: Vec<String>) -> Self {
        credentials.retain(|credential| credential.len() >= SHORTEST);
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
        let address = "https://ops:pa55word@mcp.example.com/mcp?tenant=shop-hangzhou&api_key=0123456789%2Fabcdef"
            .parse()
            .unwrap();
        let said = "401 for ops:pa55word at /mcp?tenant=shop-hangzhou&api_key=0123456789%2Fabcdef (0123456789/abcdef)"
            .to_owned();
        assert_eq!(
            Echo::default().and_of_address(&address).without(said),
            "401 for ops:[REDACTED:credential] at /mcp?tenant=shop-hangzhou&api_key=[REDACTED:credential] ([REDACTED:credential])"
        );
        let open = HeaderValue::from_static("application/json");
        assert_eq!(Echo::of_headers([&open]).without("application/json".into()), "application/json");
    }
}
