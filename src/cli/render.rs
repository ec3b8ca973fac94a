//! `firstlook render`: the message a channel would get about a scenario, exactly as it would be posted, or as a page.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use uuid::Uuid;

use super::triage::{Setup, read_alert, snapshot_server};
use super::{CliError, service};
use crate::alert::Lang;
use crate::config;
use crate::notify::notice::{Notice, NoticeBody};
use crate::notify::preview::{self, Looks, Product};
use crate::notify::{pass, rehearsal};
use crate::report::Report;
use crate::telemetry::progress;

/// Arguments of `render`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Whose form the message has.
    #[arg(long, value_enum, default_value = "feishu-bot")]
    channel: Product,
    /// A scenario's name (firstlook demo --list) or directory.
    #[arg(long, default_value = super::demo::DEFAULT_SCENARIO)]
    scenario: String,
    /// Which message of an incident.
    #[arg(long, value_enum, default_value = "first")]
    message: Kind,
    /// The configuration file: its models, templates, language and zone.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The configured channel whose templates and kind of message it has; the first of its kind when left out.
    #[arg(long, requires = "config")]
    name: Option<String>,
    /// Language of the message.
    #[arg(long)]
    lang: Option<Lang>,
    /// What is posted, or a page on which all channels show it.
    #[arg(long, value_enum, default_value = "posted")]
    output: Output,
}

/// A message of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// The alert with the first look.
    First,
    /// The alert while a model investigates and nothing is known yet.
    Waiting,
    /// The diagnosis that follows when it adds something.
    Diagnosis,
    /// Alerts that came later and belong to an incident people know.
    Joined,
    /// The alerts are gone.
    Resolved,
    /// Many messages in one: more waited than the channel takes.
    Summary,
    /// What is not critical, in one mail.
    Batch,
    /// The daily summary.
    Digest,
    /// The one `check --send` sends.
    Test,
}

/// How a message is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// The JSON, or the text of the mail, as it goes out.
    Posted,
    /// A page to open in a browser.
    Html,
}

/// Prints the message.
pub(super) async fn run(arguments: Arguments) -> Result<(), CliError> {
    let setup = Setup::load(arguments.config.as_deref(), arguments.lang)?;
    let (notice, report) = if arguments.message == Kind::Test {
        (rehearsal::notice(setup.lang, &setup.timezone), Report::default())
    } else {
        notice(&arguments, &setup).await?
    };
    let looks = looks(&arguments)?.everything();
    let now = Timestamp::now();
    println!(
        "{}",
        match arguments.output {
            Output::Posted => preview::posted(arguments.channel, &notice, &report, now, &looks),
            Output::Html => preview::page(std::slice::from_ref(&notice), &[], &report, setup.lang, now, &looks),
        }
    );
    Ok(())
}

/// The layouts of the configuration, and the kind of message a WeCom group wants: those of the channel that was named, else
/// of the first of each kind.
fn looks(arguments: &Arguments) -> Result<Looks, CliError> {
    let Some(path) = &arguments.config else { return Ok(Looks::default()) };
    let config = config::load(path).map_err(CliError::usage)?;
    let layouts = service::layouts(&config);
    for (path, why) in layouts.broken() {
        eprintln!("warning: template {path} is broken, the built-in layout is shown: {why}");
    }
    let usual = service::looks(&config, &layouts);
    let Some(name) = &arguments.name else { return Ok(usual) };
    let own = layouts.of(name);
    let Some(named) = config.channels.iter().find(|channel| channel.name() == name) else {
        return Err(CliError::Usage(format!("--name: the configuration has no channel \"{name}\"")));
    };
    Ok(Looks {
        feishu: own.clone(),
        app: Some(own.clone()),
        wecom: own.clone(),
        wecom_kind: service::wecom_kind(named).unwrap_or_default(),
        email: own,
        all_kinds: true,
    })
}

/// The message, and what was found.
async fn notice(arguments: &Arguments, setup: &Setup) -> Result<(Notice, Report), CliError> {
    let home = tempfile::tempdir().map_err(CliError::failed)?;
    let scenario = super::scenario::unpack(&arguments.scenario, home.path()).map_err(CliError::Usage)?;
    let group = read_alert(&scenario.join("alert.json"))?;
    let models = if arguments.message == Kind::Diagnosis { setup.models.as_slice() } else { &[] };
    super::stage(setup.lang.pick("查看集群", "looking at the cluster"));
    let (report, _) = setup.triage(models, &[snapshot_server(&scenario)], None)?.run(&group).await;
    progress::clear();
    let incident = Uuid::now_v7();
    let notice = Notice {
        incident,
        opened_at: Timestamp::now(),
        group,
        body: body(arguments.message, report.clone(), !setup.models.is_empty()),
        lang: setup.lang,
        timezone: setup.timezone.clone(),
        alertmanager_url: setup.alertmanager_url.clone(),
        page_url: setup.public_url.as_ref().map(|base| pass::page(base, None, incident, Timestamp::now())),
        opened_with: None,
        last_time: None,
        meanwhile: Default::default(),
        undelivered: Vec::new(),
    };
    let notice = match arguments.message {
        Kind::Summary => rehearsal::many(&notice, false),
        Kind::Batch => rehearsal::many(&notice, true),
        Kind::Digest => rehearsal::daily(&notice),
        _ => notice,
    };
    Ok((notice, report))
}

fn body(kind: Kind, report: Report, investigating: bool) -> NoticeBody {
    match kind {
        Kind::First | Kind::Summary | Kind::Batch | Kind::Digest => {
            NoticeBody::Alert { report: Some(Box::new(report)), investigating, missing: Vec::new() }
        }
        Kind::Waiting => NoticeBody::Alert { report: None, investigating: true, missing: Vec::new() },
        Kind::Joined => NoticeBody::Alert { report: None, investigating: false, missing: Vec::new() },
        Kind::Diagnosis => NoticeBody::Diagnosis { report: Box::new(report) },
        Kind::Resolved => NoticeBody::Resolved { resolved_at: Timestamp::now() },
        Kind::Test => NoticeBody::Test,
    }
}
