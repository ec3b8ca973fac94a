//! The report's page as it is served: on record, in both languages, under attack and at its longest.

use std::path::PathBuf;

use super::samples::{self, ALL, ATTACK, sample};
use super::*;
use crate::store::PressState;

async fn html(shown: &Shown) -> String {
    let uri = format!("/incidents/{}", shown.detail.incident.id).parse().unwrap();
    let page = Visit::new(&uri, "", shown.lang).page(StatusCode::OK, "report.html.j2", shown.values());
    assert_eq!(page.status(), StatusCode::OK);
    let body = axum::body::to_bytes(page.into_body(), 16 << 20).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn reports_on_record_in_both_languages() {
    for (kind, lang) in [("report", Lang::Zh), ("report", Lang::En), ("running", Lang::Zh), ("resolved", Lang::En)] {
        let page = super::super::unhashed(&html(&sample(kind, lang)).await);
        insta::assert_snapshot!(format!("{kind}.{}", lang.tag()), page);
    }
}

#[tokio::test]
async fn a_report_reads_in_the_order_of_the_cards() {
    for (lang, order) in [
        (Lang::Zh, ["告警概览", "诊断分析", "根本原因", "处理建议", "证据", "时间线", "用量"]),
        (
            Lang::En,
            ["Alert</h2>", "Diagnosis</h2>", "Root cause", "Next steps", "Evidence", "Timeline", "What it took"],
        ),
    ] {
        let page = html(&sample("report", lang)).await;
        let places: Vec<usize> = order.iter().map(|word| page.find(word).unwrap_or_else(|| panic!("{word}"))).collect();
        assert!(places.is_sorted(), "{order:?} stand at {places:?}");
        assert!(!page.contains("refresh"), "nothing goes on here");
    }
}

#[tokio::test]
async fn who_pressed_what_stands_in_the_timeline() {
    let mut shown = sample("report", Lang::En);
    let silenced = samples::press("silence", "ou_alice", PressState::Done, 60);
    let outcome = "silenced until 14:00".into();
    shown.presses =
        vec![PressEntry { outcome, ..silenced }, samples::press("again", "ou_mallory", PressState::Refused, 90)];
    let page = html(&shown).await;
    for word in ["ou_alice · silence the alerts", "silenced until 14:00", "ou_mallory · investigate again", "refused"]
    {
        assert!(page.contains(word), "{word}: {page}");
    }
}

#[tokio::test]
async fn what_is_over_heads_with_no_next_step() {
    assert!(html(&sample("report", Lang::En)).await.contains("class=\"next\""));
    assert!(!html(&sample("resolved", Lang::En)).await.contains("class=\"next\""));
}

#[tokio::test]
async fn every_quotation_leads_to_its_mark() {
    let page = html(&sample("report", Lang::En)).await;
    for reference in ["E4", "E2", "E5"] {
        assert!(page.contains(&format!("href=\"#{reference}-1\"")), "{reference} is linked");
        assert_eq!(page.matches(&format!("<mark id=\"{reference}-1\">")).count(), 1, "{reference} is marked");
    }
    assert!(page.contains("E1") && !page.contains("<mark id=\"E1"), "nothing is quoted from it");
}

#[tokio::test]
async fn what_goes_on_reloads_itself_without_a_script() {
    let page = html(&sample("running", Lang::En)).await;
    assert!(page.contains("<noscript><meta http-equiv=\"refresh\"") && page.contains("id=\"live\""));
    assert!(html(&sample("undiagnosed", Lang::En)).await.contains("disk full"), "the timeline says why");
}

#[tokio::test]
async fn an_investigation_that_was_given_up_has_a_button_while_its_incident_is_open() {
    let mut shown = sample("undiagnosed", Lang::En);
    let form = format!("<form method=\"post\" action=\"{}/again\">", shown.detail.incident.id);
    assert!(html(&shown).await.contains(&form), "{form}");
    let page = html(&sample("report", Lang::En)).await;
    assert!(!page.contains(&form) && page.contains("/messages/"), "that one ended well");
    shown.may_act = false;
    assert!(!html(&shown).await.contains(&form), "a link's pass shows, and does not press");
    shown.may_act = true;
    shown.detail.incident.state = IncidentState::Resolved;
    assert!(!html(&shown).await.contains(&form), "nothing is left to look at");
}

/// Tags as a browser would see them: everything between an unescaped `<` and the next `>`.
fn tags(page: &str) -> Vec<&str> {
    page.split('<').skip(1).filter_map(|rest| rest.split('>').next()).collect()
}

#[tokio::test]
async fn a24_to_a33_nothing_somebody_else_wrote_is_markup() {
    for lang in [Lang::Zh, Lang::En] {
        let page = html(&sample("hostile", lang)).await;
        assert!(page.matches("&lt;script&gt;alert(1)").count() > 30, "the attack is shown as words");
        assert!(!page.contains(ATTACK) && !page.contains('\u{202e}'), "and never as it came");
        let known = [
            "!doctype html",
            "html",
            "head",
            "meta",
            "title",
            "link",
            "script",
            "body",
            "header",
            "a",
            "span",
            "nav",
            "main",
            "article",
            "section",
            "p",
            "b",
            "h1",
            "h2",
            "h3",
            "dl",
            "div",
            "dt",
            "dd",
            "details",
            "summary",
            "ol",
            "ul",
            "li",
            "blockquote",
            "q",
            "pre",
            "code",
            "button",
            "form",
            "mark",
            "i",
            "time",
        ];
        for tag in tags(&page) {
            let name = tag.trim_start_matches('/').split(' ').next().unwrap();
            assert!(known.contains(&name) || tag == "!doctype html", "<{tag}>");
            assert!(!tag.contains(" on") && !tag.contains(" style="), "<{tag}>");
            assert!(!tag.contains("javascript:") && !tag.contains("evil.example"), "<{tag}>");
        }
        assert_eq!(page.matches("<script").count(), 1, "our own");
    }
}

#[tokio::test]
async fn the_longest_report_stays_readable_in_size() {
    let page = html(&sample("longest", Lang::Zh)).await;
    assert!(page.len() < 1_500_000, "{} bytes", page.len());
    assert!(page.contains("/evidence/E1"), "what is too long is a page of its own");
    assert!(page.contains("另有 20 条未列出"), "alerts past a hundred are counted");
}

/// Writes every sample as files a browser can open; `scripts/screens.sh` photographs them.
#[tokio::test]
async fn pages_to_photograph() {
    let Some(folder) = std::env::var_os("FIRSTLOOK_PAGES").map(PathBuf::from) else { return };
    for lang in [Lang::Zh, Lang::En] {
        for kind in ALL.into_iter().chain(["charted"]) {
            std::fs::write(
                folder.join(format!("incidents/{kind}.{}.html", lang.tag())),
                html(&sample(kind, lang)).await,
            )
            .unwrap();
        }
    }
}
