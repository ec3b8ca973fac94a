//! Purpose: objects that look wrong to an alert and are as somebody wants them, said in a headline of their own.

use crate::alert::ObjectRef;
use crate::playbook::analyzer;
use crate::playbook::scene::Scene;

/// What explains an object that is well: a run whose successors succeeded, a staged update, no replicas wanted.
#[must_use]
pub fn on_purpose(scene: &Scene<'_>, best: &ObjectRef) -> Option<String> {
    if let Some(cron) = analyzer::job::made_up_for(scene, best) {
        return Some(scene.text(
            format!("未发现故障：{best} 失败过，但 {cron} 之后的运行已成功（healthy）；失败的 Job 被删除前告警会一直存在"),
            format!("No fault found: {best} failed, but later runs of {cron} succeeded (healthy); the alert stays until the failed Job is deleted"),
        ));
    }
    if let Some((partition, updated, wanted)) = analyzer::stateful::staged(scene, best) {
        return Some(scene.text(
            format!("未发现故障：{best} 全部就绪（healthy）；新版本停在 {updated}/{wanted} 个 Pod 上是因为 updateStrategy 的 partition 为 {partition}"),
            format!("No fault found: all of {best} is ready (healthy); its update stops at {updated} of {wanted} Pods because its updateStrategy has partition {partition}"),
        ));
    }
    if best.kind != "DaemonSet" && scene.replicas(best).is_some_and(|(_, wanted)| wanted == 0) {
        return Some(scene.text(
            format!("未发现故障：{best} 的期望副本数为 0（scaled to 0），没有 Pod 是预期状态（healthy）"),
            format!(
                "No fault found: {best} is scaled to 0 replicas, so having no Pods is what it asks for and healthy"
            ),
        ));
    }
    None
}
