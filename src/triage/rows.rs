//! Rows: what the lists say at a glance, so that only objects that do not look well are read one by one.

use super::seen::Seen;
use super::want::Want;
use crate::alert::ObjectRef;
use crate::toolbox::table::Row;

/// Objects of a list read by name when something points at their kind.
const OBJECTS_PER_HINT: usize = 6;

/// Seconds within which a release may be what is wrong now: half a day.
const LATELY: u64 = 12 * 3_600;

/// A row's cell under a heading; empty when there is none.
pub fn cell<'a>(cells: &'a Row, heading: &str) -> &'a str {
    cells.get(heading).map(String::as_str).unwrap_or_default()
}

/// Whether a row carries all of these labels.
pub fn has_labels(cells: &Row, labels: &[(String, String)]) -> bool {
    let carried: Vec<&str> = cell(cells, "LABELS").split(',').collect();
    labels.iter().all(|(key, value)| carried.contains(&format!("{key}={value}").as_str()))
}

/// Whether a pod's row shows all its containers ready, or its work done.
pub fn is_well_pod(cells: &Row) -> bool {
    (is_complete(cells) && cell(cells, "STATUS") == "Running") || cell(cells, "STATUS") == "Completed"
}

/// The objects of a list, a few; of all namespaces when none is given.
pub fn listed(seen: &Seen, kind: &str, namespace: &str) -> Vec<Want> {
    // ConfigMaps are looked for by name only: what stands in them is the team's own.
    let rows = of_kind(seen, kind, namespace).filter(|_| kind != "ConfigMap");
    rows.take(OBJECTS_PER_HINT).map(|(row, _)| Want::Object(row.clone())).collect()
}

/// Objects of a listed kind whose row shows, or does not rule out, that something is wrong with them.
pub fn unwell(seen: &Seen, kind: &str, namespace: &str) -> Vec<ObjectRef> {
    let well = |cells: &Row| match kind {
        "Pod" => is_well_pod(cells),
        "Deployment" | "StatefulSet" => is_complete(cells),
        "DaemonSet" => cell(cells, "DESIRED") == cell(cells, "READY"),
        "Job" => cell(cells, "STATUS") != "Failed",
        "CronJob" => cell(cells, "SUSPEND") != "True",
        "PersistentVolumeClaim" => cell(cells, "STATUS") == "Bound",
        "Service" => is_answered(seen, namespace, cells),
        "Node" => cell(cells, "STATUS") == "Ready",
        "APIService" => cell(cells, "AVAILABLE") == "True",
        "Certificate" => cell(cells, "READY") == "True",
        "PodDisruptionBudget" => true,
        _ => false,
    };
    of_kind(seen, kind, namespace).filter(|(_, cells)| !well(cells)).map(|(row, _)| row.clone()).collect()
}

/// Jobs that have not done their work: API servers before 1.31 print no status, only how many runs of how many.
pub fn unfinished_jobs(seen: &Seen, namespace: &str) -> Vec<ObjectRef> {
    let done = |cells: &Row| cell(cells, "COMPLETIONS").split_once('/').is_some_and(|(done, all)| done == all);
    of_kind(seen, "Job", namespace).filter(|(_, cells)| !done(cells)).map(|(row, _)| row.clone()).collect()
}

/// Workloads of a listed kind that want no pods.
pub fn without_pods(seen: &Seen, kind: &str, namespace: &str) -> Vec<ObjectRef> {
    let asleep = |cells: &Row| cell(cells, "READY") == "0/0";
    of_kind(seen, kind, namespace).filter(|(_, cells)| asleep(cells)).map(|(row, _)| row.clone()).collect()
}

/// The youngest ReplicaSet with these labels that wants no pods: most likely the version before the present one.
pub fn retired(seen: &Seen, namespace: &str, labels: &[(String, String)]) -> Option<ObjectRef> {
    let sets = of_kind(seen, "ReplicaSet", namespace)
        .filter(|(_, cells)| cell(cells, "DESIRED") == "0" && has_labels(cells, labels));
    sets.min_by_key(|(_, cells)| seconds(cell(cells, "AGE"))).map(|(row, _)| row.clone())
}

