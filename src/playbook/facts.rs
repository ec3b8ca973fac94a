//! Facts: what was read of the cluster, as typed objects that know which evidence they came from.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::alert::ObjectRef;
use crate::playbook::record;
use crate::report::Citation;
use crate::toolbox::evidence::{Evidence, quoted_in};

/// A typed object and the evidence it was read from.
#[derive(Debug, Clone)]
pub struct Seen<K> {
    /// The object.
    pub object: K,
    /// The evidence it stands in, for example `E3`.
    pub reference: String,
}

/// An event about an object; repeats of one event are one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenEvent {
    /// The object it is about (`namespace` is the event's own).
    pub about: ObjectRef,
    /// `Normal` or `Warning`.
    pub kind: String,
    /// CamelCase reason, for example `FailedScheduling`.
    pub reason: String,
    /// The message, whole.
    pub message: String,
    /// How often it was seen, at least 1 (kubernetes-mcp-server does not say: 1 then).
    pub count: i64,
    /// When it was last seen, where the tool says so.
    pub last_seen: Option<Timestamp>,
    /// The evidence it stands in.
    pub reference: String,
}

/// A container's log, or the error that stood in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenLog {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The container; empty when the tool chose it.
    pub container: String,
    /// Whether it is the log of the container's previous run.
    pub previous: bool,
    /// The log's last lines without what its records only repeat, or the API server's error text.
    pub lines: Result<String, String>,
    /// The evidence it stands in.
    pub reference: String,
}

/// Everything gather read, and what it could not read.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The present; a snapshot's clock stands still at its newest timestamp.
    pub now: Timestamp,
    objects: BTreeMap<ObjectRef, (Value, String)>,
    listings: BTreeMap<(String, String), String>,
    named: BTreeSet<ObjectRef>,
    absent: BTreeMap<ObjectRef, Citation>,
    events: Vec<SeenEvent>,
    logs: Vec<SeenLog>,
    texts: BTreeMap<String, String>,
    crowds: BTreeMap<String, Vec<ObjectRef>>,
    addresses: BTreeMap<String, (Vec<ObjectRef>, String)>,
}

