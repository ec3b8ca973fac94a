//! Loopback: what a process says, or is told, about listening on its own machine's inner address alone.

use crate::playbook::environment::Variable;
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;

/// A line that says where a process listens: `Listening at: http://127.0.0.1:8000`, `running on localhost:3000`,
/// `listening on IPv4 address "127.0.0.1", port 5432`, `Starting development server at http://127.0.0.1:8000/`.
static INWARD: Pattern = Pattern::new(
    r#"(?i)(?:\b(?:listen(?:ing|s|er)?|expos(?:ed|ing)|running|serving|served|bound|bind(?:ing)?|available|server (?:socket created|started|is up|ready|at)|start(?:ed|ing)? [\w ]{0,30}server)\b|\blocal:)[^\n]{0,80}?(?:^|[^\w.])(127\.0\.0\.1|\[?::1\]?|localhost)["']?(?:(?:,? ?port:? ?|:)(\d{2,5}))?(?:[^\w.]|$)"#,
);
/// A line that says so of any address.
static LISTENS: Pattern = Pattern::new(
    r"(?i)\b(?:listen(?:ing|s|er)?|expos(?:ed|ing)|running|serving|served|bound|bind(?:ing)?|available|server (?:socket created|started|is up|ready|at)|network:|external:)",
);
/// The same where a structured line's address stands before its message: `{"addr":"127.0.0.1:9102","msg":"listening"}`.
static FIELD: Pattern = Pattern::new(
    r#"(?i)\b(?:addr|address|listen|bind|host|url|endpoint)"?[=:]\s*"?(?:https?://|tcp://)?(127\.0\.0\.1|\[?::1\]?|localhost)(?::(\d{2,5}))?(?:[^\w.]|$)"#,
);
/// All addresses, and the port they are listened on where one stands there.
static ANYWHERE: Pattern = Pattern::new(r"(?:\b0\.0\.0\.0|\[::\])(?::(\d{1,5}))?");
/// A setting in the command line: `--bind 127.0.0.1:8000`, `--host=localhost`, `-Dserver.address=127.0.0.1`,
/// `listen_addresses=localhost`, `runserver 127.0.0.1:8000`.
static ARGUMENT: Pattern = Pattern::new(
    r#"(?i)(?:^|\s)(?:-{1,2}(?:d?[\w.]+[.-])?(?:bind|host|hostname|listen|addr|address|bind[_-]?(?:addr|address|ip)|listen[_-]?(?:addr|address|host)|http[_-]?(?:addr|address)|listen[_-]\w+[_-]urls?|ip|b|h)|(?:-c )?listen_addresses|runserver)[= ]+["']?(?:https?://|tcp://)?(127\.0\.0\.1|\[?::1\]?|localhost)(?::(\d{2,5}))?["']?(?:\s|/|$)"#,
);
/// A variable that can only mean the process's own address; `DB_HOST` means another's.
static OWN: Pattern = Pattern::new(
    r"^(?i)(?:(?:app|server|http|https|web|api|grpc|service|uvicorn|flask_run|gunicorn|node|nuxt|nitro|next|vite|aspnetcore|kestrel|listen|bind|rails|puma|rocket)[_.])*(?:host|hostname|bind|binding|bind_?(?:addr|address|host|ip)|listen|listen_?(?:addr|address|host|on)|addr|address|urls|ip)$",
);
static VALUE: Pattern =
    Pattern::new(r"(?i)^(?:https?://|tcp://)?(?:127\.0\.0\.1|\[?::1\]?|localhost)(?::(\d{2,5}))?/?$");
