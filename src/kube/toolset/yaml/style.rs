//! Which quotes a text needs in YAML 1.1, decided as Go's encoder decides.

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// As it is.
    Plain,
    /// In single quotes.
    Single,
    /// In double quotes, with escapes.
    Double,
    /// Line by line after a `|`.
    Literal,
}

impl Style {
    /// The plainest style that gives the text back as text.
    pub fn of(text: &str) -> Self {
        let shape = Shape::of(text);
        if text.contains('\n') {
            return if shape.literal { Self::Literal } else { Self::Double };
        }
        if reads_as_another_type(text) {
            return Self::Double;
        }
        match shape {
            Shape { plain: true, .. } => Self::Plain,
            Shape { single: true, .. } => Self::Single,
            _ => Self::Double,
        }
    }
}

/// Which styles a text's characters allow.
struct Shape {
    plain: bool,
    single: bool,
    literal: bool,
}

impl Shape {
    fn of(text: &str) -> Self {
        let mut shape =
            Self { plain: !text.starts_with("---") && !text.starts_with("..."), single: true, literal: true };
        let mut before: Option<char> = None;
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            let next_blank = rest.peek().is_none_or(|next| matches!(next, ' ' | '\t'));
            shape.plain &= !indicates(c, before, next_blank) && c != '\n';
            if !printable(c) && c != '\n' || (before == Some(' ') && c == '\n') {
                (shape.plain, shape.single, shape.literal) = (false, false, false);
            }
            if before == Some('\n') && c == ' ' {
                (shape.plain, shape.single) = (false, false);
            }
            before = Some(c);
        }
        shape.plain &= !text.starts_with(' ') && !text.ends_with(' ');
        shape.literal &= !text.ends_with(' ');
        shape
    }
}

/// Whether a character means something to YAML where it stands.
fn indicates(c: char, before: Option<char>, next_blank: bool) -> bool {
    match before {
        None => match c {
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => true,
            '?' | ':' | '-' => next_blank,
            _ => false,
        },
        Some(before) => match c {
            ':' => next_blank,
            '#' => matches!(before, ' ' | '\t' | '\n'),
            _ => false,
        },
    }
}

/// Whether YAML 1.1 can carry a character as it is.
pub(super) fn printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        && !matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}')
}

/// Whether a plain scalar would be read as something else than text.
fn reads_as_another_type(text: &str) -> bool {
    const WORDS: &[&str] = &[
        "", "~", "null", "Null", "NULL", "y", "Y", "yes", "Yes", "YES", "n", "N", "no", "No", "NO", "true", "True",
        "TRUE", "false", "False", "FALSE", "on", "On", "ON", "off", "Off", "OFF", ".nan", ".NaN", ".NAN", ".inf",
        ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF",
    ];
    if WORDS.contains(&text) {
        return true;
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return false;
    }
    reads_as_number(&text.replace('_', "")) || reads_as_time(text) || reads_as_base_60(text)
}

fn reads_as_number(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let based = [("0x", 16), ("0X", 16), ("0b", 2), ("0B", 2), ("0o", 8), ("0O", 8)]
        .iter()
        .find_map(|(prefix, base)| digits.strip_prefix(prefix).map(|rest| (rest, *base)));
    if let Some((rest, base)) = based {
        return u64::from_str_radix(rest, base).is_ok();
    }
    let ends_in_digit = digits.ends_with(|c: char| c.is_ascii_digit());
    let (mantissa, exponent) = digits.split_once(['e', 'E']).map_or((digits, None), |(m, e)| (m, Some(e)));
    let all_digits = |part: &str| part.chars().all(|c| c.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let signed =
        |exponent: &str| exponent.strip_prefix(['+', '-']).is_some_and(|rest| !rest.is_empty() && all_digits(rest));
    ends_in_digit
        && all_digits(whole)
        && all_digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(signed)
}

/// `2026-11-23`, alone or followed by a time of day in one of the forms Go's decoder takes.
fn reads_as_time(text: &str) -> bool {
    let date_ends = text.find(['T', 't', ' ']).unwrap_or(text.len());
    let (date, rest) = text.split_at(date_ends);
    let parts: Vec<&str> = date.split('-').collect();
    let number =
        |part: &str, most: usize| !part.is_empty() && part.len() <= most && part.chars().all(|c| c.is_ascii_digit());
    let is_date = matches!(parts[..], [year, month, day] if year.len() == 4 && number(year, 4) && number(month, 2) && number(day, 2));
    if !is_date || rest.is_empty() {
        return is_date;
    }
    let clock = &rest[1..];
    let zoned = clock.ends_with('Z') || clock.get(1..).is_some_and(|tail| tail.contains(['+', '-']));
    let time = clock.split(['Z', '+', '-']).next().unwrap_or_default();
    let is_clock = time.split(':').count() == 3 && time.chars().all(|c| c.is_ascii_digit() || matches!(c, ':' | '.'));
    is_clock && if rest.starts_with(' ') { !zoned && time == clock } else { zoned }
}

/// `1:30`: sixty to the minute, which YAML 1.1 reads as a number.
fn reads_as_base_60(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut parts = whole.split(':');
    let head = parts.next().unwrap_or_default();
    let number = |part: &str| part.chars().all(|c| c.is_ascii_digit() || c == '_');
    let sixty = |part: &str| matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']);
    let mut tail = parts.peekable();
    head.starts_with(|c: char| c.is_ascii_digit())
        && number(head)
        && number(fraction)
        && tail.peek().is_some()
        && tail.all(sixty)
}
