//! Bindings that were meant for an account, though they name another.

use k8s_openapi::api::rbac::v1::{RoleBinding, Subject};

use super::{Denied, grants, role_of};
use crate::alert::ObjectRef;
use crate::playbook::analyzer::rollout;
use crate::playbook::facts::Seen;
use crate::playbook::pods;
use crate::playbook::scene::Scene;

/// A binding that was surely meant for an account: of its name in another namespace, or of nearly its name.
pub(super) fn nearly_bound<'b>(
    bindings: &'b [Seen<RoleBinding>],
    account: &ObjectRef,
) -> Option<(&'b Seen<RoleBinding>, String)> {
    let meant = |subject: &&Subject| {
        let local = subject.namespace.as_deref().unwrap_or(&account.namespace) == account.namespace;
        subject.kind == "ServiceAccount"
            && if local {
                strsim::jaro_winkler(&subject.name, &account.name) > 0.9
            } else {
                subject.name == account.name
            }
    };
    bindings.iter().find_map(|binding| {
        let subject = binding.object.subjects.iter().flatten().find(meant)?;
        let namespace = subject.namespace.as_deref().unwrap_or(&account.namespace);
        Some((binding, format!("ServiceAccount {namespace}/{}", subject.name)))
    })
}

/// A binding that grants what was refused to the account the workload ran under in the version before.
pub(super) fn left_behind<'b>(
    scene: &Scene<'_>,
    workload: &ObjectRef,
    bindings: &'b [Seen<RoleBinding>],
    denied: &Denied<'_>,
) -> Option<(&'b Seen<RoleBinding>, String)> {
    let before = rollout::revisions(scene, workload).get(1).copied()?;
    let before = pods::template(&before.object)?.service_account_name.clone()?;
    let namespace = &denied.account.namespace;
    let names = |subject: &Subject| {
        subject.kind == "ServiceAccount"
            && subject.name == before
            && subject.namespace.as_ref().is_none_or(|it| it == namespace)
    };
    let granting = |binding: &&Seen<RoleBinding>| {
        binding.object.subjects.iter().flatten().any(names)
            && role_of(scene, &binding.object).is_none_or(|role| grants(&role.object, denied))
    };
    let found = bindings.iter().find(granting).filter(|_| before != denied.account.name)?;
    Some((found, format!("ServiceAccount {namespace}/{before}")))
}
