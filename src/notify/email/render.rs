//! From a notice to a mail: subject, text and HTML; pure.

use jiff::Timestamp;
use minijinja::context;
use minijinja::value::Serde;

use crate::alert::{Alert, Lang};
use crate::notify::layout::{Layout, Part};
use crate::notify::notice::{Notice, NoticeBody};
use crate::notify::send::Form;
use crate::notify::story::{Caps, Story, labelled_object, tell, words};
use crate::notify::{attachment, plain, template, text};
use crate::times;

/// Bytes of HTML: Gmail hides what is past about 102 kB.
const HTML_BUDGET: usize = 90_000;
/// Bytes of the text part.
const TEXT_BUDGET: usize = 60_000;

/// A mail's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The same for every mail about an incident: some readers thread by it.
    pub subject: String,
    /// The text part.
    pub text: String,
    /// The HTML part; none in the plainest form.
    pub html: Option<String>,
    /// Whether it leaves out something of the report, so that the full one should come with it.
    pub is_cut: bool,
}

/// The mail in one form; `None` when it does not fit in that form. The full one is told without cutting a sentence where
/// there is room.
#[must_use]
pub fn mail(notice: &Notice, now: Timestamp, form: Form, layout: &Layout) -> Option<Mail> {
    let roomy = (form == Form::Full).then(Caps::roomy_page);
    roomy.into_iter().chain([Caps::page(form)]).find_map(|caps| mail_of(notice, now, (form, caps), layout))
}

fn mail_of(notice: &Notice, now: Timestamp, (form, caps): (Form, Caps), layout: &Layout) -> Option<Mail> {
    let mut story = tell(notice, now, caps);
    if notice.report().is_none() {
        // There is no report that could come as a file.
        attachment::say_what_is_cut(notice, &mut story, now);
    }
    let subject = subject(notice, &story, layout);
    let html = (form != Form::Plain)
        .then(|| layout.render(Part::Html, notice, &story).unwrap_or_else(|| html(&story, &subject)));
    if html.as_ref().is_some_and(|html| html.len() > HTML_BUDGET) {
        return None;
    }
    Some(Mail {
        text: plain::by(layout, notice, &story, TEXT_BUDGET),
        is_cut: attachment::is_needed(notice, &story),
        subject,
        html,
    })
}

/// The richest mail that fits, as it would be sent first.
#[must_use]
pub fn richest(notice: &Notice, now: Timestamp, layout: &Layout) -> Mail {
    let fits = [Form::Full, Form::Compact, Form::Plain].into_iter().find_map(|form| mail(notice, now, form, layout));
    fits.unwrap_or_else(|| Mail { subject: usual_subject(notice), text: String::new(), html: None, is_cut: true })
}

/// The operator's, in one line of a header; else ours.
fn subject(notice: &Notice, story: &Story, layout: &Layout) -> String {
    let own = layout.render(Part::Subject, notice, story).map(|own| text::said(&own, 200));
    own.filter(|own| !own.is_empty()).unwrap_or_else(|| usual_subject(notice))
}

/// What the incident opened with, and the incident: neither changes while the incident lasts.
pub(in crate::notify) fn usual_subject(notice: &Notice) -> String {
    if let NoticeBody::Digest { digest } = &notice.body {
        return format!("[Firstlook] {} {}", notice.lang.pick("每日摘要", "Daily summary"), digest.day);
    }
    if let NoticeBody::Summary { told, collected: true } = &notice.body {
        let count = words::together(notice.lang, told.len(), true);
        let when = times::moment(notice.opened_at, &notice.timezone).unwrap_or_default();
        return format!("[Firstlook] {count} · {when}");
    }
    if let NoticeBody::Summary { told, collected: false } = &notice.body {
        let (count, when) = (told.len(), times::time_of_day(notice.opened_at, &notice.timezone));
        return notice.lang.pick(
            format!("[Firstlook] 告警汇总：{count} 条消息（{when}）"),
            format!("[Firstlook] {count} messages in one ({when})"),
        );
    }
    if matches!(notice.body, NoticeBody::Test) {
        return format!("[Firstlook] {}", notice.lang.pick("测试消息", "Test message"));
    }
    let first = notice.opened_with.as_deref().or_else(|| notice.group.leading());
    let about = first.map(|alert| about(notice.lang, alert)).filter(|about| !about.is_empty());
    let about = about.unwrap_or_else(|| text::said(&notice.group.receiver, 60));
    let incident = notice.lang.pick("事件", "incident");
    text::said(&format!("[Firstlook] {about} ({incident} {})", notice.short_id()), 200)
}

