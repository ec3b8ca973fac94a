//! The analyzers, one file for each kind of trouble. Adding one is a file, a line in the registry and its test.

pub mod access;
pub mod autoscaler;
pub mod claim;
pub mod config;
pub mod crash;
pub mod creation;
pub mod dependency;
pub mod disruption;
pub mod eviction;
pub mod image;
pub mod ingress;
pub mod init;
pub mod job;
pub mod leaving;
pub mod memory;
pub mod mount;
pub mod node;
pub mod policy;
pub mod probe;
pub mod provisioner;
pub mod rollout;
pub mod scheduling;
pub mod service;
pub mod stateful;
pub mod target_port;
pub mod unready;

use crate::playbook::finding::Finding;
use crate::playbook::scene::Scene;

/// One analyzer: what it looks at, which alerts it answers, and the function that does it.
#[derive(Debug)]
pub struct Analyzer {
    /// Its name, for people.
    pub name: &'static str,
    /// The kinds whose objects it reads: what gather should bring for it.
    pub kinds: &'static [&'static str],
    /// The alerts it answers best; its findings go first among equals when one of them fires.
    pub alerts: &'static [&'static str],
    /// The analysis, a pure function.
    pub run: fn(&Scene<'_>) -> Vec<Finding>,
}

/// All analyzers; among equal findings the earlier one's stands first.
pub const ANALYZERS: &[Analyzer] = &[
    Analyzer {
        name: "node",
        kinds: &["Node", "Pod"],
        alerts: &["KubeNodeNotReady", "KubeNodeUnreachable", "KubeletDown", "KubeNodePressure", "KubeNodeEviction"],
        run: node::run,
    },
    Analyzer {
        name: "claim",
        kinds: &["PersistentVolumeClaim", "StorageClass", "CSIDriver", "PersistentVolume"],
        alerts: &["KubePersistentVolumeErrors", "KubePersistentVolumeClaimPending"],
        run: claim::run,
    },
    Analyzer {
        name: "creation",
        kinds: &[
            "ReplicaSet",
            "ResourceQuota",
            "LimitRange",
            "ValidatingWebhookConfiguration",
            "MutatingWebhookConfiguration",
            "ServiceAccount",
        ],
        alerts: &["KubeQuotaFullyUsed", "KubeQuotaExceeded", "KubeQuotaAlmostFull"],
        run: creation::run,
    },
    Analyzer { name: "scheduling", kinds: &["Pod", "Node"], alerts: &["KubePodUnschedulable"], run: scheduling::run },
    Analyzer {
        name: "config",
        kinds: &["Pod", "ConfigMap", "Secret"],
        alerts: &["KubeContainerWaiting"],
        run: config::run,
    },
    Analyzer {
        name: "mount",
        kinds: &["Pod", "ConfigMap", "Secret"],
        alerts: &["KubeContainerWaiting"],
        run: mount::run,
    },
    Analyzer {
        name: "image",
        kinds: &["Pod", "Secret", "ReplicaSet"],
        alerts: &["KubeContainerWaiting"],
        run: image::run,
    },
    Analyzer {
        name: "memory",
        kinds: &["Pod"],
        alerts: &["KubeContainerOOMKilled", "ContainerOOMKilled"],
        run: memory::run,
    },
    Analyzer { name: "probe", kinds: &["Pod"], alerts: &["KubePodCrashLooping", "KubePodNotReady"], run: probe::run },
    Analyzer { name: "crash", kinds: &["Pod", "ReplicaSet"], alerts: &["KubePodCrashLooping"], run: crash::run },
    Analyzer {
        name: "job",
        kinds: &["Job", "CronJob", "Pod"],
        alerts: &["KubeJobFailed", "KubeJobNotCompleted"],
        run: job::run,
    },
    Analyzer { name: "init", kinds: &["Pod"], alerts: &["KubeContainerWaiting"], run: init::run },
    Analyzer {
        name: "disruption",
        kinds: &["PodDisruptionBudget", "Pod", "Node"],
        alerts: &["KubePdbNotEnoughHealthyPods", "KubePdbAtLimit"],
        run: disruption::run,
    },
    Analyzer {
        name: "access",
        kinds: &["Pod", "RoleBinding", "Role", "ServiceAccount"],
        alerts: &[],
        run: access::run,
    },
    Analyzer { name: "eviction", kinds: &["Pod", "Node"], alerts: &["KubePodEvicted"], run: eviction::run },
    Analyzer {
        name: "leaving",
        kinds: &["Pod", "Namespace", "Node"],
        alerts: &["KubePodStuckTerminating"],
        run: leaving::run,
    },
    Analyzer {
        name: "policy",
        kinds: &["NetworkPolicy", "Service", "Pod", "Namespace"],
        alerts: &["HighErrorRate"],
        run: policy::run,
    },
    Analyzer { name: "service", kinds: &["Service", "Endpoints", "Pod"], alerts: &["TargetDown"], run: service::run },
    Analyzer {
        name: "ingress",
        kinds: &["Ingress", "IngressClass", "Service", "Secret"],
        alerts: &[],
        run: ingress::run,
    },
    Analyzer {
        name: "autoscaler",
        kinds: &["HorizontalPodAutoscaler"],
        alerts: &["KubeHpaMaxedOut", "KubeHpaReplicasMismatch"],
        run: autoscaler::run,
    },
    Analyzer {
        name: "rollout",
        kinds: &["Deployment", "ReplicaSet"],
        alerts: &["KubeDeploymentRolloutStuck", "KubeDeploymentReplicasMismatch"],
        run: rollout::run,
    },
    Analyzer { name: "dependency", kinds: &["Service", "Pod"], alerts: &["HighErrorRate"], run: dependency::run },
    Analyzer {
        name: "stateful",
        kinds: &["StatefulSet", "Service"],
        alerts: &["KubeStatefulSetReplicasMismatch"],
        run: stateful::run,
    },
    Analyzer { name: "unready", kinds: &["Pod", "StatefulSet", "DaemonSet"], alerts: &[], run: unready::run },
];
