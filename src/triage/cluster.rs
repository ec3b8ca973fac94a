//! Which of several clusters alerts are about, and what cannot be looked at because of it.

use crate::alert::{AlertGroup, Lang};
use crate::toolbox::Toolbox;

/// The cluster that is looked at.
pub(super) struct Cluster<'a> {
    /// What the alerts call it; none where they do not say.
    pub(super) name: Option<&'a str>,
    /// What is not looked at.
    pub(super) gap: Option<String>,
}

/// The cluster of the first alert that fires, by the label that names it.
pub(super) fn of<'a>(group: &'a AlertGroup, label: &str, toolbox: &Toolbox, lang: Lang) -> Cluster<'a> {
    let names: Vec<&str> = group.firing().filter_map(|alert| alert.label(label)).collect();
    let name = names.first().copied();
    let gap = match () {
        () if toolbox.is_empty() => None,
        () if !toolbox.sees(name) => Some(unseen(name, label, lang)),
        () => names
            .iter()
            .find(|other| !toolbox.sees_the_same(name, other))
            .map(|other| left_out(name.unwrap_or_default(), other, label, lang)),
    };
    Cluster { name, gap }
}

fn left_out(name: &str, other: &str, label: &str, lang: Lang) -> String {
    lang.pick(
        format!("这组告警来自多个集群，只查看了 {name}，未查看 {other}（可在 group_by 里加上 {label}）"),
        format!(
            "The alerts of this group come from several clusters; {name} was looked at, {other} was not (add {label} to group_by)."
        ),
    )
}

fn unseen(name: Option<&str>, label: &str, lang: Lang) -> String {
    match name {
        Some(name) => lang.pick(
            format!("没有 MCP 服务负责集群 {name}，未查看集群（配置项 mcp[].clusters）"),
            format!("No MCP server looks at cluster {name}, so it was not looked at (setting: mcp[].clusters)."),
        ),
        None => lang.pick(
            format!("告警没有标签 {label}，不知道是哪个集群，未查看集群（配置项 triage.cluster_label）"),
            format!(
                "The alert has no label {label}, so no cluster was looked at: which one is not known (setting: triage.cluster_label)."
            ),
        ),
    }
}
