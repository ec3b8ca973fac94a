//! The registry on paper: `docs/analyzers.md` says which kinds and alerts each analyzer serves, and each has its exam.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::alerts::{self, Answer, Subject};
use super::analyzer::{ANALYZERS, Analyzer};
use super::pattern::Pattern;

const FILE: &str = "docs/analyzers.md";
const OPENING: &str = "\
# Analyzers: what each serves · 分析器：各自负责什么

Written from the registry in `src/playbook/analyzer/mod.rs` and the tables of alerts beside it; a test fails when it differs.
Write it anew with `FIRSTLOOK_WRITE_DOCS=1 cargo test --lib playbook::register`.

Every analyzer runs over everything that was read. An alert that asks for it puts its findings first among equals, and has
the kinds under *lists* listed. What the codes mean is told in [causes.md](causes.md).

每个分析器都会检查已读到的全部对象。某个告警点名的分析器，其发现在同等条件下优先，并会列出 *lists* 一栏中的资源类型；各代码的含义见 [causes.md](causes.md)。

| Analyzer | Serves | Lists |
| --- | --- | --- |
";

const ALERTS: &str = "
## Alerts that are known · 已知的告警

*About* says whose the labels are; *when all is well* what healthy objects mean for the alert: that it has passed, or nothing.

| Alert | About | When all is well | Asks |
| --- | --- | --- | --- |
";

/// How a test says that nothing is to be found, or not this.
const QUIET: [&str; 5] = [".is_calm()", "codes().is_empty()", "assert_ne!(", "(!", "is_none()"];

/// The file of an analyzer, or all files of its folder.
fn source(analyzer: &Analyzer) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/playbook/analyzer");
    let file = folder.join(format!("{}.rs", analyzer.name));
    let read = |path: PathBuf| fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if file.exists() {
        return read(file);
    }
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder.join(analyzer.name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(read).collect()
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn page() -> String {
    let mut page = OPENING.to_owned();
    for analyzer in ANALYZERS {
        let _ = writeln!(page, "| `{}` | {} | {} |", analyzer.name, listed(analyzer.serves), listed(analyzer.wants));
    }
    page.push_str(ALERTS);
    for known in alerts::all() {
        let about = match known.subject {
            Subject::Labels => "the objects its labels name".to_owned(),
            Subject::Host => "the machine".to_owned(),
            Subject::Component(pods) => format!("Pods `{pods}` in `kube-system`"),
            Subject::Deployment(name) => format!("Deployment `{name}`, wherever it is"),
            Subject::Job => "whoever is scraped under its `job`".to_owned(),
            Subject::Cluster => "the cluster".to_owned(),
        };
        let well = match known.answer {
            Answer::State => "it has passed",
            Answer::Errors => "it has passed if the logs are clean too",
            Answer::Measurement => "nothing",
            Answer::Nothing(why) => why,
        };
        let _ = writeln!(page, "| `{}` | {about} | {well} | {} |", known.name, listed(known.asks));
    }
    page
}

#[test]
fn the_page_of_analyzers_is_what_the_registry_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os("FIRSTLOOK_WRITE_DOCS").is_some() {
        fs::write(&file, page()).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(page() == written, "run FIRSTLOOK_WRITE_DOCS=1 cargo test --lib playbook::register");
}

#[test]
fn every_analyzer_is_tested_on_its_fault_its_healthy_twin_and_a_near_miss() {
    static TEST: Pattern = Pattern::new(r"(?m)^\s*#\[test\]$");
    for analyzer in ANALYZERS {
        let source = source(analyzer);
        let tests: String = source.split("#[cfg(test)]").skip(1).collect();
        let quiet: usize = QUIET.iter().map(|sign| tests.matches(sign).count()).sum();
        assert!(TEST.all(&tests).len() >= 3, "{} has fewer than three tests", analyzer.name);
        assert!(quiet >= 2, "{} says only {quiet} time(s) when it is quiet", analyzer.name);
    }
}

#[test]
fn every_analyzer_is_registered_once_and_serves_something() {
    let names: BTreeSet<&str> = ANALYZERS.iter().map(|analyzer| analyzer.name).collect();
    assert_eq!(names.len(), ANALYZERS.len());
    assert!(ANALYZERS.iter().all(|analyzer| !analyzer.serves.is_empty()));
}
