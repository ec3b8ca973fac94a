//! From the tree to typed settings: serde's derive does the work, this adds places and collects every unknown key.

use std::cell::RefCell;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::node::{Entry, Node, Value, join};
use super::problem::{Problem, unknown_key};

/// Everything that was wrong so far.
pub(super) type Found = RefCell<Vec<Problem>>;

/// A place in the tree that can be read as a type.
#[derive(Clone)]
pub(super) struct Reader<'n> {
    node: &'n Node,
    path: String,
    found: &'n Found,
}

impl<'n> Reader<'n> {
    /// The whole file. Keys that are not among `valid` are complained about.
    pub(super) fn top(node: &'n Node, valid: &[&str], found: &'n Found) -> Self {
        let reader = Self { node, path: String::new(), found };
        reader.known_entries(valid);
        if node.entries().is_none() {
            reader.complain(Problem::new(
                node.line,
                "",
                format!("expected a mapping of keys (valid: {})", valid.join(", ")),
            ));
        }
        reader
    }

    /// The value of a key, or its default when the key is absent, empty, or wrong (then it was complained about).
    pub(super) fn section<T: DeserializeOwned + Default>(&self, key: &str) -> T {
        let Some(entry) = self.node.get(key).filter(|entry| entry.node.value != Value::Null) else {
            return T::default();
        };
        self.below(&entry.node, join(&self.path, key)).read().unwrap_or_default()
    }

    /// The items of a list; each wrong one was complained about and is left out.
    pub(super) fn list<T: DeserializeOwned>(&self, key: &str) -> Vec<T> {
        let Some(entry) = self.node.get(key) else { return Vec::new() };
        match &entry.node.value {
            Value::Null => Vec::new(),
            Value::List(items) => {
                let item = |(index, item)| self.below(item, format!("{key}[{index}]")).read();
                items.iter().enumerate().filter_map(item).collect()
            }
            _ => {
                self.complain(Problem::new(entry.line, key, "expected a list; begin each entry with \"- \""));
                Vec::new()
            }
        }
    }

    fn read<T: DeserializeOwned>(self) -> Option<T> {
        let place = self.clone();
        T::deserialize(self).map_err(|problem| place.complain(place.locate::<T>(problem))).ok()
    }

    /// The place of a problem. Settings chosen by `type` are buffered by serde, which then knows no key: the one to
    /// blame is the one without which the problem is another.
    fn locate<T: DeserializeOwned>(&self, problem: Problem) -> Problem {
        let (Some(entries), None, true) = (self.node.entries(), problem.line, problem.is_about_a_value()) else {
            return self.place(problem);
        };
        let elsewhere = Found::default();
        let is_to_blame = |entry: &&Entry| {
            let rest: Vec<Entry> = entries.iter().filter(|other| other.key != entry.key).cloned().collect();
            let rest = Node { line: self.node.line, value: Value::Map(rest) };
            let reader = Reader { node: &rest, path: self.path.clone(), found: &elsewhere };
            T::deserialize(reader).map_or_else(|other| other.message != problem.message, |_| true)
        };
        match entries.iter().filter(|entry| entry.key != "type").find(is_to_blame) {
            Some(entry) => problem.or_at(entry.line, &join(&self.path, &entry.key)),
            None => self.place(problem),
        }
    }

    fn below(&self, node: &'n Node, path: String) -> Self {
        Self { node, path, found: self.found }
    }

    fn complain(&self, problem: Problem) {
        self.found.borrow_mut().push(problem);
    }

    /// The entries whose keys are valid; the others are complained about once.
    fn known_entries(&self, valid: &[&str]) -> Vec<&'n Entry> {
        let entries = self.node.entries().unwrap_or_default();
        let (known, unknown): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| valid.contains(&entry.key.as_str()));
        for entry in unknown {
            self.complain(Problem::new(entry.line, self.path.clone(), unknown_key(&entry.key, valid)));
        }
        known
    }

    fn mapping<'de, V: Visitor<'de>>(&self, entries: Vec<&'n Entry>, visitor: V) -> Result<V::Value, Problem> {
        visitor
            .visit_map(Entries { reader: self, rest: entries.into_iter(), value: None })
            .map_err(|problem| self.place(problem))
    }

    /// Gives a problem the place it lacks: the line of the key it names, else that of this value.
    fn place(&self, problem: Problem) -> Problem {
        let line = problem.key.as_deref().and_then(|key| self.node.get(key)).map_or(self.node.line, |entry| entry.line);
        problem.or_at(line, &self.path)
    }

    /// A number or a switch written as text, which is what an environment variable becomes.
    fn scalar_from_text<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let Value::Text(text) = &self.node.value else { return self.deserialize_any(visitor) };
        let text = text.trim();
        let result = match (text.parse::<i64>(), text.parse::<f64>(), text.parse::<bool>()) {
            (Ok(number), _, _) => visitor.visit_i64(number),
            (_, Ok(number), _) => visitor.visit_f64(number),
            (_, _, Ok(switch)) => visitor.visit_bool(switch),
            _ => return self.deserialize_any(visitor),
        };
        result.map_err(|problem: Problem| self.place(problem))
    }
}

macro_rules! scalars {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
            self.scalar_from_text(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        let result = match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(value) => visitor.visit_str(value),
            Value::List(items) => visitor.visit_seq(Items { reader: &self, rest: items.iter().enumerate() }),
            Value::Map(entries) => return self.mapping(entries.iter().collect(), visitor),
        };
        result.map_err(|problem| self.place(problem))
    }

    scalars! {
        deserialize_bool deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_i8 deserialize_i16
        deserialize_i32 deserialize_i64 deserialize_f32 deserialize_f64
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match self.node.entries() {
            Some(_) => self.mapping(self.known_entries(fields), visitor),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let Value::Text(word) = &self.node.value else { return self.deserialize_any(visitor) };
        let word: StrDeserializer<'_, Problem> = word.as_str().into_deserializer();
        visitor.visit_enum(word).map_err(|problem| self.place(problem))
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

struct Items<'r, 'n> {
    reader: &'r Reader<'n>,
    rest: std::iter::Enumerate<std::slice::Iter<'n, Node>>,
}

impl<'de> SeqAccess<'de> for Items<'_, '_> {
    type Error = Problem;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Problem> {
        let Some((index, item)) = self.rest.next() else { return Ok(None) };
        seed.deserialize(self.reader.below(item, format!("{}[{index}]", self.reader.path))).map(Some)
    }
}

struct Entries<'r, 'n> {
    reader: &'r Reader<'n>,
    rest: std::vec::IntoIter<&'n Entry>,
    value: Option<&'n Entry>,
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = Problem;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Problem> {
        self.value = self.rest.next();
        let Some(entry) = self.value else { return Ok(None) };
        let key: StrDeserializer<'_, Problem> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Problem> {
        let Some(entry) = self.value.take() else {
            return Err(serde::de::Error::custom("a value was read before its key"));
        };
        let below = self.reader.below(&entry.node, join(&self.reader.path, &entry.key));
        seed.deserialize(below).map_err(|problem| problem.or_at(entry.line, &join(&self.reader.path, &entry.key)))
    }
}
