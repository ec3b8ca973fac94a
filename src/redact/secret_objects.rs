//! Kubernetes Secrets written down in a text: every value of `data` and `stringData` goes, the keys stay.
//!
//! YAML and indented JSON are read by their indentation, one pass over the lines; JSON on one line, such as the
//! last-applied annotation, by pattern.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::{Redactor, is_placeholder, replace_secrets};

const KIND: &str = "kubernetes_secret";

pub(super) fn redact<'a>(redactor: &Redactor, text: &'a str) -> Cow<'a, str> {
    if !text.contains("Secret") {
        return Cow::Borrowed(text);
    }
    inline(redactor, blocks(redactor, text))
}

/// One mapping of the text, as far as its indentation tells.
struct Mapping {
    indent: usize,
    is_secret: bool,
    data: Vec<Range<usize>>,
}

fn blocks<'a>(redactor: &Redactor, text: &'a str) -> Cow<'a, str> {
    let mut ranges: Vec<Range<usize>> =
        find_mappings(text).into_iter().filter(|mapping| mapping.is_secret).flat_map(|mapping| mapping.data).collect();
    if ranges.is_empty() {
        return Cow::Borrowed(text);
    }
    ranges.sort_by_key(|range| range.start);
    let mut clean = String::with_capacity(text.len());
    let mut copied = 0;
    for range in ranges {
        clean.push_str(&text[copied..range.start]);
        hide_block(redactor, &text[range.clone()], &mut clean);
        copied = range.end;
    }
    clean.push_str(&text[copied..]);
    Cow::Owned(clean)
}

fn find_mappings(text: &str) -> Vec<Mapping> {
    let mut scan = Scan::default();
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        scan.line(line, offset);
        offset += line.len();
    }
    scan.close_block(offset);
    scan.mappings
}

#[derive(Default)]
struct Scan {
    mappings: Vec<Mapping>,
    /// Indices of the mappings that enclose the current line, outermost first.
    open: Vec<usize>,
    /// The data block being read: its mapping, the indentation of its key, where its lines begin.
    block: Option<(usize, usize, usize)>,
}

impl Scan {
    fn line(&mut self, line: &str, offset: usize) {
        let mut content = line.trim_start_matches(' ');
        let mut indent = line.len() - content.len();
        if content.trim().is_empty() {
            return;
        }
        if self.block.is_some_and(|(_, key_indent, _)| indent > key_indent) {
            return;
        }
        self.close_block(offset);
        if content.starts_with("---") {
            self.open.clear();
            return;
        }
        self.leave(indent);
        while let Some(item) = content.strip_prefix("- ") {
            let inner = item.trim_start_matches(' ');
            self.leave(indent);
            indent += content.len() - inner.len();
            self.enter(indent);
            content = inner;
        }
        if self.open.last().is_none_or(|&mapping| self.mappings[mapping].indent < indent) {
            self.enter(indent);
        }
        self.key(content.trim_end(), indent, offset + line.len());
    }

    fn leave(&mut self, indent: usize) {
        while self.open.last().is_some_and(|&mapping| self.mappings[mapping].indent > indent) {
            self.open.pop();
        }
    }

    fn enter(&mut self, indent: usize) {
        self.open.push(self.mappings.len());
        self.mappings.push(Mapping { indent, is_secret: false, data: Vec::new() });
    }

    fn key(&mut self, content: &str, indent: usize, next_line: usize) {
        let Some(&mapping) = self.open.last() else { return };
        match content.trim_end_matches(',') {
            "kind: Secret" | "\"kind\": \"Secret\"" | "kind: \"Secret\"" => self.mappings[mapping].is_secret = true,
            "data:" | "stringData:" | "\"data\": {" | "\"stringData\": {" => {
                self.block = Some((mapping, indent, next_line));
            }
            _ => {}
        }
    }

    fn close_block(&mut self, end: usize) {
        if let Some((mapping, _, start)) = self.block.take()
            && start < end
        {
            self.mappings[mapping].data.push(start..end);
        }
    }
}

/// Writes the lines of a data block with every value hidden; the further lines of a long value are dropped.
fn hide_block(redactor: &Redactor, block: &str, clean: &mut String) {
    let indent_of = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let key_indent = block.lines().find(|line| !line.trim().is_empty()).map_or(0, indent_of);
    let mut lines = block.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        let Some((key, value)) = line.split_once(':').filter(|_| indent_of(line) == key_indent) else {
            clean.push_str(line);
            continue;
        };
        let mut secret = value.trim().trim_end_matches(',').trim_matches(['"', '\'']).to_owned();
        while let Some(more) = lines.next_if(|next| indent_of(next) > key_indent || next.trim().is_empty()) {
            secret.push_str(more.trim());
        }
        if is_placeholder(&secret) || secret.is_empty() {
            clean.push_str(line);
            continue;
        }
        let quote = if value.contains('"') { "\"" } else { "" };
        let comma = if value.trim_end().ends_with(',') { "," } else { "" };
        clean.push_str(&format!("{key}: {quote}{}{quote}{comma}\n", redactor.placeholder(KIND, &secret)));
    }
}

/// JSON on one line that says it is a Secret: the strings of its `data` and `stringData`.
fn inline<'a>(redactor: &Redactor, text: Cow<'a, str>) -> Cow<'a, str> {
    static SECRET: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"kind\\{0,3}"[ \t]*:[ \t]*\\{0,3}"Secret\\{0,3}""#).ok());
    static DATA: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"\\{0,3}"(?:data|stringData)\\{0,3}"[ \t]*:[ \t]*(?P<d>\{[^{}\n]*\})"#).ok());
    static ENTRY: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"\\{0,3}"[ \t]*:[ \t]*\\{0,3}"(?P<s>(?:[^"\\]|\\[^"\\])+)"#).ok());
    let (Some(secret), Some(data), Some(entry)) = (SECRET.as_ref(), DATA.as_ref(), ENTRY.as_ref()) else {
        return text;
    };
    if !secret.is_match(&text) {
        return text;
    }
    let mut clean = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if !secret.is_match(line) {
            clean.push_str(line);
            continue;
        }
        let mut copied = 0;
        for block in data.captures_iter(line).filter_map(|captures| captures.name("d")) {
            clean.push_str(&line[copied..block.start()]);
            clean.push_str(&replace_secrets(redactor, Cow::Borrowed(block.as_str()), entry, KIND, |_, _| true));
            copied = block.end();
        }
        clean.push_str(&line[copied..]);
    }
    Cow::Owned(clean)
}
