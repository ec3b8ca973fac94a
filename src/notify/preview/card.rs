//! A Feishu card as HTML, from the JSON that is sent: what the JSON does not say is not shown.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::markdown::{Dialect, escaped, html};

/// Renders the content of a Feishu message: a card, or plain text. `zone` is where its reader is.
#[must_use]
pub fn feishu(content: &Value, zone: &str) -> String {
    let mut content = content.clone();
    localise(&mut content, zone);
    let Some(card) = content.get("card") else {
        return format!("<pre class=\"plain\">{}</pre>", escaped(text(content.pointer("/content/text"))));
    };
    let elements = list(card.pointer("/body/elements"));
    let header = header(card.get("header").unwrap_or(&Value::Null));
    format!(
        "<div class=\"card\">{header}<div class=\"card-body\">{}</div></div>",
        elements.map(element).collect::<String>()
    )
}

/// Writes moments as the reader's client does.
fn localise(value: &mut Value, zone: &str) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| localise(item, zone)),
        Value::Object(fields) => fields.values_mut().for_each(|field| localise(field, zone)),
        Value::String(text) if text.contains("<local_datetime ") => *text = local(text, zone),
        _ => {}
    }
}

fn local(text: &str, zone: &str) -> String {
    let mut parts = text.split("<local_datetime millisecond='");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (tag, rest) = part.split_once("></local_datetime>").unwrap_or(("", part));
        out.push_str(&moment(tag, zone).unwrap_or_default());
        out.push_str(rest);
    }
    out
}

/// `1766374332000' format_type='time_sec'` as a client in this zone shows it.
fn moment(tag: &str, zone: &str) -> Option<String> {
    let (millisecond, format) = tag.strip_suffix('\'')?.split_once("' format_type='")?;
    let at = Timestamp::from_millisecond(millisecond.parse().ok()?).ok()?;
    let at = at.to_zoned(TimeZone::get(zone).unwrap_or(TimeZone::UTC));
    let format = match format {
        "date_num" => "%Y-%m-%d",
        "time_sec" => "%H&#58;%M&#58;%S",
        // `GMT+8:00`, as its documentation has it.
        "timezone" => return Some(format!("GMT{}", at.strftime("%:z").to_string().replacen("+0", "+", 1))),
        _ => return None,
    };
    Some(at.strftime(format).to_string())
}

fn header(header: &Value) -> String {
    let subtitle = text(header.pointer("/subtitle/content"));
    let subtitle = if subtitle.is_empty() {
        String::new()
    } else {
        format!("<div class=\"card-sub\">{}</div>", escaped(subtitle))
    };
    let tags: String = list(header.get("text_tag_list"))
        .map(|tag| {
            let colour = class(text(tag.get("color")));
            format!(" <span class=\"tag {colour}\">{}</span>", escaped(text(tag.pointer("/text/content"))))
        })
        .collect();
    format!(
        "<div class=\"card-head {}\"><div class=\"card-title\">{}{tags}</div>{subtitle}</div>",
        class(text(header.get("template"))),
        escaped(text(header.pointer("/title/content"))),
    )
}

fn element(element: &Value) -> String {
    match text(element.get("tag")) {
        "markdown" => {
            let size = class(text(element.get("text_size")));
            format!("<div class=\"md {size}\">{}</div>", html(text(element.get("content")), Dialect::Feishu))
        }
        "hr" => "<hr>".to_owned(),
        "column_set" => {
            let columns: String = list(element.get("columns")).map(column).collect();
            format!("<div class=\"columns {}\">{columns}</div>", class(text(element.get("flex_mode"))))
        }
        "collapsible_panel" => panel(element),
        "chart" => super::chart::svg(element),
        "button" => button(element),
        "form" => {
            let inside: String = list(element.get("elements")).map(self::element).collect();
            format!("<div class=\"form\">{inside}</div>")
        }
        "input" => {
            format!("<div class=\"input\">{}</div>", escaped(text(element.pointer("/placeholder/content"))))
        }
        other => format!("<div class=\"md\">({})</div>", escaped(other)),
    }
}

/// A link where it leads somewhere; what tells the app leads nowhere here.
fn button(button: &Value) -> String {
    let label = escaped(text(button.pointer("/text/content")));
    let kind = class(text(button.get("type")));
    match text(button.pointer("/behaviors/0/default_url")) {
        "" => format!("<span class=\"button {kind}\">{label}</span>"),
        address => {
            format!("<a class=\"button {kind}\" href=\"{}\" rel=\"noreferrer nofollow\">{label}</a>", escaped(address))
        }
    }
}

fn column(column: &Value) -> String {
    let ground = class(text(column.get("background_style")));
    let width = class(text(column.get("width")));
    let inside: String = list(column.get("elements")).map(element).collect();
    format!(
        "<div class=\"column {width} {}\">{inside}</div>",
        if ground.is_empty() { String::new() } else { format!("on-{ground}") }
    )
}

fn panel(panel: &Value) -> String {
    let title = panel.pointer("/header/title").unwrap_or(&Value::Null);
    let title = match text(title.get("tag")) {
        "markdown" => html(text(title.get("content")), Dialect::Feishu),
        _ => escaped(text(title.get("content"))),
    };
    let open = if panel.get("expanded").and_then(Value::as_bool) == Some(true) { " open" } else { "" };
    let inside: String = list(panel.get("elements")).map(element).collect();
    format!(
        "<details class=\"panel\"{open}><summary>{title}</summary><div class=\"panel-body\">{inside}</div></details>"
    )
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

/// A value of ours as a class name: letters, digits and dashes only.
fn class(value: &str) -> String {
    value.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(24).collect()
}
