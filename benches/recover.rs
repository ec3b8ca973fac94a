//! Measures how fast calls are found in text: MB/s for each family, on prose without markers and on nothing but calls.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot be taken has to stop loudly")]

use std::time::{Duration, Instant};

use firstlook::model::{Family, Function, recover};
use serde_json::Value;

/// Size of a text; a long answer is some ten thousand bytes.
const BYTES: usize = 1 << 20;

fn main() {
    let cases: Value = serde_json::from_str(include_str!("../tests/fixtures/toolcall-cases.json")).unwrap();
    let schemas = cases["tools"].as_object().unwrap();
    let tool = |(name, schema): (&String, &Value)| Function {
        name: name.clone(),
        description: String::new(),
        parameters: schema.clone(),
        read_only: true,
    };
    let tools: Vec<Function> = schemas.iter().map(tool).collect();
    let prose = "The pod web-0 was killed three times in ten minutes: its memory limit is 128Mi. 内存上限太低。\n";
    let mut seen = Vec::new();
    println!("| Family | Prose, MB/s | Calls, MB/s |\n| --- | ---: | ---: |");
    for case in cases["text_cases"].as_array().unwrap() {
        let name = case["family"].as_str().unwrap();
        if seen.contains(&name) || case["expect"]["status"] != "parsed" {
            continue;
        }
        seen.push(name);
        let family = Family::named(name);
        let calls = speed(family, case["input"].as_str().unwrap(), &tools);
        println!("| {name} | {:.0} | {calls:.0} |", speed(family, prose, &tools));
    }
    println!("| unknown | {:.0} | |", speed(Family::Unknown, prose, &tools));
}

/// Megabytes a second over a text repeated to its size, the best of a second.
fn speed(family: Family, text: &str, tools: &[Function]) -> f64 {
    let text = text.repeat(BYTES / text.len());
    let (begun, mut best) = (Instant::now(), Duration::MAX);
    while begun.elapsed() < Duration::from_millis(300) {
        let started = Instant::now();
        std::hint::black_box(recover(family, &text, false, tools));
        best = best.min(started.elapsed());
    }
    text.len() as f64 / 1e6 / best.as_secs_f64()
}