/// A line of a configuration file: `bind 127.0.0.1`, `listen_addresses = 'localhost'`, `listen 127.0.0.1:8080;`,
/// `server.address: 127.0.0.1`.
static SETTING: Pattern = Pattern::new(
    r#"(?i)^\s*-?\s*"?(?:bind|listen|listen_addresses|bind[_-]?(?:addr|address|ip|host)|listen[_-]?(?:addr|address|host|on)|http[_-]?(?:addr|address)|(?:server|network|http|web)\.(?:address|host|listen))"?\s*[:= ]\s*["']?(?:https?://|tcp://)?(?:127\.0\.0\.1|\[?::1\]?|localhost)(?::(\d{2,5}))?["']?\s*(?:-?::1)?\s*[;,]?\s*(?:#.*)?$"#,
);
/// A key that may mean an address of the process's own or of another's: the port that stands there decides.
static KEY: Pattern = Pattern::new(
    r"(?i)^[\w.-]*(?:bind|listen|addr|address|host|endpoint|metrics|prometheus|telemetry|exporter)[\w.-]*$",
);
/// A key that means another's address, or where something is sent.
static OTHERS: Pattern = Pattern::new(
    r"(?i)(?:^|[_.-])(?:target|upstream|remote|backend|proxy|client|push|gateway|statsd|collector|db|database|redis|broker)",
);
/// A line of a file or of variables that gives a key a loopback address: `metrics_addr = "127.0.0.1:9102"`.
static GIVEN: Pattern = Pattern::new(
    r#"(?i)^\s*-?\s*"?([\w.-]+)"?\s*[:= ]\s*["']?(?:https?://|tcp://)?(?:127\.0\.0\.1|\[?::1\]?|localhost)(?::(\d{2,5}))?(?:/[\w/]*)?["']?\s*[;,]?\s*(?:#.*)?$"#,
);
/// A line that gives a port alone: `port: 9102`, `management.server.port=9102`.
static PORT: Pattern = Pattern::new(r#"(?i)^\s*"?(?:[\w.-]*[._-])?port"?\s*[:=]\s*["']?(\d{2,5})["']?\s*,?\s*$"#);
/// How many lines around an address its port may stand in.
const AROUND: usize = 2;

/// Where a process listens inwards: the words that say so, and the port where they name one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inward<'a> {
    /// The line, the argument or the value.
    pub words: &'a str,
    /// The port.
    pub port: Option<i32>,
    /// Whether the address stands there in figures; "localhost" is also what programs print that listen everywhere.
    pub is_exact: bool,
}

impl<'a> Inward<'a> {
    fn new(words: &'a str, port: Option<&str>) -> Self {
        let is_exact = words.contains("127.0.0.1") || words.contains("::1");
        Self { words, port: port.and_then(|port| port.parse().ok()), is_exact }
    }

    fn may_mean(&self, port: i32) -> bool {
        self.port.is_none_or(|own| own == port)
    }
}

/// The line of a log that says that a port is listened on inwards, where no line says that it is reached from outside.
#[must_use]
pub fn told(text: &str, port: i32) -> Option<Inward<'_>> {
    let mut found: Option<Inward<'_>> = None;
    for line in text.lines().filter(|line| !logs::instructs(line) && !logs::is_error(line)) {
        let by_field = || FIELD.groups(line).filter(|_| LISTENS.hits(line));
        match INWARD.groups(line).or_else(by_field) {
            Some(groups) => {
                let said = Inward::new(line.trim(), groups.get(2).map(|port| port.as_str()));
                found = found.or(Some(said).filter(|said| said.may_mean(port)));
            }
            None if is_outward(line, port) => return None,
            None => {}
        }
    }
    found
}

/// Whether a line says that a port is listened on at an address that is not the inner one.
fn is_outward(line: &str, port: i32) -> bool {
    let by_socket = line.contains("socket \"/") || line.contains("unix:");
    let anywhere =
        ANYWHERE.all(line).iter().any(|found| found.get(1).is_none_or(|own| own.as_str() == port.to_string()));
    let port = port.to_string();
    let names = line.match_indices(&port).any(|(at, _)| {
        let around = (line[..at].chars().next_back(), line[at + port.len()..].chars().next());
        !around.0.is_some_and(|letter| letter.is_ascii_digit()) && !around.1.is_some_and(|it| it.is_ascii_digit())
    });
    LISTENS.hits(line) && !by_socket && (names || anywhere)
}

/// The setting of a command line that makes the process listen inwards.
#[must_use]
pub fn in_arguments(line: &str, port: i32) -> Option<(String, Option<i32>)> {
    let groups = ARGUMENT.groups(line)?;
    let own: Option<i32> = groups.get(2).and_then(|port| port.as_str().parse().ok());
    own.is_none_or(|own| own == port).then(|| (groups[0].trim().to_owned(), own))
}

/// The variable that makes the process listen inwards.
#[must_use]
pub fn in_variable<'a>(variable: &Variable<'a>, port: i32) -> Option<Inward<'a>> {
    named_value(variable.name, variable.value, port)
}

