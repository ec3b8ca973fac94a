//! The analyzers, one file for each kind of trouble. Adding one is a file, a line in the registry and its test.

pub mod access;
pub mod aggregation;
mod alias;
mod asleep;
mod astray;
pub mod autoscaler;
mod awaited;
pub mod body_limit;
pub mod broker;
pub mod by_hand;
pub mod certificate;
pub mod certificate_name;
pub mod claim;
pub mod config;
pub mod connections;
mod cpu_limit;
pub mod crash;
pub mod creation;
pub mod credentials;
pub mod daemon;
pub mod dependency;
pub mod disruption;
pub mod dns_hosts;
mod dns_upstream;
pub mod edited_config;
pub mod entrance;
pub mod eviction;
pub mod full_disk;
pub mod gateway;
mod headroom;
mod heap;
mod hook;
pub mod image;
pub mod ingress;
mod ingress_host;
pub mod init;
pub mod job;
pub mod leaving;
pub mod limit_default;
pub mod loopback;
pub mod memory;
pub mod mesh;
mod misconfigured;
pub mod misplaced;
pub mod mount;
pub mod multi_attach;
pub mod node;
pub mod node_certificate;
pub mod node_conditions;
pub mod node_events;
pub mod node_lacks;
mod node_read_only;
pub mod policy;
pub mod pool;
pub mod preemption;
pub mod probe;
mod protocol;
pub mod provisioner;
pub mod proxy;
pub mod quota;
pub mod readiness_gate;
pub mod redis;
pub mod rejection;
mod reload;
pub mod retained;
mod rewritten;
pub mod rollout;
pub mod scaled_object;
pub mod scheduling;
mod schema;
pub mod scrape;
pub mod search_disk;
pub mod service;
mod service_link;
mod serving_certificate;
pub mod shared_memory;
pub mod solver_class;
pub mod stateful;
pub mod supplier;
pub mod target_port;
mod throttled;
pub mod traffic;
pub mod unready;
mod unrequested;
pub mod versions;
pub mod volume;

use crate::playbook::finding::Finding;
use crate::playbook::scene::Scene;

/// One analyzer: its name, what it serves, what it wants listed, and the function that does it.
#[derive(Debug)]
pub struct Analyzer {
    /// Its name, by which [`alerts`](crate::playbook::alerts) asks for it.
    pub name: &'static str,
    /// Kinds of the objects at which what it finds shows. Every analyzer runs over everything that was read.
    pub serves: &'static [&'static str],
    /// Kinds it wants listed in the alert's namespace when an alert asks for it. What the alert names, and what that
    /// refers to, is read anyway; gather decides how many of these lists it makes.
    pub wants: &'static [&'static str],
    /// The analysis, a pure function.
    pub run: fn(&Scene<'_>) -> Vec<Finding>,
}

impl Analyzer {
    const fn wanting(self, wants: &'static [&'static str]) -> Self {
        Self { wants, ..self }
    }
}

/// The kinds an analyzer wants listed.
#[must_use]
pub fn wants(analyzer: &str) -> &'static [&'static str] {
    ANALYZERS.iter().find(|known| known.name == analyzer).map_or(&[], |known| known.wants)
}

const fn analyzer(
    name: &'static str,
    serves: &'static [&'static str],
    run: fn(&Scene<'_>) -> Vec<Finding>,
) -> Analyzer {
    Analyzer { name, serves, wants: &[], run }
}

