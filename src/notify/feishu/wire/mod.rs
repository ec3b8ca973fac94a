//! Feishu's JSON: the message with its card (schema 2.0), and the reply. Unknown properties are errors over there.

mod chart;

pub use chart::{ChartData, ChartPoint, ChartSpec, Legends};
use serde::{Deserialize, Serialize};

/// A message to a custom bot.
#[derive(Debug, Clone, Serialize)]
pub struct Message {
    /// Unix seconds, when the message is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// Signature over the timestamp.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign: Option<String>,
    /// What is said.
    #[serde(flatten)]
    pub content: Content,
}

/// A card, or plain text.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "msg_type", rename_all = "snake_case")]
pub enum Content {
    /// A card; an object, not a string as in the app API.
    Interactive {
        /// The card.
        card: Box<Card>,
    },
    /// Plain text.
    Text {
        /// The text.
        content: TextContent,
    },
}

/// Body of a text message.
#[derive(Debug, Clone, Serialize)]
pub struct TextContent {
    /// The text; `<at …>` would be a mention even here.
    pub text: String,
}

/// A card of schema 2.0.
#[derive(Debug, Clone, Serialize)]
pub struct Card {
    /// Always `2.0`.
    pub schema: &'static str,
    /// Settings of the whole card.
    pub config: CardConfig,
    /// Coloured title bar.
    pub header: Header,
    /// What is under it.
    pub body: Body,
}

/// Settings of the whole card.
#[derive(Debug, Clone, Serialize)]
pub struct CardConfig {
    /// Only `true` is allowed.
    pub update_multi: bool,
    /// Whether a text of it may grow; only of a card that is an entity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streaming_mode: Option<bool>,
    /// `fill`: as wide as the chat.
    pub width_mode: &'static str,
    /// The line shown in the list of chats and in push notifications.
    pub summary: Summary,
}

/// The line shown in the list of chats.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Plain text.
    pub content: String,
}

/// The coloured title bar.
#[derive(Debug, Clone, Serialize)]
pub struct Header {
    /// Its colour.
    pub template: &'static str,
    /// First line.
    pub title: PlainText,
    /// Second line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subtitle: Option<PlainText>,
    /// Tags behind the title, at most three.
    pub text_tag_list: Vec<TextTag>,
}

/// Text that is shown as it is.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "tag", rename = "plain_text")]
pub struct PlainText {
    /// The text.
    pub content: String,
}

/// A tag behind the title.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "tag", rename = "text_tag")]
pub struct TextTag {
    /// Its word.
    pub text: PlainText,
    /// Its colour.
    pub color: &'static str,
}

/// What is under the title bar.
#[derive(Debug, Clone, Serialize)]
pub struct Body {
    /// `vertical`.
    pub direction: &'static str,
    /// Space between elements.
    pub vertical_spacing: &'static str,
    /// The elements, 200 at most, those inside others included.
    pub elements: Vec<Element>,
}

/// The elements used here.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "tag", rename_all = "snake_case")]
pub enum Element {
    /// CommonMark without HTML blocks, plus Feishu's own tags.
    Markdown {
        /// The text.
        content: String,
        /// `notation` for small print.
        #[serde(skip_serializing_if = "Option::is_none")]
        text_size: Option<&'static str>,
        /// What its text is changed by.
        #[serde(skip_serializing_if = "Option::is_none")]
        element_id: Option<&'static str>,
    },
    /// A line across.
    Hr {},
    /// A part that opens on a click.
    CollapsiblePanel {
        /// Open from the start.
        expanded: bool,
        /// What is shown when closed.
        header: PanelHeader,
        /// A line around it.
        border: Border,
        /// Space between its elements.
        vertical_spacing: &'static str,
        /// Space inside; one or four values.
        padding: &'static str,
        /// What is inside.
        elements: Vec<Element>,
    },
    /// Columns; also the only coloured ground a card has.
    ColumnSet {
        /// How columns behave on a phone.
        flex_mode: &'static str,
        /// Space between columns.
        horizontal_spacing: &'static str,
        /// The columns.
        columns: Vec<Column>,
    },
    /// A button. A custom bot's can only open an address.
    Button {
        /// Look: `primary` or `default`.
        r#type: &'static str,
        /// Its word.
        text: PlainText,
        /// What it does; none for a button of a form.
        #[serde(skip_serializing_if = "Option::is_none")]
        behaviors: Option<Vec<Behavior>>,
        /// What a press of a form's button is known by.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'static str>,
        /// `submit`, for a button of a form.
        #[serde(skip_serializing_if = "Option::is_none")]
        form_action_type: Option<&'static str>,
        /// Asks once more before it is pressed.
        #[serde(skip_serializing_if = "Option::is_none")]
        confirm: Option<Confirm>,
    },
    /// A chart, drawn by the client with VChart. Clients from 7.1 on; cards of this schema need 7.20.
    Chart {
        /// What is drawn.
        chart_spec: ChartSpec,
        /// `1px` to `999px`; what it would be otherwise is a square on a phone.
        height: &'static str,
    },
    /// A line to write in.
    Input {
        /// What its text is known by.
        name: &'static str,
        /// Shown while it is empty.
        placeholder: PlainText,
        /// Characters.
        max_length: u16,
    },
    /// What is sent together; only at the root of a card.
    Form {
        /// What it is known by.
        name: &'static str,
        /// Its lines and buttons.
        elements: Vec<Element>,
    },
}

