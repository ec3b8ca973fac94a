//! The scheduler's reasons with their counts: how many Nodes each of them rules out.

use crate::playbook::pattern::Pattern;
use crate::playbook::scene::Scene;

static TOTAL: Pattern = Pattern::new(r"\b0/(\d+) nodes are available");
/// A reason, as `1 Too many pods`; one ends where the next count begins.
static REASON: Pattern = Pattern::new(r"^(\d+) (.+)$");
static NEXT: Pattern = Pattern::new(r", (\d+ )");

/// What a message of the scheduler says of the Nodes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reasons {
    /// How many Nodes there are.
    pub total: usize,
    /// How many of them each reason rules out.
    pub each: Vec<(usize, String)>,
}

impl Reasons {
    /// Reads a message such as `0/6 nodes are available: 1 Too many pods, 5 node(s) were unschedulable.`
    pub fn of(message: &str) -> Option<Self> {
        let total = TOTAL.group(message, 1)?.parse().ok()?;
        let (_, told) = super::essence(message).split_once("available: ")?;
        let told = told.trim().trim_end_matches('.');
        let mut starts: Vec<usize> = vec![0];
        starts.extend(NEXT.all(told).iter().filter_map(|found| Some(found.get(1)?.start())));
        let ends = starts.iter().skip(1).map(|at| at - 2).chain([told.len()]);
        let parts = starts.iter().zip(ends).filter_map(|(from, to)| told.get(*from..to));
        let each = parts.filter_map(|part| {
            let found = REASON.groups(part)?;
            Some((found[1].parse().ok()?, found[2].to_owned()))
        });
        Some(Self { total, each: each.collect() })
    }

    /// How many Nodes the first reason with these words rules out.
    pub fn count(&self, words: &str) -> usize {
        self.each.iter().find(|(_, said)| said.contains(words)).map_or(0, |(count, _)| *count)
    }

    /// Whether a reason rules out every Node.
    pub fn is_of_all(&self, words: &str) -> bool {
        self.count(words) >= self.total
    }

    /// What rules out the other Nodes, in the scheduler's words.
    pub fn beside(&self, words: &str) -> String {
        let others = self.each.iter().filter(|(_, said)| !said.contains(words));
        others.map(|(count, said)| format!("{count} {said}")).collect::<Vec<_>>().join(", ")
    }
}

/// What a message says of the Nodes that a reason does not rule out, to stand behind a sentence about those it does;
/// nothing where it rules out all.
pub(super) fn rest(scene: &Scene<'_>, message: &str, words: &str) -> String {
    let Some(reasons) = Reasons::of(message).filter(|reasons| !reasons.is_of_all(words)) else {
        return String::new();
    };
    let others = reasons.beside(words);
    if others.is_empty() {
        return String::new();
    }
    scene.text(
        format!("；其余节点因别的原因被排除：{others}"),
        format!("; the other Nodes are ruled out otherwise: {others}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_read_with_its_count() {
        let message = "0/6 nodes are available: 1 Too many pods, 5 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, preemption: 0/6 nodes are available: 1 No preemption victims found for incoming pod, 5 Preemption is not helpful for scheduling.";
        let reasons = Reasons::of(message).unwrap();
        assert_eq!((reasons.total, reasons.count("Too many pods")), (6, 1));
        assert!(!reasons.is_of_all("Too many pods"));
        assert_eq!(reasons.beside("Too many pods"), "5 node(s) didn't match Pod's node affinity/selector");
    }

    #[test]
    fn one_reason_may_rule_out_every_node_and_a_taint_holds_a_comma() {
        let full = Reasons::of("0/2 nodes are available: 2 Too many pods.").unwrap();
        assert!(full.is_of_all("Too many pods") && full.beside("Too many pods").is_empty());
        let tainted =
            Reasons::of("0/3 nodes are available: 2 Insufficient cpu, 1 node(s) had untolerated taint {a: b}.");
        assert_eq!(tainted.unwrap().each.len(), 2);
        assert_eq!(Reasons::of("running PreBind plugin: timed out"), None);
    }
}
