//! Prelude: what a process complained of before its last words, where these only say that it gave up. The first cause is
//! often told as a warning, or as one of several tries.

use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::trace;

/// How many lines before the last words are looked at.
const NEAR: usize = 12;
/// How many lines before a wrapper are looked at: its own trace stands between.
const WRAPPED: usize = 120;
/// The shortest word by which two lines are seen to speak of one thing, in letters.
const WORD: usize = 4;

/// Words that say that something came to nothing, and not why.
static OUTCOME: Pattern = Pattern::new(
    r"(?i)\b(?:giv(?:e|es|ing|en) up|gave up|unavailable|not (?:ready|available|reachable|healthy)|unreachable|(?:start(?:up|ing)?|boot(?:strap)?|initiali[sz]ation|init|connect(?:ion|ing)?|health ?check|dependency) (?:\w+ )?(?:failed|failure|aborted|error)|(?:failed|failure|unable|could not|cannot|can't|couldn't) (?:to )?(?:start|boot|initiali[sz]e|connect|reach)|(?:retries|attempts) (?:exhausted|exceeded|failed)|max(?:imum)? (?:number of )?(?:retries|attempts)|too many (?:attempts|retries|failures)|after \d+ (?:attempts|retries|tries|failures)|exiting|aborting|aborted|shutting down)\b|放弃|启动失败|不可用|连接失败|连接不上|重试(?:次数)?(?:耗尽|均?失败)|退出",
);
/// How Spring and Hibernate say that they could not begin, whatever the reason: the wrappers of somebody else's failure.
static WRAPPER: Pattern = Pattern::new(
    r"Unable to build Hibernate SessionFactory|Error creating bean with name|Unsatisfied dependency expressed through|Failed to initialize JPA EntityManagerFactory|Application run failed|Unable to start (?:embedded )?(?:web server|Tomcat)|Exception encountered during context initialization|Failed to load ApplicationContext|Unable to determine Dialect without JDBC metadata|Access to DialectResolutionInfo cannot be null|Invocation of init method failed$",
);
/// Words that say how something failed.
static HOW: Pattern = Pattern::new(
    r"(?i)\b(?:no such|not found|not known|refused|denied|timed? ?out|deadline exceeded|no route|unreachable|invalid|unknown|unsupported|mismatch|malformed|expired|x509|forbidden|unauthorized|not set|missing|required|resolv(?:e|ing|ed)|resolution|nxdomain|misbehaving|wrong|enoent|enotfound|eai_\w+|econn\w+|etimedout|ehostunreach)\b|解析失败|无法解析|拒绝|超时|不存在|未找到|无效",
);
/// Words of a complaint that was no obstacle.
static SURVIVED: Pattern = Pattern::new(
    r"(?i)\b(?:continuing|ignor(?:ed|ing)|non-fatal|optional|using defaults?|default(?:s|ing) (?:to|used)|fallback|falling back|skipp(?:ed|ing)|deprecated|disabled|0 errors?|no errors?|without error)\b|忽略|已跳过|默认",
);
/// Words of one try among several.
static TRY: Pattern = Pattern::new(
    r"(?i)\b(?:retry(?:ing)?|retries|attempt(?:s|ed)?|try(?:ing)? again|backing off|backoff)\b|重试|第 ?\d+ ?次",
);
/// What points at an object: something in quotes or brackets, a path, a field, a name with parts.
static OBJECT: Pattern = Pattern::new(r#"["'`/=\[]|\w[.:@_-]\w"#);
/// Words that any two lines of a log may share.
const COMMON: [&str; 20] = [
    "error",
    "fatal",
    "warn",
    "warning",
    "info",
    "failed",
    "failure",
    "giving",
    "after",
    "attempt",
    "attempts",
    "retries",
    "retrying",
    "exiting",
    "unavailable",
    "reachable",
    "could",
    "cannot",
    "with",
    "from",
];

/// Whether a line only says that something came to nothing: neither how, nor of what.
#[must_use]
pub fn is_vague(line: &str) -> bool {
    OUTCOME.hits(line) && !tells_why(line)
}

/// Whether a line says how something failed, and what it was.
fn tells_why(line: &str) -> bool {
    let said = logs::said(line);
    HOW.hits(&said) && OBJECT.hits(&said)
}

/// Whether a line has a word for how something failed.
pub(super) fn says_how(line: &str) -> bool {
    HOW.hits(&logs::said(line))
}

/// The line that led to last words which only say that something came to nothing, at whatever level it was told: one that
/// speaks of the same thing before one of several tries, and either before any other; the first of its like.
#[must_use]
pub fn leading<'a>(lines: &[&'a str], last: &str) -> Option<&'a str> {
    let panics = is_bare_panic(last);
    if !is_vague(last) && !panics {
        return None;
    }
    let at = lines.iter().rposition(|line| std::ptr::eq(*line, last))?;
    let near = &lines[at.saturating_sub(NEAR)..at];
    let told: Vec<&str> = near.iter().copied().filter(|line| is_lead(line)).collect();
    let of_the_same = told.iter().find(|line| share_a_word(line, last));
    // Words that say how, and not of what, are of something else than a line that does not speak of the same.
    let other = || told.iter().find(|line| TRY.hits(line)).or(told.first()).filter(|_| !HOW.hits(last) && !panics);
    of_the_same.or_else(other).copied()
}

/// Whether a line is a panic of Go's that a program called itself, without saying how what it names failed.
fn is_bare_panic(line: &str) -> bool {
    line.starts_with("panic: ") && !line.starts_with("panic: runtime error") && !tells_why(line)
}

