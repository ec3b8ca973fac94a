//! Notices as incidents really produce them, for the tests of every channel; the files also serve the end-to-end tests.

use jiff::Timestamp;

use super::notice::Notice;

/// Every fixture: name with language, and content.
pub const ALL: [(&str, &str); 24] = [
    ("alert-bare.en", include_str!("../../tests/notices/alert-bare.en.json")),
    ("alert-bare.zh", include_str!("../../tests/notices/alert-bare.zh.json")),
    ("alert-oom.en", include_str!("../../tests/notices/alert-oom.en.json")),
    ("alert-oom.zh", include_str!("../../tests/notices/alert-oom.zh.json")),
    ("alert-rerouted.en", include_str!("../../tests/notices/alert-rerouted.en.json")),
    ("alert-rerouted.zh", include_str!("../../tests/notices/alert-rerouted.zh.json")),
    ("alert-waiting.en", include_str!("../../tests/notices/alert-waiting.en.json")),
    ("alert-waiting.zh", include_str!("../../tests/notices/alert-waiting.zh.json")),
    ("diagnosis-hypothesis.en", include_str!("../../tests/notices/diagnosis-hypothesis.en.json")),
    ("diagnosis-hypothesis.zh", include_str!("../../tests/notices/diagnosis-hypothesis.zh.json")),
    ("diagnosis-no-fault.en", include_str!("../../tests/notices/diagnosis-no-fault.en.json")),
    ("diagnosis-no-fault.zh", include_str!("../../tests/notices/diagnosis-no-fault.zh.json")),
    ("diagnosis-pvc.en", include_str!("../../tests/notices/diagnosis-pvc.en.json")),
    ("diagnosis-pvc.zh", include_str!("../../tests/notices/diagnosis-pvc.zh.json")),
    ("diagnosis-storm.en", include_str!("../../tests/notices/diagnosis-storm.en.json")),
    ("diagnosis-storm.zh", include_str!("../../tests/notices/diagnosis-storm.zh.json")),
    ("digest.en", include_str!("../../tests/notices/digest.en.json")),
    ("digest.zh", include_str!("../../tests/notices/digest.zh.json")),
    ("resolved.en", include_str!("../../tests/notices/resolved.en.json")),
    ("resolved.zh", include_str!("../../tests/notices/resolved.zh.json")),
    ("summary-batch.en", include_str!("../../tests/notices/summary-batch.en.json")),
    ("summary-batch.zh", include_str!("../../tests/notices/summary-batch.zh.json")),
    ("summary.en", include_str!("../../tests/notices/summary.en.json")),
    ("summary.zh", include_str!("../../tests/notices/summary.zh.json")),
];

/// The moment all fixtures are sent at: five minutes after the incident opened.
pub fn now() -> Timestamp {
    "2026-11-23T03:40:00Z".parse().expect("a time")
}

/// One fixture by name.
pub fn notice(name: &str) -> Notice {
    let (_, json) = ALL.iter().find(|(known, _)| *known == name).expect("a fixture of that name");
    serde_json::from_str(json).expect("a notice")
}
