//! Secrets that are known by their own shape: keys with a prefix, tokens, URLs that are credentials.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Regex, RegexSet, RegexSetBuilder, SetMatches};

use super::{Redactor, assignment, replace_secrets};

/// Memory for the set of all patterns, per thread that redacts at the same time.
const SET_BYTES: usize = 8 << 20;

/// One shape. The group `s` of the pattern is the secret; what is around it stays, because it tells what it was.
pub(super) struct Rule {
    kind: &'static str,
    pattern: Regex,
    accept: fn(&str) -> bool,
}

impl Rule {
    pub(super) fn apply<'a>(&self, redactor: &Redactor, text: Cow<'a, str>) -> Cow<'a, str> {
        replace_secrets(redactor, text, &self.pattern, self.kind, |_, secret| (self.accept)(secret))
    }
}

/// All shapes, those that span the most text first.
pub(super) fn all() -> &'static [Rule] {
    static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
        // A pattern that does not compile would be a bug that every test of this room shows at once.
        let compile = |&(kind, pattern, accept): &Shape| {
            let pattern = Regex::new(pattern).ok()?;
            Some(Rule { kind, pattern, accept })
        };
        SHAPES.iter().filter_map(compile).collect()
    });
    &RULES
}

/// What a text holds. Most hold nothing, and one pass tells so: ten times faster than asking rule by rule.
pub(super) struct Present(Option<SetMatches>);

/// Looks for all shapes and for names of secrets at once.
pub(super) fn present(text: &str) -> Present {
    static SET: LazyLock<Option<RegexSet>> = LazyLock::new(|| {
        let patterns = SHAPES.iter().map(|(_, pattern, _)| *pattern).chain([assignment::WORD]);
        RegexSetBuilder::new(patterns).size_limit(SET_BYTES).dfa_size_limit(SET_BYTES).build().ok()
    });
    Present(SET.as_ref().map(|set| set.matches(text)))
}

impl Present {
    /// The rules to apply; all of them should the set be missing.
    pub(super) fn shapes(&self) -> impl Iterator<Item = &'static Rule> {
        let found = |index| self.0.as_ref().is_none_or(|matches| matches.matched(index));
        all().iter().enumerate().filter(move |(index, _)| found(*index)).map(|(_, rule)| rule)
    }

    /// Whether a secret's name stands in the text.
    pub(super) fn has_secret_names(&self) -> bool {
        self.0.as_ref().is_none_or(|matches| matches.matched(SHAPES.len()))
    }
}

type Shape = (&'static str, &'static str, fn(&str) -> bool);

fn always(_: &str) -> bool {
    true
}

