//! gpt-oss: messages in channels, of which one is thinking, one is for people, and one with a recipient is a call.

use std::sync::LazyLock;

use regex::Regex;

use super::tokens::{Mark, Markup, around, markers, pattern};
use super::values::{self, NOT_JSON};
use super::{Attempt, Found, Marked};

static MARKERS: LazyLock<Regex> =
    LazyLock::new(|| markers(r"<\|(?:start|channel|message|constrain|call|end|return)\|>"));
static RECIPIENT: LazyLock<Regex> = LazyLock::new(|| pattern(r"\bto=([^\s<|]+)"));

/// Reads the messages of an answer. A recipient in the channel of thinking is a draft.
pub(super) fn read(text: &str) -> Found {
    let mut markup = Markup::new(text, &MARKERS);
    let mut reading = Reading::default();
    let mut at = 0;
    while let Some(mark) = markup.outside(at) {
        reading.show(&text[at..mark.start]);
        at = match mark.text {
            "<|message|>" => reading.body(&mut markup, &mark),
            "<|start|>" | "<|channel|>" | "<|constrain|>" => {
                let end = markup.inside(mark.end).map_or(text.len(), |next| next.start);
                if mark.text == "<|start|>" {
                    reading.close();
                }
                reading.header.push_str(mark.text);
                reading.header.push_str(&text[mark.end..end]);
                end
            }
            _ => {
                reading.close();
                mark.end
            }
        };
    }
    reading.show(&text[at..]);
    reading.close();
    reading.found
}

#[derive(Default)]
struct Reading {
    found: Found,
    /// Who speaks, in which channel, to whom, until the message begins.
    header: String,
}

impl Reading {
    /// Reads a message; returns where it ends.
    fn body(&mut self, markup: &mut Markup<'_>, mark: &Mark<'_>) -> usize {
        let text = markup.text;
        let header = std::mem::take(&mut self.header);
        let recipient = RECIPIENT.captures(&header).and_then(|found| found.get(1)).map(|name| name.as_str());
        let thinks = header.contains("<|channel|>analysis");
        match recipient {
            Some(_) if thinks => self.found.marked = self.found.marked.max(Marked::Remains),
            Some(name) => return self.call(markup, mark, name),
            None if thinks => {}
            None => {
                let end = markup.outside(mark.end).map_or(text.len(), |next| next.start);
                self.show(&text[mark.end..end]);
                return end;
            }
        }
        markup.inside(mark.end).map_or(text.len(), |next| next.start)
    }

    fn call(&mut self, markup: &mut Markup<'_>, mark: &Mark<'_>, name: &str) -> usize {
        let text = markup.text;
        self.found.marked = Marked::Opened;
        if let Some((value, end)) = values::fenced_json_at(text, mark.end) {
            self.found.attempts.push(values::call("", name, Some(value)));
            return end;
        }
        let end = markup.inside(mark.end).map_or(text.len(), |next| next.start);
        let attempt = match text[mark.end..end].trim() {
            "" => values::call("", name, None),
            _ => Attempt::Broken { name: Some(values::bare_name(name).to_owned()), why: NOT_JSON },
        };
        self.found.attempts.push(attempt);
        end
    }

    /// A header with a recipient and no message is a call without arguments that can be trusted.
    fn close(&mut self) {
        let header = std::mem::take(&mut self.header);
        if let Some(name) = RECIPIENT.captures(&header).and_then(|found| found.get(1)) {
            self.found.marked = Marked::Opened;
            let name = Some(values::bare_name(name.as_str()).to_owned());
            self.found.attempts.push(Attempt::Broken { name, why: "it has no message" });
        }
    }

    fn show(&mut self, text: &str) {
        let shown = std::mem::take(&mut self.found.shown);
        self.found.shown = around(&shown, text.trim());
    }
}
