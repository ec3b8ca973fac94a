//! Alerts about Nodes and the control plane: kubernetes-mixin's `kubelet`, `apiserver` and `system`, etcd and CoreDNS.

use super::{Answer, Known, Subject, cluster, component, host, kubelet, state};

const APISERVER: &str = "kube-apiserver";
const ETCD: &str = "etcd";
const DNS: &str = "coredns";

const fn aggregated(name: &'static str) -> Known {
    Known { name, subject: Subject::Labels, answer: Answer::State, asks: &["aggregation", "service", "crash"] }
}

/// What fills a Node's disk may be a workload, which the kubelet names where it evicts it.
const fn disk(name: &'static str) -> Known {
    Known { name, subject: Subject::Host, answer: Answer::Measurement, asks: &["node", "eviction"] }
}

pub(super) const ALERTS: &[Known] = &[
    state("KubeNodeNotReady", &["node"]),
    state("KubeNodeUnreachable", &["node"]),
    state("KubeNodePressure", &["node", "eviction"]),
    state("KubeNodeReadinessFlapping", &["node"]),
    state("KubeNodeEviction", &["eviction", "node"]),
    state("KubeNodeUnschedulable", &["node", "disruption"]),
    state("KubeNodeDrainBlocked", &["disruption", "node"]),
    // It says that no kubelet is scraped at all, and so names none.
    cluster("KubeletDown", &["node"]),
    kubelet("KubeletInstanceUnreachable", Answer::State, &["node"]),
    kubelet("KubeletTooManyPods", Answer::State, &["node", "node_events", "scheduling"]),
    kubelet("KubeletPlegDurationHigh", Answer::Measurement, &["node"]),
    kubelet("KubeletPodStartUpLatencyHigh", Answer::Measurement, &["node"]),
    kubelet("KubeletClientCertificateExpiration", Answer::Measurement, &["node"]),
    kubelet("KubeletServerCertificateExpiration", Answer::Measurement, &["node"]),
    kubelet("KubeletClientCertificateRenewalErrors", Answer::Measurement, &["node"]),
    kubelet("KubeletServerCertificateRenewalErrors", Answer::Measurement, &["node"]),
    cluster("KubeCPUOvercommit", &["node"]),
    cluster("KubeMemoryOvercommit", &["node"]),
    cluster("KubeCPUQuotaOvercommit", &["quota"]),
    cluster("KubeMemoryQuotaOvercommit", &["quota"]),
    cluster("KubeVersionMismatch", &["versions"]),
    // The client is whoever exports the metric; its own health and its Node's say whether it or the API server fails.
    Known {
        name: "KubeClientErrors",
        subject: Subject::Job,
        answer: Answer::Measurement,
        asks: &["crash", "probe", "dependency", "access", "node"],
    },
    // The API server sees a client's certificate near its end, and does not say whose.
    component("KubeClientCertificateExpiration", APISERVER),
    component("KubeAPIDown", APISERVER),
    component("KubeAPIInstanceUnreachable", APISERVER),
    component("KubeAPIErrorBudgetBurn", APISERVER),
    component("KubeAPITerminatedRequests", APISERVER),
    component("KubeAPIErrorsHigh", APISERVER),
    component("KubeAPILatencyHigh", APISERVER),
    aggregated("KubeAggregatedAPIErrors"),
    aggregated("KubeAggregatedAPIDown"),
    component("KubeControllerManagerDown", "kube-controller-manager"),
    component("KubeControllerManagerInstanceUnreachable", "kube-controller-manager"),
    component("KubeSchedulerDown", "kube-scheduler"),
    component("KubeSchedulerInstanceUnreachable", "kube-scheduler"),
    component("KubeProxyDown", "kube-proxy"),
    component("KubeProxyInstanceUnreachable", "kube-proxy"),
    component("etcdMembersDown", ETCD),
    component("etcdInsufficientMembers", ETCD),
    component("etcdNoLeader", ETCD),
    component("etcdHighNumberOfLeaderChanges", ETCD),
    component("etcdHighNumberOfFailedGRPCRequests", ETCD),
    component("etcdGRPCRequestsSlow", ETCD),
    component("etcdMemberCommunicationSlow", ETCD),
    component("etcdHighNumberOfFailedProposals", ETCD),
    component("etcdHighFsyncDurations", ETCD),
    component("etcdHighCommitDurations", ETCD),
    component("etcdDatabaseQuotaLowSpace", ETCD),
    component("etcdExcessiveDatabaseGrowth", ETCD),
    component("etcdDatabaseHighFragmentationRatio", ETCD),
    component("CoreDNSDown", DNS),
    component("CoreDNSLatencyHigh", DNS),
    component("CoreDNSErrorsHigh", DNS),
    component("CoreDNSPanicsHigh", DNS),
    component("CoreDNSForwardLatencyHigh", DNS),
    component("CoreDNSForwardErrorsHigh", DNS),
    component("CoreDNSForwardHealthcheckFailureCount", DNS),
    component("CoreDNSForwardHealthcheckBrokenCount", DNS),
    disk("NodeFilesystemSpaceFillingUp"),
    disk("NodeFilesystemAlmostOutOfSpace"),
    host("NodeFilesystemFilesFillingUp"),
    host("NodeFilesystemAlmostOutOfFiles"),
    host("NodeNetworkReceiveErrs"),
    host("NodeNetworkTransmitErrs"),
    host("NodeNetworkInterfaceFlapping"),
    host("NodeHighNumberConntrackEntriesUsed"),
    host("NodeTextFileCollectorScrapeError"),
    host("NodeClockSkewDetected"),
    host("NodeClockNotSynchronising"),
    host("NodeRAIDDegraded"),
    host("NodeRAIDDiskFailure"),
    host("NodeFileDescriptorLimit"),
    host("NodeCPUHighUsage"),
    host("NodeSystemSaturation"),
    host("NodeMemoryMajorPagesFaults"),
    host("NodeMemoryHighUtilization"),
    host("NodeDiskIOSaturation"),
    host("NodeSystemdServiceFailed"),
    host("NodeSystemdServiceCrashlooping"),
    host("NodeBondingDegraded"),
    Known {
        name: "HostOomKillDetected",
        subject: Subject::Host,
        answer: Answer::Measurement,
        asks: &["memory", "node"],
    },
    host("HostOutOfMemory"),
    disk("HostOutOfDiskSpace"),
    host("HostHighCpuLoad"),
];
