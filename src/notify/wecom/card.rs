//! A notice as WeCom's own card: the alert, the cause in a sentence, and where the rest is.
//!
//! Lengths in characters are what WeCom advises for `text_notice`; the client cuts what is longer, so we cut it better.

use jiff::Timestamp;

use super::wire::{CardLine, CardLink, CardTitle, Source, TemplateCard};
use crate::notify::notice::{Notice, NoticeBody};
use crate::notify::story::{Caps, Story, Tone, tell, words};
use crate::notify::text;
use crate::times;

/// The card; none when there is nowhere to lead to, because WeCom wants a link on every card.
#[must_use]
pub fn card(notice: &Notice, now: Timestamp, caps: Caps) -> Option<TemplateCard> {
    let story = tell(notice, now, caps);
    let main = story.links.iter().find(|link| link.primary).or(story.links.first())?;
    let (badges, dropped) = badges(&story);
    Some(TemplateCard {
        card_type: "text_notice",
        source: Source { desc: cut(&badges, BADGES), desc_color: colour(story.tone) },
        main_title: CardTitle { title: cut(&story.title, 26), desc: cut(&story.subtitle, 30) },
        sub_title_text: cut(&sentence(notice, &story), 112),
        horizontal_content_list: lines(notice, dropped, now),
        jump_list: story.links.iter().take(3).map(|link| jump(&link.label, &link.url)).collect(),
        card_action: CardLink { r#type: 1, title: None, url: main.url.clone() },
    })
}

/// Characters of the line above the title.
const BADGES: usize = 13;

/// The badges above the title, and the one that has no room there and becomes a line. How grave it is always stands, and
/// so does that it is over; that an alert is an alert goes first.
fn badges(story: &Story) -> (String, Option<&str>) {
    let badges: Vec<&str> = story.badges.iter().map(|badge| badge.text.as_str()).collect();
    let over = story.tone == Tone::Green;
    let fitting = |badges: &[&str]| Some(badges.join(" · ")).filter(|said| said.chars().count() <= BADGES);
    if let Some(all) = fitting(&badges) {
        return (all, None);
    }
    match badges[..] {
        [ended, severity] if over => (ended.to_owned(), Some(severity)),
        [_, severity, verdict] => match fitting(&[severity, verdict]) {
            Some(both) => (both, None),
            None => (severity.to_owned(), Some(verdict)),
        },
        _ => (badges.last().copied().unwrap_or_default().to_owned(), None),
    }
}

/// What it comes to, in a sentence.
fn sentence(notice: &Notice, story: &Story) -> String {
    let headline = notice.report().map(|report| report.headline.as_str()).filter(|text| !text.is_empty());
    let alert = || notice.group.leading().and_then(|alert| alert.summary());
    text::said(headline.or_else(alert).unwrap_or(&story.summary), 240).replace('`', "")
}

/// WeCom takes no more lines.
const LINES: usize = 6;

/// What the sentence leaves open, the most needed first: what has no room above it, how sure, which cluster, what to do, where the rest is, since when.
fn lines(notice: &Notice, dropped: Option<&str>, now: Timestamp) -> Vec<CardLine> {
    let lang = notice.lang;
    let over = matches!(notice.body, NoticeBody::Resolved { .. });
    let mut lines = Vec::new();
    let mut line = |name: &str, value: String| {
        lines.push(CardLine { keyname: name.to_owned(), value: cut(&value.replace('`', ""), 26) });
    };
    for lost in notice.undelivered.iter().take(2) {
        // A name of a line has five characters.
        line(lang.pick("转投自", "Meant"), lang.pick(lost.channel.clone(), format!("for {}", lost.channel)));
    }
    if let Some(badge) = dropped {
        line(if over { lang.pick("级别", "Level") } else { lang.pick("结论", "Found") }, badge.to_owned());
    }
    if let Some(cause) = notice.report().and_then(|report| report.causes.first()) {
        let (sure, _) = words::confidence(lang, cause.confidence);
        line(lang.pick("置信度", "Sure"), sure.trim_start_matches("置信度 ").to_owned());
    }
    if let Some(cluster) = notice.group.leading().and_then(|alert| alert.label("cluster")) {
        line(lang.pick("集群", "Where"), text::said(cluster, 60));
    }
    let step = notice.report().and_then(|report| report.steps.first()).filter(|_| !over);
    if let Some(step) = step {
        line(lang.pick("下一步", "Next"), text::said(&step.title, 60));
    }
    if notice.report().is_some() && notice.page_url.as_deref().and_then(text::web_link).is_none() {
        // A card holds a sentence of the report, and none of its links leads to the rest.
        line(lang.pick("全文", "Whole"), lang.pick("见随后的文件，或查 API", "in the file, or the API").to_owned());
    }
    if matches!(notice.body, NoticeBody::Alert { .. } | NoticeBody::Diagnosis { .. }) {
        let begun = notice.group.began(notice.opened_at, now);
        line(lang.pick("已持续", "For"), times::duration(lang, now.as_second() - begun.as_second()));
        line(lang.pick("开始", "Since"), times::time_of_day(begun, &notice.timezone));
        if let Some(oldest) = notice.group.oldest(notice.opened_at, now) {
            line(lang.pick("最早", "First"), times::moment(oldest, &notice.timezone).unwrap_or_default());
        }
    }
    if let NoticeBody::Resolved { resolved_at } = &notice.body {
        let begun = notice.group.began(notice.opened_at, now);
        // A sender may leave the end at zero: then it ended when we were told.
        let ended = if *resolved_at < begun { now } else { *resolved_at };
        line(lang.pick("持续", "For"), times::duration(lang, ended.as_second() - begun.as_second()));
        line(lang.pick("恢复", "Until"), times::time_of_day(ended, &notice.timezone));
    }
    lines.truncate(LINES);
    lines
}

fn jump(label: &str, url: &str) -> CardLink {
    CardLink {
        r#type: 1,
        title: Some(whole_or(label, 13, label.split(" · ").next().unwrap_or(label))),
        url: url.to_owned(),
    }
}

/// Grey, red or green: the card has no more.
fn colour(tone: Tone) -> u8 {
    match tone {
        Tone::Red | Tone::Orange => 2,
        Tone::Green | Tone::Turquoise => 3,
        Tone::Yellow | Tone::Blue => 1,
        Tone::Grey => 0,
    }
}

/// A text when it has room, else the part of it that says most.
fn whole_or(said: &str, characters: usize, part: &str) -> String {
    if said.chars().count() <= characters { cut(said, characters) } else { cut(part, characters) }
}

fn cut(said: &str, characters: usize) -> String {
    text::line(said, characters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::fixtures::{notice, now};
    use crate::notify::send::Form;
    use crate::report::Verdict;

    #[test]
    fn what_has_no_room_says_its_part_that_matters_and_not_half_a_word() {
        let card = card(&notice("alert-oom.en"), now(), Caps::note(Form::Full)).unwrap();
        assert_eq!(card.source.desc, "critical");
        let titles: Vec<&str> = card.jump_list.iter().filter_map(|link| link.title.as_deref()).collect();
        assert_eq!(titles, ["Full report", "Source", "Silence"]);
        let over = super::card(&notice("resolved.en"), now(), Caps::note(Form::Full)).unwrap();
        let lines: Vec<&str> = over.horizontal_content_list.iter().map(|line| line.value.as_str()).collect();
        assert_eq!((over.source.desc.as_str(), lines), ("Resolved", vec!["warning", "prod-bj", "1 h 42 min", "12:15"]));
    }

    /// Whoever reads it at night has to know how grave it is, most of all where nobody knows why.
    #[test]
    fn what_is_uncertain_still_says_how_grave_it_is() {
        for (name, verdict, desc, line) in [
            ("diagnosis-pvc.en", Verdict::Inconclusive, "warning", Some("inconclusive")),
            ("diagnosis-pvc.en", Verdict::NoFault, "warning", Some("no fault found")),
            ("diagnosis-pvc.zh", Verdict::Inconclusive, "警告 · 尚无定论", None),
            ("diagnosis-pvc.zh", Verdict::NoFault, "警告 · 未发现故障", None),
        ] {
            let mut notice = notice(name);
            let NoticeBody::Diagnosis { report } = &mut notice.body else { unreachable!("the fixture is a diagnosis") };
            report.verdict = verdict;
            let card = card(&notice, now(), Caps::note(Form::Full)).unwrap();
            let found = card.horizontal_content_list.iter().find(|line| ["Found", "结论"].contains(&&*line.keyname));
            assert_eq!((card.source.desc.as_str(), found.map(|line| line.value.as_str())), (desc, line), "{name}");
            assert!(card.horizontal_content_list.iter().all(|line| line.keyname.chars().count() <= 5));
        }
    }
}
