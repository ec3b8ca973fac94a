//! What goes on, as server-sent events: the step of an investigation, and that the page should be read again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::base::{self, Trouble, Visit};
use crate::alert::Lang;
use crate::http::App;
use crate::notify::live::{Live, Step};
use crate::notify::story::words::counted;
use crate::notify::text;
use crate::store::Pulse;
use crate::times;

/// Readers followed at the same time; each asks the store once a second. More of them reload instead.
const SEATS: usize = 200;
/// How often the store is asked.
const BEAT: Duration = Duration::from_secs(1);
/// A stream ends after this; browsers open another.
const LONGEST: Duration = Duration::from_secs(600);

/// The streams that are open, and what ends them when the service stops.
#[derive(Debug, Clone)]
pub struct Streams {
    seats: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Streams {
    /// None open yet.
    #[must_use]
    pub fn until(stop: CancellationToken) -> Self {
        Self { seats: Arc::new(Semaphore::new(SEATS)), stop }
    }
}

/// Which page asks.
#[derive(Debug, Deserialize)]
pub struct Asked {
    /// The version of what it shows.
    #[serde(default)]
    version: String,
}

/// The events of one incident: `step` with a line to show, `changed` when the page is out of date, `done` when nothing
/// more is about to happen.
pub async fn events(
    visit: Visit,
    State(app): State<Arc<App>>,
    Extension(streams): Extension<Streams>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let Ok(incident) = id.parse::<Uuid>() else { return visit.trouble(&Trouble::Missing) };
    let Ok(seat) = streams.seats.clone().try_acquire_owned() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    // After a break the browser says what it saw last; the address still names what the page was drawn from.
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let shown = last.map_or(asked.version, str::to_owned);
    let follower = Follower {
        app,
        incident,
        lang: visit.lang,
        stop: streams.stop,
        shown,
        over: false,
        until: Instant::now() + LONGEST,
        begun: false,
        _seat: seat,
    };
    let events = stream::unfold(follower, Follower::next);
    (base::headers(), Sse::new(events).keep_alive(KeepAlive::default())).into_response()
}

/// One open stream.
struct Follower {
    app: Arc<App>,
    incident: Uuid,
    lang: Lang,
    stop: CancellationToken,
    /// The version the reader sees.
    shown: String,
    over: bool,
    begun: bool,
    until: Instant,
    _seat: OwnedSemaphorePermit,
}

impl Follower {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if self.begun && !self.over {
            tokio::select! {
                () = tokio::time::sleep(BEAT) => {}
                () = self.stop.cancelled() => return None,
            }
        }
        self.begun = true;
        if self.over || Instant::now() > self.until {
            return None;
        }
        let pulse = match self.app.store.pulse(self.incident).await {
            Ok(found) => found?,
            Err(error) => {
                tracing::warn!(incident.id = %self.incident, %error, "could not follow an incident for its page");
                return None;
            }
        };
        let event = self.told(&pulse);
        Some((Ok(event), self))
    }

    fn told(&mut self, pulse: &Pulse) -> Event {
        if pulse.version != self.shown {
            self.shown.clone_from(&pulse.version);
            return Event::default().event("changed").id(&pulse.version).data("now");
        }
        match (pulse.is_live(), pulse.investigating_since) {
            (false, _) => {
                self.over = true;
                Event::default().event("done").data("now")
            }
            (true, None) => Event::default().comment("a message is on its way"),
            (true, Some(since)) => {
                let step = step_of(&self.app.live, self.incident);
                Event::default().event("step").data(line(self.lang, since, step.as_ref(), Timestamp::now()))
            }
        }
    }
}

fn step_of(live: &Live, incident: Uuid) -> Option<Step> {
    live.all().into_iter().find(|(id, _)| *id == incident).map(|(_, step)| step)
}

/// The same line for a page that is read without its events; none where another process investigates.
pub(super) fn step(live: &Live, incident: Uuid, pulse: &Pulse, lang: Lang) -> Option<String> {
    let (since, step) = pulse.investigating_since.zip(step_of(live, incident))?;
    Some(line(lang, since, Some(&step), Timestamp::now()))
}

/// What an investigation does now, in one line. Only the process that runs it knows the step.
fn line(lang: Lang, since: Timestamp, step: Option<&Step>, now: Timestamp) -> String {
    let took = times::duration(lang, now.as_second() - since.as_second());
    let Some(step) = step else {
        return lang.pick(format!("正在研判 · 已用 {took}"), format!("Being investigated · {took}"));
    };
    let (read, tool) = (step.read, text::line(&step.tool, 60));
    lang.pick(
        format!("正在研判 · 已用 {took} · 已读 {read} 项，最近一项 {tool}"),
        format!("Being investigated · {took} · {} read, the last from {tool}", counted(read as u64, "result")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_told_in_one_line_whatever_its_tool_is_called() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(line(Lang::En, at(0), None, at(12)), "Being investigated · 12 s");
        let step = Step { read: 14, tool: "pods_log\n\ndata: x".into(), tools: Vec::new(), since: at(3) };
        assert_eq!(
            line(Lang::Zh, at(0), Some(&step), at(75)),
            "正在研判 · 已用 1 分钟 · 已读 14 项，最近一项 pods_log data: x"
        );
    }
}
