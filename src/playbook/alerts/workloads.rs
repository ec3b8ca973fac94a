//! Alerts about workloads, storage and namespaces: kubernetes-mixin's `apps`, `resources` and `storage`, and common ones beside.

use super::{Answer, Known, Subject, measured, state};

/// What a Pod that does not come up may suffer from, the likeliest first.
const POD: &[&str] =
    &["image", "config", "mount", "crash", "probe", "scheduling", "claim", "init", "creation", "rejection", "unready"];
/// What a Pod that keeps restarting may suffer from.
const RESTARTS: &[&str] = &["crash", "memory", "heap", "service_link", "probe", "init", "hook", "dependency"];
/// What keeps a workload from having all its Pods.
const REPLICAS: &[&str] = &["creation", "rollout", "scheduling", "image", "crash", "probe", "config", "mount", "claim"];
/// What a caller that fails may suffer from.
pub(super) const CALLS: &[&str] = &[
    "policy",
    "dependency",
    "pool",
    "redis",
    "credentials",
    "service",
    "traffic",
    "ingress",
    "ingress_host",
    "entrance",
    "body_limit",
    "gateway",
    "crash",
    "autoscaler",
];

/// What makes a workload slow.
pub(super) const SLOW: &[&str] = &["autoscaler", "pool", "dependency", "policy", "memory", "heap"];

const fn errors(name: &'static str) -> Known {
    Known { name, subject: Subject::Labels, answer: Answer::Errors, asks: CALLS }
}

pub(super) const ALERTS: &[Known] = &[
    state("KubePodCrashLooping", RESTARTS),
    state("KubePodNotReady", POD),
    state("KubeContainerWaiting", POD),
    state("KubeDeploymentGenerationMismatch", &["rollout", "creation"]),
    state("KubeDeploymentReplicasMismatch", REPLICAS),
    state("KubeDeploymentRolloutStuck", &["rollout", "image", "crash", "probe", "creation", "scheduling"]),
    state("KubeStatefulSetReplicasMismatch", &["stateful", "claim", "creation", "scheduling", "crash", "image"]),
    state("KubeStatefulSetGenerationMismatch", &["stateful", "rollout", "creation"]),
    state("KubeStatefulSetUpdateNotRolledOut", &["stateful", "probe", "crash", "image", "creation"]),
    state("KubeDaemonSetRolloutStuck", &["daemon", "scheduling", "node", "image", "crash", "probe"]),
    state("KubeDaemonSetNotScheduled", &["scheduling", "node", "creation"]),
    state("KubeDaemonSetMisScheduled", &["scheduling", "node"]),
    state("KubeJobNotCompleted", &["job", "crash", "scheduling", "image"]),
    state("KubeJobCompletion", &["job", "crash", "scheduling", "image"]),
    state("KubeJobFailed", &["job", "crash", "memory"]),
    state("KubeCronJobRunning", &["job"]),
    state("KubeCronJobSuspended", &["job"]),
    state("KubeHpaReplicasMismatch", &["autoscaler", "creation", "scheduling"]),
    state("KubeHpaMaxedOut", &["autoscaler"]),
    state("KubePdbNotEnoughHealthyPods", &["disruption", "crash", "probe"]),
    state("KubePdbAtLimit", &["disruption"]),
    state("KubeQuotaAlmostFull", &["quota", "creation"]),
    state("KubeQuotaFullyUsed", &["quota", "creation"]),
    state("KubeQuotaExceeded", &["quota", "creation"]),
    measured("CPUThrottlingHigh", &["throttled"]),
    measured("KubePersistentVolumeFillingUp", &["volume", "retained", "claim", "crash"]),
    measured("KubePersistentVolumeInodesFillingUp", &["volume", "claim"]),
    state("KubePersistentVolumeErrors", &["volume", "claim"]),
    state("KubePersistentVolumeClaimPending", &["claim", "scheduling"]),
    state("PersistentVolumeClaimPending", &["claim", "scheduling"]),
    state("KubePersistentVolumeClaimLost", &["claim", "volume"]),
    state("KubePodUnschedulable", &["scheduling", "claim", "preemption"]),
    state("KubePodPending", &["scheduling", "claim", "image", "mount"]),
    state("KubePodEvicted", &["eviction", "node", "rejection", "preemption"]),
    state("KubePodStuckTerminating", &["leaving", "node"]),
    state("KubeNamespaceStuckTerminating", &["leaving", "aggregation"]),
    state("KubeContainerOOMKilled", &["memory"]),
    state("ContainerOOMKilled", &["memory"]),
    state("KubernetesContainerOomKiller", &["memory"]),
    state("KubernetesPodCrashLooping", RESTARTS),
    state("KubernetesPodNotHealthy", POD),
    state("KubeImagePullBackOff", &["image"]),
    state("KubeServiceWithoutEndpoints", &["service", "traffic"]),
    state("KubeServiceNoEndpoints", &["service", "traffic"]),
    state("KubeIngressBackendMissing", &["ingress", "service"]),
    state("CertManagerCertNotReady", &["certificate"]),
    errors("HighErrorRate"),
    errors("HighHTTPErrorRate"),
    errors("KubeIngressErrorRate"),
];
