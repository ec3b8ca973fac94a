//! The report's page as it is served: on record, in both languages, under attack and at its longest.

use std::path::PathBuf;

use super::samples::{self, ALL, ATTACK, sample};
use super::*;
use crate::notify::rule::{Applied, Rule};
use crate::store::{Changes, Decision, Delivery, Named, PressState};

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

/// The page of a warning that a critical alert joined; the diagnosis is of the warning.
async fn mixed(over: bool) -> String {
    let mut shown = sample("report", Lang::En);
    let incident = &mut shown.detail.incident;
    let began = shown.now - std::time::Duration::from_secs(30);
    let graver = &mut incident.group.alerts[1];
    graver.labels = [("alertname", "DatabaseDown"), ("severity", "critical"), ("node", "worker-1")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    graver.annotations = [("summary".to_owned(), "the database is down".to_owned())].into();
    graver.starts_at = began;
    if over {
        let ended = began + std::time::Duration::from_secs(20);
        for alert in &mut incident.group.alerts {
            (alert.status, alert.ends_at) = (AlertStatus::Resolved, Some(ended));
        }
        (incident.state, incident.resolved_at) = (IncidentState::Resolved, Some(shown.now));
    }
    html(&shown).await
}

#[tokio::test]
async fn a_mixed_group_is_one_alert_all_over_the_page_while_it_fires_and_after() {
    for (over, lasted) in [(false, "30 s"), (true, "20 s")] {
        let page = mixed(over).await;
        assert!(page.contains("critical</span> <b>DatabaseDown</b>"), "{page}");
        assert!(page.contains("<p class=\"dim\">Node&#x2f;worker-1</p>"), "{page}");
        assert!(page.contains("<h2>Alert</h2>\n<p>the database is down</p>"), "{page}");
        assert!(page.contains(&format!("<dt>Lasted</dt><dd>{lasted}</dd>")), "{page}");
        assert!(page.contains("<dt>Oldest of the group since</dt>"), "{page}");
        assert!(
            page.find("<h3>DatabaseDown").unwrap() < page.find("<h3>KubePodNotReady").unwrap(),
            "it leads the list"
        );
    }
}

#[tokio::test]
async fn that_something_graver_is_over_is_said_beside_what_goes_on() {
    let mut shown = sample("report", Lang::En);
    let graver = &mut shown.detail.incident.group.alerts[1];
    graver.labels.insert("severity".into(), "critical".into());
    graver.status = AlertStatus::Resolved;
    let page = html(&shown).await;
    assert!(page.contains("<b>KubePodNotReady</b>") && page.contains("was critical"), "{page}");
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
async fn who_is_responsible_and_when_each_call_was_made_are_on_the_page() {
    let mut shown = sample("report", Lang::En);
    shown.detail.incident.group.alerts[0].annotations.insert("owner".into(), "team-storage".into());
    let page = html(&shown).await;
    assert!(page.contains("<dt>Owner</dt><dd>team-storage</dd>"), "{page}");
    let calls = page.split_once("id=\"calls\"").unwrap().1.split_once("</details>").unwrap().0;
    assert_eq!(calls.matches("<li>").count(), calls.matches("<time").count(), "{calls}");
}

#[tokio::test]
async fn a_call_without_arguments_has_no_empty_box_for_them() {
    let mut shown = sample("report", Lang::En);
    shown.evidence.iter_mut().for_each(|one| one.arguments = serde_json::json!({}));
    let page = html(&shown).await;
    assert!(page.contains("id=\"calls\"") && !page.contains("<code></code>"), "{page}");
}

#[test]
fn every_documented_reason_to_end_has_its_words() {
    let documented = include_str!("../../../../docs/stop-reasons.md").lines().filter(|line| line.starts_with("| `"));
    let reasons = documented.flat_map(|line| line.split('|').nth(1).unwrap().split(','));
    for reason in reasons.map(|reason| reason.trim().trim_matches('`')) {
        for lang in [Lang::Zh, Lang::En] {
            let said = words::stopped_by(lang, reason);
            assert!(said != reason && said.contains(reason), "{said}");
        }
    }
    assert_eq!(words::stopped_by(Lang::Zh, "something_new"), "something_new");
}

#[tokio::test]
async fn why_a_message_failed_is_said_in_the_readers_language() {
    let page = html(&sample("report", Lang::Zh)).await;
    let said = "地址、凭据或签名不被接受（WeCom answered 93008";
    assert!(page.contains(said) && page.contains("请按对方的答复核对渠道配置"), "{page}");
    assert!(html(&sample("undiagnosed", Lang::Zh)).await.contains("程序记录的原因：the store failed"));
}

#[tokio::test]
async fn a_chart_is_captioned_with_its_series_and_leads_nowhere() {
    for lang in [Lang::Zh, Lang::En] {
        let page = html(&sample("charted", lang)).await;
        let captions: Vec<&str> =
            page.split("<figcaption>").skip(1).filter_map(|rest| rest.split('<').next()).collect();
        assert_eq!((captions.len(), page.matches("<figure class=\"chart\">").count()), (1, 1));
        let fires = lang.pick("触发条件", "fires");
        assert!(captions[0].contains("restarts_total") && captions[0].contains(fires), "{captions:?}");
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
async fn while_a_model_works_the_page_shows_what_the_playbook_found() {
    for (lang, works, took) in [
        (Lang::Zh, "模型仍在研判；在它完成之前，以下是规则库的初步结论。", "用量</h2>"),
        (Lang::En, "The model still works on it; what stands below is what the playbook found so far.", "What it took"),
    ] {
        let mut shown = sample("running", lang);
        let page = html(&shown).await;
        assert!(page.contains(works) && page.contains("id=\"live\"") && !page.contains(took), "{page}");
        for part in ["class=\"causes\"", "id=\"steps\"", "href=\"#E4-1\"", "<mark id=\"E4-1\">", "id=\"calls\""] {
            assert!(page.contains(part), "{part}: {page}");
        }
        (shown.evidence, shown.detail.evidence) = (Vec::new(), Vec::new());
        let page = html(&shown).await;
        assert!(page.contains("class=\"causes\"") && !page.contains("href=\"#E"), "nothing leads to what is not kept");
        shown.step = Some("Being investigated · 12 s · 14 results read".into());
        assert!(html(&shown).await.contains("<span class=\"step\">Being investigated · 12 s · 14 results read</span>"));
        shown.detail.investigation.as_mut().unwrap().state = InvestigationState::Dead;
        let page = html(&shown).await;
        let given_up = lang.pick("研判多次失败，以下只是规则库的初步结论", "below is only what the playbook found");
        assert!(page.contains(given_up) && page.contains("class=\"causes\"") && !page.contains(works), "{page}");
        let begun = html(&sample("begun", lang)).await;
        assert!(!begun.contains("class=\"causes\"") && !begun.contains(works) && begun.contains("id=\"live\""));
    }
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

/// What a moment says, and whether calls are listed with it.
fn said(moment: &serde_json::Value) -> String {
    let calls = if moment["calls"] == true { " with its calls" } else { "" };
    format!("{}{calls}", moment["what"].as_str().unwrap())
}

/// What the timeline says, one moment after the other.
fn told(shown: &Shown) -> Vec<String> {
    let moments = timeline::moments(&shown.detail, &[], shown.lang, &shown.zone, false);
    serde_json::to_value(&moments).unwrap().as_array().unwrap().iter().map(said).collect()
}

#[tokio::test]
async fn a_second_look_denies_nothing_of_the_first() {
    for (lang, done, waits, runs, none) in [
        (Lang::Zh, "研判完成 with its calls", "将再次研判", "正在再次研判", "不再复查：事件已恢复"),
        (
            Lang::En,
            "Investigation done with its calls",
            "To be looked at once more",
            "Being looked at once more",
            "Not looked at again: it resolved first",
        ),
    ] {
        let mut shown = sample("second look", lang);
        let place = |told: &[String], said: &str| {
            told.iter().position(|it| it == said).unwrap_or_else(|| panic!("{said}: {told:?}"))
        };
        let said = told(&shown);
        assert!(place(&said, done) < place(&said, waits) && place(&said, waits) == said.len() - 1, "{said:?}");
        shown.detail.investigation.as_mut().unwrap().state = InvestigationState::Running;
        let said = told(&shown);
        assert!(place(&said, done) < place(&said, runs) && place(&said, runs) == said.len() - 1, "{said:?}");
        let over = sample("no second look", lang);
        let said = told(&over);
        assert!(place(&said, done) < place(&said, none), "{said:?}");
        assert!(!said.iter().any(|it| it.contains(lang.pick("研判取消", "Not investigated"))), "{said:?}");
        assert!(html(&over).await.contains("id=\"calls\""), "what was asked is listed");
    }
}

#[tokio::test]
async fn every_look_stands_in_the_timeline_with_its_own_times() {
    for (lang, expected) in [
        (
            Lang::Zh,
            ["排队研判", "研判完成", "再次研判排队", "研判失败，不再重试", "再次研判排队", "研判完成 with its calls"],
        ),
        (
            Lang::En,
            [
                "Investigation queued",
                "Investigation done",
                "Queued to be looked at once more",
                "Investigation given up",
                "Queued to be looked at once more",
                "Investigation done with its calls",
            ],
        ),
    ] {
        let mut shown = sample("second look", lang);
        shown.detail.looks.push(samples::past_look(2, InvestigationState::Dead, 900, 960));
        shown.detail.investigation.as_mut().unwrap().asked_at = samples::after(1_200);
        samples::ended(&mut shown, InvestigationState::Done, 1_260);
        let moments = serde_json::to_value(timeline::moments(&shown.detail, &[], lang, "UTC", false)).unwrap();
        let looks: Vec<&serde_json::Value> =
            moments.as_array().unwrap().iter().filter(|it| expected.contains(&&*said(it))).collect();
        assert_eq!(looks.iter().map(|it| said(it)).collect::<Vec<_>>(), expected);
        let times: Vec<&str> = looks.iter().map(|it| it["time"].as_str().unwrap().split(' ').nth(1).unwrap()).collect();
        assert_eq!(times, ["03:35:00", "03:35:22", "03:50:00", "03:51:00", "03:55:00", "03:56:00"]);
        let replaces = lang.pick("第 3 次研判，取代了前一次的结果", "look 3, which replaces the one before");
        assert_eq!((looks[1]["detail"].as_str(), looks[5]["detail"].as_str()), (Some(""), Some(replaces)));
    }
}

#[tokio::test]
async fn a_second_look_stands_where_it_was_asked_for_and_says_when_it_begins() {
    for (lang, begins) in
        [(Lang::Zh, "2026-11-23 11:50:10 +08:00 开始"), (Lang::En, "begins 2026-11-23 11:50:10 +08:00")]
    {
        let page = html(&sample("second look", lang)).await;
        let (before, after) = page.split_once(lang.pick("将再次研判", "To be looked at once more")).unwrap();
        let (_, moment) = before.rsplit_once("<li ").unwrap();
        assert!(moment.contains("<time>2026-11-23 11:50:00 +08:00</time>"), "{moment}");
        let (rest, _) = after.split_once("</li>").unwrap();
        assert!(rest.contains(begins), "{rest}");
    }
}

#[tokio::test]
async fn alerts_that_join_or_end_in_an_open_group_are_named() {
    let name = |name: &str| Named { alerts: vec![format!("PodNotReady · Pod shop/{name}")], more: 2 };
    for (lang, told) in [
        (
            Lang::Zh,
            [
                "新告警：PodNotReady · Pod shop/a 等 3 条；已恢复：PodNotReady · Pod shop/b 等 3 条",
                "部分告警恢复，其余仍在触发",
            ],
        ),
        (Lang::En, ["1 new alert of the group (X)", "some alerts ended, others of the group still fire"]),
    ] {
        let mut shown = sample("report", lang);
        let changes = Changes { joined: name("a"), ended: name("b") };
        let joined = samples::delivery(700, Decision::Joined, "1 new alert of the group (X)");
        shown.detail.deliveries.push(Delivery { changes, ..joined });
        shown.detail.deliveries.push(Delivery {
            changes: Changes { ended: name("c"), ..Changes::default() },
            rules: vec![Applied::just(Rule::SomeEnded)],
            ..samples::delivery(800, Decision::Merged, "PodNotReady · Pod shop/c ended; others of the group still fire")
        });
        let page = html(&shown).await.replace("&#x2f;", "/");
        for told in told.into_iter().chain(["PodNotReady · Pod shop/c"]) {
            assert!(page.contains(told), "{told}: {page}");
        }
        assert_eq!(page.matches(lang.pick("合并：已知的告警", "merged: nothing new in it")).count(), 1, "the repeats");
    }
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