/// The same of a key of a ConfigMap that is taken as a variable.
#[must_use]
pub fn named_value<'a>(name: &str, value: &'a str, port: i32) -> Option<Inward<'a>> {
    let groups = VALUE.groups(value.trim())?;
    let set = Inward::new(value.trim(), groups.get(1).map(|port| port.as_str()));
    let is_own = OWN.hits(name) || (set.port == Some(port) && may_be_own(name));
    Some(set).filter(|it| is_own && it.may_mean(port))
}

/// The line of a configuration file that makes the process listen inwards.
#[must_use]
pub fn in_file(text: &str, port: i32) -> Option<Inward<'_>> {
    let by_setting = text.lines().find_map(|line| {
        let groups = SETTING.groups(line)?;
        Some(Inward::new(line.trim(), groups.get(1).map(|port| port.as_str()))).filter(|it| it.may_mean(port))
    });
    by_setting.or_else(|| by_port(text, port))
}

/// The line of a file that gives a loopback address, and the very port, to a key that may be about the process itself: nobody
/// calls a port of his own by a setting.
fn by_port(text: &str, port: i32) -> Option<Inward<'_>> {
    let lines: Vec<&str> = text.lines().collect();
    let is_port = |line: &&str| PORT.group(line, 1).is_some_and(|own| own.parse() == Ok(port));
    (0..lines.len()).find_map(|at| {
        let groups = GIVEN.groups(lines[at])?;
        let set = Inward::new(lines[at].trim(), groups.get(2).map(|port| port.as_str()));
        let near = &lines[at.saturating_sub(AROUND)..lines.len().min(at + AROUND + 1)];
        let meant = set.port == Some(port) || (set.port.is_none() && near.iter().any(is_port));
        (meant && may_be_own(&groups[1])).then_some(set)
    })
}

