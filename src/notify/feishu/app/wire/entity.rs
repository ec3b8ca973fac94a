//! Card entities (cardkit v1): cards that are made before they are sent, and whose text can grow.

use serde::Serialize;

/// The JSON of a card, as the calls about entities take it.
#[derive(Debug, Serialize)]
pub struct CardJson {
    r#type: &'static str,
    /// JSON within JSON.
    data: String,
}

impl CardJson {
    /// A card of schema 2.0.
    #[must_use]
    pub fn new(data: String) -> Self {
        Self { r#type: "card_json", data }
    }
}

/// The content of a message that shows an entity.
#[derive(Debug, Serialize)]
pub struct Shown<'a> {
    r#type: &'static str,
    data: ShownCard<'a>,
}

#[derive(Debug, Serialize)]
struct ShownCard<'a> {
    card_id: &'a str,
}

impl<'a> Shown<'a> {
    /// An entity; it can be sent once.
    #[must_use]
    pub fn new(card_id: &'a str) -> Self {
        Self { r#type: "card", data: ShownCard { card_id } }
    }
}

/// The whole text of an element. What begins with the text before is typed on, anything else replaces it.
#[derive(Debug, Serialize)]
pub struct Text {
    /// At most 100 000 characters.
    pub content: String,
    /// Larger than that of every call before about this card.
    pub sequence: i32,
}

/// New settings of a card.
#[derive(Debug, Serialize)]
pub struct Settings {
    /// JSON within JSON.
    pub settings: &'static str,
    /// As for a text.
    pub sequence: i32,
}

/// A card in the place of the one before.
#[derive(Debug, Serialize)]
pub struct Whole {
    /// The card.
    pub card: CardJson,
    /// As for a text.
    pub sequence: i32,
}
