//! Presses on an incident's message: noted, judged, acted on once. The one place where something outside is changed.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use uuid::Uuid;

use super::settings::DeskSettings;
use super::silence;
use super::wake::Wake;
use crate::alert::Lang;
use crate::notify::people::People;
use crate::notify::press::{Action, Leave, Outcome, Press, Presses};
use crate::notify::text;
use crate::store::{IncidentState, PressEntry, PressState, Shown, SilencedBy, Store, StoreError};

/// Characters kept of what a person writes beside a press.
const LONGEST_REASON: usize = 1_000;

/// Acts on presses.
#[derive(Debug, Clone)]
pub struct PressDesk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    lang: Lang,
    /// IANA zone of the times people are told.
    timezone: String,
    people: People,
    alertmanager: Option<String>,
    wake: Wake,
    client: reqwest::Client,
}

/// As long as making the silences of one press may take; whoever died over it is followed by the next who presses.
const MAKING: Duration = Duration::from_secs(120);

/// An outcome with the word it is kept under.
type Judged = (PressState, String);

impl PressDesk {
    /// A desk over a store; `client` reaches Alertmanager.
    #[must_use]
    pub fn new(store: Store, settings: &DeskSettings, wake: Wake, client: reqwest::Client) -> Self {
        let (lang, alertmanager) = (settings.lang, settings.alertmanager_url.clone());
        let (timezone, people) = (settings.timezone.clone(), settings.people.clone());
        Self(Arc::new(Inner { store, lang, timezone, people, alertmanager, wake, client }))
    }
}

impl Presses for PressDesk {
    fn take(&self, press: Press) -> BoxFuture<'static, Outcome> {
        let desk = self.0.clone();
        async move {
            let (state, said) = desk.judge(&press).await.unwrap_or_else(|error| {
                tracing::error!(channel = press.channel, %error, "a press could not be kept");
                let said = desk
                    .lang
                    .pick("暂时无法记录这次操作，请稍后再试", "This could not be kept just now; try again in a moment");
                (PressState::Failed, said.to_owned())
            });
            Outcome { done: state == PressState::Done, said }
        }
        .boxed()
    }
}

impl Inner {
    /// Notes a press, then acts on it; one that was noted before is only told what became of it.
    async fn judge(&self, press: &Press) -> Result<Judged, StoreError> {
        let Some(Shown { incident, current }) = self.store.incident_of_card(&press.channel, &press.message).await?
        else {
            // There is no incident to keep it with.
            tracing::warn!(
                channel = press.channel,
                person = press.person,
                action = press.action.word(),
                event = press.event,
                "a button of a card was pressed whose incident is not known any more"
            );
            let said = self.lang.pick("找不到这张卡片对应的事件", "The incident of this card is not known any more");
            return Ok((PressState::Refused, said.to_owned()));
        };
        if !self.store.note_press(incident, &entry(press)).await? {
            let kept = self.store.presses(incident).await?.into_iter().find(|kept| kept.id == press.event);
            let already = self.lang.pick("这次操作正在处理", "This is under way");
            return Ok(kept.map_or((PressState::Taken, already.to_owned()), |kept| (kept.state, kept.outcome)));
        }
        let (state, said) = self.act(incident, press, current).await?;
        tracing::info!(channel = press.channel, incident.id = %incident, person = press.person, action = press.action.word(), ?state, "a button was pressed");
        self.store.end_press(&press.event, state, &said).await?;
        Ok((state, said))
    }

    async fn act(&self, incident: Uuid, press: &Press, current: bool) -> Result<Judged, StoreError> {
        if let Some(said) = self.denied(press) {
            return Ok((PressState::Refused, said));
        }
        if !current {
            let said =
                self.lang.pick("这张卡片已不是该事件的最新卡片", "This card does not show its incident any more");
            return Ok((PressState::Refused, said.to_owned()));
        }
        match press.action {
            Action::Silence => self.silence(incident, press).await,
            Action::Again => self.again(incident).await,
            Action::Useful | Action::Useless => {
                Ok((PressState::Done, self.lang.pick("已记录，谢谢反馈", "Noted, thank you").to_owned()))
            }
        }
    }

    /// Why a person may not have this done: who reads it knows whether the other buttons are theirs.
    fn denied(&self, press: &Press) -> Option<String> {
        let person = &press.person;
        match press.leave {
            Leave::Granted => None,
            Leave::NoOperator => Some(self.lang.pick(
                format!("你（{person}）不在操作人名单里（渠道的 operators）"),
                format!("You ({person}) are not on the list of those who may (the channel's operators)"),
            )),
            Leave::NoSilencer => Some(self.lang.pick(
                format!("你（{person}）可以重新调查、反馈，但不能静默（渠道的 silencers）"),
                format!(
                    "You ({person}) may investigate again and give feedback, but not silence (the channel's silencers)"
                ),
            )),
        }
    }

    async fn again(&self, incident: Uuid) -> Result<Judged, StoreError> {
        if self.store.investigate_again(incident).await? {
            self.wake.investigations.notify_one();
            let said = self
                .lang
                .pick("已重新开始调查，结论会更新在卡片上", "Investigating again; the card will show the result");
            return Ok((PressState::Done, said.to_owned()));
        }
        let said =
            self.lang.pick("事件已结束，或调查仍在进行", "The incident is over, or its investigation still goes on");
        Ok((PressState::Refused, said.to_owned()))
    }

    async fn silence(&self, incident: Uuid, press: &Press) -> Result<Judged, StoreError> {
        let refused = |zh: &str, en: &str| Ok((PressState::Refused, self.lang.pick(zh, en).to_owned()));
        let Some(address) = &self.alertmanager else {
            return refused("没有配置 alertmanager.url", "alertmanager.url is not configured");
        };
        let Some(incident) = self.store.incident_alone(incident).await? else {
            return refused("事件不存在", "There is no such incident");
        };
        if incident.state == IncidentState::Resolved {
            return refused("告警已恢复，无需静默", "The alerts are gone; there is nothing to silence");
        }
        if let Some(by) = self.store.take_silence(incident.id, &press.event, &press.person, MAKING).await? {
            return Ok((PressState::Refused, self.silenced(&by)));
        }
        match silence::make(&self.client, address, &incident.group, press, (self.lang, &self.timezone)).await {
            Ok(until) => {
                self.store.keep_silence(incident.id, &press.event, press.silence_for).await?;
                Ok((PressState::Done, until))
            }
            Err(said) => {
                self.store.give_silence_back(incident.id, &press.event).await?;
                Ok((PressState::Failed, said))
            }
        }
    }

    /// Who was first.
    fn silenced(&self, by: &SilencedBy) -> String {
        let who = self.people.name(&by.person);
        match by.made {
            true => self.lang.pick(format!("{who} 已静默过"), format!("{who} has silenced it already")),
            false => self.lang.pick(format!("{who} 正在静默"), format!("{who} is silencing it just now")),
        }
    }
}

fn entry(press: &Press) -> PressEntry {
    PressEntry {
        id: press.event.clone(),
        channel: press.channel.clone(),
        message: press.message.clone(),
        person: press.person.clone(),
        action: press.action.word().to_owned(),
        reason: text::block(&press.reason, LONGEST_REASON),
        pressed_at: Timestamp::now(),
        state: PressState::Taken,
        outcome: String::new(),
    }
}
