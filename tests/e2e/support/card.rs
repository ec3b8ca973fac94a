//! What Feishu accepts as a card of schema 2.0, written from its documentation and not from our own types.
//!
//! Unknown properties and tags are errors there, so they are here. Components we do not use are unknown.

use std::collections::BTreeSet;

use serde_json::Value;

/// Colours of a title bar.
const TEMPLATES: [&str; 13] = [
    "blue",
    "wathet",
    "turquoise",
    "green",
    "yellow",
    "orange",
    "red",
    "carmine",
    "violet",
    "purple",
    "indigo",
    "grey",
    "default",
];
/// Colours of a tag.
const TAG_COLOURS: [&str; 13] = [
    "neutral",
    "blue",
    "turquoise",
    "lime",
    "orange",
    "violet",
    "indigo",
    "wathet",
    "green",
    "yellow",
    "red",
    "purple",
    "carmine",
];
/// Elements and components of one card.
const MOST_ELEMENTS: usize = 200;
/// Containers inside containers.
const DEEPEST: usize = 5;

/// Each `element_id` begins with a letter, has 20 letters, digits and underscores at most, and stands once (300301).
fn identities<'c>(part: &'c Value, seen: &mut BTreeSet<&'c str>) -> Result<(), String> {
    if let Some(id) = part.get("element_id") {
        let id = id.as_str().ok_or("an element_id is no text")?;
        let letters = |id: &str| id.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        if !id.starts_with(|letter: char| letter.is_ascii_alphabetic()) || id.len() > 20 || !letters(id) {
            return Err(format!("{id:?} is no element_id"));
        }
        if !seen.insert(id) {
            return Err(format!("element_id {id:?} stands twice"));
        }
    }
    match part {
        Value::Object(parts) => parts.values().try_for_each(|part| identities(part, seen)),
        Value::Array(parts) => parts.iter().try_for_each(|part| identities(part, seen)),
        _ => Ok(()),
    }
}

/// Says why Feishu would refuse a card.
pub fn check(card: &Value) -> Result<(), String> {
    known(card, "card", &["schema", "config", "card_link", "header", "body"])?;
    identities(card, &mut BTreeSet::new())?;
    one_of(card, "schema", &["2.0"])?;
    config(card.get("config").unwrap_or(&Value::Null))?;
    header(card.get("header").ok_or("header is missing")?)?;
    let body = card.get("body").ok_or("body is missing")?;
    known(
        body,
        "body",
        &[
            "direction",
            "padding",
            "horizontal_spacing",
            "horizontal_align",
            "vertical_spacing",
            "vertical_align",
            "elements",
        ],
    )?;
    let count = tags(card);
    if card.to_string().matches("\"tag\":\"chart\"").count() > 5 {
        return Err("more than five charts".into());
    }
    if count > MOST_ELEMENTS {
        return Err(format!("300305 {count} elements exceed the limit of {MOST_ELEMENTS}"));
    }
    elements(body, 0)
}

fn config(config: &Value) -> Result<(), String> {
    known(
        config,
        "config",
        &["streaming_mode", "summary", "enable_forward", "update_multi", "width_mode", "style", "locales"],
    )?;
    if config.get("update_multi").is_some_and(|value| value != &Value::Bool(true)) {
        return Err("update_multi supports only true".into());
    }
    if config.get("width_mode").is_some() {
        one_of(config, "width_mode", &["default", "compact", "fill"])?;
    }
    config.get("summary").map_or(Ok(()), |summary| known(summary, "summary", &["content", "i18n_content"]))
}

fn header(header: &Value) -> Result<(), String> {
    known(header, "header", &["title", "subtitle", "text_tag_list", "template", "icon", "padding"])?;
    one_of(header, "template", &TEMPLATES)?;
    text(header.get("title").ok_or("header.title is missing")?, &["plain_text", "lark_md"])?;
    if let Some(subtitle) = header.get("subtitle") {
        text(subtitle, &["plain_text", "lark_md"])?;
    }
    let tags = header.get("text_tag_list").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if tags.len() > 3 {
        return Err("at most 3 text tags are shown".into());
    }
    for tag in tags {
        known(tag, "text_tag", &["tag", "element_id", "text", "color"])?;
        one_of(tag, "tag", &["text_tag"])?;
        one_of(tag, "color", &TAG_COLOURS)?;
        text(tag.get("text").ok_or("text_tag.text is missing")?, &["plain_text"])?;
    }
    Ok(())
}

