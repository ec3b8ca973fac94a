//! Hosts: the places a line of a log names, in the words of the clients people use.

use crate::playbook::pattern::Pattern;
use crate::playbook::{awaited, logs, present, record};

/// How likely the word is to be where a call was meant to go, the likeliest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// The host of a URL, or a name that stands beside its address.
    Named,
    /// Before a port.
    WithPort,
    /// After a word that announces it.
    Announced,
}

/// A host stands in a URL (1), as Java's sockets print it (`db/10.96.0.7:5432`, `db/<unresolved>:5432`; 2 and 3), before a
/// port (4; Prisma quotes both, gRPC and librdkafka say what it is of) with its name behind it as pgx has it (5), or after a
/// word that announces it (6, its address 7; a name with parts 8).
static HOST: Pattern = Pattern::new(concat!(
    r#"(?i)://(?:[^/\s@"']*@)?([a-z0-9][a-z0-9.-]*[a-z0-9])"#,
    r#"|(?:^|["'`\s=(@,<\[{|])([a-z0-9][a-z0-9.-]*[a-z0-9])/(?:<unresolved>|(\d{1,3}(?:\.\d{1,3}){3})):\d{1,5}\b"#,
    r#"|(?:^|["'`\s=(@/,<\[{|#])(?:(?:ipv[46]|dns|thrd):)?([a-z0-9][a-z0-9.-]*[a-z0-9])`?:`?\d{1,5}\b(?: \(([a-z0-9][a-z0-9.-]*[a-z0-9])\))?"#,
    r#"|\b(?:lookup|host name|unknown mysql server host|unknown host|host|enotfound|eai_again"#,
    r#"|resolve(?: remote)?(?: host(?:name)?| server| name)?(?: address)?|can't find|bad address"#,
    r#"|connect(?:ing)? to(?: remote)?(?:(?: \w+)? (?:server|host)(?: (?:on|at))?)?"#,
    r#"|(?:unknownhost)?exception:(?: failed to resolve)?"#,
    r#"|found in upstream|getaddrinfo for|server at)[:\s=]+["'`(‘“]?(?:host=)?([a-z0-9][a-z0-9.-]*[a-z0-9])(?:/(\d{1,3}(?:\.\d{1,3}){3}):)?"#,
    r#"|\bconnection to ["'`]?([a-z0-9][a-z0-9-]*\.[a-z0-9.-]*[a-z0-9])"#,
));
/// Places of a line that are looked at: a log is anybody's, and no call has more destinations.
const MOST: usize = 64;
/// What each group of [`HOST`] is.
const GROUPS: [(usize, Rank); 8] = [
    (1, Rank::Named),
    (2, Rank::Named),
    (3, Rank::WithPort),
    (5, Rank::Named),
    (4, Rank::WithPort),
    (6, Rank::Announced),
    (7, Rank::WithPort),
    (8, Rank::Announced),
];
/// A Service by its name inside the cluster, wherever it stands.
static INSIDE: Pattern = Pattern::new(r"(?i)\b([a-z][a-z0-9-]*\.[a-z][a-z0-9-]*\.svc(?:\.cluster\.local)?)\b");
/// The beginning of a time up to its hours, which a colon follows as it follows a host: `2026-11-23T02`, `02`.
static TIME: Pattern = Pattern::new(r"^(?:\d{4}-\d\d-\d\dt)?\d\d$");

/// A line that names whom an error is about, as clients print it below.
static LABELLED: Pattern = Pattern::new(
    r"(?i)^\s*(?:(?:request|target|remote|peer|upstream|server)[_ ]?)?(?:url|uri|host|endpoint|address|addr|peer|upstream|server|target)\s*[:=]\s*\S",
);

/// Words after "could not resolve" that are no names of hosts: build tools and frameworks resolve other things.
const NO_HOSTS: [&str; 9] =
    ["placeholder", "all", "dependency", "dependencies", "module", "import", "reference", "the", "type"];

