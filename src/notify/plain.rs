//! A story as plain text: the text part of a mail, and the last form of every chat message.

use minijinja::context;
use minijinja::value::Serde;

use super::layout::{Layout, Part};
use super::notice::Notice;
use super::story::Story;
use super::template;
use super::text::clip_bytes;

/// Lays a story out as text of at most `bytes` bytes: everything when it fits, else the lead, cut where it must be.
#[must_use]
pub fn text(story: &Story, bytes: usize) -> String {
    fitted(story, bytes, laid_out)
}

/// The same as the operator lays it out.
#[must_use]
pub fn by(layout: &Layout, notice: &Notice, story: &Story, bytes: usize) -> String {
    fitted(story, bytes, |story| layout.render(Part::Plain, notice, story).unwrap_or_else(|| laid_out(story)))
}

fn fitted(story: &Story, bytes: usize, laid_out: impl Fn(&Story) -> String) -> String {
    let mut story = story.clone();
    loop {
        let text = laid_out(&story);
        if text.len() <= bytes {
            return text;
        }
        if !story.give_up_a_fold() {
            return clip_bytes(&text, bytes);
        }
    }
}

fn laid_out(story: &Story) -> String {
    let said = template::render("plain.txt.j2", include_str!("plain.txt.j2"), context! { story => Serde(story) });
    said.unwrap_or_else(|error| {
        debug_assert!(false, "the plain text template failed: {error}");
        tracing::error!(%error, "the plain text template failed");
        format!("{}\n{}\n", story.summary, story.footer.join(" · "))
    })
}
