//! What a message has no room for is never lost without a word: a link leads to the whole, a file brings it, or the message
//! says that it was cut, and why nothing leads to the rest.
//!
//! Every text ends with a mark of its own. A mark that a message without limits holds and this one does not was cut.

use std::cell::Cell;

use proptest::prelude::*;

use super::feishu::app::card::{Beside, plain as app_plain, sealed};
use super::fixtures::{notice, now};
use super::layout::Layout;
use super::notice::{LastTime, Meanwhile, Notice, NoticeBody, Undelivered};
use super::send::Form;
use super::story::{Caps, tell};
use super::wecom::MessageType;
use super::{attachment, email, feishu, plain, webhook, wecom};
use crate::report::{Citation, Common, Related, Report, RuledOut, SameCause, Step};

const FORMS: [Form; 3] = [Form::Full, Form::Compact, Form::Plain];
const PAGE: &str = "https://firstlook.example.com/incidents/0193a5b2";
/// Room for everything.
const ALL: Caps = Caps {
    line: 1 << 20,
    quote: 1 << 20,
    command: 1 << 20,
    items: 1 << 20,
    steps: 1 << 20,
    facts: 1 << 20,
    alerts: 1 << 20,
    members: 1 << 20,
    links: true,
};

/// Fills every text of a notice, each to a length of chance, each with its own mark at the end.
struct Filler<'a> {
    lengths: &'a [usize],
    used: Cell<usize>,
}

impl Filler<'_> {
    fn text(&self) -> String {
        let number = self.used.replace(self.used.get() + 1);
        let length = self.lengths[number % self.lengths.len()];
        let filler: String = "磁盘已满 disk full ".chars().cycle().take(length).collect();
        format!("{filler}{}", mark(number))
    }

    fn report(&self, mut report: Report, many: usize) -> Report {
        (report.headline, report.impact) = (self.text(), self.text());
        report.overview.summary = self.text();
        report.primary.findings = (0..many).map(|_| self.text()).collect();
        for cause in &mut report.causes {
            cause.summary = self.text();
            let quote = |_| Citation { reference: "E1".into(), quote: self.text() };
            cause.evidence = (0..many).map(quote).collect();
        }
        let step = |_| Step { title: self.text(), detail: self.text(), command: Some(self.text()), ..Step::default() };
        report.steps = (0..many).map(step).collect();
        let related = |_| Related { why: self.text(), findings: vec![self.text()], ..Related::default() };
        report.related = (0..many).map(related).collect();
        report.ruled_out = vec![RuledOut { hypothesis: self.text(), because: self.text() }];
        report.unresolved = (0..many).map(|_| self.text()).collect();
        report.data_gaps = vec![self.text()];
        let followers = (0..many * 3).map(|_| self.text()).collect();
        report.same_cause = Some(SameCause::over(Common::Cause, None, followers));
        report
    }

    fn notice(&self, kind: usize, many: usize, lang: &str) -> Notice {
        let mut notice = notice(&format!("diagnosis-pvc.{lang}"));
        let NoticeBody::Diagnosis { report } = notice.body.clone() else { unreachable!("the fixture is a diagnosis") };
        for alert in &mut notice.group.alerts {
            alert.annotations.clear();
            alert.annotations.insert("summary".into(), self.text());
        }
        notice.last_time = Some(LastTime { resolved_at: now(), headline: Some(self.text()), holds: true });
        notice.meanwhile = Meanwhile { led: vec![self.text()], ..Meanwhile::default() };
        notice.undelivered = vec![Undelivered { channel: "oncall".into(), why: self.text() }];
        let report = Box::new(self.report(*report, many));
        let missing = vec![self.text()];
        notice.body = match kind {
            0 => NoticeBody::Diagnosis { report },
            1 => NoticeBody::Alert { report: Some(report), investigating: false, missing },
            2 => NoticeBody::Alert { report: Some(report), investigating: true, missing },
            3 => NoticeBody::Alert { report: None, investigating: false, missing },
            4 => NoticeBody::Alert { report: None, investigating: true, missing },
            _ => NoticeBody::Resolved { resolved_at: now() },
        };
        notice
    }
}

/// Letters and digits only: no channel writes them otherwise.
fn mark(number: usize) -> String {
    format!("zq{number:04}qz")
}

/// Whether a message holds all that one without limits holds.
fn is_whole(notice: &Notice, said: &str) -> bool {
    let whole = plain::text(&tell(notice, now(), ALL), usize::MAX);
    let marks = (0..1_000).map(mark).filter(|mark| whole.contains(mark));
    marks.into_iter().all(|mark| said.contains(&mark))
}