/// The question before a press.
#[derive(Debug, Clone, Serialize)]
pub struct Confirm {
    /// What is about to happen.
    pub title: PlainText,
    /// The question.
    pub text: PlainText,
}

/// A column.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "tag", rename = "column")]
pub struct Column {
    /// `auto` or `weighted`.
    pub width: &'static str,
    /// Share of the width when weighted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u8>,
    /// Colour of its ground.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background_style: Option<&'static str>,
    /// Space inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub padding: Option<&'static str>,
    /// What is inside.
    pub elements: Vec<Element>,
}

/// What a button does.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Behavior {
    /// Opens an address.
    OpenUrl {
        /// The address, http or https.
        default_url: String,
    },
    /// Tells the app.
    Callback {
        /// What it is told.
        value: Ours,
    },
}

/// What our buttons carry.
#[derive(Debug, Clone, Serialize)]
pub struct Ours {
    /// The word of what is asked for.
    pub firstlook: &'static str,
}

/// The closed state of a panel.
#[derive(Debug, Clone, Serialize)]
pub struct PanelHeader {
    /// Its title; plain, so that nothing in it can be markup.
    pub title: PlainText,
    /// `center`.
    pub vertical_align: &'static str,
    /// Space inside; one or four values.
    pub padding: &'static str,
    /// The arrow.
    pub icon: Icon,
    /// Where the arrow stands.
    pub icon_position: &'static str,
    /// How far the arrow turns on opening.
    pub icon_expanded_angle: i16,
}

/// An icon of Feishu's library.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "tag", rename = "standard_icon")]
pub struct Icon {
    /// Its name.
    pub token: &'static str,
    /// Width and height.
    pub size: &'static str,
}

/// A line around a panel.
#[derive(Debug, Clone, Serialize)]
pub struct Border {
    /// Its colour.
    pub color: &'static str,
    /// How round its corners are.
    pub corner_radius: &'static str,
}

/// The reply: `code` decides when it is there, the older `StatusCode` otherwise. HTTP 200 alone says nothing.
#[derive(Debug, Clone, Deserialize)]
pub struct Answer {
    code: Option<i64>,
    #[serde(default)]
    msg: String,
    #[serde(rename = "StatusCode")]
    status_code: Option<i64>,
    #[serde(default, rename = "StatusMessage")]
    status_message: String,
}

impl Answer {
    /// Reads a reply; `None` when it is not one of Feishu's.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        let answer: Self = serde_json::from_slice(body).ok()?;
        (answer.code.is_some() || answer.status_code.is_some()).then_some(answer)
    }

    /// The code that decides; 0 is success.
    #[must_use]
    pub fn code(&self) -> i64 {
        self.code.or(self.status_code).unwrap_or(-1)
    }

    /// What it says about it.
    #[must_use]
    pub fn message(&self) -> &str {
        if self.msg.is_empty() { &self.status_message } else { &self.msg }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_decides_when_present_and_status_code_otherwise() {
        let code = |body: &str| Answer::read(body.as_bytes()).map(|answer| answer.code());
        assert_eq!(code(r#"{"code":0,"msg":"success","data":{},"StatusCode":0,"StatusMessage":"success"}"#), Some(0));
        assert_eq!(code(r#"{"code":19021,"msg":"sign match fail or timestamp is not within one hour"}"#), Some(19021));
        assert_eq!(code(r#"{"code":9499,"StatusCode":0}"#), Some(9499), "a failed code beside a successful StatusCode");
        assert_eq!(code(r#"{"StatusCode":0,"StatusMessage":"success","Extra":null}"#), Some(0));
        assert_eq!(code("{}"), None);
        assert_eq!(code("<html>nginx</html>"), None);
    }
}