impl Facts {
    /// Nothing read yet.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { now, ..Self::default() }
    }

    /// Makes a tool result citable.
    pub fn add_evidence(&mut self, evidence: &Evidence) {
        self.texts.insert(evidence.reference.clone(), evidence.full.clone());
    }

    /// Adds an object as the API server gives it (`kind` and `metadata` are required, else it is ignored).
    pub fn add_object(&mut self, object: Value, reference: &str) {
        if let Some(key) = object_ref(&object) {
            self.objects.insert(key, (object, reference.to_owned()));
        }
    }

    /// Adds an object of a listing, unless it was read by name already: the named read is the better citation.
    pub fn add_listed_object(&mut self, object: Value, reference: &str) {
        if object_ref(&object).is_some_and(|key| !self.objects.contains_key(&key)) {
            self.add_object(object, reference);
        }
    }

    /// The same as if one object had not been read.
    #[cfg(test)]
    #[must_use]
    pub fn without(&self, object: &ObjectRef) -> Self {
        let mut rest = self.clone();
        rest.objects.remove(object);
        rest
    }

    /// Notes that an object exists although only its name was read (a row of a table).
    pub fn add_name(&mut self, object: ObjectRef) {
        self.named.insert(object);
    }

    /// Notes that all objects of a kind in a namespace (empty: in the cluster) were listed: what is not among them is not there.
    pub fn add_listing(&mut self, kind: &str, namespace: &str, reference: &str) {
        self.listings.insert((kind.to_owned(), namespace.to_owned()), reference.to_owned());
    }

    /// Notes that the API server said an object does not exist.
    pub fn add_absent(&mut self, object: ObjectRef, said: Citation) {
        self.absent.insert(object, said);
    }

    /// Notes which Pods that have not ended a Node runs.
    pub fn add_crowd(&mut self, node: &str, pods: Vec<ObjectRef>) {
        self.crowds.insert(node.to_owned(), pods);
    }

    /// How many Pods that have not ended a Node runs, where they were listed.
    #[must_use]
    pub fn crowd(&self, node: &str) -> Option<usize> {
        self.crowds.get(node).map(Vec::len)
    }

    /// The Pods that have not ended on a Node; none where they were not listed.
    #[must_use]
    pub fn crowd_on(&self, node: &str) -> &[ObjectRef] {
        self.crowds.get(node).map(Vec::as_slice).unwrap_or_default()
    }

    /// Notes which Pods of the cluster have an address.
    pub fn add_address(&mut self, address: &str, pods: Vec<ObjectRef>, reference: &str) {
        self.addresses.insert(address.to_owned(), (pods, reference.to_owned()));
    }

    /// The Pods that have an address, and the evidence; `None` where nobody asked.
    #[must_use]
    pub fn at_address(&self, address: &str) -> Option<(&[ObjectRef], &str)> {
        self.addresses.get(address).map(|(pods, reference)| (pods.as_slice(), reference.as_str()))
    }

    /// Adds an event; the same reason and message about the same object counts up instead.
    pub fn add_event(&mut self, event: SeenEvent) {
        let same = |seen: &&mut SeenEvent| {
            seen.about == event.about && seen.reason == event.reason && seen.message == event.message
        };
        match self.events.iter_mut().find(same) {
            Some(seen) => {
                seen.count += event.count;
                seen.last_seen = seen.last_seen.max(event.last_seen);
            }
            None => self.events.push(event),
        }
    }

    /// Adds a log or the error in its place.
    pub fn add_log(&mut self, mut log: SeenLog) {
        if let Some(own) = log.lines.as_deref().ok().and_then(record::own) {
            log.lines = Ok(own);
        }
        self.logs.push(log);
    }

    /// One object, typed; `None` when it was not read or is of another shape.
    #[must_use]
    pub fn get<K: DeserializeOwned + k8s_openapi::Resource>(&self, namespace: &str, name: &str) -> Option<Seen<K>> {
        let (object, reference) = self.objects.get(&ObjectRef::new(K::KIND, namespace, name))?;
        Some(Seen { object: K::deserialize(object).ok()?, reference: reference.clone() })
    }

    /// All objects of a kind that were read, in order of namespace and name.
    #[must_use]
    pub fn all<K: DeserializeOwned + k8s_openapi::Resource>(&self) -> Vec<Seen<K>> {
        self.objects
            .iter()
            .filter(|(key, _)| key.kind == K::KIND)
            .filter_map(|(_, (object, reference))| {
                Some(Seen { object: K::deserialize(object).ok()?, reference: reference.clone() })
            })
            .collect()
    }

    /// The untyped object, for kinds without a type of ours.
    #[must_use]
    pub fn raw(&self, object: &ObjectRef) -> Option<(&Value, &str)> {
        self.objects.get(object).map(|(value, reference)| (value, reference.as_str()))
    }

    /// All objects of a kind that were read, untyped, each with its evidence.
    pub fn raw_all<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a ObjectRef, &'a Value, &'a str)> {
        self.raw_objects().filter(move |(key, ..)| key.kind == kind)
    }

    /// All objects that were read, untyped, each with its evidence.
    pub fn raw_objects(&self) -> impl Iterator<Item = (&ObjectRef, &Value, &str)> {
        self.objects.iter().map(|(key, (value, reference))| (key, value, reference.as_str()))
    }

    /// Names of all objects known to exist, read whole or only listed.
    #[must_use]
    pub fn names(&self) -> BTreeSet<ObjectRef> {
        self.objects.keys().chain(&self.named).cloned().collect()
    }

    /// The evidence of a complete listing of a kind in a namespace (or in the whole cluster), if one was made.
    #[must_use]
    pub fn listing(&self, kind: &str, namespace: &str) -> Option<&str> {
        let key = |namespace: &str| (kind.to_owned(), namespace.to_owned());
        self.listings.get(&key(namespace)).or_else(|| self.listings.get(&key(""))).map(String::as_str)
    }

    /// What the API server said when it was asked for an object that does not exist.
    #[must_use]
    pub fn absent(&self, object: &ObjectRef) -> Option<&Citation> {
        self.absent.get(object)
    }

    /// Whether it is known that an object does not exist: the server said so, or a complete listing lacks it.
    #[must_use]
    pub fn is_missing(&self, object: &ObjectRef) -> bool {
        !self.objects.contains_key(object)
            && !self.named.contains(object)
            && (self.absent.contains_key(object) || self.listing(&object.kind, &object.namespace).is_some())
    }

    /// Events about an object, in the order they were read.
    pub fn events_about<'a>(&'a self, object: &'a ObjectRef) -> impl Iterator<Item = &'a SeenEvent> {
        self.events.iter().filter(move |event| {
            event.about.kind == object.kind
                && event.about.name == object.name
                && (object.namespace.is_empty() || event.about.namespace == object.namespace)
        })
    }

    /// All events.
    #[must_use]
    pub fn events(&self) -> &[SeenEvent] {
        &self.events
    }

    /// Logs of a pod's containers, previous runs included.
    pub fn logs_of<'a>(&'a self, namespace: &'a str, pod: &'a str) -> impl Iterator<Item = &'a SeenLog> {
        self.logs.iter().filter(move |log| log.namespace == namespace && log.pod == pod)
    }

    /// All logs, in the order they were read.
    #[must_use]
    pub fn logs(&self) -> &[SeenLog] {
        &self.logs
    }

    /// Cites evidence when the words really stand in it (white space aside).
    #[must_use]
    pub fn cite(&self, reference: &str, quote: &str) -> Option<Citation> {
        let text = self.texts.get(reference)?;
        quoted_in(text, quote).then(|| Citation { reference: reference.to_owned(), quote: quote.to_owned() })
    }

    /// The recorded text of a piece of evidence.
    #[must_use]
    pub fn text(&self, reference: &str) -> Option<&str> {
        self.texts.get(reference).map(String::as_str)
    }
}

/// Kind, namespace and name of an object as the API server gives it.
#[must_use]
pub fn object_ref(object: &Value) -> Option<ObjectRef> {
    let metadata = object.get("metadata")?;
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let (kind, name) = (text(object.get("kind")), text(metadata.get("name")));
    (!kind.is_empty() && !name.is_empty()).then(|| ObjectRef { kind, namespace: text(metadata.get("namespace")), name })
}
