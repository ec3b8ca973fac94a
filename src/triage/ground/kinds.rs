//! Kinds: models write `pvc`, `pods` and `deployments.apps`; the objects that were read know how it is spelt.

use crate::alert::ObjectRef;
use crate::playbook::facts::Facts;

/// kubectl's short names of the kinds that are blamed.
const SHORT: &[(&str, &str)] = &[
    ("cj", "CronJob"),
    ("cm", "ConfigMap"),
    ("deploy", "Deployment"),
    ("ds", "DaemonSet"),
    ("hpa", "HorizontalPodAutoscaler"),
    ("ing", "Ingress"),
    ("netpol", "NetworkPolicy"),
    ("no", "Node"),
    ("ns", "Namespace"),
    ("pdb", "PodDisruptionBudget"),
    ("po", "Pod"),
    ("pv", "PersistentVolume"),
    ("pvc", "PersistentVolumeClaim"),
    ("quota", "ResourceQuota"),
    ("rs", "ReplicaSet"),
    ("sa", "ServiceAccount"),
    ("sc", "StorageClass"),
    ("sts", "StatefulSet"),
    ("svc", "Service"),
];

/// Spells an object's kind as the object of that name was read, where only the spelling differs, and leaves out the
/// namespace of an object that has none.
pub fn spell_as_read(object: &mut ObjectRef, facts: &Facts) {
    if object.name.is_empty() {
        return;
    }
    let kind = object.kind.split('.').next().unwrap_or_default().to_lowercase();
    let short = SHORT.iter().find(|(short, _)| *short == kind).map(|(_, whole)| *whole);
    let is_same = |read: &str| {
        let read = read.to_lowercase();
        short.is_some_and(|whole| whole.to_lowercase() == read)
            || kind == read
            || kind.strip_suffix('s') == Some(&read)
            || kind.strip_suffix("es") == Some(&read)
            || kind.strip_suffix("ies").is_some_and(|stem| read.strip_suffix('y') == Some(stem))
    };
    let names = facts.names();
    let mut read = names.iter().filter(|known| known.name == object.name && is_same(&known.kind));
    let found = read
        .clone()
        .find(|known| known.namespace == object.namespace)
        .or_else(|| read.find(|known| known.namespace.is_empty() || object.namespace.is_empty()));
    match (found, short) {
        (Some(known), _) => *object = known.clone(),
        (None, Some(whole)) => whole.clone_into(&mut object.kind),
        (None, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelt(kind: &str, namespace: &str, name: &str) -> ObjectRef {
        let mut facts = Facts::default();
        facts.add_name(ObjectRef::new("PersistentVolumeClaim", "shop", "data"));
        facts.add_name(ObjectRef::new("StorageClass", "", "fast"));
        facts.add_name(ObjectRef::new("NetworkPolicy", "shop", "deny"));
        let mut object = ObjectRef::new(kind, namespace, name);
        spell_as_read(&mut object, &facts);
        object
    }

    #[test]
    fn short_names_plurals_and_groups_are_spelt_out() {
        assert_eq!(spelt("pvc", "shop", "data"), ObjectRef::new("PersistentVolumeClaim", "shop", "data"));
        assert_eq!(spelt("storageclasses", "shop", "fast"), ObjectRef::new("StorageClass", "", "fast"));
        assert_eq!(
            spelt("networkpolicies.networking.k8s.io", "", "deny"),
            ObjectRef::new("NetworkPolicy", "shop", "deny")
        );
        assert_eq!(
            spelt("svc", "shop", "web"),
            ObjectRef::new("Service", "shop", "web"),
            "not read, but a known short name"
        );
    }

    #[test]
    fn another_kind_or_namespace_is_another_object() {
        assert_eq!(spelt("Deployment", "shop", "data"), ObjectRef::new("Deployment", "shop", "data"));
        assert_eq!(spelt("pvc", "pay", "data"), ObjectRef::new("PersistentVolumeClaim", "pay", "data"));
    }
}