/// Words of sentences about hosts, which stand where a host may: `connect to server`, `host is`, `port:5432`.
const WORDS: [&str; 55] = [
    "a",
    "address",
    "addresses",
    "an",
    "any",
    "at",
    "backend",
    "broker",
    "brokers",
    "cluster",
    "connection",
    "database",
    "endpoint",
    "error",
    "errors",
    "expired",
    "fail",
    "failed",
    "failing",
    "fails",
    "failure",
    "for",
    "has",
    "host",
    "hostname",
    "hostnames",
    "in",
    "ipv4",
    "ipv6",
    "is",
    "local",
    "name",
    "names",
    "node",
    "not",
    "on",
    "port",
    "refused",
    "remote",
    "request",
    "requests",
    "result",
    "returned",
    "server",
    "servers",
    "service",
    "socket",
    "timed",
    "timeout",
    "to",
    "took",
    "upstream",
    "user",
    "was",
    "with",
];

/// Whether a word is the name of a source file, which loggers print with a line's number behind it.
#[must_use]
pub fn is_source_file(word: &str) -> bool {
    const ENDINGS: [&str; 14] =
        ["go", "py", "js", "ts", "rs", "rb", "php", "java", "kt", "cs", "cc", "cpp", "scala", "sh"];
    word.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&ending))
}

/// The hosts a line names: those of URLs first, then those with a port, then those a word announces.
#[must_use]
pub fn hosts(line: &str) -> Vec<String> {
    let mut hosts: Vec<(Rank, String)> = Vec::new();
    let explained: Vec<_> = EXPLAINED.all(line).iter().filter_map(|found| Some(found.get(0)?.range())).collect();
    for found in HOST.all(line).into_iter().take(MOST) {
        for (group, rank) in GROUPS {
            let Some(word) = found.get(group) else { continue };
            if explained.iter().any(|link| link.contains(&word.start())) {
                continue;
            }
            // A name that its address follows, or that is said to be the host, is no mere word.
            let is_sure = found.get(7).is_some() || line[..word.start()].ends_with("host=");
            let rank = if group == 6 && is_sure { Rank::Named } else { rank };
            let host = word.as_str().to_ascii_lowercase();
            // "Unable to connect to Redis" names a product.
            if rank == Rank::Announced && is_proper_name(word.as_str()) {
                continue;
            }
            let known = hosts.iter().any(|(_, known)| *known == host);
            if !known && is_host(line, &host, rank, &line[word.end()..]) {
                hosts.push((rank, host));
            }
        }
    }
    // What is awaited may be no host at all: it comes after those that surely are.
    let said = awaited::host(line).filter(|host| !hosts.iter().any(|(_, known)| known == host));
    hosts.extend(said.map(|host| (Rank::Announced, host)));
    if hosts.is_empty() {
        let inside = INSIDE.all(line);
        hosts
            .extend(inside.iter().filter_map(|found| Some((Rank::Named, found.get(1)?.as_str().to_ascii_lowercase()))));
    }
    hosts.sort_by_key(|(rank, _)| *rank);
    hosts.into_iter().map(|(_, host)| host).collect()
}

/// Where an error is explained for people: a link to documentation is nothing the process called.
static EXPLAINED: Pattern = Pattern::new(
    r"(?i)\b(?:background on this error|documentation|(?:for )?more (?:information|info|details?|help)|see|refer to|visit)\b[^.;()]{0,30}?\bhttps?://\S+",
);

/// Lines on either side of an error that may belong to its record.
const RECORD: usize = 15;