/// All analyzers; among equal findings the earlier one's stands first.
pub const ANALYZERS: &[Analyzer] = &[
    analyzer("node", &["Node"], node::run).wanting(&["Node"]),
    analyzer("node_events", &["Node"], node_events::run),
    analyzer("node_conditions", &["Pod"], node_conditions::run),
    analyzer("claim", &["PersistentVolumeClaim", "Pod"], claim::run),
    analyzer("volume", &["PersistentVolumeClaim", "PersistentVolume", "Pod"], volume::run),
    analyzer("retained", &["PersistentVolumeClaim"], retained::run),
    analyzer("shared_memory", &["Pod"], shared_memory::run),
    analyzer("creation", &["ReplicaSet", "StatefulSet", "Job", "DaemonSet", "Deployment"], creation::run),
    analyzer("quota", &["ResourceQuota"], quota::run).wanting(&["ResourceQuota"]),
    analyzer("cpu_limit", &["Pod"], cpu_limit::run),
    analyzer("limit_default", &["Pod"], limit_default::run),
    analyzer("throttled", &["Pod"], throttled::run),
    analyzer("versions", &["Node"], versions::run).wanting(&["Node"]),
    analyzer("connections", &["Pod"], connections::run),
    analyzer("broker", &["Pod"], broker::run),
    analyzer("rewritten", &["Pod"], rewritten::run),
    analyzer("schema", &["Pod"], schema::run),
    analyzer("edited_config", &["Pod"], edited_config::run),
    analyzer("preemption", &["Pod"], preemption::run),
    analyzer("scheduling", &["Pod"], scheduling::run),
    analyzer("rejection", &["Pod"], rejection::run),
    analyzer("node_lacks", &["Pod"], node_lacks::run),
    analyzer("reload", &["Pod"], reload::run),
    analyzer("config", &["Pod"], config::run),
    analyzer("mount", &["Pod"], mount::run),
    analyzer("image", &["Pod"], image::run),
    analyzer("memory", &["Pod"], memory::run),
    analyzer("heap", &["Pod"], heap::run),
    analyzer("service_link", &["Pod"], service_link::run),
    analyzer("probe", &["Pod"], probe::run),
    analyzer("hook", &["Pod"], hook::run),
    analyzer("readiness_gate", &["Pod"], readiness_gate::run),
    analyzer("crash", &["Pod"], crash::run),
    analyzer("job", &["Job", "CronJob", "Pod"], job::run),
    analyzer("awaited", &["Pod"], awaited::run),
    analyzer("init", &["Pod"], init::run),
    analyzer("disruption", &["PodDisruptionBudget"], disruption::run).wanting(&["PodDisruptionBudget"]),
    analyzer("access", &["Pod"], access::run),
    analyzer("eviction", &["Pod"], eviction::run),
    analyzer("leaving", &["Pod", "Namespace", "PersistentVolumeClaim", "Ingress"], leaving::run),
    analyzer("policy", &["Pod"], policy::run).wanting(&["NetworkPolicy"]),
    analyzer("node_certificate", &["Service"], node_certificate::run),
    analyzer("scrape", &["Service"], scrape::run).wanting(&["NetworkPolicy"]),
    analyzer("service", &["Service"], service::run).wanting(&["Service"]),
    analyzer("by_hand", &["Service"], by_hand::run),
    analyzer("traffic", &["Service", "Pod"], traffic::run),
    analyzer("loopback", &["Service", "Pod"], loopback::run),
    analyzer("ingress", &["Ingress"], ingress::run).wanting(&["Ingress"]),
    analyzer("ingress_host", &["Ingress"], ingress_host::run).wanting(&["Ingress"]),
    analyzer("entrance", &["Ingress"], entrance::run),
    analyzer("body_limit", &["Ingress"], body_limit::run),
    analyzer("gateway", &["Gateway", "GatewayClass", "HTTPRoute"], gateway::run),
    analyzer("scaled_object", &["ScaledObject"], scaled_object::run),
    analyzer("autoscaler", &["HorizontalPodAutoscaler"], autoscaler::run).wanting(&["HorizontalPodAutoscaler"]),
    analyzer("aggregation", &["APIService"], aggregation::run).wanting(&["APIService"]),
    analyzer("certificate", &["Certificate"], certificate::run).wanting(&["Certificate"]),
    analyzer("proxy", &["Pod"], proxy::run),
    analyzer("protocol", &["Pod"], protocol::run),
    analyzer("certificate_name", &["Pod"], certificate_name::run),
    analyzer("serving_certificate", &["Service", "Pod"], serving_certificate::run),
    analyzer("rollout", &["Deployment"], rollout::run),
    analyzer("pool", &["Pod"], pool::run),
    analyzer("redis", &["Pod"], redis::run),
    analyzer("credentials", &["Pod"], credentials::run),
    analyzer("search_disk", &["Pod"], search_disk::run),
    analyzer("dns_hosts", &["Pod"], dns_hosts::run),
    analyzer("dns_upstream", &["Pod"], dns_upstream::run),
    analyzer("mesh", &["Pod"], mesh::run),
    analyzer("supplier", &["Pod", "Job"], supplier::run),
    analyzer("dependency", &["Pod"], dependency::run),
    analyzer("alias", &["Service"], alias::run),
    analyzer("stateful", &["StatefulSet", "Pod"], stateful::run),
    analyzer("daemon", &["DaemonSet"], daemon::run),
    analyzer("misplaced", &["DaemonSet"], misplaced::run),
    analyzer("unready", &["Pod", "StatefulSet", "DaemonSet"], unready::run),
];
