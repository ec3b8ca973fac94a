//! Callbacks: an event is read, the press in it is judged against the list of those who may, and the person is answered.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use thiserror::Error;

use super::FeishuApp;
use super::card;
use super::crypt::{decrypt, is_signed, same};
use super::wire::{CardAction, Challenge, Envelope, Event, Toast, Toasted};
use crate::alert::Lang;
use crate::notify::press::{Action, Outcome, Press, Presses};

/// The platform waits 3 seconds for an answer.
const PATIENCE: Duration = Duration::from_millis(2_400);
/// How old a signed callback may be, and how far ahead the platform's clock.
const FRESH: i64 = 300;

/// A callback that is not the platform's, or not meant for this app.
#[derive(Debug, Error)]
#[error("this is no callback of the platform for this app: {0}")]
pub struct Denied(&'static str);

/// The headers a signed callback has.
#[derive(Debug, Clone, Copy, Default)]
pub struct Signed<'a> {
    /// `X-Lark-Request-Timestamp`, in seconds.
    pub timestamp: &'a str,
    /// `X-Lark-Request-Nonce`.
    pub nonce: &'a str,
    /// `X-Lark-Signature`.
    pub signature: &'a str,
}

/// What is still known of a press when it was acted on.
struct Pressed {
    card: String,
    event: String,
    person: String,
    silences: bool,
}

impl Pressed {
    fn of(press: &Press) -> Self {
        let (card, event, person) = (press.message.clone(), press.event.clone(), press.person.clone());
        Self { card, event, person, silences: press.action == Action::Silence }
    }
}

impl FeishuApp {
    /// Answers a callback that came over HTTP.
    ///
    /// # Errors
    /// When it is not encrypted and signed with this app's key, is old, or is another app's.
    pub async fn callback(
        self: &Arc<Self>,
        signed: Signed<'_>,
        body: &[u8],
        lang: Lang,
        presses: &dyn Presses,
    ) -> Result<Value, Denied> {
        let key = self.settings.encrypt_key.as_ref().ok_or(Denied("callbacks over HTTP are not configured"))?;
        let key = key.expose_secret();
        let is_signed = is_signed(key, signed.timestamp, signed.nonce, body, signed.signature);
        let envelope: Envelope = serde_json::from_slice(body).map_err(|_| Denied("it is not encrypted"))?;
        let text = decrypt(key, &envelope.encrypt).ok_or(Denied("it is encrypted with another key"))?;
        if let Ok(asked) = serde_json::from_slice::<Challenge>(&text)
            && asked.r#type == "url_verification"
        {
            // Whoever asks this has the key: the question is the one thing that comes unsigned.
            return self.token_is_right(&asked.token).map(|()| json!({"challenge": asked.challenge}));
        }
        if !is_signed {
            return Err(Denied("its signature does not match"));
        }
        let at: i64 = signed.timestamp.parse().map_err(|_| Denied("its timestamp is none"))?;
        if (Timestamp::now().as_second() - at).abs() > FRESH {
            return Err(Denied("it is too old; or a clock is wrong"));
        }
        let event: Event = serde_json::from_slice(&text).map_err(|_| Denied("it is no event of schema 2.0"))?;
        self.token_is_right(&event.header.token)?;
        if event.header.app_id != self.settings.app_id {
            return Err(Denied("it is meant for another app"));
        }
        Ok(self.answer(event, lang, presses).await)
    }

    fn token_is_right(&self, token: &str) -> Result<(), Denied> {
        match &self.settings.verification_token {
            Some(expected) if !same(expected.expose_secret(), token) => Err(Denied("its verification token is wrong")),
            _ => Ok(()),
        }
    }

    /// Answers an event of the platform. One that is no press is taken note of and nothing else.
    pub(super) async fn answer(self: &Arc<Self>, event: Event, lang: Lang, presses: &dyn Presses) -> Value {
        let Some(press) = self.press(event) else { return json!({}) };
        let pressed = Pressed::of(&press);
        // It goes on when the answer has to be given before it ends.
        let mut taken = tokio::spawn(presses.take(press));
        let failed = Outcome { done: false, said: lang.pick("操作失败", "This failed").to_owned() };
        let (kind, content) = match tokio::time::timeout(PATIENCE, &mut taken).await {
            Ok(outcome) => {
                let outcome = outcome.unwrap_or(failed);
                if pressed.silences && outcome.done {
                    let (app, outcome) = (self.clone(), outcome.clone());
                    tokio::spawn(async move { app.told_beneath(&pressed, &outcome, lang).await });
                }
                (if outcome.done { "success" } else { "error" }, outcome.said)
            }
            Err(_) => {
                let app = self.clone();
                // People saw no more than that it was under way.
                tokio::spawn(async move { app.told_beneath(&pressed, &taken.await.unwrap_or(failed), lang).await });
                (
                    "info",
                    lang.pick("处理中，结果会发在卡片的话题里…", "Under way; the card's thread will tell…").to_owned(),
                )
            }
        };
        json!(Toasted { toast: Toast { r#type: kind, content } })
    }

    /// Says in a card's thread what came of a press: to whoever could not wait for it, and of a silence to everybody,
    /// because nothing rings any more.
    async fn told_beneath(&self, pressed: &Pressed, outcome: &Outcome, lang: Lang) {
        let said = match outcome.done {
            true if pressed.silences => {
                let who = self.mentions.name_of(&pressed.person).unwrap_or(&pressed.person);
                format!("🔕 {who}{}{}", lang.pick("：", ": "), outcome.said)
            }
            true => format!("✅ {}", outcome.said),
            false => format!("❌ {}", outcome.said),
        };
        // The same event comes twice: the platform shows a line with the same name once.
        let event = pressed.event.chars().filter(char::is_ascii_alphanumeric).take(40);
        let uuid: String = event.chain("-late".chars()).collect();
        if let Err(failure) = self.reply(&pressed.card, card::line(said), uuid).await {
            let error = failure.refusal();
            tracing::warn!(channel = self.name(), %error, "what came of a press is not told in its card's thread");
        }
    }

    fn press(&self, event: Event) -> Option<Press> {
        if event.header.event_type != "card.action.trigger" {
            return None;
        }
        let pressed: CardAction = serde_json::from_value(event.event).ok()?;
        let word = pressed.action.value["firstlook"].as_str().or(pressed.action.name.as_deref())?;
        let operator = pressed.operator;
        let action = Action::of(word)?;
        let leave = self.settings.leave(&[Some(&operator.open_id), operator.user_id.as_deref()], action);
        Some(Press {
            event: event.header.event_id,
            channel: self.name().to_owned(),
            message: pressed.context.open_message_id,
            leave,
            action,
            reason: pressed.action.form_value.and_then(|form| form.reason).unwrap_or_default(),
            silence_for: Duration::try_from(self.settings.silence_for).unwrap_or_default(),
            person: operator.open_id,
        })
    }
}
