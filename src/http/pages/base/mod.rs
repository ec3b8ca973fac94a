//! The frame of every page for people: head, bar, style and script, the policy it is served under, its reader's language.
//!
//! A page extends `base.html.j2` and gets the frame's variables beside its own: `zh`, `lang`, `root` (relative way to the
//! first page, so that a proxy may put a prefix before it), `keep` (the query a link carries on), `style`, `script`, `icon`.

mod assets;
mod language;
mod visit;

use std::sync::LazyLock;

use minijinja::value::Value;
use minijinja::{Environment, HtmlEscape, UndefinedBehavior};

pub use assets::serve as asset;
#[cfg(test)]
pub(super) use assets::write as write_assets;
pub use visit::headers;
pub use visit::{Trouble, Visit};

use crate::notify::story::{Span, prose};
use crate::notify::text;

/// Characters of one line of foreign text; pages have room, but not without end.
const LINE: usize = 4_000;

/// The policy of every page: only what this service serves itself, nothing inline, in nobody's frame.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// All templates. A misspelt variable is an error, and everything is escaped.
static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    env.add_filter("line", |said: &str| text::line(said, LINE));
    env.add_filter("block", |said: &str| text::block(said, LINE));
    env.add_filter("prose", |said: &str| Value::from_safe_string(marked_up(said)));
    let sources = [
        ("base.html.j2", include_str!("base.html.j2")),
        ("trouble.html.j2", include_str!("trouble.html.j2")),
        ("login.html.j2", include_str!("login.html.j2")),
        ("list.html.j2", include_str!("../list/list.html.j2")),
        ("report.html.j2", include_str!("../report/report.html.j2")),
    ];
    for (name, source) in sources {
        if let Err(error) = env.add_template(name, source) {
            tracing::error!(%error, "a page's template cannot be read");
        }
    }
    env
});

/// Prose as HTML: names in backticks are code, and nothing else is markup.
fn marked_up(said: &str) -> String {
    let write = |span: Span| match span {
        Span::Code(code) => format!("<code>{}</code>", HtmlEscape(&code)),
        Span::Text(text) => HtmlEscape(&text).to_string(),
        _ => String::new(),
    };
    prose(&text::line(said, LINE)).into_iter().map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_read() {
        assert_eq!(TEMPLATES.templates().count(), 5);
    }

    #[test]
    fn prose_marks_names_and_nothing_else() {
        assert_eq!(marked_up("PVC `a<b` \u{202e}<script>"), "PVC <code>a&lt;b</code> &lt;script&gt;");
    }
}
