//! Metrics: typed, without globals, and with label values that no alert can invent.
//!
//! Words of our own are `&'static str`. Names that come from the configuration or from an MCP server are kept up to a
//! number of different ones; the rest are counted together as `other`, so that nothing outside can grow the series.

mod intake;
mod lines;
mod models;

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use intake::IntakeFigures;
use lines::LineFigures;
use models::ModelFigures;

/// The media type of [`Metrics::encode`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Different names kept per label: tools, models and channels of one installation stay far below.
const MOST_NAMES: usize = 100;
/// Longest name kept, in bytes.
const LONGEST_NAME: usize = 64;
/// What further names are counted as.
const OTHER: &str = "other";

/// Seconds: an answer to a webhook should stay in the first half, P99 below 0.5.
const QUICK: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// Seconds: one call of a tool ends after 15, one message's delivery after about as long.
const CALL: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0];
/// Seconds: an investigation ends after 180 unless configured otherwise, an inspection after 600.
const LONG: &[f64] = &[0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Investigation {
    stopped_by: String,
    source: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Source {
    source: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ToolCall {
    tool: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tool {
    tool: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Notice {
    channel: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Channel {
    channel: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Queue {
    queue: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Read {
    outcome: &'static str,
}

/// Makes histograms over one set of buckets, so that a family of them is a plain type.
#[derive(Debug, Clone, Copy)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

type Durations<L> = Family<L, Histogram, Buckets>;

/// Every figure of one process. Shared behind an `Arc`; each method is one event in the words of the service.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    request_seconds: Durations<Route>,
    alerts_accepted: Counter,
    alerts: Family<Outcome, Gauge>,
    intake: IntakeFigures,
    investigations: Family<Investigation, Counter>,
    investigation_seconds: Durations<Source>,
    tool_calls: Family<ToolCall, Counter>,
    tool_seconds: Durations<Tool>,
    models: ModelFigures,
    notices: Family<Notice, Counter>,
    notices_perhaps_twice: Family<Channel, Counter>,
    first_message_seconds: Durations<Channel>,
    lines: LineFigures,
    queues: Family<Queue, Gauge>,
    configurations: Family<Read, Counter>,
    configuration_rejected: Gauge,
    templates_broken: Gauge,
    names: Names,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All figures at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("firstlook"),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(Buckets(QUICK)),
            alerts_accepted: Counter::default(),
            alerts: Family::default(),
            intake: IntakeFigures::default(),
            investigations: Family::default(),
            investigation_seconds: Family::new_with_constructor(Buckets(LONG)),
            tool_calls: Family::default(),
            tool_seconds: Family::new_with_constructor(Buckets(CALL)),
            models: ModelFigures::default(),
            notices: Family::default(),
            notices_perhaps_twice: Family::default(),
            first_message_seconds: Family::new_with_constructor(Buckets(CALL)),
            lines: LineFigures::default(),
            queues: Family::default(),
            configurations: Family::default(),
            configuration_rejected: Gauge::default(),
            templates_broken: Gauge::default(),
            names: Names::default(),
        };
        metrics.register_intake();
        metrics.register_work();
        metrics.intake.register(&mut metrics.registry);
        metrics.models.register(&mut metrics.registry);
        metrics.lines.register(&mut metrics.registry);
        metrics
    }

    fn register_intake(&mut self) {
        let registry = &mut self.registry;
        registry.register("build", "The running version", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register("webhook_requests", "Answered webhook requests", self.requests.clone());
        let help = "Time from a webhook request to its answer, which comes after the durable commit";
        registry.register_with_unit("webhook_duration", help, Unit::Seconds, self.request_seconds.clone());
        let help = "Alerts durably accepted since the store was created, an alert that was delivered twice counted twice; of \
                    the store, so the same on all its replicas. Equals the sum of firstlook_alerts";
        registry.register("alerts_accepted", help, self.alerts_accepted.clone());
        let help = "Accepted alerts by where they stand: pending (the message that first names them waits), sent (at \
                    least one channel accepted it), dead (every channel gave it up), merged (told before), suppressed \
                    (a rule says that nobody is told). Of the store, so the same on all its replicas";
        registry.register("alerts", help, self.alerts.clone());
        let help = "Configurations read by whether they are used; a rejected one leaves the one before it in place";
        registry.register("configurations", help, self.configurations.clone());
        let help = "1 while the configuration that was read last is not used, and the one before it goes on";
        registry.register("configuration_rejected", help, self.configuration_rejected.clone());
        let help = "Templates of the operator's own that are not used, or failed when they were last used";
        registry.register("templates_broken", help, self.templates_broken.clone());
        let help = "Work that waits: investigations and, in the outbox, notices";
        registry.register("queue_length", help, self.queues.clone());
    }

    fn register_work(&mut self) {
        let registry = &mut self.registry;
        let help = "Finished investigations by why they ended and who answered";
        registry.register("investigations", help, self.investigations.clone());
        let help = "Time an investigation took";
        registry.register_with_unit("investigation_duration", help, Unit::Seconds, self.investigation_seconds.clone());
        registry.register("tool_calls", "Tool calls by outcome", self.tool_calls.clone());
        let help = "Time a tool call took";
        registry.register_with_unit("tool_call_duration", help, Unit::Seconds, self.tool_seconds.clone());
        registry.register("notices", "Attempts to send a notice by outcome", self.notices.clone());
        let help = "Attempts after which a message goes again although it may have arrived: no answer came, or its sender was \
                    killed. People may read it twice; never on a Feishu app, which knows what it has";
        registry.register("notices_perhaps_twice", help, self.notices_perhaps_twice.clone());
        let help = "Time from an accepted alert until its first message was accepted by a channel";
        registry.register_with_unit("first_message_delay", help, Unit::Seconds, self.first_message_seconds.clone());
    }

    /// A configuration was read, and is used or not.
    pub fn config_read(&self, used: bool) {
        let outcome = if used { "used" } else { "rejected" };
        self.configurations.get_or_create(&Read { outcome }).inc();
        self.configuration_rejected.set(i64::from(!used));
    }

    /// So many of the operator's templates are broken.
    pub fn templates_broken(&self, count: usize) {
        self.templates_broken.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A webhook request was answered.
    pub fn webhook(&self, route: &'static str, status: u16, took: Duration) {
        for status in ["4xx", "5xx"] {
            // There at zero from the first answer on, so that the first one that refuses is an increase.
            drop(self.requests.get_or_create(&Request { route, status }));
        }
        self.requests.get_or_create(&Request { route, status: status_class(status) }).inc();
        self.request_seconds.get_or_create(&Route { route }).observe(took.as_secs_f64());
    }

    /// So many alerts the store ever accepted, and where they stand; both as of the same moment.
    pub fn alerts(&self, accepted: u64, outcomes: impl IntoIterator<Item = (&'static str, u64)>) {
        self.alerts_accepted.inner().store(accepted, Ordering::Relaxed);
        for (outcome, count) in outcomes {
            self.alerts.get_or_create(&Outcome { outcome }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// An investigation ended; `source` is `model` or `playbook`.
    pub fn investigation(&self, stopped_by: &str, source: &'static str, took: Duration) {
        let stopped_by = self.names.keep("stopped_by", stopped_by);
        self.investigations.get_or_create(&Investigation { stopped_by, source }).inc();
        self.investigation_seconds.get_or_create(&Source { source }).observe(took.as_secs_f64());
    }

    /// A tool was called; `outcome` is for example `ok`, `error`, `timeout`, `refused`, `cached`.
    pub fn tool_call(&self, tool: &str, outcome: &'static str, took: Duration) {
        let tool = self.names.keep("tool", tool);
        self.tool_calls.get_or_create(&ToolCall { tool: tool.clone(), outcome }).inc();
        self.tool_seconds.get_or_create(&Tool { tool }).observe(took.as_secs_f64());
    }

    /// A notice was accepted by its channel.
    pub fn notice_sent(&self, channel: &str) {
        let channel = self.names.keep("channel", channel);
        self.notices.get_or_create(&Notice { channel, outcome: "sent" }).inc();
    }

    /// The first message of an incident was accepted by a channel, so long after its alert was.
    pub fn first_message(&self, channel: &str, delay: Duration) {
        let channel = self.names.keep("channel", channel);
        self.first_message_seconds.get_or_create(&Channel { channel }).observe(delay.as_secs_f64());
    }

    /// A notice was not accepted; `reason` is a fixed word such as `rate_limited`, or `dead` when it was given up.
    pub fn notice_failed(&self, channel: &str, reason: &'static str) {
        let channel = self.names.keep("channel", channel);
        self.notices.get_or_create(&Notice { channel, outcome: reason }).inc();
    }

    /// A notice may have arrived, and goes again.
    pub fn notice_perhaps_twice(&self, channel: &str) {
        let channel = self.names.keep("channel", channel);
        self.notices_perhaps_twice.get_or_create(&Channel { channel }).inc();
    }

    /// So much work waits in a queue: `investigations`, `outbox`, `outbox_dead`.
    pub fn queue_length(&self, queue: &'static str, length: usize) {
        self.queues.get_or_create(&Queue { queue }).set(i64::try_from(length).unwrap_or(i64::MAX));
    }

    /// All figures in the OpenMetrics text format, to be answered as [`CONTENT_TYPE`].
    ///
    /// # Errors
    /// Never in practice: writing into a `String` does not fail.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn status_class(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// The names seen so far, per label.
#[derive(Debug, Default)]
struct Names(RwLock<HashSet<(&'static str, String)>>);

impl Names {
    fn keep(&self, label: &'static str, name: &str) -> String {
        let plain = |char: char| char.is_alphanumeric() || matches!(char, '_' | '-' | '.' | '/' | ':');
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(plain) {
            return OTHER.to_owned();
        }
        let key = (label, name.to_owned());
        if self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&key) {
            return key.1;
        }
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if names.iter().filter(|(of, _)| *of == label).count() >= MOST_NAMES && !names.contains(&key) {
            return OTHER.to_owned();
        }
        names.insert(key.clone());
        key.1
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn every_figure_under_its_name() {
        let metrics = Metrics::new();
        let second = Duration::from_secs(1);
        metrics.webhook("/webhooks/alertmanager", 202, Duration::from_millis(3));
        metrics.webhook("/webhooks/alertmanager", 503, second);
        metrics.alerts(7, [("sent", 5), ("pending", 2)]);
        metrics.delivery("opened");
        metrics.rule("repeat");
        metrics.shortened(1, 3);
        metrics.investigation("submitted", "model", Duration::from_secs(15));
        metrics.tool_call("pods_get", "ok", Duration::from_millis(80));
        metrics.model_call("fast", "ok");
        metrics.model_call("fast", "rate_limited");
        metrics.model_tokens("fast", 1200, 80);
        metrics.model_cost("fast", 0.25);
        metrics.model_passed_over("fast", "resting");
        metrics.model_standing("fast", true, false);
        metrics.recovered_calls("fast", 2);
        metrics.notice_sent("oncall");
        metrics.first_message("oncall", second);
        metrics.notice_failed("oncall", "rate_limited");
        metrics.notice_perhaps_twice("oncall");
        metrics.long_connection("cards", true);
        metrics.long_connection_redialled("cards");
        metrics.queue_length("outbox", 2);
        let text = metrics.encode().unwrap();
        let mut lines: Vec<&str> = text.lines().filter(|line| !line.contains("_bucket{")).collect();
        lines.sort_unstable();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn nothing_outside_can_grow_the_series() {
        let metrics = Metrics::new();
        for number in 0..10_000 {
            metrics.tool_call(&format!("tool_{number}"), "refused", Duration::ZERO);
        }
        metrics.tool_call("a\"} evil 1\n", "refused", Duration::ZERO);
        metrics.tool_call(&"x".repeat(1_000), "refused", Duration::ZERO);
        let text = metrics.encode().unwrap();
        assert_eq!(text.lines().filter(|line| line.starts_with("firstlook_tool_calls_total{")).count(), MOST_NAMES + 1);
        assert!(text.contains("firstlook_tool_calls_total{tool=\"other\",outcome=\"refused\"} 9902"), "{text}");
        assert!(!text.contains("evil"));
    }

    #[test]
    fn counters_that_have_not_counted_are_there_at_zero() {
        assert!(Metrics::new().encode().unwrap().contains("firstlook_alerts_accepted_total 0\n"));
    }
}
