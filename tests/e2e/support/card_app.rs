//! What Feishu accepts as an app's card: as a bot's, and its buttons may tell the app, and forms may stand at its root.

use serde_json::Value;

use super::card::{self, known, one_of, text};

/// Says why Feishu would refuse an app's card.
pub fn check(card: &Value) -> Result<(), String> {
    let mut card = card.clone();
    let mut names = Vec::new();
    let mut plain = Vec::new();
    let elements = card.pointer("/body/elements").and_then(Value::as_array).cloned().unwrap_or_default();
    for element in elements {
        if element["tag"] == "form" {
            plain.extend(form(&element, &mut names)?);
        } else {
            plain.push(told(&element, &mut names, false)?);
        }
    }
    names.sort();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(format!("names are not unique: {names:?}"));
    }
    card["body"]["elements"] = plain.into();
    card::check(&card)
}

/// The elements of a form, as they would stand outside of one.
fn form(form: &Value, names: &mut Vec<String>) -> Result<Vec<Value>, String> {
    known(
        form,
        "form",
        &[
            "tag",
            "name",
            "elements",
            "element_id",
            "direction",
            "horizontal_spacing",
            "vertical_spacing",
            "horizontal_align",
            "vertical_align",
            "padding",
            "margin",
            "confirm",
        ],
    )?;
    names.push(form["name"].as_str().filter(|name| !name.is_empty()).ok_or("form.name is missing")?.to_owned());
    if !form.to_string().contains("\"form_action_type\":\"submit\"") {
        return Err("a form needs a button that submits".into());
    }
    let elements = form["elements"].as_array().ok_or("form.elements is missing")?;
    elements.iter().map(|element| told(element, names, true)).collect()
}

/// An element with what only apps may use checked and replaced by what bots may.
fn told(element: &Value, names: &mut Vec<String>, in_form: bool) -> Result<Value, String> {
    let mut element = element.clone();
    match element["tag"].as_str() {
        Some("form") => return Err("a form stands at the root of the card".into()),
        Some("input") => {
            known(
                &element,
                "input",
                &[
                    "tag",
                    "name",
                    "placeholder",
                    "max_length",
                    "required",
                    "element_id",
                    "margin",
                    "width",
                    "label",
                    "default_value",
                ],
            )?;
            text(&element["placeholder"], &["plain_text"])?;
            if element["max_length"].as_u64().is_some_and(|most| !(1..=1_000).contains(&most)) {
                return Err("max_length is 1 to 1000".into());
            }
            names.push(element["name"].as_str().ok_or("input.name is missing")?.to_owned());
            return Ok(serde_json::json!({"tag": "hr"}));
        }
        Some("button") => return button_of_app(element, names, in_form),
        _ => {}
    }
    for part in ["elements", "columns"] {
        if let Some(inner) = element[part].as_array().cloned() {
            let inner: Result<Vec<Value>, String> = inner.iter().map(|one| told(one, names, in_form)).collect();
            element[part] = inner?.into();
        }
    }
    Ok(element)
}

fn button_of_app(mut button: Value, names: &mut Vec<String>, in_form: bool) -> Result<Value, String> {
    if let Some(confirm) = button.get("confirm") {
        known(confirm, "confirm", &["title", "text"])?;
        text(&confirm["title"], &["plain_text"])?;
        text(&confirm["text"], &["plain_text"])?;
    }
    let open = serde_json::json!([{"type": "open_url", "default_url": "https://example.com"}]);
    if in_form {
        one_of(&button, "form_action_type", &["submit", "reset"])?;
        names.push(button["name"].as_str().ok_or("a form's button needs a name")?.to_owned());
        if button.get("behaviors").is_some() {
            return Err("a form's button has no behaviors".into());
        }
        let fields = button.as_object_mut().unwrap();
        fields.remove("name");
        fields.remove("form_action_type");
        button["behaviors"] = open;
        return Ok(button);
    }
    for behavior in button["behaviors"].as_array_mut().ok_or("button.behaviors is missing")? {
        if behavior["type"] == "callback" {
            known(behavior, "behavior", &["type", "value"])?;
            if !behavior["value"].is_object() {
                return Err("callback.value is not an object".into());
            }
            *behavior = open[0].clone();
        }
    }
    Ok(button)
}
