//! The service put together: configuration in, running parts out. `serve` and `demo` share it, so that a demo shows the
//! real thing.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{CliError, examination};
use crate::config::{Config, Server};
use crate::http::{self, App, Auth, ChannelHealth, Sessions};
use crate::incident::press::PressDesk;
use crate::incident::retention::{self, Retention};
use crate::incident::{Desk, DeskSettings, Wake, Worker, clock, orphans};
use crate::intake::signature::Signatures;
use crate::notify::channel::{Channel, ChannelSettings};
use crate::notify::delivery::Delivery;
use crate::notify::digest::Schedule;
use crate::notify::feishu::app::{Callbacks, FeishuApp};
use crate::notify::layout::Layouts;
use crate::notify::outbox::OutboxWorker;
use crate::notify::pass::{Passes, Signer};
use crate::notify::people::People;
use crate::notify::post;
use crate::notify::preview::Looks;
use crate::notify::wecom::MessageType;
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::triage::{Triage, TriageConfig};

/// How long requests under way may take once the service is told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// All parts of a running Firstlook.
pub(super) struct Service {
    app: Arc<App>,
    worker: Worker,
    concurrency: usize,
    wake: Wake,
    outboxes: Vec<(OutboxWorker, watch::Receiver<()>)>,
    apps: Vec<Arc<FeishuApp>>,
    presses: PressDesk,
    retention: Retention,
}

impl Service {
    /// Builds the parts over an open store. Nothing else is dialled: the service starts while models, MCP servers and
    /// channels are away.
    pub(super) async fn build(config: Config, store: Store, metrics: Arc<Metrics>) -> Result<Self, CliError> {
        let triage = Arc::new(triage(&config, metrics.clone())?);
        let layouts = layouts(&config);
        let channels = channels(&config, &layouts)?;
        let deliveries: Vec<Delivery> = config.channels.iter().map(|one| one.delivery().clone()).collect();
        let destinations: Vec<String> = config.channels.iter().map(ChannelSettings::destination).collect();
        let batches: Vec<bool> = config.channels.iter().map(|one| one.batch().is_some()).collect();
        channels.iter().for_each(|channel| channel.share_calls(&store));
        let wake = Wake::for_channels(channels.iter().map(Channel::name));
        let signer = signer(&config, &store).await?;
        let passes = (config.server.authenticates() && !config.server.link_life.is_zero())
            .then(|| Passes::new(signer.clone(), config.server.link_life));
        let schedules: Vec<Option<Schedule>> =
            config.channels.iter().map(|one| schedule(&config, one, passes.clone())).collect();
        let falling = falling(&config, &schedules);
        let desk =
            Desk::new(store.clone(), desk_settings(&config, &triage, &channels, passes), wake.clone(), metrics.clone());
        let presses =
            PressDesk::new(store.clone(), desk.settings(), wake.clone(), post::client().map_err(CliError::failed)?);
        let apps: Vec<Arc<FeishuApp>> = channels.iter().filter_map(Channel::app).cloned().collect();
        // Tells replicas apart in the store; a restarted process is a new one.
        let name = Uuid::now_v7().to_string();
        let outboxes: Vec<(OutboxWorker, watch::Receiver<()>)> = channels
            .into_iter()
            .zip(schedules.into_iter().zip(deliveries).zip(batches).zip(&destinations))
            .filter_map(|(channel, (((schedule, delivery), batches), destination))| {
                let bell = wake.outbox(channel.name())?;
                let outbox = OutboxWorker::new(name.clone(), store.clone(), channel, metrics.clone());
                let here =
                    falling.iter().filter(|(to, _)| to == outbox.channel()).map(|(_, lost)| lost.clone()).collect();
                let several = destinations.iter().filter(|other| *other == destination).count() > 1;
                let outbox = outbox.pacing(destination, several, delivery.max_per_minute);
                let outbox = outbox.with_digest(schedule).with_digests_of(here).merging_above(delivery.merge_above);
                Some((outbox.falling_back_to(delivery.fallback).batching(batches), bell))
            })
            .collect();
        let health = health(&outboxes, &apps);
        let worker = Worker::new(name, store.clone(), desk.clone(), triage.clone(), wake.clone(), metrics.clone());
        let auth = auth(&config.server);
        let app = Arc::new(App {
            desk,
            store,
            triage,
            metrics,
            sessions: Sessions::new(signer, &auth, config.server.public_url.as_deref()),
            auth,
            live: worker.live(),
            looks: looks(&config, &layouts),
            layouts,
            channels: health,
            limits: config.server.limits.intake(),
            presses: Arc::new(presses.clone()),
            apps: apps.iter().filter(|app| app.callbacks() == Some(Callbacks::Http)).cloned().collect(),
            destinations: config.server.prometheusalert.clone(),
            body_limit: config.server.limits.max_body_bytes,
            max_connections: config.server.limits.max_connections,
        });
        Ok(Self {
            app,
            worker,
            concurrency: config.triage.concurrency,
            wake,
            outboxes,
            apps,
            presses,
            retention: config.retention,
        })
    }

