//! The configuration file as a tree that remembers lines, so that every later complaint can name one.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::problem::Problem;

/// A value and the line it begins on, counted from 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

/// What YAML can say.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a mapping, the line the key stands on, and its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) node: Node,
}

impl Node {
    /// Reads one YAML document.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        serde_saphyr::from_str(text).map_err(|error| {
            let line = error.location().and_then(|at| usize::try_from(at.line()).ok());
            Problem::syntax(line, &error.without_snippet().to_string())
        })
    }

    /// The entries of a mapping; an empty value is an empty mapping.
    pub(super) fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            Value::Null => Some(&[]),
            _ => None,
        }
    }

    /// The entry with a key.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries()?.iter().find(|entry| entry.key == key)
    }

    /// The line of a path such as `channels[1].name`, or of the closest thing above it that is there.
    pub(super) fn line_of(&self, path: &str) -> usize {
        let mut node = self;
        let mut line = self.line;
        for step in path.split(['.', '[']) {
            let next = match (&node.value, step.strip_suffix(']').and_then(|index| index.parse::<usize>().ok())) {
                (Value::List(items), Some(index)) => items.get(index).map(|item| (item.line, item)),
                _ => node.get(step).map(|entry| (entry.line, &entry.node)),
            };
            let Some((at, below)) = next else { return line };
            (line, node) = (at, below);
        }
        line
    }

    /// Passes every text of the tree, with its path, to a function that may change it.
    pub(super) fn each_text(&mut self, path: &str, change: &mut impl FnMut(&str, usize, &mut String)) {
        match &mut self.value {
            Value::Text(text) => change(path, self.line, text),
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    item.each_text(&format!("{path}[{index}]"), change);
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    let below = join(path, &entry.key);
                    entry.node.each_text(&below, change);
                }
            }
            _ => {}
        }
    }
}

/// A key below a path.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { line: usize::try_from(referenced.line()).unwrap_or(0), value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value).map(Value::Int).map_err(|_| E::custom("the number is too large"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, node)) = access.next_entry::<Spanned<String>, Node>()? {
            let line = usize::try_from(key.referenced.line()).unwrap_or(0);
            entries.push(Entry { key: key.value, line, node });
        }
        Ok(Value::Map(entries))
    }
}
