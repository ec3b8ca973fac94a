//! The analyzers, one file for each kind of trouble. Adding one is a file, a line in the registry and its test.

pub mod access;
pub mod aggregation;
pub mod autoscaler;
pub mod certificate;
pub mod claim;
pub mod config;
pub mod crash;
pub mod creation;
pub mod daemon;
pub mod dependency;
pub mod disruption;
pub mod eviction;
pub mod gateway;
mod hook;
pub mod image;
pub mod ingress;
pub mod init;
pub mod job;
pub mod leaving;
pub mod memory;
pub mod mount;
pub mod node;
pub mod node_events;
pub mod policy;
pub mod preemption;
pub mod probe;
pub mod provisioner;
pub mod quota;
pub mod rejection;
pub mod rollout;
pub mod scaled_object;
pub mod scheduling;
pub mod scrape;
pub mod service;
pub mod shared_memory;
pub mod stateful;
pub mod target_port;
pub mod traffic;
pub mod unready;
pub mod volume;

use crate::playbook::finding::Finding;
use crate::playbook::scene::Scene;

/// One analyzer: its name, what it wants listed, and the function that does it.
#[derive(Debug)]
pub struct Analyzer {
    /// Its name, by which [`alerts`](crate::playbook::alerts) asks for it.
    pub name: &'static str,
    /// Kinds it wants listed in the alert's namespace when an alert asks for it. What the alert names, and what that
    /// refers to, is read anyway; gather decides how many of these lists it makes.
    pub wants: &'static [&'static str],
    /// The analysis, a pure function.
    pub run: fn(&Scene<'_>) -> Vec<Finding>,
}

/// The kinds an analyzer wants listed.
#[must_use]
pub fn wants(analyzer: &str) -> &'static [&'static str] {
    ANALYZERS.iter().find(|known| known.name == analyzer).map_or(&[], |known| known.wants)
}

const fn analyzer(name: &'static str, run: fn(&Scene<'_>) -> Vec<Finding>) -> Analyzer {
    Analyzer { name, wants: &[], run }
}

const fn wanting(name: &'static str, wants: &'static [&'static str], run: fn(&Scene<'_>) -> Vec<Finding>) -> Analyzer {
    Analyzer { name, wants, run }
}

/// All analyzers; among equal findings the earlier one's stands first.
pub const ANALYZERS: &[Analyzer] = &[
    wanting("node", &["Node"], node::run),
    analyzer("node_events", node_events::run),
    analyzer("claim", claim::run),
    analyzer("volume", volume::run),
    analyzer("shared_memory", shared_memory::run),
    analyzer("creation", creation::run),
    wanting("quota", &["ResourceQuota"], quota::run),
    analyzer("preemption", preemption::run),
    analyzer("scheduling", scheduling::run),
    analyzer("rejection", rejection::run),
    analyzer("config", config::run),
    analyzer("mount", mount::run),
    analyzer("image", image::run),
    analyzer("memory", memory::run),
    analyzer("probe", probe::run),
    analyzer("hook", hook::run),
    analyzer("crash", crash::run),
    analyzer("job", job::run),
    analyzer("init", init::run),
    wanting("disruption", &["PodDisruptionBudget"], disruption::run),
    analyzer("access", access::run),
    analyzer("eviction", eviction::run),
    analyzer("leaving", leaving::run),
    wanting("policy", &["NetworkPolicy"], policy::run),
    wanting("scrape", &["NetworkPolicy"], scrape::run),
    wanting("service", &["Service"], service::run),
    analyzer("traffic", traffic::run),
    wanting("ingress", &["Ingress"], ingress::run),
    analyzer("gateway", gateway::run),
    analyzer("scaled_object", scaled_object::run),
    wanting("autoscaler", &["HorizontalPodAutoscaler"], autoscaler::run),
    wanting("aggregation", &["APIService"], aggregation::run),
    wanting("certificate", &["Certificate"], certificate::run),
    analyzer("rollout", rollout::run),
    analyzer("dependency", dependency::run),
    analyzer("stateful", stateful::run),
    analyzer("daemon", daemon::run),
    analyzer("unready", unready::run),
];
