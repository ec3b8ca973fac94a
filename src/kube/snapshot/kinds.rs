//! Which kinds a Kubernetes 1.36 API server serves, so that a snapshot can say "none" instead of "no such kind".

use std::borrow::Cow;

use serde_json::Value;

/// One kind of object and how a path names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kind {
    /// API group, empty for the core group.
    pub group: Cow<'static, str>,
    /// Version within the group, for example `v1`.
    pub version: Cow<'static, str>,
    /// CamelCase kind.
    pub kind: Cow<'static, str>,
    /// Resource name in paths.
    pub plural: Cow<'static, str>,
    /// Short names, as kubectl knows them.
    pub short: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Whether the API server only accepts it as a question (`create`), never stores it.
    pub review: bool,
}

impl Kind {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_string() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `pods` or `deployments.apps`, the form error messages use.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_string() } else { format!("{}.{}", self.plural, self.group) }
    }
}

type Row = (&'static str, bool, &'static str, &'static str, &'static [&'static str]);

/// Group and version, namespaced, kind, plural, short names.
const STORED: &[Row] = &[
    ("v1", false, "ComponentStatus", "componentstatuses", &["cs"]),
    ("v1", true, "ConfigMap", "configmaps", &["cm"]),
    ("v1", true, "Endpoints", "endpoints", &["ep"]),
    ("v1", true, "Event", "events", &["ev"]),
    ("v1", true, "LimitRange", "limitranges", &["limits"]),
    ("v1", false, "Namespace", "namespaces", &["ns"]),
    ("v1", false, "Node", "nodes", &["no"]),
    ("v1", true, "PersistentVolumeClaim", "persistentvolumeclaims", &["pvc"]),
    ("v1", false, "PersistentVolume", "persistentvolumes", &["pv"]),
    ("v1", true, "Pod", "pods", &["po"]),
    ("v1", true, "PodTemplate", "podtemplates", &[]),
    ("v1", true, "ReplicationController", "replicationcontrollers", &["rc"]),
    ("v1", true, "ResourceQuota", "resourcequotas", &["quota"]),
    ("v1", true, "Secret", "secrets", &[]),
    ("v1", true, "ServiceAccount", "serviceaccounts", &["sa"]),
    ("v1", true, "Service", "services", &["svc"]),
    ("admissionregistration.k8s.io/v1", false, "MutatingAdmissionPolicy", "mutatingadmissionpolicies", &[]),
    (
        "admissionregistration.k8s.io/v1",
        false,
        "MutatingAdmissionPolicyBinding",
        "mutatingadmissionpolicybindings",
        &[],
    ),
    ("admissionregistration.k8s.io/v1", false, "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", &[]),
    ("admissionregistration.k8s.io/v1", false, "ValidatingAdmissionPolicy", "validatingadmissionpolicies", &[]),
    (
        "admissionregistration.k8s.io/v1",
        false,
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        &[],
    ),
    (
        "admissionregistration.k8s.io/v1",
        false,
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        &[],
    ),
    ("apiextensions.k8s.io/v1", false, "CustomResourceDefinition", "customresourcedefinitions", &["crd", "crds"]),
    ("apiregistration.k8s.io/v1", false, "APIService", "apiservices", &[]),
    ("apps/v1", true, "ControllerRevision", "controllerrevisions", &[]),
    ("apps/v1", true, "DaemonSet", "daemonsets", &["ds"]),
    ("apps/v1", true, "Deployment", "deployments", &["deploy"]),
    ("apps/v1", true, "ReplicaSet", "replicasets", &["rs"]),
    ("apps/v1", true, "StatefulSet", "statefulsets", &["sts"]),
    ("autoscaling/v2", true, "HorizontalPodAutoscaler", "horizontalpodautoscalers", &["hpa"]),
    ("batch/v1", true, "CronJob", "cronjobs", &["cj"]),
    ("batch/v1", true, "Job", "jobs", &[]),
    ("certificates.k8s.io/v1", false, "CertificateSigningRequest", "certificatesigningrequests", &["csr"]),
    ("coordination.k8s.io/v1", true, "Lease", "leases", &[]),
    ("discovery.k8s.io/v1", true, "EndpointSlice", "endpointslices", &[]),
    ("events.k8s.io/v1", true, "Event", "events", &["ev"]),
    ("flowcontrol.apiserver.k8s.io/v1", false, "FlowSchema", "flowschemas", &[]),
    ("flowcontrol.apiserver.k8s.io/v1", false, "PriorityLevelConfiguration", "prioritylevelconfigurations", &[]),
    ("networking.k8s.io/v1", false, "IngressClass", "ingressclasses", &[]),
    ("networking.k8s.io/v1", true, "Ingress", "ingresses", &["ing"]),
    ("networking.k8s.io/v1", false, "IPAddress", "ipaddresses", &["ip"]),
    ("networking.k8s.io/v1", true, "NetworkPolicy", "networkpolicies", &["netpol"]),
    ("networking.k8s.io/v1", false, "ServiceCIDR", "servicecidrs", &[]),
    ("node.k8s.io/v1", false, "RuntimeClass", "runtimeclasses", &[]),
    ("policy/v1", true, "PodDisruptionBudget", "poddisruptionbudgets", &["pdb"]),
    ("rbac.authorization.k8s.io/v1", false, "ClusterRoleBinding", "clusterrolebindings", &[]),
    ("rbac.authorization.k8s.io/v1", false, "ClusterRole", "clusterroles", &[]),
    ("rbac.authorization.k8s.io/v1", true, "RoleBinding", "rolebindings", &[]),
    ("rbac.authorization.k8s.io/v1", true, "Role", "roles", &[]),
    ("resource.k8s.io/v1", false, "DeviceClass", "deviceclasses", &[]),
    ("resource.k8s.io/v1", true, "ResourceClaim", "resourceclaims", &[]),
    ("resource.k8s.io/v1", true, "ResourceClaimTemplate", "resourceclaimtemplates", &[]),
    ("resource.k8s.io/v1", false, "ResourceSlice", "resourceslices", &[]),
    ("scheduling.k8s.io/v1", false, "PriorityClass", "priorityclasses", &["pc"]),
    ("storage.k8s.io/v1", false, "CSIDriver", "csidrivers", &[]),
    ("storage.k8s.io/v1", false, "CSINode", "csinodes", &[]),
    ("storage.k8s.io/v1", true, "CSIStorageCapacity", "csistoragecapacities", &[]),
    ("storage.k8s.io/v1", false, "StorageClass", "storageclasses", &["sc"]),
    ("storage.k8s.io/v1", false, "VolumeAttachment", "volumeattachments", &[]),
    ("storage.k8s.io/v1", false, "VolumeAttributesClass", "volumeattributesclasses", &["vac"]),
];

const REVIEWS: &[Row] = &[
    ("authentication.k8s.io/v1", false, "SelfSubjectReview", "selfsubjectreviews", &[]),
    ("authentication.k8s.io/v1", false, "TokenReview", "tokenreviews", &[]),
    ("authorization.k8s.io/v1", true, "LocalSubjectAccessReview", "localsubjectaccessreviews", &[]),
    ("authorization.k8s.io/v1", false, "SelfSubjectAccessReview", "selfsubjectaccessreviews", &[]),
    ("authorization.k8s.io/v1", false, "SelfSubjectRulesReview", "selfsubjectrulesreviews", &[]),
    ("authorization.k8s.io/v1", false, "SubjectAccessReview", "subjectaccessreviews", &[]),
];

/// Kinds whose resource name is not the plural of the kind: the metrics API names its resources after what it measures.
const IRREGULAR: &[(&str, &str)] = &[("NodeMetrics", "nodes"), ("PodMetrics", "pods")];

/// Every kind the built-in API groups serve.
pub(super) fn built_in() -> Vec<Kind> {
    let stored = STORED.iter().map(|row| from_row(row, false));
    stored.chain(REVIEWS.iter().map(|row| from_row(row, true))).collect()
}

fn from_row(row: &Row, review: bool) -> Kind {
    let &(api_version, namespaced, kind, plural, short) = row;
    let (group, version) = split_api_version(api_version);
    Kind {
        group: Cow::Borrowed(group),
        version: Cow::Borrowed(version),
        kind: Cow::Borrowed(kind),
        plural: Cow::Borrowed(plural),
        short,
        namespaced,
        review,
    }
}

/// The kind of an object no built-in group serves, as a custom resource would be registered.
pub(super) fn custom(api_version: &str, kind: &str, object: &Value) -> Kind {
    let (group, version) = split_api_version(api_version);
    let irregular = IRREGULAR.iter().find(|(name, _)| *name == kind).map(|(_, plural)| (*plural).to_owned());
    Kind {
        group: Cow::Owned(group.to_owned()),
        version: Cow::Owned(version.to_owned()),
        kind: Cow::Owned(kind.to_owned()),
        plural: Cow::Owned(irregular.unwrap_or_else(|| pluralize(&kind.to_lowercase()))),
        short: &[],
        namespaced: object.pointer("/metadata/namespace").is_some(),
        review: false,
    }
}

/// `apps/v1` as group and version; the core group is empty.
pub(super) fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

fn pluralize(word: &str) -> String {
    if let Some(stem) = word.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'i', 'o', 'u'])) {
        return format!("{stem}ies");
    }
    let hisses = ["s", "x", "ch", "sh"].iter().any(|end| word.ends_with(end));
    if hisses { format!("{word}es") } else { format!("{word}s") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_custom_kind_gets_the_plural_its_definition_would_have() {
        for (kind, plural) in
            [("Policy", "policies"), ("Gateway", "gateways"), ("Redis", "redises"), ("Mesh", "meshes")]
        {
            assert_eq!(custom("example.com/v1", kind, &json!({})).plural, plural);
        }
        assert_eq!(custom("metrics.k8s.io/v1beta1", "NodeMetrics", &json!({})).plural, "nodes");
    }
}