/// Whether somebody who reads this knows that it is not the whole, and where that is or why it is nowhere.
fn owns_up(said: &str) -> bool {
    // The underscore is written so that no markdown reads it as emphasis.
    let said = said.replace("&#95;", "_").replace('＿', "_");
    said.contains(PAGE) || said.contains("server.public_url")
}

fn assert_nothing_is_lost(channel: &str, form: Form, notice: &Notice, said: &str, file: bool) {
    let file = file.then(|| attachment::full_report(notice)).flatten();
    let excused = owns_up(said) || file.is_some_and(|file| is_report_whole(notice, &file.content));
    assert!(excused || is_whole(notice, said), "{channel} {form:?} lost something without a word: {said}");
}

/// Whether a file brings all of the report.
fn is_report_whole(notice: &Notice, file: &str) -> bool {
    notice.report().is_some_and(|report| file.contains(&report.headline) && file.contains(&report.causes[0].summary))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_does_not_fit_comes_with_a_link_or_a_file_or_is_said_to_be_cut(
        lengths in prop::collection::vec(prop_oneof![3 => 0..60_usize, 2 => 60..400_usize, 1 => 400..3_000_usize], 1..9),
        kind in 0..6_usize,
        many in 1..9_usize,
        english in any::<bool>(),
        linked in any::<bool>(),
    ) {
        let filler = Filler { lengths: &lengths, used: Cell::new(0) };
        let mut notice = filler.notice(kind, many, if english { "en" } else { "zh" });
        notice.page_url = linked.then(|| PAGE.to_owned());
        let layout = Layout::default();
        for form in FORMS {
            if let Some(content) = feishu::render::content(&notice, now(), form, None, &layout) {
                let said = serde_json::to_string(&content).expect("JSON");
                assert_nothing_is_lost("feishu", form, &notice, &said, false);
            }
            // What an investigation is at stands on an app's card instead, and the diagnosis after it.
            if kind != 2 && kind != 4 {
                let card = sealed(&notice, now(), form, Beside::default(), &layout).filter(|_| form != Form::Plain);
                let card = card.unwrap_or_else(|| app_plain(&notice, now(), &[], &layout));
                assert_nothing_is_lost("feishu app", form, &notice, &card.content, false);
            }
            for kind in [MessageType::MarkdownV2, MessageType::Text] {
                let message = wecom::render::of_type(kind, &notice, now(), form, wecom::render::MARKDOWN_BUDGET, &layout);
                if let Some((message, _)) = message {
                    // Whether the file follows is the rate's and the product's to say.
                    let said = serde_json::to_string(&message).expect("JSON");
                    assert_nothing_is_lost("wecom", form, &notice, &said, false);
                }
            }
            if let Some(mail) = email::render::mail(&notice, now(), form, &layout) {
                assert_nothing_is_lost("mail", form, &notice, &mail.text, mail.is_cut);
                if let Some(html) = mail.html {
                    let html = html.replace("&#x2f;", "/").replace("&#x2e;", ".");
                    assert_nothing_is_lost("mail as HTML", form, &notice, &html, mail.is_cut);
                }
            }
            if let Some(body) = webhook::render::body(&notice, now(), form) {
                let said = String::from_utf8(body).expect("JSON");
                assert_nothing_is_lost("webhook", form, &notice, &said, false);
            }
        }
    }

    /// A card of WeCom's own holds a sentence: it leads to the page, or says where the rest is.
    #[test]
    fn a_template_card_says_where_the_rest_is(length in 0..400_usize, many in 1..4_usize, linked in any::<bool>()) {
        let lengths = [length];
        let filler = Filler { lengths: &lengths, used: Cell::new(0) };
        let mut notice = filler.notice(0, many, "zh");
        notice.page_url = linked.then(|| PAGE.to_owned());
        notice.undelivered = vec![notice.undelivered[0].clone(); many * 3];
        let Some((message, cut)) =
            wecom::render::of_type(MessageType::TemplateCard, &notice, now(), Form::Full, 4_096, &Layout::default())
        else {
            panic!("a diagnosis with a link has a card");
        };
        let said = serde_json::to_value(&message).expect("JSON");
        let lines = said["template_card"]["horizontal_content_list"].as_array().map_or(0, Vec::len);
        prop_assert!(cut && lines <= 6, "{said}");
        prop_assert!(linked || said.to_string().contains("见随后的文件"), "{said}");
    }
}
