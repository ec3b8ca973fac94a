//! YAML as Go programs print it, so that a quotation reads the same whichever server it came from.
//!
//! Objects keep their JSON values; only the text is made here: keys in Go's natural order, lists not indented inside
//! maps, long words folded past 80 columns, and quotes exactly where YAML 1.1 would read another type.

mod order;
mod style;

use serde_json::{Map, Value};

use self::order::sorted_keys;
use self::style::{Style, printable};

/// Past this column a space becomes a line break.
const WIDTH: usize = 80;
const INDENT: usize = 2;

/// The YAML text of a value, ending in a line break.
#[must_use]
pub(super) fn to_yaml(value: &Value) -> String {
    let mut writer = Writer::default();
    match value {
        Value::Object(map) if !map.is_empty() => writer.map(map, 0, true),
        Value::Array(items) if !items.is_empty() => writer.list(items, 0, true),
        scalar => writer.scalar(scalar, INDENT),
    }
    writer.out.push('\n');
    writer.out
}

#[derive(Default)]
struct Writer {
    out: String,
    column: usize,
}

impl Writer {
    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column = if c == '\n' { 0 } else { self.column + 1 };
    }

    fn write(&mut self, text: &str) {
        text.chars().for_each(|c| self.put(c));
    }

    fn line(&mut self, indent: usize) {
        self.put('\n');
        (0..indent).for_each(|_| self.put(' '));
    }

    /// `inline`: the first entry goes on the line that is already begun.
    fn map(&mut self, map: &Map<String, Value>, indent: usize, inline: bool) {
        for (index, key) in sorted_keys(map).into_iter().enumerate() {
            if index > 0 || !inline {
                self.line(indent);
            }
            self.key(key);
            match &map[key] {
                Value::Object(inner) if !inner.is_empty() => self.map(inner, indent + INDENT, false),
                Value::Array(items) if !items.is_empty() => self.list(items, indent, false),
                scalar => {
                    self.put(' ');
                    self.scalar(scalar, indent + INDENT);
                }
            }
        }
    }

    fn list(&mut self, items: &[Value], indent: usize, inline: bool) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 || !inline {
                self.line(indent);
            }
            self.write("- ");
            match item {
                Value::Object(map) if !map.is_empty() => self.map(map, indent + INDENT, true),
                Value::Array(inner) if !inner.is_empty() => self.list(inner, indent + INDENT, true),
                scalar => self.scalar(scalar, indent + INDENT),
            }
        }
    }

    /// Keys are never folded.
    fn key(&mut self, key: &str) {
        match Style::of(key) {
            Style::Plain => self.write(key),
            Style::Single => self.single_quoted(key, None),
            Style::Double | Style::Literal => self.double_quoted(key, None),
        }
        self.put(':');
    }

    fn scalar(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Null => self.write("null"),
            Value::Object(_) => self.write("{}"),
            Value::Array(_) => self.write("[]"),
            Value::Bool(_) | Value::Number(_) => self.write(&value.to_string()),
            Value::String(text) => match Style::of(text) {
                Style::Plain => self.folded(text, indent, |writer, c| writer.put(c)),
                Style::Single => self.single_quoted(text, Some(indent)),
                Style::Double => self.double_quoted(text, Some(indent)),
                Style::Literal => self.literal(text, indent),
            },
        }
    }

    /// Writes words, breaking at the first single space past the width.
    fn folded(&mut self, text: &str, indent: usize, mut put: impl FnMut(&mut Self, char)) {
        let mut rest = text.chars().peekable();
        let mut after_space = true;
        while let Some(c) = rest.next() {
            let single = c == ' ' && !after_space && rest.peek().is_some_and(|next| *next != ' ');
            if single && self.column > WIDTH {
                self.line(indent);
            } else {
                put(self, c);
            }
            after_space = c == ' ';
        }
    }

    fn single_quoted(&mut self, text: &str, fold: Option<usize>) {
        let put = |writer: &mut Self, c| {
            if c == '\'' {
                writer.put('\'');
            }
            writer.put(c);
        };
        self.put('\'');
        match fold {
            Some(indent) => self.folded(text, indent, put),
            None => text.chars().for_each(|c| put(self, c)),
        }
        self.put('\'');
    }

    fn double_quoted(&mut self, text: &str, fold: Option<usize>) {
        let mut rest = text.chars().peekable();
        let (mut first, mut after_space) = (true, false);
        self.put('"');
        while let Some(c) = rest.next() {
            let inside = !first && rest.peek().is_some();
            match fold {
                Some(indent) if c == ' ' && inside && !after_space && self.column > WIDTH => {
                    self.line(indent);
                    if rest.peek() == Some(&' ') {
                        self.put('\\');
                    }
                }
                _ => self.escaped(c),
            }
            after_space = c == ' ';
            first = false;
        }
        self.put('"');
    }

    fn escaped(&mut self, c: char) {
        let short = match c {
            '\0' => '0',
            '\x07' => 'a',
            '\x08' => 'b',
            '\t' => 't',
            '\n' => 'n',
            '\x0b' => 'v',
            '\x0c' => 'f',
            '\r' => 'r',
            '\x1b' => 'e',
            '"' | '\\' => c,
            '\u{85}' => 'N',
            '\u{2028}' => 'L',
            '\u{2029}' => 'P',
            _ if printable(c) => return self.put(c),
            _ => {
                let code = u32::from(c);
                return self.write(&match code {
                    0..=0xff => format!("\\x{code:02X}"),
                    0x100..=0xffff => format!("\\u{code:04X}"),
                    _ => format!("\\U{code:08X}"),
                });
            }
        };
        self.put('\\');
        self.put(short);
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.put('|');
        if text.starts_with([' ', '\n']) {
            self.write(&INDENT.to_string());
        }
        if !text.ends_with('\n') {
            self.put('-');
        } else if text == "\n" || text.ends_with("\n\n") {
            self.put('+');
        }
        // The last break ends the scalar; whoever writes the next line brings it.
        let body = text.strip_suffix('\n').unwrap_or(text);
        for line in body.split('\n') {
            self.line(if line.is_empty() { 0 } else { indent });
            self.write(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_is_quoted_only_where_yaml_would_read_something_else() {
        let cases = [
            ("worker-1", "worker-1"),
            ("1", "\"1\""),
            ("True", "\"True\""),
            ("no", "\"no\""),
            ("", "\"\""),
            ("0x1f", "\"0x1f\""),
            ("1e+3", "\"1e+3\""),
            ("1e3", "1e3"),
            ("1.24.3", "1.24.3"),
            ("100m", "100m"),
            ("2026-11-23T02:27:23Z", "\"2026-11-23T02:27:23Z\""),
            ("2026-11-23 02:33:29 +0000 UTC", "2026-11-23 02:33:29 +0000 UTC"),
            ("12:30", "\"12:30\""),
            ("12:99", "12:99"),
            ("10.244.1.28:8080", "10.244.1.28:8080"),
            ("Created pod: x", "'Created pod: x'"),
            ("it's: here", "'it''s: here'"),
            ("-c", "-c"),
            ("- c", "'- c'"),
            ("*", "'*'"),
            ("a\tb", "\"a\\tb\""),
            ("用户 is not", "用户 is not"),
        ];
        for (text, written) in cases {
            assert_eq!(to_yaml(&json!(text)), format!("{written}\n"), "{text}");
        }
    }

    #[test]
    fn maps_and_lists_are_laid_out_as_go_lays_them_out() {
        let value = json!({"kind": "Pod", "Name": "p", "spec": {"args": ["a", {"b": 1, "a": []}], "empty": {}}, "none": null,
            "script": "#!/bin/sh\necho\n", "k10": 1, "k9": 2});
        let expected = "Name: p\nk9: 2\nk10: 1\nkind: Pod\nnone: null\nscript: |\n  #!/bin/sh\n  echo\nspec:\n  args:\n  - a\n  - a: []\n    b: 1\n  empty: {}\n";
        assert_eq!(to_yaml(&value), expected);
    }

    #[test]
    fn long_words_fold_past_eighty_columns() {
        let text = "Waiting for a volume to be created either by the external provisioner 'com.tencent.cloud.csi.cbs' or manually by the system administrator.";
        let expected = "- Message: Waiting for a volume to be created either by the external provisioner 'com.tencent.cloud.csi.cbs'\n    or manually by the system administrator.\n";
        assert_eq!(to_yaml(&json!([{"Message": text}])), expected);
    }
}