fn may_be_own(key: &str) -> bool {
    KEY.hits(key) && !OTHERS.hits(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_servers_say_where_they_listen() {
        for (line, port) in [
            ("[2026-11-25 02:01:37 +0000] [1] [INFO] Listening at: http://127.0.0.1:8000 (1)", 8000),
            ("INFO:     Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)", 8000),
            (" * Running on http://127.0.0.1:5000", 5000),
            ("Server listening on localhost:3000", 3000),
            ("* Listening on http://127.0.0.1:3000", 3000),
            ("Starting development server at http://127.0.0.1:8000/", 8000),
            ("2026-11-23 LOG:  listening on IPv4 address \"127.0.0.1\", port 5432", 5432),
            ("{\"level\":\"info\",\"msg\":\"listening\",\"addr\":\"127.0.0.1:8080\"}", 8080),
            ("[Server] Server socket created on IP: '127.0.0.1'.", 3306),
            ("Now listening on: http://localhost:5000", 5000),
            ("  > Local: http://localhost:5173/", 5173),
            ("server running at http://[::1]:9000", 9000),
            (r#"{"level":"info","msg":"listener up","name":"metrics","addr":"127.0.0.1:9102"}"#, 9102),
            (r#"{"addr":"127.0.0.1:9102","level":"info","msg":"listening"}"#, 9102),
            ("INFO starting metrics server addr=127.0.0.1:8081", 8081),
            ("Exposing metrics at http://localhost:9102/metrics", 9102),
        ] {
            let said = told(line, port).unwrap_or_else(|| panic!("{line}"));
            assert!(said.port.is_none_or(|own| own == port), "{line}");
        }
    }

    #[test]
    fn what_is_reached_from_outside_too_and_what_others_listen_on_is_not_meant() {
        let flask = " * Running on all addresses (0.0.0.0)\n * Running on http://127.0.0.1:5000\n * Running on http://10.244.1.5:5000";
        assert_eq!(told(flask, 5000), None);
        assert_eq!(told("admin listening on 127.0.0.1:9901", 8080), None, "another port");
        assert_eq!(told("listening on port 3000\nLocal: http://localhost:3000", 3000), None, "nobody can say");
        assert_eq!(told("INFO connected to postgres at localhost:5432", 5432), None);
        assert_eq!(told("Listening at: http://0.0.0.0:8000", 8000), None);
        let two = "listening on 127.0.0.1:9102\nlistening on 0.0.0.0:8080";
        assert!(told(two, 9102).is_some_and(|said| said.port == Some(9102)), "each port has a listener of its own");
        assert_eq!(told(two, 8080), None);
        assert_eq!(told(r#"{"addr":"127.0.0.1:5432","msg":"connected"}"#, 5432), None);
        let postgres = "LOG:  listening on IPv4 address \"127.0.0.1\", port 5432\nLOG:  listening on Unix socket \"/run/.s.PGSQL.5432\"";
        assert!(told(postgres, 5432).is_some_and(|said| said.is_exact));
    }

    #[test]
    fn settings_of_a_process_of_its_own_are_told_from_those_of_others() {
        for (line, port) in [
            ("gunicorn --bind 127.0.0.1:8000 app:app", 8000),
            ("uvicorn main:app --host=localhost", 8000),
            ("java -Dserver.address=127.0.0.1 -jar app.jar", 8080),
            ("java -jar app.jar --server.address=127.0.0.1", 8080),
            ("postgres -c listen_addresses=localhost", 5432),
            ("manage.py runserver 127.0.0.1:8000", 8000),
            ("prometheus --web.listen-address=127.0.0.1:9090", 9090),
            ("redis-server --bind 127.0.0.1", 6379),
            ("manager --metrics-bind-address=127.0.0.1:8080", 8080),
            ("etcd --listen-metrics-urls=http://127.0.0.1:2381", 2381),
        ] {
            assert!(in_arguments(line, port).is_some(), "{line}");
        }
        assert_eq!(in_arguments("app --host 0.0.0.0", 80), None);
        assert_eq!(in_arguments("app --bind 127.0.0.1:9000", 8000), None);
        assert_eq!(in_arguments("app --redis-host localhost.localdomain", 8000), None);
        let of = |name: &str, value: &str| named_value(name, value, 8080).is_some();
        assert!(of("HOST", "127.0.0.1") && of("SERVER_ADDRESS", "localhost") && of("LISTEN_ADDR", "127.0.0.1:8080"));
        assert!(of("METRICS_ADDR", "127.0.0.1:8080") && !of("METRICS_ADDR", "127.0.0.1:8125"));
        assert!(!of("METRICS_PUSH_ADDR", "127.0.0.1:8080") && !of("METRICS_HOST", "127.0.0.1"));
        assert!(!of("DB_HOST", "127.0.0.1") && !of("HOST", "0.0.0.0") && !of("LISTEN_ADDR", "127.0.0.1:9000"));
    }

    #[test]
    fn files_say_it_in_a_line_of_their_own() {
        for (line, port) in [
            ("bind 127.0.0.1", 6379),
            ("bind 127.0.0.1 -::1", 6379),
            ("listen_addresses = 'localhost'   # what IP address(es) to listen on", 5432),
            ("    listen 127.0.0.1:8080;", 8080),
            ("server.address: 127.0.0.1", 8080),
            ("network.host: 127.0.0.1", 9200),
            ("bind-address = 127.0.0.1", 3306),
        ] {
            assert!(in_file(line, port).is_some(), "{line}");
        }
        for text in [
            "metrics:\n  address: 127.0.0.1:9102\n  path: /metrics",
            "metricsBindAddress: 127.0.0.1:9102",
            "[metrics]\nprometheus_addr = \"localhost:9102\"",
            "management.server.port=9102\nmanagement.server.address=127.0.0.1",
            "\"metrics\": {\n  \"host\": \"127.0.0.1\",\n  \"port\": 9102\n}",
        ] {
            assert!(in_file(text, 9102).is_some(), "{text}");
            assert_eq!(in_file(text, 8080), None, "another port: {text}");
        }
        for text in
            ["upstream_host: 127.0.0.1:9102", "metrics:\n  address: 0.0.0.0:9102", "statsd.host: 127.0.0.1:9102"]
        {
            assert_eq!(in_file(text, 9102), None, "{text}");
        }
        for line in ["# bind 127.0.0.1", "bind 0.0.0.0", "bind 127.0.0.1 10.0.0.1", "listen 127.0.0.1:8081;"] {
            assert_eq!(in_file(line, 8080), None, "{line}");
        }
    }

    #[test]
    fn every_pattern_compiles() {
        for pattern in
            [&INWARD, &LISTENS, &FIELD, &ANYWHERE, &ARGUMENT, &OWN, &VALUE, &SETTING, &KEY, &OTHERS, &GIVEN, &PORT]
        {
            assert!(pattern.compiles());
        }
    }
}
