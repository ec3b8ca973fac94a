//! The model's loop: what the gathered facts save, what a turn costs the service, and what many at once hold in memory.

use std::sync::Arc;
use std::time::Duration;

use firstlook::agent::tools::Tools;
use firstlook::agent::{self, AnswerTool, Budget, Envelope, Stop, Task};
use firstlook::alert::Lang;
use firstlook::intake::{Limits as IntakeLimits, alertmanager};
use firstlook::model::Client;
use firstlook::report::Diagnosis;
use firstlook::telemetry::Metrics;
use firstlook::toolbox::{Limits, Toolbox};
use firstlook::triage::prompt::{AlertInput, Prompts, Size, SystemInput};

use crate::alert;
use crate::process::{Firstlook, Setup};
use crate::sender::{Until, send};
use crate::stand_ins::StandIns;
use crate::stand_ins::model::{Counts, Script};
use crate::table::Table;

const ALERTS: usize = 200;
/// The thinking time of the model that fifty wait for, in milliseconds.
const THINKS: u64 = 2_000;

/// The same competent model, once as it is asked in production, once with the alert alone.
pub async fn with_and_without_facts(world: &StandIns, table: &mut Table) {
    let setup = Setup { script: Some(Script::Competent), thinks: 0, concurrency: 8 };
    let firstlook = Firstlook::serving(world, setup).await;
    world.model().take_counts();
    send(world, &firstlook.webhook(), 20_000..20_020, 1, Until::Diagnosed).await;
    let with = world.model().take_counts();
    firstlook.stop().await;
    row(table, "scenario 01, facts gathered", with, 20);
    from_the_alert_alone(world).await;
    row(table, "scenario 01, the alert alone", world.model().take_counts(), 1);
}

fn row(table: &mut Table, what: &str, counts: Counts, runs: usize) {
    let each = |count: usize| count as f64 / runs as f64;
    let said = format!("{:.1} turns, {:.0} bytes", each(counts.turns), each(counts.prompt_bytes));
    table.row([&format!("**{what}**: turns of a competent model, bytes of its prompts"), &said]);
}

/// The loop with the service's own prompts and tools, and nothing looked at before: no setting of the service leaves out
/// gathering.
async fn from_the_alert_alone(world: &StandIns) {
    let model = Client::new(world.model_config(Script::Competent)).unwrap();
    let toolbox = Toolbox::new(&[world.mcp_settings()], Arc::new(Metrics::new())).unwrap();
    let run = toolbox.run(Limits::for_window(32_768), None).await;
    let (envelope, budget, specs) = (Envelope::new(), Budget::default(), run.specs());
    let answer = AnswerTool::<Diagnosis>::new("submit_diagnosis", "Submits the diagnosis.").unwrap();
    let prompts = Prompts::load(Lang::En, None).unwrap();
    let input = SystemInput { envelope: &envelope, tools: &specs, answer_tool: "submit_diagnosis", budget: &budget };
    let system = prompts.system(&input).unwrap();
    let group = alertmanager::parse(&alert::body(20_999), &IntakeLimits::default()).unwrap();
    let (envelope, group) = (&envelope, &group);
    let input = AlertInput { envelope, group, findings: &[], questions: &[], evidence: &[], size: Size::Whole };
    let prompt = prompts.alert(&input).unwrap();
    let task = Task {
        system: &system,
        prompt: &prompt,
        shorter: &[],
        answer: &answer,
        read: |_| None,
        budget: &budget,
        envelope,
        lang: Lang::En,
    };
    let outcome = agent::run(&model, &run, task).await;
    assert_eq!(outcome.stop, Stop::Submitted, "{:?}", outcome.error);
    // A diagnosis whose quotes were never read would make the loop look shorter than it is.
    for quoted in outcome.submitted.unwrap().causes.into_iter().flat_map(|cause| cause.evidence) {
        let read = run.log().get(&quoted.reference).and_then(|evidence| evidence.cite(&quoted.quote));
        assert!(read.is_some(), "{} does not say {:?}", quoted.reference, quoted.quote);
    }
}

/// Five turns and one turn of the same alert: what four turns more take, their cached calls included.
pub async fn cpu_per_turn(world: &StandIns, table: &mut Table) {
    let mut costs = [0.0; 2];
    for (cost, (script, first)) in costs.iter_mut().zip([(Script::FiveTurns, 30_000), (Script::OneTurn, 31_000)]) {
        let setup = Setup { script: Some(script), thinks: 0, concurrency: 8 };
        let firstlook = Firstlook::serving(world, setup).await;
        send(world, &firstlook.webhook(), first..first + 5, 1, Until::Diagnosed).await;
        let before = firstlook.cpu_seconds();
        send(world, &firstlook.webhook(), first + 5..first + 5 + ALERTS, 1, Until::Diagnosed).await;
        *cost = (firstlook.cpu_seconds() - before) / ALERTS as f64 * 1e3;
        firstlook.stop().await;
    }
    let [five, one] = costs;
    let said = format!("{:.2} ({five:.1} with five turns, {one:.1} with one)", (five - one) / 4.0);
    table.row(["CPU per further turn, ms (CPU per alert)", &said]);
}

/// Fifty investigations that all wait for the model.
pub async fn fifty_at_once(world: &StandIns, table: &mut Table) {
    let setup = Setup { script: Some(Script::FiveTurns), thinks: THINKS, concurrency: 50 };
    let firstlook = Firstlook::serving(world, setup).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let idle = firstlook.rss();
    let sent = send(world, &firstlook.webhook(), 40_000..40_100, 50, Until::Diagnosed).await;
    let said = format!("{:.0} ({idle:.0} before)", firstlook.peak_rss());
    table.row(["50 investigations in flight, model 5 × 2 s: resident memory, peak, MB", &said]);
    let added = sent.wholes.at(0.5) - (THINKS * 5) as f64;
    table.row(["the same: added to the model's 10 s, median, ms", &format!("{added:.0}")]);
    firstlook.stop().await;
}