    /// Runs until told to stop: first the door closes, then work under way is finished or handed back. The store stays
    /// open, for whoever serves next.
    pub(super) async fn run(self, listener: TcpListener, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        for app in self.apps {
            if app.callbacks() == Some(Callbacks::LongConnection) {
                let (lang, presses) = (self.app.desk.settings().lang, Arc::new(self.presses.clone()));
                tasks.spawn(app.clone().listen(lang, presses, self.app.metrics.clone(), stop.clone()));
            }
            tasks.spawn(app.follow(self.worker.live(), self.app.store.clone(), stop.clone()));
        }
        tasks.spawn(self.worker.run(self.concurrency, stop.clone()));
        let examination = examination::examine_all(self.app.store.clone(), self.app.triage.clone());
        let stopped = stop.clone().cancelled_owned();
        tasks.spawn(async move {
            futures::future::select(Box::pin(examination), Box::pin(stopped)).await;
        });
        tasks.spawn(retention::keep_to(self.retention, self.app.store.clone(), stop.clone()));
        let configured = self.app.desk.settings().channels.clone();
        tasks.spawn(orphans::give_up(self.app.store.clone(), configured, stop.clone()));
        tasks.spawn(clock::keep(self.app.store.clone(), self.wake, stop.clone()));
        for (outbox, bell) in self.outboxes {
            tasks.spawn(outbox.run(bell, stop.clone()));
        }
        let out_of_grace = async {
            stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            () = http::serve(listener, self.app, stop.clone()) => {}
            () = out_of_grace => tracing::warn!("requests were cut off; what was not answered comes again"),
        }
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }
}

/// The configured store.
pub(super) async fn open(config: &Config) -> Result<Store, CliError> {
    Store::open(config.store.expose_secret()).await.map_err(CliError::usage)
}

/// Everything that investigates, as configured.
pub(super) fn triage(config: &Config, metrics: Arc<Metrics>) -> Result<Triage, CliError> {
    Triage::new(&TriageConfig {
        models: &config.models,
        mcp: &config.mcp,
        cluster_label: &config.triage.cluster_label,
        prometheus: config.prometheus.as_ref(),
        budget: config.triage.budget(),
        lang: config.language,
        prompts: config.prompts.as_deref(),
        daily: config.triage.daily,
        timezone: &config.timezone,
        metrics,
        tape: None,
    })
    .map_err(CliError::usage)
}

/// The configured channels. Nothing is dialled.
pub(super) fn channels(config: &Config, layouts: &Arc<Layouts>) -> Result<Vec<Channel>, CliError> {
    let client = post::client().map_err(CliError::failed)?;
    config.channels.iter().cloned().map(|settings| settings.build(&client, layouts).map_err(CliError::usage)).collect()
}

/// What readiness can say of each channel.
fn health(outboxes: &[(OutboxWorker, watch::Receiver<()>)], apps: &[Arc<FeishuApp>]) -> Vec<ChannelHealth> {
    let of = |outbox: &OutboxWorker| ChannelHealth {
        name: outbox.channel().to_owned(),
        health: outbox.health(),
        app: apps.iter().find(|app| app.name() == outbox.channel()).cloned(),
    };
    outboxes.iter().map(|(outbox, _)| of(outbox)).collect()
}

/// The operator's templates, when there are any.
pub(super) fn layouts(config: &Config) -> Arc<Layouts> {
    let names: Vec<&str> = config.channels.iter().map(ChannelSettings::name).collect();
    let folder = config.templates.as_deref();
    Arc::new(folder.map_or_else(Layouts::default, |folder| Layouts::load(folder, &names, &config.timezone)))
}

/// The layouts a preview shows: those of the first channel of each kind.
pub(super) fn looks(config: &Config, layouts: &Arc<Layouts>) -> Looks {
    let of = |is: fn(&ChannelSettings) -> bool| {
        layouts.of(config.channels.iter().find(|one| is(one)).map_or("", ChannelSettings::name))
    };
    let is_app = |one: &ChannelSettings| matches!(one, ChannelSettings::FeishuApp(_));
    let wecom_kind = config.channels.iter().find_map(wecom_kind).unwrap_or_default();
    Looks {
        feishu: of(|one| matches!(one, ChannelSettings::FeishuBot(_))),
        app: config.channels.iter().any(is_app).then(|| of(is_app)),
        wecom: of(|one| matches!(one, ChannelSettings::WecomBot(_))),
        wecom_kind,
        email: of(|one| matches!(one, ChannelSettings::Email(_))),
        all_kinds: false,
    }
}

