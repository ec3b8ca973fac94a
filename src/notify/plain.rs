//! A story as plain text: the text part of a mail, and the last form of every chat message.

use minijinja::context;
use minijinja::value::Serde;

use super::layout::{Layout, Part};
use super::notice::Notice;
use super::story::{Story, words};
use super::template;
use super::text::clip_bytes;

/// Lays a story out as text of at most `bytes` bytes: everything when it fits, else the lead, cut where it must be. What
/// leads to the whole is never cut.
#[must_use]
pub fn text(story: &Story, bytes: usize) -> String {
    fitted(story, bytes, true, laid_out)
}

/// The same as the operator lays it out.
#[must_use]
pub fn by(layout: &Layout, notice: &Notice, story: &Story, bytes: usize) -> String {
    // Where a message stands for many, a name is worth more than a link to all of them.
    let linked = !notice.is_collective();
    fitted(story, bytes, linked, |story| layout.render(Part::Plain, notice, story).unwrap_or_else(|| laid_out(story)))
}

fn fitted(story: &Story, bytes: usize, linked: bool, laid_out: impl Fn(&Story) -> String) -> String {
    let mut story = story.clone();
    loop {
        let text = laid_out(&story);
        if text.len() <= bytes {
            return text;
        }
        if !story.give_up_a_fold() {
            return if linked { cut(&story, &text, bytes) } else { clip_bytes(&text, bytes) };
        }
    }
}

/// The beginning of a text, and where the rest is, or why nothing leads to it.
fn cut(story: &Story, text: &str, bytes: usize) -> String {
    let primary = story.links.iter().find(|link| link.primary);
    let whole = match primary {
        Some(link) => format!("\n{}: {}", link.label, link.url),
        None => format!("\n{}", words::shortened(story.lang, false)),
    };
    match bytes.checked_sub(whole.len()) {
        // An address that takes half of the message says less than what it would push out.
        Some(left) if left >= bytes / 2 => without_half_an_address(&clip_bytes(text, left)).to_owned() + &whole,
        _ => without_half_an_address(&clip_bytes(text, bytes)).to_owned(),
    }
}

/// A text that was cut, without the address it was cut in.
fn without_half_an_address(cut: &str) -> &str {
    let (before, last) = cut.rsplit_once('\n').unwrap_or(("", cut));
    if last.contains("://") { before } else { cut }
}

fn laid_out(story: &Story) -> String {
    let said = template::render("plain.txt.j2", include_str!("plain.txt.j2"), context! { story => Serde(story) });
    said.unwrap_or_else(|error| {
        debug_assert!(false, "the plain text template failed: {error}");
        tracing::error!(%error, "the plain text template failed");
        format!("{}\n{}\n", story.summary, story.footer.join(" · "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::fixtures::now;
    use crate::notify::limits;
    use crate::notify::story::{Caps, tell};

    #[test]
    fn however_little_room_there_is_the_link_to_the_whole_stays() {
        let notice = limits::longest();
        let story = tell(&notice, now(), Caps::page(crate::notify::send::Form::Plain));
        let page = notice.page_url.as_deref().unwrap();
        for bytes in [400, 1_000, 4_000] {
            let text = text(&story, bytes);
            assert!(text.len() <= bytes && text.contains(page), "{bytes}: {text}");
        }
        assert!(text(&story, 120).len() <= 120);
    }
}
