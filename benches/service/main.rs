//! Measures the built service from outside: CPU, memory, latency, prompt and disk per alert, against scripted
//! counterparts on loopback. Prints a Markdown table. Linux only: figures of the process come from `/proc`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot be taken has to stop loudly")]

mod alert;
mod dependable;
mod figures;
mod large;
mod process;
mod reasoning;
mod rooms;
mod runs;
mod sender;
mod stand_ins;
mod storm;
mod table;

use stand_ins::StandIns;
use table::Table;

#[tokio::main]
async fn main() {
    // The HTTP clients share one provider of TLS, which nothing here uses.
    firstlook::trust::cryptography();
    let world = StandIns::start().await;
    let asked = |mode: &str| std::env::args().any(|argument| argument == mode);
    let table = if asked("--storm") {
        let mut table = Table::new(&["Storm", "Firstlook"]);
        storm::storm(&world, &mut table).await;
        table
    } else if asked("--rooms") {
        let mut table = Table::new(&["In the chat", "Firstlook"]);
        rooms::one_life(&world, &mut table).await;
        rooms::storm(&world, &mut table).await;
        table
    } else if asked("--loop") {
        let mut table = Table::new(&["The model's loop", "Firstlook"]);
        reasoning::with_and_without_facts(&world, &mut table).await;
        reasoning::cpu_per_turn(&world, &mut table).await;
        reasoning::fifty_at_once(&world, &mut table).await;
        large::five_megabytes(&world, &mut table).await;
        table
    } else if asked("--dependable") {
        let mut table = Table::new(&["Dependable", "SQLite", "PostgreSQL"]);
        dependable::accepted(&world, &mut table).await;
        dependable::recovery(&world, &mut table).await;
        dependable::replicas(&world, &mut table).await;
        dependable::hundred_thousand(&world, &mut table).await;
        table
    } else {
        let mut table = Table::new(&["Measured", "n8n 2.40.7", "Firstlook"]);
        runs::start_and_idle(&world, &mut table).await;
        runs::one_at_a_time(&world, &mut table).await;
        runs::beside_a_slow_model(&world, &mut table).await;
        runs::submitted_at_once(&world, &mut table).await;
        runs::many_in_flight(&world, &mut table).await;
        runs::answers_only(&world, &mut table).await;
        table
    };
    world.assert_nothing_was_refused();
    println!("{table}");
}
