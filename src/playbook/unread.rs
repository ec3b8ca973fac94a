//! What a cause turns on and nobody here reads: the Secrets behind credentials that a log says are refused.

use crate::playbook::finding::Finding;
use crate::playbook::latent;
use crate::playbook::pattern::Pattern;
use crate::playbook::scene::Scene;

/// Secrets named in one sentence.
const NAMED: usize = 3;

/// How servers and libraries say that credentials are wrong.
static CREDENTIALS: Pattern = Pattern::new(
    r"(?i)authentication failed|access denied for user|password|credential|\bunauthori[sz]ed\b|\bnoauth\b|\bwrongpass\b|invalid (?:api[ _-]?key|token|username)|login failed|\b401\b|signature ?does ?not ?match",
);

/// The Secrets that a failing container takes its credentials from, where its log complains of those: whether what is in them
/// is right, a person has to compare.
#[must_use]
pub fn credentials(scene: &Scene<'_>, top: &Finding) -> Option<String> {
    if !top.evidence.iter().any(|citation| CREDENTIALS.hits(&citation.quote)) {
        return None;
    }
    let pod = scene.pod(&top.about)?;
    let namespace = pod.object.metadata.namespace.as_deref().unwrap_or_default();
    let needed = latent::references(namespace, pod.object.spec.as_ref()?).into_iter();
    let secrets: Vec<String> = needed.filter(|it| it.kind == "Secret").map(|it| it.name).take(NAMED).collect();
    let names = secrets.join(", ");
    (!secrets.is_empty()).then(|| {
        scene.text(
            format!("未读取 Secret（{names}）：Secret 从不读取，其中的账号密码是否正确、是否改过，请有权限的人核对"),
            format!("the Secret ({names}) was not read: Secrets never are, so whether what is in it is right, or was changed, a person has to compare"),
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::CREDENTIALS;
    use crate::playbook::world::{World, container, crashed, patched, pod};

    fn gaps(line: &str, env: serde_json::Value) -> String {
        let spec = json!({"spec": {"containers": [container(env)]}});
        let world = World::asking("Pod", "web-1-a").with(pod(patched(crashed(1, "Error"), spec))).log("web-1-a", line);
        world.diagnosis().data_gaps.join("\n")
    }

    #[test]
    fn refused_credentials_name_the_secret_nobody_reads() {
        assert!(CREDENTIALS.compiles());
        let secret = json!({"envFrom": [{"secretRef": {"name": "crm-db"}}]});
        let refused = "FATAL: password authentication failed for user \"crm\"";
        assert!(
            gaps(refused, secret.clone()).contains("the Secret (crm-db) was not read"),
            "{}",
            gaps(refused, secret)
        );
    }

    #[test]
    fn other_errors_and_pods_without_secrets_name_none() {
        let secret = json!({"envFrom": [{"secretRef": {"name": "crm-db"}}]});
        assert!(!gaps("ERROR no such table: orders", secret).contains("was not read"));
        assert!(!gaps("FATAL: password authentication failed", json!({})).contains("was not read"));
    }
}
