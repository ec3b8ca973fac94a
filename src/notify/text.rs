//! Untrusted text: what labels, logs and models say, made harmless and short before a channel gives it a form.

use anstream::adapter::strip_str;
use url::Url;

/// How much of a text is looked at for each character that may be kept, so that a megabyte costs no more than a page.
const LOOK: usize = 8;

/// One line of at most `chars` characters: no escape sequences, no hidden characters, white space collapsed.
#[must_use]
pub fn line(text: &str, chars: usize) -> String {
    let (head, cut) = head(text, chars.saturating_mul(LOOK));
    let line = visible(head).split_whitespace().collect::<Vec<_>>().join(" ");
    clip(line, chars, cut)
}

/// One line of prose: as [`line()`], and no address in it becomes a link.
#[must_use]
pub fn said(text: &str, chars: usize) -> String {
    defang(&line(text, chars))
}

/// Several lines of at most `chars` characters in all, indentation kept; for code.
#[must_use]
pub fn block(text: &str, chars: usize) -> String {
    let (head, cut) = head(text, chars.saturating_mul(LOOK));
    let visible = visible(head);
    let lines: Vec<&str> = visible.lines().map(str::trim_end).collect();
    clip(lines.join("\n").trim_matches('\n').to_owned(), chars, cut)
}

/// Cuts a text to at most `bytes` bytes at a character boundary; what is cut off is shown as `…`.
#[must_use]
pub fn clip_bytes(text: &str, bytes: usize) -> String {
    const MARK: &str = "…";
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes.saturating_sub(MARK.len()));
    format!("{}{MARK}", &text[..end])
}

/// Breaks what a mail or chat client would turn into a link by itself: `https://x` becomes `https[:]//x`.
#[must_use]
pub fn defang(text: &str) -> String {
    let mut out = text.replace("://", "[:]//");
    for (scheme, broken) in [("www.", "www[.]"), ("mailto:", "mailto[:]"), ("javascript:", "javascript[:]")] {
        out = replace_ignoring_case(&out, scheme, broken);
    }
    out
}

/// An address that may be shown as a link: absolute, http or https, with a host and without credentials.
#[must_use]
pub fn web_link(raw: &str) -> Option<Url> {
    const LONGEST: usize = 2000;
    if raw.len() > LONGEST || raw.chars().any(|c| c.is_control() || c.is_whitespace() || is_hidden(c)) {
        return None;
    }
    let url = Url::parse(raw).ok()?;
    let web = matches!(url.scheme(), "http" | "https");
    (web && url.host_str().is_some() && url.username().is_empty() && url.password().is_none()).then_some(url)
}

/// A link's address without the characters that end a markdown link or an HTML attribute.
#[must_use]
pub fn address(url: &Url) -> String {
    url.as_str()
        .replace('(', "%28")
        .replace(')', "%29")
        .replace('\'', "%27")
        .replace('"', "%22")
        .replace('<', "%3C")
        .replace('>', "%3E")
        .replace('`', "%60")
        .replace('|', "%7C")
        .replace('\\', "%5C")
}

fn head(text: &str, chars: usize) -> (&str, bool) {
    match text.char_indices().nth(chars) {
        Some((end, _)) => (&text[..end], true),
        None => (text, false),
    }
}

fn clip(text: String, chars: usize, already_cut: bool) -> String {
    let Some((end, _)) = text.char_indices().nth(chars.saturating_sub(1)) else {
        return if already_cut { text + "…" } else { text };
    };
    let fits = text[end..].chars().count() <= 1;
    if fits && !already_cut { text } else { format!("{}…", text[..end].trim_end()) }
}

fn visible(text: &str) -> String {
    let stripped = strip_str(text).to_string();
    stripped
        .chars()
        .filter_map(|c| match c {
            '\n' | '\u{2028}' | '\u{2029}' => Some('\n'),
            '\t' => Some(' '),
            c if c.is_control() || is_hidden(c) => None,
            c => Some(c),
        })
        .collect()
}

/// Characters that show nothing, or change how their neighbours read: zero-width, bidi controls, tags, fillers.
fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

fn replace_ignoring_case(text: &str, from: &str, to: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (at, _) in lower.match_indices(from) {
        out.push_str(&text[done..at]);
        out.push_str(to);
        done = at + from.len();
    }
    out.push_str(&text[done..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a06_a07_hidden_characters_and_escape_sequences_are_gone() {
        let attack =
            "\u{1b}[31mred\u{1b}[0m \u{1b}]8;;https://evil\u{7}click\u{1b}]8;;\u{7} a\u{202e}b\u{200b}c\u{e0041}d\0\r";
        assert_eq!(line(attack, 80), "red click abcd");
    }

    #[test]
    fn a_line_is_one_line_and_says_when_it_was_cut() {
        assert_eq!(line("a\n\n  b\tc", 80), "a b c");
        assert_eq!(line("abcdef", 6), "abcdef");
        assert_eq!(line("abcdefg", 6), "abcde…");
        assert_eq!(line("存储类不存在", 4), "存储类…");
        assert!(line(&"\u{200b}".repeat(1_000_000), 20).chars().count() <= 20);
    }

    #[test]
    fn a_block_keeps_its_indentation() {
        assert_eq!(block("\nspec:\n  a: 1   \n", 80), "spec:\n  a: 1");
    }

    #[test]
    fn bytes_are_cut_at_character_boundaries() {
        assert_eq!(clip_bytes("存储类", 9), "存储类");
        assert_eq!(clip_bytes("存储类x", 9), "存储…");
    }

    #[test]
    fn only_plain_web_addresses_become_links() {
        assert!(web_link("http://prometheus-k8s-0:9090/graph?g0.expr=up%3D%3D0").is_some());
        for bad in [
            "javascript:alert(1)",
            "data:text/html,x",
            "//evil.example",
            "https://good@evil.example/",
            "https://u:p@evil.example",
            "file:///etc/passwd",
            "https://evil.example/\u{202e}x",
            "https://a\nb",
            "not a link",
            "",
        ] {
            assert!(web_link(bad).is_none(), "{bad:?} must not become a link");
        }
        let awkward = web_link("https://grafana.example/d?x=a)b'c\"d<e>").map(|url| address(&url));
        assert_eq!(awkward.as_deref(), Some("https://grafana.example/d?x=a%29b%27c%22d%3Ce%3E"));
    }

    #[test]
    fn addresses_in_prose_are_broken_up() {
        assert_eq!(
            defang("see https://evil.example and WWW.evil.example"),
            "see https[:]//evil.example and www[.]evil.example"
        );
        assert_eq!(defang("JavaScript:alert(1)"), "javascript[:]alert(1)");
    }
}
