//! Measures what taking secrets out of 5 MB of tool result costs: all of it, and the way large results go.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot be taken has to stop loudly")]

use std::time::{Duration, Instant};

use firstlook::redact::Redactor;
use firstlook::toolbox::large;

/// Size of a result.
const BYTES: usize = 5 << 20;
/// Bytes kept of a log.
const KEPT: usize = 256 << 10;

fn main() {
    let plain = "2026-11-25T08:00:00Z INFO GET /api/v1/orders 200 in 12 ms, trace 7f3a9c, pod web-7d9f\n";
    let names = "2026-11-25T08:00:00Z WARN token refresh for client api: token expires in 30 s, secret version 4\n";
    println!("| 5 MB of | All of it, ms | As large results go, ms | Ratio |\n| --- | ---: | ---: | ---: |");
    for (what, line) in [("a log without secrets' names", plain), ("a log with one on every line", names)] {
        let text = line.repeat(BYTES / line.len());
        let whole = best(|| drop(std::hint::black_box(Redactor::default().redact(&text))));
        let cut = best(|| drop(std::hint::black_box(large::redacted(&Redactor::default(), &text, KEPT))));
        println!("| {what} | {whole:.0} | {cut:.1} | {:.0} |", whole / cut);
    }
}

/// Milliseconds, the best of a second.
fn best(work: impl Fn()) -> f64 {
    let (begun, mut best) = (Instant::now(), Duration::MAX);
    while begun.elapsed() < Duration::from_secs(1) {
        let started = Instant::now();
        work();
        best = best.min(started.elapsed());
    }
    best.as_secs_f64() * 1e3
}
