//! Settings of a Feishu (Lark) app that keeps one card per incident.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::notify::delivery::Delivery;
use crate::notify::digest::TimeOfDay;
use crate::notify::mention::MentionRule;
use crate::notify::press::{Action, Leave};

/// A self-built app that writes to one chat or person.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeishuAppSettings {
    /// Name by which routes, logs and metrics call this channel.
    pub name: String,
    /// The app's id (`cli_…`), from the developer console.
    pub app_id: String,
    /// The app's secret, from the same page.
    #[schemars(with = "String")]
    pub app_secret: SecretString,
    /// Who gets the cards: a chat (`oc_…`), a person (`ou_…`, `on_…`, a user id) or a mail address.
    pub receive_id: String,
    /// What `receive_id` is, when its first letters do not say: `chat_id`, `open_id`, `union_id`, `user_id` or `email`.
    #[serde(default)]
    pub receive_id_type: Option<ReceiverKind>,
    /// Where the API is: `https://open.feishu.cn` when left out, `https://open.larksuite.com` for Lark.
    #[serde(default = "feishu")]
    #[schemars(with = "Option<String>")]
    pub base_url: SecretString,
    /// Who may press the buttons that act (silence, investigate again, feedback), by open_id or user_id. Without any, cards
    /// have no such buttons.
    #[serde(default)]
    pub operators: Vec<String>,
    /// Who of the operators may silence, by open_id or user_id; all of them when left out.
    #[serde(default)]
    pub silencers: Option<Vec<String>>,
    /// How presses arrive: `long_connection`, dialled from here, or `http`, at `/callbacks/feishu/NAME`.
    #[serde(default)]
    pub callbacks: Callbacks,
    /// The Encrypt Key of the app's page "Events & callbacks"; `callbacks: http` needs it.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub encrypt_key: Option<SecretString>,
    /// The Verification Token of the same page; checked when it is given.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub verification_token: Option<SecretString>,
    /// How long a silence made by the button lasts.
    #[serde(default = "two_hours")]
    pub silence_for: SignedDuration,
    /// Whom to call by name when an alert comes, each at most once in five minutes: on the card as it is sent, and in its
    /// thread when alerts join. A change of the card calls nobody, nor do diagnoses and ends.
    #[serde(default)]
    pub mentions: Vec<MentionRule>,
    /// The platform's user for what a label or annotation `owner` says.
    #[serde(default)]
    pub owners: BTreeMap<String, String>,
    /// Types the steps of an investigation onto the card as they are made, instead of changing the whole card every few
    /// seconds. The app needs the scope `cardkit:card:write`; where that is refused cards are changed as without it.
    #[serde(default)]
    pub stream: bool,
    /// When to send a summary of the last 24 hours every day, for example `09:00`, in `timezone`; none when left out.
    #[serde(default)]
    pub digest: Option<TimeOfDay>,
    /// From which severity on it is told, and in which hours not at once; everything at once when left out.
    #[serde(default)]
    pub delivery: Delivery,
}

/// How presses arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Callbacks {
    /// Over a connection dialled from here: no public address is needed.
    #[default]
    LongConnection,
    /// Over HTTP, at `/callbacks/feishu/NAME`.
    Http,
}

impl FeishuAppSettings {
    /// What contradicts itself: key and sentence.
    #[must_use]
    pub fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        let empty = |secret: &Option<SecretString>| {
            secret.as_ref().is_none_or(|secret| secret.expose_secret().trim().is_empty())
        };
        if self.callbacks == Callbacks::Http && empty(&self.encrypt_key) {
            let what = "callbacks: http needs it, or anybody could press buttons; copy the Encrypt Key from the app's page \
                        \"Events & callbacks\"";
            return Some(("encrypt_key", what));
        }
        match &self.silencers {
            Some(silencers) if silencers.is_empty() => {
                return Some(("silencers", "an empty list lets nobody silence; list who may, or leave it out"));
            }
            Some(_) if self.operators.is_empty() => {
                return Some(("silencers", "they are some of the operators, and there are none; list them there too"));
            }
            _ => {}
        }
        (!self.silence_for.is_positive()).then_some(("silence_for", "must be longer than 0s"))
    }

    /// Whether a person, whom the platform knows by these ids, may ask for an action.
    pub(super) fn leave(&self, ids: &[Option<&str>], action: Action) -> Leave {
        let listed = |those: &[String]| ids.iter().flatten().any(|id| those.iter().any(|may| may == id));
        if !listed(&self.operators) {
            return Leave::NoOperator;
        }
        match &self.silencers {
            Some(silencers) if action == Action::Silence && !listed(silencers) => Leave::NoSilencer,
            _ => Leave::Granted,
        }
    }
}

fn two_hours() -> SignedDuration {
    SignedDuration::from_hours(2)
}

fn feishu() -> SecretString {
    "https://open.feishu.cn".into()
}

/// What kind of receiver an id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReceiverKind {
    /// A group or a one-to-one chat.
    ChatId,
    /// A person, as this app knows them.
    OpenId,
    /// A person, as all apps of the developer know them.
    UnionId,
    /// A person, as their company knows them.
    UserId,
    /// A person, by work mail address.
    Email,
}

impl ReceiverKind {
    /// What an id names, by its first letters as the platform gives them out.
    #[must_use]
    pub fn of(id: &str) -> Self {
        match id {
            id if id.starts_with("oc_") => Self::ChatId,
            id if id.starts_with("ou_") => Self::OpenId,
            id if id.starts_with("on_") => Self::UnionId,
            id if id.contains('@') => Self::Email,
            _ => Self::UserId,
        }
    }

    /// The word in the address of the API.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::ChatId => "chat_id",
            Self::OpenId => "open_id",
            Self::UnionId => "union_id",
            Self::UserId => "user_id",
            Self::Email => "email",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(rest: &str) -> FeishuAppSettings {
        let text = format!("{{name: a, app_id: cli_1, app_secret: s, receive_id: oc_1, {rest}}}");
        yaml_serde::from_str(&text).unwrap()
    }

    #[test]
    fn of_those_who_may_press_some_may_silence() {
        let all = settings("operators: [ou_1, staff2]");
        let some = settings("operators: [ou_1, staff2], silencers: [staff2, ou_3]");
        let (first, second, third) = ([Some("ou_1"), None], [Some("ou_2"), Some("staff2")], [Some("ou_3"), None]);
        for action in Action::ALL {
            assert_eq!(all.leave(&first, action), Leave::Granted);
            assert_eq!(all.leave(&third, action), Leave::NoOperator);
            assert_eq!(some.leave(&second, action), Leave::Granted, "by either of their ids");
            assert_eq!(some.leave(&third, action), Leave::NoOperator, "the narrower list admits nobody by itself");
            let without = if action == Action::Silence { Leave::NoSilencer } else { Leave::Granted };
            assert_eq!(some.leave(&first, action), without);
        }
        assert_eq!(settings("operators: []").leave(&[None, None], Action::Again), Leave::NoOperator);
    }
}
