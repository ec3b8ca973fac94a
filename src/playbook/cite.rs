//! Citing: words of a scene's evidence as proof of a finding, short and never an order.

use crate::playbook::detail;
use crate::playbook::facts::SeenEvent;
use crate::playbook::logs;
use crate::playbook::scene::Scene;
use crate::report::Citation;

/// The longest quotation, in characters: long enough to decide, short enough to read on a phone.
const QUOTE: usize = 220;

/// The longest quotation of what has to be known to its end: a list of all that is to change.
const WHOLE: usize = 900;

/// The shortest piece of a longer quotation that still says something, in bytes.
const PIECE: usize = 8;

impl Scene<'_> {
    /// Cites the words when they stand in the evidence; a long text by its beginning, one with quotation marks by its
    /// longest piece where YAML escapes them. Words that give orders are never cited.
    #[must_use]
    pub fn quote(&self, reference: &str, words: &str) -> Option<Citation> {
        self.quote_to(reference, words, QUOTE)
    }

    /// Cites words to their end, for a list of which the last says as much as the first.
    #[must_use]
    pub fn quote_whole(&self, reference: &str, words: &str) -> Option<Citation> {
        self.quote_to(reference, words, WHOLE)
    }

    /// Cites an error of a log; where a server says below it what explains it, to the end of that.
    #[must_use]
    pub fn quote_error(&self, reference: &str, line: &str) -> Option<Citation> {
        if detail::is_told_by(line) { self.quote_whole(reference, line) } else { self.quote(reference, line) }
    }

    fn quote_to(&self, reference: &str, words: &str, longest: usize) -> Option<Citation> {
        if logs::instructs(words) {
            return None;
        }
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        let short = match words.char_indices().nth(longest) {
            Some((end, _)) => words[..end].rsplit_once(' ').map_or(&words[..end], |(head, _)| head),
            None => &words,
        };
        let piece = longest_piece(short);
        let telling = piece.len() >= PIECE;
        self.facts.cite(reference, short).or_else(|| self.facts.cite(reference, piece).filter(|_| telling))
    }

    /// Cites a chain of errors, a long one by its end: each link only says in what the next one went wrong.
    #[must_use]
    pub fn quote_end(&self, reference: &str, words: &str) -> Option<Citation> {
        let from = words.chars().count().saturating_sub(QUOTE);
        let begins = words.char_indices().nth(from).map_or(0, |(at, _)| at);
        let link = words[begins..].find(": ").map_or(begins, |at| begins + at + 2);
        let end = if from == 0 || logs::instructs(words) { words } else { &words[link..] };
        self.quote(reference, end)
    }

    /// Cites the first of several wordings that stands in the evidence.
    #[must_use]
    pub fn quote_any(&self, reference: &str, wordings: &[&str]) -> Option<Citation> {
        let exact = wordings.iter().find_map(|words| self.facts.cite(reference, words));
        exact.or_else(|| wordings.iter().find_map(|words| self.quote(reference, words)))
    }

    /// Cites an event's message.
    #[must_use]
    pub fn quote_event(&self, event: &SeenEvent) -> Option<Citation> {
        self.quote(&event.reference, &event.message)
    }

    /// Cites the line of a table or a YAML text that has all of these words.
    #[must_use]
    pub fn quote_line(&self, reference: &str, words: &[&str]) -> Option<Citation> {
        let line = self.facts.text(reference)?.lines().find(|line| words.iter().all(|word| line.contains(word)))?;
        self.quote(reference, line.trim())
    }
}

/// The longest piece between quotation marks, without the halves of a word that an apostrophe stands in.
fn longest_piece(words: &str) -> &str {
    let pieces: Vec<&str> = words.split(['\'', '"']).collect();
    let is_one_word =
        |before: &str, after: &str| before.ends_with(char::is_alphanumeric) && after.starts_with(char::is_alphanumeric);
    let whole = pieces.iter().enumerate().map(|(at, piece)| {
        let begins_inside = at > 0 && is_one_word(pieces[at - 1], piece);
        let from = if begins_inside { piece.find(' ').unwrap_or(piece.len()) } else { 0 };
        let rest = &piece[from..];
        let ends_inside = pieces.get(at + 1).is_some_and(|next| is_one_word(piece, next));
        if ends_inside { rest.rsplit_once(' ').map_or("", |(head, _)| head) } else { rest }
    });
    whole.max_by_key(|piece| piece.len()).unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::longest_piece;

    #[test]
    fn no_piece_begins_or_ends_within_a_word() {
        assert_eq!(longest_piece("couldn't find key DB in Secret a/b"), "find key DB in Secret a/b");
        assert_eq!(longest_piece("two Nodes that didn't match"), "two Nodes that");
        assert_eq!(longest_piece("key 'DB' of the Secret"), "of the Secret");
        assert_eq!(longest_piece("plain words"), "plain words");
    }
}
