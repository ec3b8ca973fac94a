//! What to do about a container that keeps ending: read its log, then what the reason asks for.

use super::lead::Lead;
use crate::alert::ObjectRef;
use crate::playbook::analyzer::rollout;
use crate::playbook::back;
use crate::playbook::change;
use crate::playbook::finding::{change, edit_template, kubectl, look};
use crate::playbook::pods;
use crate::playbook::pods::ContainerView;
use crate::playbook::scene::Scene;
use crate::report::Step;

/// What to do about an expired certificate.
pub fn renew(scene: &Scene<'_>) -> Step {
    change(
        scene
            .text("更换已过期的证书，然后重启使用它的 Pod", "Renew the expired certificate, then restart what uses it"),
        scene.text(
            "证书所在的 Secret 不会被读取，请由有权限的人核对有效期",
            "Secrets are never read here: have its dates checked by somebody who may",
        ),
        None,
    )
}

/// The steps for a code of a crash, reading ones first.
pub(super) fn after(
    scene: &Scene<'_>,
    (pod, workload): (&ObjectRef, &ObjectRef),
    view: &ContainerView<'_>,
    (code, needs_mount): (&str, bool),
    lead: Option<&Lead>,
) -> Vec<Step> {
    let mut steps = vec![if view.never_began() {
        look(
            scene.text(
                "查看容器为何无法启动（它从未运行，没有日志）",
                "Read why it cannot start (it never ran, so it wrote no log)",
            ),
            kubectl(&pod.namespace, &format!("describe pod {}", pod.name)),
        )
    } else {
        look(
            scene.text("查看上一次运行的日志", "Read the log of the run before"),
            kubectl(&pod.namespace, &format!("logs {} -c {} --previous --tail=100", pod.name, view.name())),
        )
    }];
    // What the image lacks that the one before had, no edit of the command brings.
    let is_young = code != super::NO_ROOM && change::is_young(scene, workload);
    let by_image =
        is_young && super::unstarted::lacks_program(view) && rollout::only_image_changed(scene, workload, view.name());
    if by_image {
        steps.push(change(
            scene.text(
                "先回滚到上一个版本：启动命令没有变，变的是镜像",
                "First go back to the version before: the command did not change, the image did",
            ),
            "",
            Some(back::undo(workload)),
        ));
    }
    if code == super::NO_ROOM {
        steps.push(room(scene, pod));
        return steps;
    }
    // What to do about the data of another version stands with it.
    if code == super::data::CODE {
        return steps;
    }
    let edit = edit_template(workload);
    let corrected = lead.map(|lead| lead.step(scene, workload));
    // No version of the workload changes what a ConfigMap holds.
    if matches!(lead, Some(Lead::File(_) | Lead::Place(_))) {
        steps.extend(corrected);
        return steps;
    }
    steps.push(corrected.unwrap_or_else(|| match code {
        "crashloop_app_config_error" => change(
            scene.text(
                "补全或修正应用缺少的配置（环境变量、ConfigMap 或 Secret）",
                "Supply or correct the configuration it misses (environment, ConfigMap or Secret)",
            ),
            scene.text(
                "修改后 Pod 会滚动重建，确认日志中不再出现该报错",
                "The Pods are replaced; see that the error is gone from the log",
            ),
            edit,
        ),
        "image_platform_mismatch" => change(
            scene.text(
                "使用适用于节点架构的镜像（或多架构镜像）；若入口是脚本，检查其首行 #!",
                "Use an image built for the Node's architecture (or for several); of a script, check its #! line",
            ),
            scene.text(
                "节点架构：kubectl get nodes -L kubernetes.io/arch",
                "The Nodes' architecture: kubectl get nodes -L kubernetes.io/arch",
            ),
            edit,
        ),
        "crashloop_certificate_expired" => renew(scene),
        "crashloop_port_in_use" => change(
            scene.text(
                "让同一 Pod 内的容器（或 hostNetwork 下的进程）使用不同的端口",
                "Give the containers of the Pod (or processes on the host's network) different ports",
            ),
            "",
            edit,
        ),
        "crashloop_permission_denied" if needs_mount => change(
            scene.text(
                "在报错的路径上挂载 emptyDir（或可写的卷）；镜像确需写根文件系统时才关闭 readOnlyRootFilesystem",
                "Mount an emptyDir (or a volume it may write) at the path in the error; only where the image has to write its root, set readOnlyRootFilesystem to false",
            ),
            scene.text("emptyDir 的内容随 Pod 消失", "What is in an emptyDir goes with the Pod"),
            edit,
        ),
        "crashloop_permission_denied" => change(
            scene.text(
                "核对 securityContext（runAsUser、fsGroup、readOnlyRootFilesystem）与卷的属主",
                "Check securityContext (runAsUser, fsGroup, readOnlyRootFilesystem) and who owns the volume",
            ),
            identity(scene, pod, view),
            edit,
        ),
        "container_command_invalid" => change(
            scene.text(
                "修正工作负载的 command/args，或使用包含该程序的镜像",
                "Correct command and args, or use an image that has the program",
            ),
            "",
            edit,
        ),
        "container_exits_normally" => change(
            scene.text(
                "让进程常驻前台，或把一次性任务改为 Job",
                "Keep the process in the foreground, or make one-off work a Job",
            ),
            "",
            edit,
        ),
        _ => change(
            scene.text("由应用负责人按日志中的报错修复", "Have the application's owners fix the error in the log"),
            if change::only_restarted(scene, workload) {
                String::new()
            } else {
                scene.text("若是最近一次发布引入，先回滚止损", "If the last release brought it, go back first")
            },
            None,
        ),
    }));
    if !by_image && is_young && rollout::image_before(scene, workload, view.name()).is_some() {
        steps.push(change(
            scene.text("回滚到上一个版本", "Go back to the version before"),
            "",
            Some(back::undo(workload)),
        ));
    }
    steps
}

/// As whom a container runs, and for whom its volumes are opened: a fresh volume belongs to root.
fn identity(scene: &Scene<'_>, pod: &ObjectRef, view: &ContainerView<'_>) -> String {
    let spec = scene.pod(pod).and_then(|pod| pod.object.spec.as_ref());
    let of_pod = spec.and_then(|spec| spec.security_context.as_ref());
    let own = view.spec.security_context.as_ref().and_then(|context| context.run_as_user);
    let user = own.or(of_pod.and_then(|context| context.run_as_user));
    let group = of_pod.and_then(|context| context.fs_group);
    let shown =
        |number: Option<i64>| number.map_or_else(|| scene.text("未设置", "not set"), |number| number.to_string());
    let (user, group) = (shown(user), shown(group));
    scene.text(
        format!("现在 runAsUser {user}，fsGroup {group}；新建的卷属于 root，设置 fsGroup 后该组即可写"),
        format!("Now: runAsUser {user}, fsGroup {group}; a fresh volume belongs to root, and with an fsGroup that group may write it"),
    )
}

/// Where a Node has no room, whatever the workload is.
fn room(scene: &Scene<'_>, pod: &ObjectRef) -> Step {
    let node = scene.pod(pod).and_then(|pod| pods::node_name(&pod.object)).unwrap_or("<NODE>");
    look(
        scene.text(
            format!("查看 Node {node} 缺的是什么：磁盘、inode、内存或进程数（报错里写了是哪一处）"),
            format!(
                "See what Node {node} has run out of: disk, inodes, memory or processes (the error names the place)"
            ),
        ),
        kubectl("", &format!("describe node {node}")),
    )
}