/// The kind of message a WeCom group wants.
pub(super) fn wecom_kind(channel: &ChannelSettings) -> Option<MessageType> {
    match channel {
        ChannelSettings::WecomBot(bot) => Some(bot.msgtype),
        _ => None,
    }
}

/// Who may come in, as configured.
fn auth(server: &Server) -> Auth {
    Auth {
        tokens: server.tokens.clone(),
        basic: server.basic_auth.iter().map(|one| (one.username.clone(), one.password.clone())).collect(),
        senders: server.senders.iter().map(|one| (one.source, one.token.clone())).collect(),
        token_header: server.token_header.as_deref().and_then(|name| name.parse().ok()),
        grafana: server.grafana_hmac.clone().map(Signatures::new),
    }
}

/// What signs links and logins: the configured secret, or one that the replicas of a store share.
async fn signer(config: &Config, store: &Store) -> Result<Signer, CliError> {
    let secret = match &config.server.link_secret {
        Some(secret) => secret.clone(),
        None => {
            let offered = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
            store.shared_secret("links", &offered.into()).await.map_err(CliError::failed)?
        }
    };
    Signer::new(&secret).ok_or_else(|| CliError::usage("server.link_secret cannot be used as a key; choose another"))
}

/// When a channel's daily summary is due.
fn schedule(config: &Config, channel: &ChannelSettings, passes: Option<Passes>) -> Option<Schedule> {
    let public_url = config.server.public_url.as_ref().map(|url| url.trim_end_matches('/').to_owned());
    let schedule = Schedule::new(channel.digest()?, &config.timezone, config.language, public_url);
    Some(schedule.opening_with(passes).calling(People::of(&config.channels)))
}

/// Each daily summary that is told on another channel when its own gives it up: that one's name, and whose it is.
fn falling(config: &Config, schedules: &[Option<Schedule>]) -> Vec<(String, (String, Schedule))> {
    let channels = config.channels.iter().zip(schedules);
    channels
        .filter_map(|(one, schedule)| {
            Some((one.delivery().fallback.clone()?, (one.name().to_owned(), schedule.clone()?)))
        })
        .collect()
}

/// Where groups go, and when.
pub(super) fn routing(config: &Config) -> DeskSettings {
    let prometheusalert = config.server.prometheusalert.iter();
    DeskSettings {
        timezone: config.timezone.clone(),
        routes: config.routes.clone(),
        receivers: prometheusalert.map(|one| (one.receiver.clone(), one.channels.clone())).collect(),
        channels: config.channels.iter().map(|channel| channel.name().to_owned()).collect(),
        deliveries: config.channels.iter().map(|one| (one.name().to_owned(), one.delivery().clone())).collect(),
        batches: config.channels.iter().filter_map(|one| Some((one.name().to_owned(), one.batch()?))).collect(),
        maintenance: config.maintenance.clone(),
        people: People::of(&config.channels),
        flapping: config.triage.flapping,
        ..DeskSettings::default()
    }
}

fn desk_settings(config: &Config, triage: &Triage, channels: &[Channel], passes: Option<Passes>) -> DeskSettings {
    let lang = config.language;
    let mut missing = Vec::new();
    if !triage.has_tools() {
        missing.push(lang.pick(
            "没有配置 MCP 服务，未查看集群（配置项 mcp）",
            "No MCP server is configured, so the cluster was not looked at (setting: mcp).",
        ));
    }
    if !triage.has_model() {
        missing.push(lang.pick(
            "没有配置模型，由内置规则库单独研判（配置项 models）",
            "No model is configured; the built-in playbook answers alone (setting: models).",
        ));
    }
    DeskSettings {
        lang,
        public_url: config.server.public_url.as_ref().map(|url| url.trim_end_matches('/').to_owned()),
        passes,
        alertmanager_url: config.alertmanager.as_ref().map(|link| link.url.clone()),
        in_place: channels.iter().filter(|one| one.changes_in_place()).map(|one| one.name().to_owned()).collect(),
        missing: missing.into_iter().map(str::to_owned).collect(),
        investigates: triage.has_tools(),
        max_waiting: config.server.limits.max_waiting as u64,
        cluster_label: config.triage.cluster_label.clone(),
        cooldown: config.triage.cooldown,
        debounce: config.triage.debounce,
        ..routing(config)
    }
}