/// The first complaint before a framework's wrapper that names no cause of its own: whatever it could not begin over.
#[must_use]
pub fn wrapped<'a>(lines: &[&'a str], line: &str) -> Option<&'a str> {
    if !is_wrapper(line) {
        return None;
    }
    let at = lines.iter().rposition(|known| std::ptr::eq(*known, line))?;
    let mut before = lines[at.saturating_sub(WRAPPED)..at].iter().copied();
    let complains =
        |line: &&str| (logs::is_error(line) || logs::is_warning(line)) && is_lead(line) && !is_wrapper(line);
    before.rfind(complains)
}

/// Whether a line says no more than that a framework could not begin.
pub(super) fn is_wrapper(line: &str) -> bool {
    WRAPPER.hits(line) && WRAPPER.hits(&logs::said(line))
}

fn is_lead(line: &str) -> bool {
    !SURVIVED.hits(line) && !trace::is_frame(line) && tells_why(line)
}

fn share_a_word(line: &str, other: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        let said = logs::said(text).to_lowercase();
        let words = said.split(|letter: char| !letter.is_alphanumeric());
        let speaks = |word: &&str| word.chars().filter(|it| it.is_alphabetic()).count() >= WORD;
        words.filter(speaks).filter(|word| !COMMON.contains(word)).map(str::to_owned).collect()
    };
    let theirs = words(other);
    words(line).iter().any(|word| theirs.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playbook::logs::culprit;

    #[test]
    fn every_pattern_compiles() {
        for pattern in [&OUTCOME, &WRAPPER, &HOW, &SURVIVED, &TRY, &OBJECT] {
            assert!(pattern.compiles());
        }
    }

    #[test]
    fn the_first_cause_is_found_whatever_its_level() {
        let why = "lookup pg-mian on 10.96.0.10:53: no such host";
        for (before, last) in [
            (
                format!("WARN database not reachable attempt=1/3 error=\"{why}\""),
                "FATAL giving up: database unavailable",
            ),
            (format!("INFO retrying in 2s: {why}"), "FATAL startup failed"),
            (format!("ERROR attempt 1/3 failed: {why}, retrying"), "FATAL cannot start: database unavailable"),
            (
                format!("{{\"level\":\"warn\",\"msg\":\"ping failed\",\"err\":\"{why}\"}}"),
                "{\"level\":\"fatal\",\"msg\":\"giving up\"}",
            ),
            (format!("[WARN] 数据库连接失败，第 1 次重试: {why}"), "ERROR 数据库不可用，退出"),
        ] {
            let log = format!("INFO starting\n{before}\nINFO waiting\n{before}\n{last}\n");
            assert!(culprit(&log).is_some_and(|line| line.contains(why)), "{log}: {:?}", culprit(&log));
        }
    }

    #[test]
    fn a_trace_that_only_gives_up_is_explained_by_what_was_tried() {
        let log = "WARN try 2/3: connect to redis-a:6379: Name or service not known\nTraceback (most recent call last):\n  File \"a.py\", line 1, in main\nRuntimeError: giving up after 3 attempts\n";
        assert!(culprit(log).is_some_and(|line| line.contains("redis-a")), "{:?}", culprit(log));
    }

    #[test]
    fn a_panic_of_a_programs_own_is_explained_by_the_error_it_logged_of_the_same() {
        let why = "level=ERROR msg=\"Error opening query log file\" err=\"open /prometheus/queries.active: permission denied\"";
        let trace = "\n\ngoroutine 1 [running]:\nmain.main()\n\t/app/main.go:840 +0x8a75\n";
        let log = format!("level=INFO msg=starting\n{why}\npanic: Unable to create mmap-ed active query log{trace}");
        assert_eq!(culprit(&log), Some(why));
        for last in ["panic: assignment to entry in nil map", "panic: runtime error: slice bounds out of range [:3]"] {
            assert_eq!(culprit(&format!("{why}\n{last}{trace}")), Some(last), "it speaks of something else");
        }
    }

    #[test]
    fn last_words_that_say_why_stand_for_themselves() {
        let noise = "WARN tracing: lookup collector.obs.svc on 10.96.0.10:53: no such host\n";
        for last in [
            "FATAL cannot open /data/index: permission denied, exiting",
            "FATAL database unavailable: dial tcp 10.0.0.7:5432: connect: connection refused",
            "panic: runtime error: index out of range [3]",
            "ERROR config: TOKEN is not set",
            "ERROR could not connect to the database: timed out",
        ] {
            assert_eq!(culprit(&format!("{noise}{last}\n")), Some(last));
        }
    }

    #[test]
    fn what_was_no_obstacle_or_lies_far_back_led_to_nothing() {
        let last = "FATAL giving up";
        let ignored = "WARN /etc/app/extra.yaml not found, using defaults\n";
        assert_eq!(culprit(&format!("{ignored}{last}\n")), Some(last));
        let far = format!("WARN lookup pg.a.svc: no such host\n{}{last}\n", "INFO served\n".repeat(20));
        assert_eq!(culprit(&far), Some(last));
    }

    #[test]
    fn of_several_complaints_the_one_about_the_same_thing_counts() {
        let log = "WARN exporter: lookup otel.obs.svc: no such host\nWARN database not reachable: lookup pg-mian: no such host\nFATAL database unavailable\n";
        assert!(culprit(log).is_some_and(|line| line.contains("pg-mian")));
    }
}
