//! In which language a reader is answered: as asked for, as the browser prefers, as configured.

use crate::alert::Lang;

/// The language a tag such as `zh-Hans-CN` or `en-GB` stands for.
pub(super) fn of_tag(tag: &str) -> Option<Lang> {
    match tag.split('-').next()?.trim().to_ascii_lowercase().as_str() {
        "zh" => Some(Lang::Zh),
        "en" => Some(Lang::En),
        _ => None,
    }
}

/// What an `Accept-Language` header likes best among ours; the first of equals.
pub(super) fn preferred(header: &str) -> Option<Lang> {
    let choices = header.split(',').filter_map(|choice| {
        let mut parts = choice.split(';');
        let lang = of_tag(parts.next()?.trim())?;
        let weight = parts.find_map(|part| part.trim().strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
        (weight > 0.0).then_some((lang, weight))
    });
    let best = choices.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map(|(lang, _)| lang)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_of_our_languages_wins() {
        assert_eq!(preferred("zh-CN,zh;q=0.9,en;q=0.8"), Some(Lang::Zh));
        assert_eq!(preferred("fr-FR, en-GB;q=0.7, zh;q=0.3"), Some(Lang::En));
        assert_eq!(preferred("en;q=0.2, zh-Hant;q=0.9"), Some(Lang::Zh));
        assert_eq!(preferred("zh;q=0, en;q=0.1"), Some(Lang::En), "a weight of 0 refuses");
        assert_eq!([preferred("fr, de"), preferred(""), preferred(";;;,,q=")], [None, None, None]);
    }
}
