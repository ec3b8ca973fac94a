//! Tests: a message that comes instead of another channel's says so in every product's form, and as words only.

use jiff::Timestamp;

use super::email::render as mail;
use super::feishu::render as feishu;
use super::fixtures::{notice, now};
use super::layout::Layout;
use super::notice::{Notice, Undelivered};
use super::send::Form;
use super::webhook::render as webhook;
use super::wecom::{MessageType, render as wecom};

fn lost(name: &str, why: &str) -> Notice {
    Notice { undelivered: vec![Undelivered { channel: "oncall".into(), why: why.into() }], ..notice(name) }
}

/// What every product shows of a notice, in every form it has.
fn shown(notice: &Notice, now: Timestamp) -> Vec<String> {
    let mut shown = Vec::new();
    for form in [Form::Full, Form::Compact, Form::Plain] {
        shown.push(
            serde_json::to_string(&feishu::content(notice, now, form, None, &Layout::default()).unwrap()).unwrap(),
        );
        shown.push(
            serde_json::to_string(
                &wecom::message(notice, now, form, wecom::MARKDOWN_BUDGET, &Layout::default()).unwrap(),
            )
            .unwrap(),
        );
        let mail = mail::mail(notice, now, form, &Layout::default()).unwrap();
        shown.push(mail.text);
        shown.extend(mail.html);
        shown.push(String::from_utf8(webhook::body(notice, now, form).unwrap()).unwrap());
    }
    shown
}

#[test]
fn every_form_of_every_product_says_where_it_was_meant_to_be_and_why_it_is_not() {
    for name in ["alert-oom.en", "diagnosis-pvc.en", "resolved.en", "alert-bare.en"] {
        for text in shown(&lost(name, "Feishu answered 19001"), now()) {
            assert!(text.contains("Meant for channel") && text.contains("oncall"), "{name}: {text}");
            assert!(text.contains("19001"), "{name}: {text}");
        }
    }
    let said = "Feishu answered 19001 \"param invalid\": the webhook address is not valid any more (auth)";
    let chinese = shown(&lost("alert-oom.zh", said), now());
    assert!(chinese.iter().all(|text| text.contains("本应发到渠道")), "{chinese:#?}");
    // What is told to systems of one's own is the answer itself; the last one of each form is theirs.
    let people = chinese.iter().filter(|text| !text.starts_with("{\"version\""));
    assert!(people.clone().all(|text| text.contains("地址、凭据或签名不被接受")), "{chinese:#?}");
    assert!(people.clone().all(|text| text.contains("19001") && !text.contains("any more")), "{chinese:#?}");
    let card = wecom::of_type(
        MessageType::TemplateCard,
        &lost("alert-oom.en", "x"),
        now(),
        Form::Full,
        4_000,
        &Layout::default(),
    )
    .unwrap();
    assert!(serde_json::to_string(&card.0).unwrap().contains("for oncall"));
}

#[test]
fn names_in_the_reason_are_marked_as_in_all_other_text() {
    let notice = lost("resolved.en", "copy it again from the group's bot page into `url` (auth)");
    for form in [Form::Full, Form::Compact] {
        let html = mail::mail(&notice, now(), form, &Layout::default()).unwrap().html.unwrap_or_default();
        assert!(!html.contains("`url`") && html.contains("url</"), "{html}");
    }
}

#[test]
fn what_a_product_said_of_the_refusal_becomes_no_markup() {
    let attack = "<at id=all></at> <script>x</script> [a](https://evil.example)";
    let notice = lost("resolved.en", attack);
    for form in [Form::Full, Form::Compact, Form::Plain] {
        let card =
            serde_json::to_string(&feishu::content(&notice, now(), form, None, &Layout::default()).unwrap()).unwrap();
        let wecom = wecom::message(&notice, now(), form, wecom::MARKDOWN_BUDGET, &Layout::default()).unwrap();
        let wecom = serde_json::to_string(&wecom).unwrap();
        let html = mail::mail(&notice, now(), form, &Layout::default()).unwrap().html.unwrap_or_default();
        for text in [card, wecom, html] {
            for markup in ["<at id=all>", "<script>x", "](https://evil.example)"] {
                assert!(!text.contains(markup), "{markup} in {text}");
            }
        }
    }
}