/// Whether a ReplicaSet with these labels that wants Pods was made within the last hours: what it changed may be what is wrong.
pub fn released_lately(seen: &Seen, namespace: &str, labels: &[(String, String)]) -> bool {
    let mut sets = of_kind(seen, "ReplicaSet", namespace)
        .filter(|(_, cells)| cell(cells, "DESIRED") != "0" && has_labels(cells, labels));
    sets.any(|(_, cells)| seconds(cell(cells, "AGE")) < LATELY)
}

/// The ReplicaSets that want Pods and were made within the last hours, the youngest first.
pub fn released(seen: &Seen, namespace: &str) -> Vec<ObjectRef> {
    let sets = of_kind(seen, "ReplicaSet", namespace)
        .filter(|(_, cells)| cell(cells, "DESIRED") != "0" && seconds(cell(cells, "AGE")) < LATELY);
    youngest(seen, sets.map(|(row, _)| row.clone()).collect())
}

/// Listed objects by their age, the youngest first.
pub fn youngest(seen: &Seen, mut objects: Vec<ObjectRef>) -> Vec<ObjectRef> {
    objects.sort_by_key(|object| seen.rows.get(object).map_or(u64::MAX, |cells| seconds(cell(cells, "AGE"))));
    objects
}

/// An age as kubectl prints it (`3d4h`, `12m`), in seconds; one that cannot be read counts as the oldest.
fn seconds(age: &str) -> u64 {
    let (mut total, mut number) = (0_u64, None::<u64>);
    for letter in age.chars() {
        if let Some(digit) = letter.to_digit(10) {
            number = Some(number.unwrap_or(0).saturating_mul(10).saturating_add(u64::from(digit)));
            continue;
        }
        let unit = match letter {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'y' => 31_536_000,
            _ => return u64::MAX,
        };
        let Some(count) = number.take() else { return u64::MAX };
        total = total.saturating_add(count.saturating_mul(unit));
    }
    if age.is_empty() || number.is_some() { u64::MAX } else { total }
}

/// Pods that bear the name of an object that is not there: named after it, or beside it under the same workload.
pub fn beside(seen: &Seen, gone: &ObjectRef) -> Vec<ObjectRef> {
    let mut stem = gone.name.as_str();
    // A pod's name ends in its own five letters, before them may stand its ReplicaSet's.
    let cuts = if gone.kind == "Pod" { 2 } else { 0 };
    for _ in 0..=cuts {
        let found: Vec<ObjectRef> = of_kind(seen, "Pod", &gone.namespace)
            .filter(|(row, _)| is_named_after(&row.name, stem))
            .map(|(row, _)| row.clone())
            .collect();
        if !found.is_empty() {
            return found;
        }
        let Some((shorter, _)) = stem.rsplit_once('-') else { break };
        stem = shorter;
    }
    Vec::new()
}

/// Whether a name is another one with more behind it, as a pod's is its workload's.
pub fn is_named_after(name: &str, stem: &str) -> bool {
    name.strip_prefix(stem).is_some_and(|rest| rest.starts_with('-'))
}

/// Objects of a listed kind that fit, those that are not well first.
pub fn matching(seen: &Seen, kind: &str, namespace: &str, fits: impl Fn(&ObjectRef, &Row) -> bool) -> Vec<ObjectRef> {
    let mut found: Vec<_> = of_kind(seen, kind, namespace).filter(|(row, cells)| fits(row, cells)).collect();
    found.sort_by_key(|(_, cells)| kind == "Pod" && is_well_pod(cells));
    found.into_iter().map(|(row, _)| row.clone()).collect()
}

fn of_kind<'s>(seen: &'s Seen, kind: &str, namespace: &str) -> impl Iterator<Item = (&'s ObjectRef, &'s Row)> {
    let rows = seen.rows.iter();
    rows.filter(move |(row, _)| row.kind == kind && (namespace.is_empty() || row.namespace == namespace))
}

/// `READY` with both sides alike.
fn is_complete(cells: &Row) -> bool {
    cell(cells, "READY").split_once('/').is_some_and(|(ready, all)| ready == all)
}

