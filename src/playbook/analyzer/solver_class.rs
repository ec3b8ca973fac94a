//! The ingress class that an ACME solver asks for, where it does not exist: its Ingress is served by nobody, and whoever checks
//! the challenge is answered by a page that is not found.

use serde_json::Value;

use crate::alert::ObjectRef;
use crate::playbook::scene::Scene;

/// The class that a Challenge's HTTP-01 solver gives its Ingress.
#[must_use]
pub fn of(challenge: &Value) -> Option<ObjectRef> {
    let ingress = challenge.pointer("/spec/solver/http01/ingress")?;
    let class = ["ingressClassName", "class"].iter().find_map(|key| ingress.get(*key)?.as_str())?;
    Some(ObjectRef::new("IngressClass", "", class))
}

/// The class of a Challenge's solver that is known not to exist, in half a sentence.
pub(super) fn missing(scene: &Scene<'_>, challenge: &Value) -> Option<(ObjectRef, String)> {
    let class = of(challenge).filter(|class| scene.facts.is_missing(class))?;
    let name = &class.name;
    let said = scene.text(
        format!("HTTP-01 solver 使用的 ingressClass {name} 不存在，没有 ingress controller 应答校验请求"),
        format!("its HTTP-01 solver asks for ingress class {name}, which does not exist, so no ingress controller answers the check"),
    );
    Some((class, said))
}