/// The hosts that the record of an error names in a line of its own: `url: http://ledger/entries` below a traceback.
pub(super) fn of_record(text: &str, line: &str) -> Vec<String> {
    let Some(at) = present::offset(text, line) else { return Vec::new() };
    let (above, below) = (text[..at].lines().rev(), text[at + line.len()..].lines().skip(1));
    let is_record = |line: &&str| record::is_record(line);
    // A line that a logger began is the beginning of its record.
    let above: Vec<&str> = above.take(RECORD).take_while(|_| !record::is_record(line)).collect();
    let Some(begins) = above.iter().position(is_record).or_else(|| record::is_record(line).then_some(0)) else {
        return Vec::new();
    };
    let below: Vec<&str> = below.take(RECORD).take_while(|line| !record::is_record(line)).collect();
    let told = below.iter().chain(&above[..begins]).filter(|line| LABELLED.hits(line) && !logs::instructs(line));
    told.map(|line| hosts(line)).find(|hosts| !hosts.is_empty()).unwrap_or_default()
}

fn is_host(line: &str, host: &str, rank: Rank, rest: &str) -> bool {
    // The resolver that was asked is not the destination.
    let is_resolver = || line.contains(&format!("{host}:53:")) || line.ends_with(&format!("{host}:53"));
    let is_word = TIME.hits(host) || NO_HOSTS.contains(&host) || (rank > Rank::Named && WORDS.contains(&host));
    // `kafka.go:91` is where a line was logged; what `://` follows is how a host is spoken to.
    let is_file = rank == Rank::WithPort && is_source_file(host);
    let is_scheme = rank == Rank::Announced && rest.starts_with("://");
    !is_word && !is_file && !is_scheme && !is_resolver()
}

/// Whether a word is written as names of products are, and hosts are not: `Redis`, `MySQL`.
fn is_proper_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_uppercase())
        && word.chars().all(|letter| letter.is_ascii_alphabetic())
        && word.chars().any(|letter| letter.is_ascii_lowercase())
}

/// Whether a word is one of a sentence, and no host that it announces.
pub(super) fn is_word(host: &str) -> bool {
    NO_HOSTS.contains(&host) || WORDS.contains(&host)
}

/// Whether a host is the machine itself.
#[must_use]
pub fn is_local(host: &str) -> bool {
    host == "localhost" || host == "0.0.0.0" || host.starts_with("127.")
}