fn elements(container: &Value, depth: usize) -> Result<(), String> {
    if depth > DEEPEST {
        return Err(format!("containers nest deeper than {DEEPEST}"));
    }
    let list = container.get("elements").and_then(Value::as_array).ok_or("elements is missing")?;
    list.iter().try_for_each(|element| self::element(element, depth))
}

fn element(element: &Value, depth: usize) -> Result<(), String> {
    match element.get("tag").and_then(Value::as_str) {
        Some("markdown") => markdown(element),
        Some("hr") => known(element, "hr", &["tag", "element_id", "margin"]),
        Some("button") => button(element),
        Some("chart") => chart(element),
        Some("collapsible_panel") => panel(element, depth),
        Some("column_set") => column_set(element, depth),
        other => Err(format!("200861 unknown tag {other:?}")),
    }
}

fn markdown(element: &Value) -> Result<(), String> {
    known(element, "markdown", &["tag", "element_id", "margin", "content", "text_size", "text_align", "icon"])?;
    let content = element.get("content").and_then(Value::as_str).ok_or("markdown.content is missing")?;
    if content.is_empty() {
        return Err("markdown.content is empty".into());
    }
    if content.contains("](http") && content.contains("![") {
        return Err("200570 images need an image_key".into());
    }
    if element.get("text_size").is_some() {
        one_of(
            element,
            "text_size",
            &["heading-0", "heading-1", "heading-2", "heading-3", "heading-4", "heading", "normal", "notation"],
        )?;
    }
    local_datetimes(content)?;
    balanced(content, "local_datetime")?;
    balanced(content, "font")?;
    balanced(content, "text_tag")
}

/// A moment in the reader's zone: milliseconds, and one of the documented formats.
fn local_datetimes(content: &str) -> Result<(), String> {
    const FORMATS: [&str; 8] = ["date_num", "date_short", "date", "week", "week_short", "time", "time_sec", "timezone"];
    for tag in content.split("<local_datetime ").skip(1) {
        let millisecond = tag.strip_prefix("millisecond='").and_then(|rest| rest.split_once("' format_type='"));
        let format = millisecond.and_then(|(_, rest)| rest.split_once("'></local_datetime>")).map(|(format, _)| format);
        let sound = millisecond.is_some_and(|(digits, _)| digits.parse::<i64>().is_ok_and(|at| at > 0));
        if !sound || !format.is_some_and(|format| FORMATS.contains(&format)) {
            return Err(format!("<local_datetime {}", &tag[..tag.len().min(80)]));
        }
    }
    Ok(())
}

/// Feishu's chart component: its own properties, and of VChart's what a line chart cannot do without. Whoever names a
/// field that a point lacks gets an empty chart.
fn chart(chart: &Value) -> Result<(), String> {
    let properties = ["tag", "element_id", "margin", "aspect_ratio", "color_theme", "chart_spec", "preview", "height"];
    known(chart, "chart", &properties)?;
    if let Some(height) = chart.get("height").and_then(Value::as_str)
        && height != "auto"
        && !height.strip_suffix("px").and_then(|px| px.parse().ok()).is_some_and(|px: u32| (1..=999).contains(&px))
    {
        return Err(format!("chart.height is {height}"));
    }
    let spec = chart.get("chart_spec").ok_or("chart_spec is missing")?;
    one_of(spec, "type", &["line", "area", "bar"])?;
    let values = spec.pointer("/data/values").and_then(Value::as_array).filter(|values| !values.is_empty());
    let field = |name: &str| spec.get(name).and_then(Value::as_str).map(str::to_owned);
    let (x, y) = (field("xField").ok_or("xField is missing")?, field("yField").ok_or("yField is missing")?);
    let series = field("seriesField");
    for value in values.ok_or("the chart has no values")? {
        let whole = value[&x].is_string() && value[&y].is_number();
        if !whole || !series.as_ref().is_none_or(|series| value[series].is_string()) {
            return Err(format!("a point lacks a field: {value}"));
        }
    }
    Ok(())
}

fn balanced(content: &str, tag: &str) -> Result<(), String> {
    let (open, close) = (content.matches(&format!("<{tag} ")).count(), content.matches(&format!("</{tag}>")).count());
    if open == close { Ok(()) } else { Err(format!("{open} <{tag}> but {close} </{tag}>")) }
}

