//! Templates as people write them: good, misspelt, endless, and full of what an alert says.

use super::*;
use crate::notify::fixtures::{ALL, notice, now};
use crate::notify::{attacks, email, feishu, plain, wecom};

fn layouts(files: &[(&str, &str)]) -> Arc<Layouts> {
    let folder = tempfile::tempdir().unwrap();
    for (path, source) in files {
        let file = folder.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, source).unwrap();
    }
    Arc::new(Layouts::load(folder.path(), &["oncall", "mail"], "UTC"))
}

fn card(name: &str, layout: &Layout) -> String {
    serde_json::to_string(&feishu::render::content(&notice(name), now(), Form::Full, None, layout).unwrap()).unwrap()
}

fn chat(name: &str, layout: &Layout) -> String {
    serde_json::to_value(wecom::render::richest(&notice(name), now(), layout)).unwrap()["markdown_v2"]["content"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn the_built_in_templates_work_as_templates_of_ones_own() {
    let own = layouts(&[
        ("en/mail.html.j2", include_str!("../email/mail.html.j2")),
        ("en/plain.txt.j2", include_str!("../plain.txt.j2")),
    ]);
    assert_eq!(own.broken().into_keys().collect::<Vec<_>>(), Vec::<String>::new(), "{:?}", own.broken());
    for (name, _) in ALL.iter().filter(|(name, _)| name.ends_with(".en")) {
        let story = tell(&notice(name), now(), Caps::page(Form::Full));
        let layout = own.of("mail");
        assert_eq!(plain::by(&layout, &notice(name), &story, 60_000), plain::text(&story, 60_000), "{name}");
        let mail = email::render::mail(&notice(name), now(), Form::Full, &layout).unwrap().html.unwrap();
        let built_in = email::render::mail(&notice(name), now(), Form::Full, &Layout::default()).unwrap().html.unwrap();
        // An address is written as it is, not with its slashes escaped.
        let alike = |html: &str| html.replace("&#x2f;", "/").replace("&amp;", "&");
        assert_eq!(alike(&mail), alike(&built_in), "{name}");
    }
}

#[test]
fn each_part_is_replaced_on_the_channel_and_in_the_language_it_is_written_for() {
    let own = layouts(&[
        ("en/subject.txt.j2", "{{ labels.severity }} | {{ story.title }} | {{ incident }}\n"),
        ("mail/en/subject.txt.j2", "[mail] {{ kind }}"),
        (
            "en/wecom.md.j2",
            "# {{ story.title }}\n{% for part in story.lead %}**{{ part.title }}**\n{{ part.body }}{% endfor %}{% for link in story.links %}{{ link.markdown }}\n{% endfor %}",
        ),
        ("oncall/zh-CN/feishu.md.j2", "**值班** {{ story.summary }}"),
    ]);
    assert_eq!(own.broken(), BTreeMap::new());
    assert_eq!(own.used().len(), 4);
    let subject = |name: &str, channel: &str| email::render::richest(&notice(name), now(), &own.of(channel)).subject;
    assert_eq!(subject("diagnosis-pvc.en", "other"), "warning | KubePodNotReady | 3f9a12bc");
    assert_eq!(subject("diagnosis-pvc.en", "mail"), "[mail] diagnosis");
    assert!(subject("diagnosis-pvc.zh", "mail").starts_with("[Firstlook]"), "no Chinese one is there");
    let shown = chat("alert-oom.en", &own.of("ops"));
    assert!(shown.starts_with("# ") && shown.contains("**Diagnosis**\n") && shown.contains("](https://"), "{shown}");
    assert!(card("diagnosis-pvc.zh", &own.of("oncall")).contains("**值班** &#91;诊断"), "the first screen");
    assert!(card("diagnosis-pvc.zh", &own.of("oncall")).contains("collapsible_panel"), "the rest stays");
    assert_eq!(card("diagnosis-pvc.zh", &own.of("other")), card("diagnosis-pvc.zh", &Layout::default()));
}

#[test]
fn the_documented_subject_stays_as_it_was_when_something_graver_joins_and_leads() {
    let documented = include_str!("../../../docs/templates.md").lines().find(|line| line.contains("{% if opened_with"));
    let documented = documented.unwrap();
    assert!(include_str!("../../../docs/templates.zh-CN.md").contains(documented));
    let own = layouts(&[("en/subject.txt.j2", documented)]);
    assert_eq!(own.broken(), BTreeMap::new());
    let subject = |notice: &Notice| email::render::richest(notice, now(), &own.of("mail")).subject;
    let mut told = notice("diagnosis-pvc.en");
    told.opened_with = told.group.leading().cloned().map(Box::new);
    assert_eq!(subject(&told), "[warning] KubePodNotReady aiops (3f9a12bc)");
    told.group.alerts[1].labels.insert("severity".into(), "critical".into());
    assert_eq!(subject(&told), "[warning] KubePodNotReady aiops (3f9a12bc)");
    let digest = subject(&notice("digest.en"));
    assert!(digest.starts_with("[Firstlook] Daily summary"), "{digest}");
}

#[test]
fn what_is_broken_is_named_and_the_built_in_layout_stands_behind_it() {
    let own = layouts(&[
        ("en/subject.txt.j2", "{{ story.tilte }}"),
        ("en/mail.html.j2", "{% for part in story.lead %}"),
        ("en/plain.txt.j2", "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}x"),
        ("en/wecom.md.j2", "{# nothing #}\n"),
        ("en/feishu.md.j2", "{{ story.title | safe }}"),
        ("en/wecom.md", "not looked at"),
        ("en/wecon.md.j2", "x"),
        ("onecall/en/wecom.md.j2", "x"),
        ("english/wecom.md.j2", "x"),
    ]);
    let broken = own.broken();
    let named: Vec<&str> = broken.keys().map(String::as_str).collect();
    let expected = [
        "en/feishu.md.j2",
        "en/mail.html.j2",
        "en/plain.txt.j2",
        "en/subject.txt.j2",
        "en/wecom.md.j2",
        "en/wecon.md.j2",
        "english/wecom.md.j2",
        "onecall/en/wecom.md.j2",
    ];
    assert_eq!(named, expected, "{broken:#?}");
    assert!(broken["en/subject.txt.j2"].contains("undefined"), "{broken:#?}");
    assert!(broken["en/wecon.md.j2"].contains("wecom.md.j2"), "it says what the names are");
    assert_eq!(own.used(), Vec::<&str>::new());
    for name in ["alert-oom.en", "resolved.en", "digest.en"] {
        let (theirs, ours) = (own.of("oncall"), Layout::default());
        assert_eq!(card(name, &theirs), card(name, &ours));
        assert_eq!(chat(name, &theirs), chat(name, &ours));
        let mail = |layout: &Layout| email::render::richest(&notice(name), now(), layout);
        assert_eq!(mail(&theirs), mail(&ours));
    }
    let nowhere = Layouts::load(Path::new("/nowhere"), &[], "UTC");
    assert_eq!(nowhere.broken().len(), 1, "a folder that is not there is said");
}

#[test]
fn a_template_that_fails_on_one_message_is_named_until_it_works_again() {
    // Only an alert with this label makes it divide by nothing.
    let source = "{% if labels.deployment %}{{ 1 // 0 }}{% endif %}{{ story.summary }}";
    let own = layouts(&[("en/subject.txt.j2", source)]);
    assert_eq!(own.broken(), BTreeMap::new());
    let mut odd = notice("resolved.en");
    odd.group.alerts.iter_mut().for_each(|alert| {
        alert.labels.insert("deployment".into(), "api".into());
    });
    assert!(email::render::richest(&odd, now(), &own.of("mail")).subject.starts_with("[Firstlook]"));
    assert_eq!(own.broken().len(), 1);
    assert!(!email::render::richest(&notice("digest.en"), now(), &own.of("mail")).subject.is_empty());
    assert_eq!(own.broken(), BTreeMap::new());
}

#[test]
fn a24_what_an_alert_says_becomes_no_markup_whatever_the_template_does() {
    let careless = "{% autoescape false %}{{ labels.note }}{% endautoescape %} {{ labels.note | upper }} {{ labels.note ~ '' }}\
                    {% macro show(text) %}{{ text }}{% endmacro %}{{ show(labels.note) }} {{ labels | dictsort }}";
    let own = layouts(&[
        ("en/wecom.md.j2", careless),
        ("en/feishu.md.j2", careless),
        ("en/mail.html.j2", careless),
        ("en/subject.txt.j2", careless),
        ("en/plain.txt.j2", careless),
    ]);
    let mut attack = notice("resolved.en");
    let note =
        "<at id=all></at><AT ID=ALL> [a](https://evil.example) <img src=x> **b** `c` @all ![x](http://x)\r\nBcc: a@b.c";
    attack.group.alerts.iter_mut().for_each(|alert| drop(alert.labels.insert("note".into(), note.into())));
    let layout = own.of("mail");
    let card = feishu::render::content(&attack, now(), Form::Full, None, &layout).unwrap();
    let card = serde_json::to_value(&card).unwrap()["card"]["body"]["elements"][0]["content"].to_string();
    let chat = serde_json::to_string(&wecom::render::richest(&attack, now(), &layout)).unwrap();
    let mail = email::render::richest(&attack, now(), &layout);
    assert_eq!(own.broken(), BTreeMap::new());
    let html = mail.html.unwrap();
    for shown in [&card, &chat, &html] {
        for markup in ["<at", "<AT", "<img", "<IMG", "](https://"] {
            assert!(!shown.contains(markup), "{markup} in {shown}");
        }
    }
    for shown in [&card, &chat] {
        assert!(!shown.contains("**") && !shown.contains("![") && !shown.contains('`'), "{shown}");
    }
    assert!(chat.contains("＠all"), "{chat}");
    assert!(!mail.subject.contains(['\r', '\n']), "{}", mail.subject);
    assert!(!mail.text.contains("https://evil"), "{}", mail.text);
}

#[test]
fn however_long_a_template_makes_it_the_message_keeps_its_bytes() {
    let long = "{% for n in range(2000) %}0123456789abcdef 0123456789abcdef {{ story.title }}\n{% endfor %}";
    let own = layouts(&[
        ("en/wecom.md.j2", long),
        ("en/feishu.md.j2", long),
        ("en/mail.html.j2", long),
        ("en/plain.txt.j2", long),
    ]);
    let (layout, notice) = (own.of("mail"), notice("diagnosis-pvc.en"));
    let card = serde_json::to_vec(&feishu::render::richest(&notice, now(), None, &layout)).unwrap();
    let chat = serde_json::to_value(wecom::render::richest(&notice, now(), &layout)).unwrap();
    assert!(card.len() <= feishu::render::BUDGET, "{}", card.len());
    assert!(chat["text"]["content"].as_str().unwrap().len() <= wecom::render::TEXT_BUDGET, "in plain text at last");
    let mail = email::render::richest(&notice, now(), &layout);
    assert!(mail.text.len() <= 60_000 && mail.html.is_none_or(|html| html.len() <= 90_000));
}

#[test]
fn the_documentations_example_works_and_both_pages_name_the_same() {
    let pages = [include_str!("../../../docs/templates.md"), include_str!("../../../docs/templates.zh-CN.md")];
    for (page, lang) in pages.iter().zip(["en", "zh-CN"]) {
        let example = page.split("```jinja\n").nth(1).unwrap().split("```").next().unwrap();
        let own = layouts(&[(&format!("{lang}/wecom.md.j2"), example)]);
        assert_eq!(own.broken(), BTreeMap::new());
        let name = format!("diagnosis-pvc.{}", if lang == "en" { "en" } else { "zh" });
        let shown = chat(&name, &own.of("ops"));
        assert!(shown.contains("](https://wiki.example.com/oncall)") && shown.contains("KubePodNotReady"), "{shown}");
    }
    let words = |page: &str| -> BTreeSet<String> {
        let prose = page.split("```").step_by(2).collect::<String>();
        prose.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    assert_eq!(words(pages[0]), words(pages[1]));
    for part in Part::ALL {
        assert!(words(pages[0]).contains(part.file()), "{}", part.file());
    }
}

/// Judged by a CommonMark parser and Feishu's list of tags, as the built-in cards are.
#[test]
fn a29_a31_a33_no_attack_gets_through_a_template_that_prints_labels_as_they_are() {
    let own = layouts(&[("zh-CN/feishu.md.j2", "x{% for name in labels %} {{ name }} {{ labels[name] }}{% endfor %}")]);
    for attack in attacks::ATTACKS {
        let notice = attacks::attacked(attack, true);
        let card = feishu::render::content(&notice, now(), Form::Full, None, &own.of("oncall")).unwrap();
        let card = serde_json::to_value(&card).unwrap();
        let content = card["card"]["body"]["elements"][0]["content"].as_str().unwrap();
        assert!(content.len() > 1 && !content.contains("49"), "nothing is evaluated: {content}");
        attacks::assert_feishu_markdown_is_ours(content, attack);
    }
}