/// What stands for a value that is put there later, as `$(DB_PASSWORD)` in a Pod, tells nobody anything.
fn is_value(secret: &str) -> bool {
    let name = |from, to| secret.strip_prefix(from).and_then(|rest| rest.strip_suffix(to));
    let name = name("$(", ')').or_else(|| name("${", '}'));
    !name.is_some_and(|name| name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_'))
}

/// Words have no digits; keys nearly always do.
fn has_digit(secret: &str) -> bool {
    secret.bytes().any(|byte| byte.is_ascii_digit())
}

/// Names are lower case; generated keys mix.
fn is_mixed(secret: &str) -> bool {
    has_digit(secret)
        && secret.bytes().any(|byte| byte.is_ascii_uppercase())
        && secret.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// Word boundaries are the ASCII ones: they keep the engine on its fast path in Chinese text.
pub(super) const SHAPES: &[Shape] = &[
    // Keys in PEM, whole or cut off before their end, with line breaks or with `\n`.
    (
        "private_key",
        r"(?P<s>-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:(?:[^-]|-{1,4}[^-])*?-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|[A-Za-z0-9+/=\s\\]*))",
        always,
    ),
    // The same in base64, as kubeconfigs and Secrets hold it. Certificates begin otherwise and are public.
    ("private_key", r"(?P<s>LS0tLS1CRUdJTi(?:BSU0Eg|BQUklW|BFQyBQ|BPUEVO|BFTkNS|BEU0Eg)[A-Za-z0-9+/=]{8,})", always),
    ("jwt", r"(?-u:\b)(?P<s>eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]{4,}){1,4}|eyJhbGciOi[A-Za-z0-9_-]{8,}\.?)", always),
    ("jwt", r"(?-u:\b)(?P<s>ZXlKa[A-Za-z0-9+/]{40,}={0,2})", always),
    // URLs that are credentials.
    ("webhook", r"/open-apis/bot/(?:v2/)?hook/(?P<s>[A-Za-z0-9-]{8,})", always),
    ("webhook", r"/cgi-bin/webhook/(?:send|upload_media)\?[^\s\x22'<>]*?key=(?P<s>[A-Za-z0-9-]{8,})", always),
    ("webhook", r"/robot/send\?[^\s\x22'<>]*?access_token=(?P<s>[A-Za-z0-9-]{8,})", always),
    ("webhook", r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<s>[A-Za-z0-9+/_-]{12,})", always),
    ("webhook", r"discord(?:app)?\.com/api/webhooks/[0-9]+/(?P<s>[A-Za-z0-9_-]{20,})", always),
    ("webhook", r"webhook\.office\.com/webhookb2/(?P<s>[A-Za-z0-9@/_-]{30,})", always),
    ("telegram_token", r"(?-u:\b)(?:bot)?(?P<s>[0-9]{8,10}:AA[A-Za-z0-9_-]{33})", always),
    // The password of a URL, with any `@` it contains; a user name that is a token by itself; Go's MySQL notation.
    ("url_password", r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/?#\x22'<>@:\[]*:(?P<s>[^\s/?#\x22'<>]+)@", is_value),
    ("url_password", r"[A-Za-z][A-Za-z0-9+.-]{1,20}://(?P<s>[A-Za-z0-9_-]{20,})@", has_digit),
    ("url_password", r"(?-u:\b)[A-Za-z0-9_.-]+:(?P<s>[^\s/\x22'<>:]+)@(?:tcp|unix)\(", is_value),
    // Headers, and curl's way of writing them.
    (
        "authorization",
        r#"(?i)(?-u:\b)authorization\\{0,3}["']?\s{0,4}[:=]\s{0,4}\\{0,3}["']?\s{0,4}(?:bearer|basic|token|negotiate|ntlm|apikey|bot)\s+(?P<s>[^\s"'\\,;]{3,})"#,
        always,
    ),
    (
        "authorization",
        r#"(?i)(?-u:\b)authorization\\{0,3}["']?\s{0,4}[:=]\s{0,4}\\{0,3}["']?\s{0,4}(?:digest|hawk|aws4-hmac-sha256)\s+(?P<s>[^\s"'\\][^\r\n'\\]*)"#,
        always,
    ),
    (
        "authorization",
        r#"(?i)(?-u:\b)authorization\\{0,3}["']?\s{0,4}[:=]\s{0,4}\\{0,3}["']?(?P<s>[A-Za-z0-9+/=_.~-]{16,})"#,
        has_digit,
    ),
    ("authorization", r"(?i)(?-u:\b)bearer\s{1,4}(?P<s>[A-Za-z0-9._~+/=-]{16,})", has_digit),
    (
        "cookie",
        r#"(?i)(?-u:\b)(?:set-)?cookie\\{0,3}["']?\s{0,4}:\s{0,4}\\{0,3}["']?(?P<s>[A-Za-z0-9_.-]+=[^\r\n"'\\]+)"#,
        always,
    ),
    (
        "url_password",
        r#"(?-u:\b)curl(?-u:\b)[^\r\n|]{0,2000}?\s(?:-u|--user)[ =]?\s{0,4}["']?[^\s"':]+:(?P<s>[^\s"']+)"#,
        always,
    ),
    // Clouds.
    ("aws_key", r"(?-u:\b)(?P<s>(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16})(?-u:\b)", always),
    ("alibaba_key", r"(?-u:\b)(?P<s>LTAI[A-Za-z0-9]{12,30})(?-u:\b)", always),
    ("tencent_key", r"(?-u:\b)(?P<s>AKID[A-Za-z0-9]{13,40})(?-u:\b)", always),
    ("gcp_key", r"(?-u:\b)(?P<s>AIza[A-Za-z0-9_-]{35})", always),
    ("gcp_token", r"(?-u:\b)(?P<s>ya29\.[A-Za-z0-9_-]{20,})", always),
    ("digitalocean_token", r"(?-u:\b)(?P<s>do[opr]_v1_[a-f0-9]{64})", always),
    // Forges and registries.
    ("github_token", r"(?-u:\b)(?P<s>gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,})", always),
    ("gitlab_token", r"(?-u:\b)(?P<s>gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|imt|oas|ffct)-[A-Za-z0-9_.-]{20,})", always),
    (
        "registry_token",
        r"(?-u:\b)(?P<s>npm_[A-Za-z0-9]{36}|pypi-AgEI[A-Za-z0-9_-]{40,}|dckr_pat_[A-Za-z0-9_-]{20,})",
        always,
    ),
    (
        "registry_auth",
        r#"(?-u:\b)auth\\{0,3}["']?\s{0,4}:\s{0,4}\\{0,3}["']?(?P<s>[A-Za-z0-9+/]{12,}={0,2})\\{0,3}["'\s,}]"#,
        is_mixed,
    ),
    // Chat, models, observability, vaults, payment.
    ("slack_token", r"(?-u:\b)(?P<s>xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[0-9]-[A-Za-z0-9-]{20,})", always),
    (
        "model_key",
        r"(?-u:\b)(?P<s>sk-(?:proj|ant|svcacct|admin|or|lf|kimi)-[A-Za-z0-9_-]{20,}|sk-[A-Za-z0-9]{24,}|(?:gsk|hf|xai|pplx|r8|nvapi)[_-][A-Za-z0-9_-]{30,})",
        always,
    ),
    ("model_key", r"(?-u:\b)(?P<s>[0-9a-f]{32}\.[A-Za-z0-9]{16})(?-u:\b)", is_mixed),
    ("vault_token", r"(?-u:\b)(?P<s>hv[sbr]\.[A-Za-z0-9_-]{20,})", always),
    ("vault_token", r"(?-u:\b)(?P<s>s\.[A-Za-z0-9]{24})(?-u:\b)", is_mixed),
    (
        "grafana_token",
        r"(?-u:\b)(?P<s>glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}|glc_eyJ[A-Za-z0-9+/=_-]{20,}|eyJrIjoi[A-Za-z0-9+/=_-]{20,})",
        always,
    ),
    ("payment_key", r"(?-u:\b)(?P<s>(?:sk|rk|whsec)_(?:live|test)_[A-Za-z0-9]{16,})", always),
    ("mail_key", r"(?-u:\b)(?P<s>SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,})", always),
    ("age_key", r"(?P<s>AGE-SECRET-KEY-1[A-Z0-9]{50,})", always),
];