fn button(button: &Value) -> Result<(), String> {
    known(
        button,
        "button",
        &["tag", "element_id", "margin", "type", "size", "width", "text", "icon", "disabled", "behaviors", "confirm"],
    )?;
    one_of(
        button,
        "type",
        &[
            "default",
            "primary",
            "danger",
            "text",
            "primary_text",
            "danger_text",
            "primary_filled",
            "danger_filled",
            "laser",
        ],
    )?;
    text(button.get("text").ok_or("button.text is missing")?, &["plain_text"])?;
    for behavior in button.get("behaviors").and_then(Value::as_array).ok_or("button.behaviors is missing")? {
        // A custom bot cannot receive callbacks.
        one_of(behavior, "type", &["open_url"])?;
        known(behavior, "behavior", &["type", "default_url", "pc_url", "ios_url", "android_url"])?;
        let url = behavior.get("default_url").and_then(Value::as_str).unwrap_or_default();
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            return Err(format!("{url:?} is not an http or https address"));
        }
    }
    Ok(())
}

fn panel(panel: &Value, depth: usize) -> Result<(), String> {
    known(
        panel,
        "collapsible_panel",
        &[
            "tag",
            "element_id",
            "direction",
            "vertical_spacing",
            "horizontal_spacing",
            "vertical_align",
            "horizontal_align",
            "padding",
            "margin",
            "expanded",
            "background_color",
            "header",
            "border",
            "elements",
        ],
    )?;
    let header = panel.get("header").ok_or("collapsible_panel.header is missing")?;
    known(
        header,
        "panel header",
        &[
            "title",
            "background_color",
            "vertical_align",
            "padding",
            "position",
            "width",
            "icon",
            "icon_position",
            "icon_expanded_angle",
        ],
    )?;
    text(header.get("title").ok_or("panel title is missing")?, &["plain_text", "markdown"])?;
    if let Some(padding) = header.get("padding").and_then(Value::as_str)
        && ![1, 4].contains(&padding.split_whitespace().count())
    {
        return Err("invalid panel header padding".into());
    }
    if let Some(icon) = header.get("icon") {
        known(icon, "icon", &["tag", "token", "color", "img_key", "size"])?;
        one_of(icon, "tag", &["standard_icon", "custom_icon"])?;
    }
    if let Some(border) = panel.get("border") {
        known(border, "border", &["color", "corner_radius"])?;
    }
    elements(panel, depth + 1)
}

fn column_set(set: &Value, depth: usize) -> Result<(), String> {
    known(
        set,
        "column_set",
        &[
            "tag",
            "element_id",
            "margin",
            "horizontal_spacing",
            "horizontal_align",
            "flex_mode",
            "background_style",
            "action",
            "columns",
        ],
    )?;
    one_of(set, "flex_mode", &["none", "stretch", "flow", "bisect", "trisect"])?;
    for column in set.get("columns").and_then(Value::as_array).ok_or("columns is missing")? {
        known(
            column,
            "column",
            &[
                "tag",
                "element_id",
                "background_style",
                "width",
                "weight",
                "horizontal_spacing",
                "horizontal_align",
                "vertical_align",
                "vertical_spacing",
                "direction",
                "padding",
                "margin",
                "action",
                "elements",
            ],
        )?;
        one_of(column, "tag", &["column"])?;
        one_of(column, "width", &["auto", "weighted"])?;
        elements(column, depth + 1)?;
    }
    Ok(())
}

pub(super) fn text(text: &Value, tags: &[&str]) -> Result<(), String> {
    known(text, "text", &["tag", "content", "i18n_content"])?;
    one_of(text, "tag", tags)?;
    text.get("content").and_then(Value::as_str).map(drop).ok_or_else(|| "text.content is missing".into())
}

pub(super) fn known(value: &Value, name: &str, properties: &[&str]) -> Result<(), String> {
    let fields = value.as_object().ok_or_else(|| format!("{name} is not an object"))?;
    match fields.keys().find(|key| !properties.contains(&key.as_str())) {
        Some(key) => Err(format!("unknown property {key} of {name}")),
        None => Ok(()),
    }
}

pub(super) fn one_of(value: &Value, key: &str, allowed: &[&str]) -> Result<(), String> {
    match value.get(key).and_then(Value::as_str) {
        Some(found) if allowed.contains(&found) => Ok(()),
        other => Err(format!("{key} is {other:?}")),
    }
}

fn tags(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(tags).sum(),
        Value::Object(fields) => usize::from(fields.contains_key("tag")) + fields.values().map(tags).sum::<usize>(),
        _ => 0,
    }
}