/// Whether a Service selects a pod that is well, or selects nothing by design.
fn is_answered(seen: &Seen, namespace: &str, cells: &Row) -> bool {
    let labels = selector(cells);
    labels.is_empty() || of_kind(seen, "Pod", namespace).any(|(_, pod)| is_well_pod(pod) && has_labels(pod, &labels))
}

/// The pairs of a Service's selector; none where it selects nothing by design.
pub fn selector(cells: &Row) -> Vec<(String, String)> {
    let pairs = cell(cells, "SELECTOR").split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The listed Services that select a pod.
pub fn selecting(seen: &Seen, pod: &ObjectRef) -> Vec<ObjectRef> {
    let Some(cells) = seen.rows.get(pod) else { return Vec::new() };
    let selects = |row: &Row| {
        let wanted = selector(row);
        !wanted.is_empty() && has_labels(cells, &wanted)
    };
    matching(seen, "Service", &pod.namespace, |_, row| selects(row))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    /// Kind, name, and cells by heading.
    type Listed<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

    fn seen(rows: &[Listed<'_>]) -> Seen {
        let mut seen = Seen::new(Timestamp::UNIX_EPOCH, &[]);
        for (kind, name, cells) in rows {
            let row = cells.iter().map(|(heading, cell)| ((*heading).to_owned(), (*cell).to_owned())).collect();
            seen.rows.insert(ObjectRef::new(*kind, "a", *name), row);
        }
        seen
    }

    fn names(found: Vec<ObjectRef>) -> Vec<String> {
        found.into_iter().map(|object| object.name).collect()
    }

    #[test]
    fn only_what_does_not_look_well_is_read() {
        let seen = seen(&[
            ("Pod", "ok", &[("READY", "1/1"), ("STATUS", "Running"), ("LABELS", "app=ok,v=4")]),
            ("Pod", "bad", &[("READY", "0/1"), ("STATUS", "CrashLoopBackOff"), ("LABELS", "app=bad")]),
            ("Deployment", "ok", &[("READY", "2/2")]),
            ("Deployment", "bad", &[("READY", "0/2")]),
            ("CronJob", "bad", &[("SUSPEND", "True")]),
            ("Service", "ok", &[("SELECTOR", "app=ok")]),
            ("Service", "bad", &[("SELECTOR", "app=ok,v=3")]),
            ("Service", "outside", &[("SELECTOR", "<none>")]),
            ("PersistentVolumeClaim", "bad", &[("STATUS", "Pending")]),
            ("PersistentVolumeClaim", "ok", &[("STATUS", "Bound")]),
        ]);
        for kind in ["Pod", "Deployment", "CronJob", "Service", "PersistentVolumeClaim"] {
            assert_eq!(names(unwell(&seen, kind, "a")), ["bad"], "{kind}");
        }
    }

    #[test]
    fn the_version_before_is_the_youngest_that_was_retired() {
        let row = |desired, age| [("DESIRED", desired), ("AGE", age), ("LABELS", "app=web")];
        let seen = seen(&[
            ("ReplicaSet", "web-1", &row("0", "9d")),
            ("ReplicaSet", "web-2", &row("0", "3d4h")),
            ("ReplicaSet", "web-3", &row("2", "12m")),
        ]);
        let label = |value: &str| [("app".to_owned(), value.to_owned())];
        assert_eq!(retired(&seen, "a", &label("web")).map(|it| it.name).as_deref(), Some("web-2"));
        assert_eq!(retired(&seen, "a", &label("db")), None);
        assert_eq!((seconds("1h1m5s"), seconds("<unknown>"), seconds("")), (3_665, u64::MAX, u64::MAX));
    }

    #[test]
    fn a_pod_that_is_gone_has_siblings() {
        let seen = seen(&[("Pod", "web-5d-new", &[]), ("Pod", "web-6f-abc", &[]), ("Pod", "website-1-x", &[])]);
        let gone = |name: &str| names(beside(&seen, &ObjectRef::new("Pod", "a", name)));
        assert_eq!(gone("web-5d-old"), ["web-5d-new"], "of its own ReplicaSet first");
        assert_eq!(gone("web-4c-old"), ["web-5d-new", "web-6f-abc"], "then of its workload");
        assert!(gone("db-0").is_empty());
    }
}
