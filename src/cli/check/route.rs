//! `firstlook check --route`: where an alert would go, and why, without sending one.

use jiff::Timestamp;

use crate::alert::{Alert, AlertGroup, AlertStatus, Labels, Lang};
use crate::cli::{CliError, service};
use crate::config::Config;
use crate::incident::DeskSettings;
use crate::incident::routes::When;
use crate::times;

/// Explains it in lines.
pub(super) fn explain(config: &Config, labels: &str, lang: Lang, now: Timestamp) -> Result<String, CliError> {
    let settings = service::routing(config);
    let group = group(labels_of(labels)?, now);
    let routed = settings.routed(&group);
    let mut lines = vec![match routed.by.as_slice() {
        [] if config.routes.is_empty() => {
            lang.pick("没有配置 routes：发往所有渠道", "No routes are configured: every channel is told").to_owned()
        }
        [] => lang.pick("没有路由匹配：发往所有渠道", "No route matches: every channel is told").to_owned(),
        by => lang.pick(format!("匹配 {}", by.join("、")), format!("Matched by {}", by.join(", "))),
    }];
    let all = crate::incident::routes::route(&settings.routes, &settings.channels, &group).channels;
    for channel in &all {
        lines.push(line(&settings, channel, &group, routed.channels.contains(channel), lang, now));
    }
    if routed.channels.is_empty() {
        lines.push(lang.pick("不会通知任何人", "Nobody is told").to_owned());
    }
    lines.extend(settings.maintained(&group, now).map(|(name, end)| {
        let end = times::moment(end, &config.timezone).unwrap_or_default();
        lang.pick(format!("维护窗口 {name}：推迟到 {end}"), format!("Maintenance {name}: waits until {end}"))
    }));
    lines.push(
        match routed.triage {
            Some(When::Never) => lang.pick("研判：从不（triage: never）", "Investigated: never (triage: never)"),
            Some(When::OnFirst) => lang.pick(
                "研判：只在第一次触发时（triage: on_first）",
                "Investigated: the first time it fires (triage: on_first)",
            ),
            Some(When::Always) => lang.pick("研判：每次（triage: always）", "Investigated: each time (triage: always)"),
            None => lang.pick(
                "研判：是，诊断在 triage.cooldown 内仍然有效时除外",
                "Investigated: yes, unless a diagnosis still holds (triage.cooldown)",
            ),
        }
        .to_owned(),
    );
    Ok(lines.join("\n"))
}

fn line(settings: &DeskSettings, channel: &str, group: &AlertGroup, hears: bool, lang: Lang, now: Timestamp) -> String {
    if !hears {
        let why = lang.pick("不通知：低于 delivery.min_severity", "not told: below its delivery.min_severity");
        return format!("  {channel}  {why}");
    }
    let due = settings.due(channel, group, now);
    if settings.batches.get(channel).is_some_and(|window| due > now && due <= now + *window) {
        let due = times::moment(due, &settings.timezone).unwrap_or_default();
        return lang.pick(
            format!("  {channel}  与其他非严重告警合并（batch），{due} 通知"),
            format!("  {channel}  together with what else is not critical (batch): told {due}"),
        );
    }
    if due > now {
        let due = times::moment(due, &settings.timezone).unwrap_or_default();
        return lang.pick(
            format!("  {channel}  免打扰时段（delivery.quiet_hours），{due} 通知"),
            format!("  {channel}  quiet hours (delivery.quiet_hours): told {due}"),
        );
    }
    format!("  {channel}  {}", lang.pick("立即通知", "told at once"))
}

fn labels_of(text: &str) -> Result<Labels, CliError> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                CliError::usage(format!("--route takes labels as severity=critical,namespace=pay; `{pair}` has no ="))
            })?;
            Ok((name.trim().to_owned(), value.trim().trim_matches('"').to_owned()))
        })
        .collect()
}

fn group(labels: Labels, now: Timestamp) -> AlertGroup {
    let alert = Alert {
        status: AlertStatus::Firing,
        labels: labels.clone(),
        annotations: Labels::new(),
        starts_at: now,
        ends_at: None,
        generator_url: None,
        fingerprint: String::new(),
    };
    AlertGroup { group_labels: labels.clone(), common_labels: labels, ..AlertGroup::unsent(vec![alert]) }
}
