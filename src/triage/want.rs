//! A want: one read that gather may make, as the tool call that answers it.

use serde_json::{Value, json};

use crate::alert::ObjectRef;

/// One thing to read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Want {
    /// An object by name.
    Object(ObjectRef),
    /// An object by name that is only looked at: what it refers to is not followed.
    Aside(ObjectRef),
    /// All objects of a kind in a namespace; of all namespaces, or of the cluster, when it is empty.
    List {
        /// CamelCase kind.
        kind: &'static str,
        /// Namespace or empty.
        namespace: String,
    },
    /// Events of a namespace.
    Events {
        /// The namespace.
        namespace: String,
    },
    /// Events about one cluster-scoped object.
    EventsAbout {
        /// The object's name.
        name: String,
    },
    /// Pods of all namespaces that run on a Node.
    PodsOn {
        /// The Node.
        node: String,
    },
    /// Pods of all namespaces that have an address.
    PodsAt {
        /// The Pod's IP address.
        address: String,
    },
    /// Pods of all namespaces that bear a name.
    PodsNamed {
        /// The name.
        name: String,
    },
    /// Pods of all namespaces that carry labels.
    PodsLabelled {
        /// The selector, as the API server takes it.
        selector: String,
    },
    /// Pods of all namespaces that failed, and are left behind where a Node threw them out.
    PodsFailed,
    /// The last lines of a container's log.
    Log {
        /// The pod's namespace.
        namespace: String,
        /// The pod.
        pod: String,
        /// The container.
        container: String,
        /// The run before the last restart.
        previous: bool,
    },
}

/// Kinds gather reads: their API version, and whether they live in namespaces.
const KINDS: &[(&str, &str, bool)] = &[
    ("Pod", "v1", true),
    ("Service", "v1", true),
    ("Endpoints", "v1", true),
    ("EndpointSlice", "discovery.k8s.io/v1", true),
    ("ConfigMap", "v1", true),
    ("PersistentVolumeClaim", "v1", true),
    ("ResourceQuota", "v1", true),
    ("LimitRange", "v1", true),
    ("ServiceAccount", "v1", true),
    ("PersistentVolume", "v1", false),
    ("Node", "v1", false),
    ("Namespace", "v1", false),
    ("Deployment", "apps/v1", true),
    ("ReplicaSet", "apps/v1", true),
    ("StatefulSet", "apps/v1", true),
    ("DaemonSet", "apps/v1", true),
    ("Job", "batch/v1", true),
    ("CronJob", "batch/v1", true),
    ("HorizontalPodAutoscaler", "autoscaling/v2", true),
    ("PodDisruptionBudget", "policy/v1", true),
    ("Ingress", "networking.k8s.io/v1", true),
    ("IngressClass", "networking.k8s.io/v1", false),
    ("RuntimeClass", "node.k8s.io/v1", false),
    ("NetworkPolicy", "networking.k8s.io/v1", true),
    ("Role", "rbac.authorization.k8s.io/v1", true),
    ("RoleBinding", "rbac.authorization.k8s.io/v1", true),
    ("StorageClass", "storage.k8s.io/v1", false),
    ("CSIDriver", "storage.k8s.io/v1", false),
    ("VolumeAttachment", "storage.k8s.io/v1", false),
    ("APIService", "apiregistration.k8s.io/v1", false),
    ("CertificateSigningRequest", "certificates.k8s.io/v1", false),
    ("Certificate", "cert-manager.io/v1", true),
    ("Issuer", "cert-manager.io/v1", true),
    ("ClusterIssuer", "cert-manager.io/v1", false),
    ("Challenge", "acme.cert-manager.io/v1", true),
    ("GatewayClass", "gateway.networking.k8s.io/v1", false),
    ("Gateway", "gateway.networking.k8s.io/v1", true),
    ("HTTPRoute", "gateway.networking.k8s.io/v1", true),
    ("ScaledObject", "keda.sh/v1alpha1", true),
    ("PeerAuthentication", "security.istio.io/v1", true),
    ("ValidatingWebhookConfiguration", "admissionregistration.k8s.io/v1", false),
    ("MutatingWebhookConfiguration", "admissionregistration.k8s.io/v1", false),
];

/// The API version and scope of a kind gather knows.
#[must_use]
pub fn kind_info(kind: &str) -> Option<(&'static str, &'static str, bool)> {
    KINDS.iter().find(|(known, ..)| *known == kind).copied()
}

impl Want {
    /// Wants a list, of all namespaces when none is given; `None` for kinds gather does not know.
    #[must_use]
    pub fn list(kind: &str, namespace: &str) -> Option<Self> {
        let (kind, _, namespaced) = kind_info(kind)?;
        Some(Self::List { kind, namespace: if namespaced { namespace.to_owned() } else { String::new() } })
    }

    /// The tool call that answers it; `None` for kinds gather does not know.
    #[must_use]
    pub fn call(&self) -> Option<(&'static str, Value)> {
        match self {
            Self::Object(object) | Self::Aside(object) if object.kind == "Pod" => {
                Some(("pods_get", json!({"namespace": object.namespace, "name": object.name})))
            }
            Self::Object(object) | Self::Aside(object) => {
                let (kind, version, namespaced) = kind_info(&object.kind)?;
                let mut arguments = json!({"apiVersion": version, "kind": kind, "name": object.name});
                if namespaced {
                    arguments["namespace"] = json!(object.namespace);
                }
                Some(("resources_get", arguments))
            }
            Self::List { kind: "Pod", namespace } => Some(("pods_list_in_namespace", json!({"namespace": namespace}))),
            Self::List { kind, namespace } => {
                let (kind, version, namespaced) = kind_info(kind)?;
                let mut arguments = json!({"apiVersion": version, "kind": kind});
                if namespaced && !namespace.is_empty() {
                    arguments["namespace"] = json!(namespace);
                }
                Some(("resources_list", arguments))
            }
            Self::Events { namespace } => Some(("events_list", json!({"namespace": namespace}))),
            Self::EventsAbout { name } => {
                Some(("events_list", json!({"fieldSelector": format!("involvedObject.name={name}")})))
            }
            Self::PodsNamed { name } => Some(("pods_list", json!({"fieldSelector": format!("metadata.name={name}")}))),
            Self::PodsAt { address } => {
                Some(("pods_list", json!({"fieldSelector": format!("status.podIP={address}")})))
            }
            Self::PodsLabelled { selector } => Some(("pods_list", json!({"labelSelector": selector}))),
            Self::PodsFailed => Some(("pods_list", json!({"fieldSelector": "status.phase=Failed"}))),
            Self::PodsOn { node } => Some(("pods_list", json!({"fieldSelector": format!("spec.nodeName={node}")}))),
            Self::Log { namespace, pod, container, previous } => {
                let mut arguments = json!({"namespace": namespace, "name": pod, "container": container});
                if *previous {
                    arguments["previous"] = json!(true);
                }
                Some(("pods_log", arguments))
            }
        }
    }
}
