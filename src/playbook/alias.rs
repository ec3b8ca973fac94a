//! Aliases: Services of type ExternalName, which are nothing but another name for a place.

use k8s_openapi::api::core::v1::Service;

use crate::alert::ObjectRef;
use crate::playbook::reach;

/// The name a Service stands for, where it is one of these.
#[must_use]
pub fn name(service: &Service) -> Option<&str> {
    let spec = service.spec.as_ref()?;
    let name = spec.external_name.as_deref().filter(|_| spec.type_.as_deref() == Some("ExternalName"))?;
    Some(name.trim_end_matches('.'))
}

/// The Service inside the cluster that such a name means. No search path is gone through for it, so that `db.data` is none.
#[must_use]
pub fn target(name: &str) -> Option<ObjectRef> {
    match name.split('.').collect::<Vec<_>>().as_slice() {
        [name, namespace, "svc", ..] => Some(ObjectRef::new("Service", *namespace, *name)),
        [pod, name, namespace, "svc", ..] if reach::is_ordinal(pod) => {
            Some(ObjectRef::new("Service", *namespace, *name))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_mean_a_service_of_the_cluster() {
        let db = ObjectRef::new("Service", "data", "db");
        assert_eq!(target("db.data.svc.cluster.local"), Some(db.clone()));
        assert_eq!(target("db-0.db.data.svc.cluster.local"), Some(db));
        assert_eq!(target("db.data"), None);
        assert_eq!(target("shop.eu-1.rds.example.com"), None);
    }
}
