//! Failpoints: the borders between two stages, where tests end or halt the real process. Release builds hold none.
//!
//! `FIRSTLOOK_FAIL_AT=name` ends the process there as a kill does: nothing is flushed, nothing handed back.
//! `FIRSTLOOK_PANIC_AT=name` breaks off the first three tasks that come there, as a bug does.
//! `FIRSTLOOK_STALL_AT=name` lets whoever comes there wait for ever, while all others go on.
//! `FIRSTLOOK_FREEZE_AT=name` lets the first who comes there wait for longer than any lease, as a frozen process does.

/// Passes a border. `tests/e2e/service/kills.rs` names each of them.
#[cfg(debug_assertions)]
pub async fn pass(name: &'static str) {
    let is = |variable: &str| std::env::var(variable).is_ok_and(|value| value == name);
    if is("FIRSTLOOK_FAIL_AT") {
        std::process::abort();
    }
    static PANICS: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);
    if is("FIRSTLOOK_PANIC_AT") && PANICS.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 3 {
        panic!("a task breaks off {name}");
    }
    if is("FIRSTLOOK_STALL_AT") {
        std::future::pending::<()>().await;
    }
    static FROZEN: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    if is("FIRSTLOOK_FREEZE_AT") && !FROZEN.swap(true, std::sync::atomic::Ordering::SeqCst) {
        tokio::time::sleep(std::time::Duration::from_secs(25)).await;
    }
}

/// Passes a border: nothing in a release build.
#[cfg(not(debug_assertions))]
pub async fn pass(_name: &'static str) {}