/// Severity, alert, object, cluster: what tells one incident from another in a list of mails.
fn about(lang: Lang, alert: &Alert) -> String {
    let severity = alert.label("severity").map(|raw| words::severity(lang, &text::said(raw, 24)));
    let name = alert.label("alertname").map(|name| text::said(name, 60));
    let object = labelled_object(alert).map(|object| text::said(&object.to_string(), 80));
    let cluster = alert.label("cluster").map(|name| text::said(name, 30));
    let said = [severity, name, object, cluster].into_iter().flatten();
    text::said(&said.filter(|part| !part.trim().is_empty()).collect::<Vec<_>>().join(" "), 160)
}

fn html(story: &Story, subject: &str) -> String {
    let context = context! { story => Serde(story), subject };
    template::render("mail.html.j2", include_str!("mail.html.j2"), context).unwrap_or_else(|error| {
        debug_assert!(false, "the mail template failed: {error}");
        tracing::error!(%error, "the mail template failed");
        let text = plain::text(story, TEXT_BUDGET);
        format!("<!doctype html><pre>{}</pre>", minijinja::HtmlEscape(&text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::AlertStatus;
    use crate::notify::fixtures::notice;
    use crate::report::Disagreement;

    #[test]
    fn the_subject_says_severity_alert_object_and_cluster() {
        let subject = usual_subject(&notice("diagnosis-pvc.en"));
        let object = "Pod aiops/test-deployment-d49fc6fff-v8f86";
        assert_eq!(subject, format!("[Firstlook] warning KubePodNotReady {object} prod-bj (incident 3f9a12bc)"));
        assert!(usual_subject(&notice("diagnosis-pvc.zh")).contains("KubePodNotReady"));
    }

    #[test]
    fn a_graver_alert_that_joins_and_the_first_ones_end_leave_the_subject_as_it_was() {
        let mut notice = notice("diagnosis-pvc.en");
        notice.opened_with = notice.group.leading().cloned().map(Box::new);
        let before = usual_subject(&notice);
        let mut graver = notice.group.alerts[0].clone();
        graver.labels.insert("severity".into(), "critical".into());
        graver.labels.insert("alertname".into(), "KubePodCrashLooping".into());
        graver.starts_at = notice.opened_at + jiff::SignedDuration::from_mins(3);
        notice.group.alerts[0].status = AlertStatus::Resolved;
        notice.group.alerts.insert(0, graver);
        assert_eq!(notice.group.leading().map(Alert::name), Some("KubePodCrashLooping"));
        assert_eq!(usual_subject(&notice), before);
    }

    #[test]
    fn what_was_gravest_at_the_opening_is_the_subject_though_another_began_before() {
        let mut notice = notice("diagnosis-pvc.en");
        let graver = &mut notice.group.alerts[1];
        graver.labels.insert("severity".into(), "critical".into());
        notice.opened_with = notice.group.leading().cloned().map(Box::new);
        let subject = usual_subject(&notice);
        assert!(subject.starts_with("[Firstlook] critical KubeDeploymentReplicasMismatch "), "{subject}");
        notice.group.alerts[1].status = AlertStatus::Resolved;
        assert_eq!(usual_subject(&notice), subject);
    }

    #[test]
    fn what_joined_alone_is_told_below_the_subject_of_its_incident() {
        let whole = notice("diagnosis-pvc.en");
        let mut joined = whole.clone();
        joined.group.alerts.truncate(1);
        joined.group.alerts[0].labels.insert("alertname".into(), "DatabaseDown".into());
        joined.opened_with = whole.group.leading().cloned().map(Box::new);
        assert_eq!(usual_subject(&joined), usual_subject(&whole));
    }

    #[test]
    fn a_sentence_is_not_cut_where_a_mail_has_room_for_it() {
        let mut notice = notice("diagnosis-pvc.en");
        let NoticeBody::Diagnosis { report } = &mut notice.body else { unreachable!("the fixture is a diagnosis") };
        let view = |end: &str| format!("{} {end}", "the class names a driver that is gone ".repeat(4));
        let (model, playbook) = (view("MODEL"), view("PLAYBOOK"));
        report.disagreement = Some(Disagreement { model, playbook, because: view("BECAUSE") });
        let mail = mail(&notice, notice.opened_at, Form::Full, &Layout::default()).unwrap();
        for end in ["MODEL", "PLAYBOOK", "BECAUSE"] {
            assert!(mail.text.contains(end) && mail.html.as_ref().unwrap().contains(end), "{end}: {}", mail.text);
        }
        assert!(!mail.is_cut, "and no file goes with it");
    }

    #[test]
    fn the_longest_subject_still_ends_with_its_incident() {
        let mut notice = notice("diagnosis-pvc.en");
        let long = |value: &mut String| *value = "x".repeat(300);
        notice.group.alerts.iter_mut().for_each(|alert| alert.labels.values_mut().for_each(long));
        let subject = usual_subject(&notice);
        assert!(subject.ends_with("(incident 3f9a12bc)"), "{subject}");
    }
}
