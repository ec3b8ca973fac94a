//! Alerts about the monitoring itself: Prometheus, Alertmanager, their operator, kube-state-metrics and cert-manager.

use super::{Answer, Known, Subject, cluster, heartbeat, measured, state};

/// What one that did not take its configuration may suffer from.
const CONFIGURED: &[&str] = &["reload", "crash", "memory", "dependency", "claim", "probe"];

/// What a monitoring component that fails may suffer from: its own Pod, or what it calls.
const OWN: &[&str] = &["crash", "memory", "dependency", "claim", "probe"];

/// Alerts about kube-state-metrics as a whole carry no label that says where it runs.
const fn state_metrics(name: &'static str, asks: &'static [&'static str]) -> Known {
    Known { name, subject: Subject::Deployment("kube-state-metrics"), answer: Answer::Measurement, asks }
}

pub(super) const ALERTS: &[Known] = &[
    heartbeat("Watchdog", "Watchdog always fires: it proves that alerting works and is no incident"),
    heartbeat("InfoInhibitor", "InfoInhibitor only mutes info alerts in Alertmanager and is no incident"),
    // A target that is well is scraped again at the next turn: what set it off has passed.
    state("TargetDown", &["service", "crash", "probe", "scrape"]),
    state_metrics("KubeStateMetricsListErrors", &["access", "dependency", "crash"]),
    state_metrics("KubeStateMetricsWatchErrors", &["access", "dependency", "crash"]),
    state_metrics("KubeStateMetricsShardingMismatch", OWN),
    state_metrics("KubeStateMetricsShardsMissing", OWN),
    measured("ConfigReloaderSidecarErrors", CONFIGURED),
    measured("AlertmanagerFailedReload", CONFIGURED),
    measured("AlertmanagerMembersInconsistent", OWN),
    measured("AlertmanagerFailedToSendAlerts", OWN),
    measured("AlertmanagerClusterFailedToSendAlerts", OWN),
    measured("AlertmanagerClusterFailedPeers", OWN),
    measured("GrafanaRequestsFailing", OWN),
    measured("AlertmanagerConfigInconsistent", CONFIGURED),
    measured("AlertmanagerClusterDown", OWN),
    measured("AlertmanagerClusterCrashlooping", OWN),
    measured("PrometheusBadConfig", CONFIGURED),
    measured("PrometheusSDRefreshFailure", OWN),
    measured("PrometheusKubernetesListWatchFailures", &["access", "dependency", "crash"]),
    measured("PrometheusNotificationQueueRunningFull", OWN),
    measured("PrometheusErrorSendingAlertsToSomeAlertmanagers", OWN),
    measured("PrometheusErrorSendingAlertsToAnyAlertmanager", OWN),
    measured("PrometheusNotConnectedToAlertmanagers", OWN),
    measured("PrometheusTSDBReloadsFailing", OWN),
    measured("PrometheusTSDBCompactionsFailing", OWN),
    measured("PrometheusNotIngestingSamples", OWN),
    measured("PrometheusDuplicateTimestamps", OWN),
    measured("PrometheusOutOfOrderTimestamps", OWN),
    measured("PrometheusRemoteStorageFailures", OWN),
    measured("PrometheusRemoteWriteBehind", OWN),
    measured("PrometheusRemoteWriteDesiredShards", OWN),
    measured("PrometheusRuleFailures", OWN),
    measured("PrometheusMissingRuleEvaluations", OWN),
    measured("PrometheusTargetLimitHit", OWN),
    measured("PrometheusLabelLimitHit", OWN),
    measured("PrometheusScrapeBodySizeLimitHit", OWN),
    measured("PrometheusScrapeSampleLimitHit", OWN),
    measured("PrometheusTargetSyncFailure", OWN),
    measured("PrometheusHighQueryLoad", OWN),
    measured("PrometheusOperatorListErrors", OWN),
    measured("PrometheusOperatorWatchErrors", OWN),
    measured("PrometheusOperatorSyncFailed", OWN),
    measured("PrometheusOperatorReconcileErrors", OWN),
    measured("PrometheusOperatorStatusUpdateErrors", OWN),
    measured("PrometheusOperatorNodeLookupErrors", OWN),
    measured("PrometheusOperatorNotReady", OWN),
    measured("PrometheusOperatorRejectedResources", OWN),
    Known {
        name: "CertManagerAbsent",
        subject: Subject::Deployment("cert-manager"),
        answer: Answer::Measurement,
        asks: OWN,
    },
    measured("CertManagerCertExpirySoon", &["certificate"]),
    cluster("CertManagerHittingRateLimits", &["certificate"]),
];