/// Whether a word is an address.
#[must_use]
pub fn is_address(host: &str) -> bool {
    host.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_explains_an_error_is_no_host_that_was_called() {
        let line = "sqlalchemy.exc.TimeoutError: QueuePool limit of size 2 overflow 0 reached, connection timed out, timeout 30.00 (Background on this error at: https://sqlalche.me/e/20/3o7r)";
        assert!(hosts(line).is_empty(), "{:?}", hosts(line));
        assert!(hosts("login failed, see https://aka.example/help for details").is_empty());
        assert_eq!(hosts("read https://ledger/entries: connection reset by peer"), ["ledger"]);
    }

    #[test]
    fn every_pattern_compiles() {
        for pattern in [&HOST, &INSIDE, &TIME, &LABELLED] {
            assert!(pattern.compiles());
        }
    }

    #[test]
    fn a_product_is_no_host_and_a_host_beside_it_is() {
        assert!(hosts("RedisConnectionFailureException: Unable to connect to Redis").is_empty());
        assert_eq!(hosts("Unable to connect to redis"), ["redis"]);
        let both = "Unable to connect to Redis: java.net.UnknownHostException: cache.shop.svc";
        assert_eq!(hosts(both), ["cache.shop.svc"]);
        assert_eq!(hosts("cannot connect to DBSRV1"), ["dbsrv1"]);
    }

    #[test]
    fn words_of_a_sentence_about_names_are_no_hosts() {
        for line in [
            "ssh: Could not resolve hostname git.old.lab.internal: Name or service not known",
            "curl: (6) Could not resolve host: git.old.lab.internal",
            "wget: unable to resolve host address 'git.old.lab.internal'",
            "could not translate host name \"git.old.lab.internal\" to address: Temporary failure in name resolution",
        ] {
            assert_eq!(hosts(line), ["git.old.lab.internal"], "{line}");
        }
        for line in ["ERROR lookup failed", "ERROR connect to server timed out", "ERROR host refused"] {
            assert!(hosts(line).is_empty(), "{line}: {:?}", hosts(line));
        }
    }

    #[test]
    fn the_record_of_an_error_names_its_host_below() {
        let record = "2026-11-26 13:20:33,034 ERROR build failed account=4420\n  Traceback (most recent call last):\n    File \"/app/ledger.py\", line 52, in entries\n  requests.exceptions.ConnectionError: ('Connection aborted.', ConnectionResetError(104, 'Connection reset by peer'))\n  url: http://ledger-api.ledger:8080/entries\n";
        let of = |text: &str| {
            let at = text.find("  requests.").unwrap();
            of_record(text, text[at..].lines().next().unwrap())
        };
        assert_eq!(of(record), ["ledger-api.ledger"]);
        let other = record.replace("  url:", "2026-11-26 13:20:34,000 INFO url:");
        assert!(of(&other).is_empty(), "that is another record");
        assert!(of(&record.replace("  url:", "  see")).is_empty(), "nothing says that it is whom was called");
        assert!(of(&record.replace("2026-11-26 13:20:33,034 ", "")).is_empty(), "nothing begins a record");
    }

    #[test]
    fn hosts_are_found_in_the_words_of_well_known_clients() {
        for (host, line) in [
            (
                "pg.data",
                "org.postgresql.util.PSQLException: Connection to pg.data:5432 refused. Check that the hostname and port are correct",
            ),
            ("db", "Error: P1001: Can't reach database server at `db`:`5432`"),
            ("db.data", "Can't reach database server at `db.data:5432`"),
            (
                "db.data",
                "failed to connect to `host=db.data user=app database=app`: dial error (dial tcp 10.96.3.4:5432: connect: connection refused)",
            ),
            (
                "db.data.svc",
                "failed to connect to `user=app database=app`: 10.96.3.4:5432 (db.data.svc): dial error: dial tcp 10.96.3.4:5432: connect: connection refused",
            ),
            (
                "billing",
                "ConnectionError: HTTPConnectionPool(host='billing', port=80): Max retries exceeded with url: /v1 (Caused by NewConnectionError('<urllib3.connection.HTTPConnection object at 0x7f>: Failed to establish a new connection: [Errno 111] Connection refused'))",
            ),
            ("redis", "io.lettuce.core.RedisConnectionException: Unable to connect to redis/<unresolved>:6379"),
            ("redis.cache.svc", "RedisConnectionException: Unable to connect to [redis.cache.svc/<unresolved>:6379]"),
            ("redis", "RedisConnectionException: Unable to connect to redis/10.96.4.4:6379"),
            ("redis", "JedisConnectionException: Failed connecting to host redis:6379"),
            (
                "redis.cache",
                "redis.exceptions.ConnectionError: Error -2 connecting to redis.cache:6379. Name or service not known.",
            ),
            (
                "redis.cache",
                "It was not possible to connect to the redis server(s). UnableToConnect on redis.cache:6379/Interactive",
            ),
            ("rabbit.mq", "consumer: Cannot connect to amqp://user@rabbit.mq:5672//: [Errno 111] Connection refused."),
            ("billing.pay.svc.cluster.local", "curl: (6) Could not resolve host: billing.pay.svc.cluster.local"),
            (
                "billing.pay",
                "curl: (7) Failed to connect to billing.pay port 8080 after 2 ms: Couldn't connect to server",
            ),
            ("10.96.12.3", "wget: can't connect to remote host (10.96.12.3): Connection refused"),
            ("billing", "wget: unable to resolve host address ‘billing’"),
            ("billing", "Connecting to billing (billing)|10.96.12.3|:8080... failed: Connection refused."),
            (
                "kafka-0.kafka.mq.svc",
                "WARN [Producer clientId=p] Connection to node -1 (kafka-0.kafka.mq.svc/10.244.1.7:9092) could not be established. Node may not be available.",
            ),
            (
                "kafka.mq",
                "Couldn't resolve server kafka.mq:9092 from bootstrap.servers as DNS resolution failed for kafka.mq",
            ),
            (
                "kafka.mq",
                "%3|1700000|FAIL|rdkafka#producer-1| [thrd:kafka.mq:9092/bootstrap]: kafka.mq:9092/bootstrap: Connect to ipv4#10.96.5.5:9092 failed: Connection refused",
            ),
            (
                "mongo-0.mongo.data.svc.cluster.local",
                "pymongo.errors.ServerSelectionTimeoutError: mongo-0.mongo.data.svc.cluster.local:27017: [Errno 111] Connection refused, Timeout: 30s",
            ),
            (
                "mongo.data",
                "server selection timeout, current topology: { Type: Unknown, Servers: [{ Addr: mongo.data:27017, Type: Unknown }, ] }",
            ),
            (
                "billing",
                "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing dial tcp: lookup billing on 10.96.0.10:53: no such host\"",
            ),
            ("billing.pay", "failed to dial dns:///billing.pay:9000: context deadline exceeded"),
            ("billing.pay", "Error: 14 UNAVAILABLE: Name resolution failed for target dns:billing.pay:9000"),
            (
                "10.96.12.3",
                "failed to connect to all addresses; last error: UNKNOWN: ipv4:10.96.12.3:9000: Failed to connect to remote host: Connection refused",
            ),
            (
                "billing.pay",
                "AbstractChannel$AnnotatedConnectException: Connection refused: billing.pay/10.96.12.3:9000",
            ),
            ("billing.pay", "io.grpc.StatusRuntimeException: UNAVAILABLE: Unable to resolve host billing.pay"),
            ("billing.pay", "Error: getaddrinfo ENOTFOUND billing.pay"),
            ("10.96.12.3", "Error: connect ECONNREFUSED 10.96.12.3:8080"),
            ("db.data", "could not translate host name \"db.data\" to address: Name or service not known"),
            ("db.data", "connection to server at \"db.data\" (10.96.3.4), port 5432 failed: Connection refused"),
            (
                "mysql.data",
                "(2003, \"Can't connect to MySQL server on 'mysql.data' ([Errno 111] Connection refused)\")",
            ),
            ("mysql.data", "ERROR 2002 (HY000): Can't connect to server on 'mysql.data' (115)"),
            (
                "mysql.data",
                "Could not connect to address=(host=mysql.data)(port=3306)(type=master) : Socket fail to connect to host:mysql.data, port:3306. Connection refused",
            ),
            ("billing", "HttpRequestException: No such host is known. (billing:443)"),
            ("billing", "java.net.ConnectException: Failed to connect to billing/10.96.12.3:80"),
            (
                "billing.pay.svc.cluster.local",
                "dial tcp: lookup billing.pay.svc.cluster.local. on 10.96.0.10:53: no such host",
            ),
            (
                "cassandra.data",
                "Could not reach any contact point (showing first 1 nodes: Node(endPoint=cassandra.data/10.96.3.9:9042",
            ),
        ] {
            assert_eq!(hosts(line).first().map(String::as_str), Some(host), "{line}: {:?}", hosts(line));
        }
    }

    #[test]
    fn the_words_of_a_sentence_are_no_hosts() {
        for line in [
            "could not connect to server: Connection refused",
            "wget: can't connect to remote host: Connection refused",
            "System.Net.Sockets.SocketException (11001): No such host is known.",
            "failed to lookup address information: Name or service not known",
            "java.net.ConnectException: Connection refused (Connection refused)",
            "Communications link failure",
            "ConfigException: No resolvable bootstrap urls given in bootstrap.servers",
        ] {
            assert!(hosts(line).is_empty(), "{line}: {:?}", hosts(line));
        }
        assert_eq!(hosts("GET http://server/v1: connection refused"), ["server"], "a URL's host may have any name");
    }
}
