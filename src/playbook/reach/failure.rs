//! Failures: how a call came to nothing, in the words of a log's line.

use crate::playbook::analyzer::crash;
use crate::playbook::pattern::Pattern;

/// How a call failed, as far as its log line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No answer in time: packets are dropped somewhere.
    Timeout,
    /// The other side refuses or resets the connection: nothing listens there.
    Refused,
    /// The name does not resolve.
    Unresolved,
    /// No connection came about, and the client does not say how.
    Unconnected,
    /// The other side answers with a server error: a status of HTTP, or one of gRPC.
    ServerError,
    /// An init container says that it still waits for the other side.
    Awaited,
    /// The other side's certificate has expired.
    Expired,
}

pub(super) static TIMEOUT: Pattern = Pattern::new(
    r"(?i)i/o timeout|timed? ?out|deadline exceeded|etimedout|no route to host|unreachable|连接超时|请求超时|超时",
);
pub(super) static REFUSED: Pattern = Pattern::new(
    r"(?i)connection[ _]?refused|connection to \S+ refused|server check fail|econnrefused|connection reset|econnreset|拒绝连接|连接被拒|连接被重置",
);
static UNRESOLVED: Pattern = Pattern::new(
    r"(?i)no such host|enotfound|unknownhost|name or service not known|could not translate host|name resolution|nxdomain|server misbehaving|eai_again|could not resolve|can't resolve|can't find|bad address|getaddrinfo|lookup \S+ on \S+:53: .*(?:timeout|refused)|(?:域名|主机名?)解析失败|无法解析(?:主机|域名)|unknown (?:mysql server )?host\b|host not found|dns resolution failed|couldn't resolve server|failed to resolve '|dnsnameresolvertimeout|resolving timed out|<unresolved>|unable to resolve (?:host|service|target|address)|no resolvable bootstrap|domain name not found|name does not resolve|produced zero addresses",
);
/// What frameworks and build tools fail to resolve, which is no host.
static OTHERWISE: Pattern = Pattern::new(
    r"(?i)\bresolve (?:the )?(?:placeholders?|all\b|dependenc|modules?\b|imports?\b|references?\b|types?\b|symbols?\b|class\b|bean|view\b|path\b|templates?\b|variables?\b|attributes?\b)|\bcan't find (?:the )?(?:bundle|modules?|files?|class|tables?|command|packages?|python|resources?|templates?|config)|\bresolve ['\x22][^'\x22]+['\x22] in ['\x22]|\bmodule not found",
);
/// A connection that was there and is gone: whoever called whom.
static GONE: Pattern = Pattern::new(r"(?i)connection reset|econnreset|broken pipe|epipe|被重置");
/// How clients say that they have no connection, without the reason.
static UNCONNECTED: Pattern = Pattern::new(
    r"(?i)communications link failure|can't reach database server|\b(?:unable|failed|failure|not possible) to connect\b|(?:cannot|can't|could not|couldn't|can ?not) connect\b|connection to .{1,90} could not be established|adapter could not establish the connection|unabletoconnect|no connection established|the connection attempt failed|fail(?:ed|ure)? connecting to|error (?:\S+ )?connecting to|error trying to connect|failed to create socket|nobrokersavailable|no (?:\w+ )?(?:nodes?|servers?|brokers?) available|run out of available brokers|tns:no listener|server ?selection ?(?:timeout|error)|unable to (?:open|obtain|acquire) jdbc connection|failed to obtain jdbc connection|connection is not available.*\btotal=0\b|无法连接|连接失败|连接不上",
);
/// What a server says once somebody is connected to it, a pool whose connections are all in use, and what is no call over the
/// network.
static CONNECTED: Pattern = Pattern::new(
    r"(?i)authenticat|password|access denied|denied for user|too many (?:clients|connections)|connection slots|certificate|x509|\btls\b|\bssl\b|handshake|unknown database|does not exist|noauth|wrongpass|not authorized|unauthorized|forbidden|login failed|\.sock\b|through socket|docker daemon|\btotal=[1-9]|queuepool|pool (?:is )?(?:exhausted|limit)",
);
/// How a connection fails before anything is said: what times out beside it may be anything.
static CONNECTING: Pattern = Pattern::new(
    r"(?i)i/o timeout|etimedout|no route to host|network is unreachable|\b(?:connect(?:ion|ing)?|dial(?:ing)?|socket|bootstrap|broker|node assignment)\b|not present in metadata|连接",
);
static SERVER_ERROR: Pattern = Pattern::new(r"(?i)\b(50[0234])\b|bad gateway|service unavailable|gateway time");
/// How gRPC clients print a status that the server itself gave (<https://grpc.io/docs/guides/status-codes/>), and how
/// callers say in words what the other side answered with: "pricing returned 503", "上游 pricing 返回 503".
static STATUS: Pattern = Pattern::new(
    r"(?i)\bcode ?= ?(?:unimplemented|internal|unknown|unavailable|aborted|dataloss|resourceexhausted)\b|\b(?:returned|responded(?: with)?|answered(?: with)?|replied(?: with)?)(?: http| status(?: code)?)? ?5\d\d\b|(?:返回|响应|状态码)[ :：]*5\d\d",
);

/// Whether a line tells of something else than a host that is not found.
#[must_use]
pub fn is_of_other_names(line: &str) -> bool {
    OTHERWISE.hits(line)
}

/// How the call that a line tells of failed, if it tells of one.
#[must_use]
pub fn failure(line: &str) -> Option<Failure> {
    if UNRESOLVED.hits(line) && !is_of_other_names(line) {
        return Some(Failure::Unresolved);
    }
    if REFUSED.hits(line) {
        return Some(Failure::Refused);
    }
    if TIMEOUT.hits(line) {
        return Some(Failure::Timeout);
    }
    if crash::tells_of_expiry(line) {
        return Some(Failure::Expired);
    }
    if STATUS.hits(line) || (SERVER_ERROR.hits(line) && line.contains("://")) {
        return Some(Failure::ServerError);
    }
    (UNCONNECTED.hits(line) && !CONNECTED.hits(line)).then_some(Failure::Unconnected)
}

/// Whether a line tells of a connection that was there and was cut off.
#[must_use]
pub fn is_reset(line: &str) -> bool {
    GONE.hits(line)
}

/// Whether a line tells of a connection that did not come about, be it to whomever.
#[must_use]
pub fn tells_of_no_connection(line: &str) -> bool {
    match failure(line) {
        Some(Failure::Refused | Failure::Unresolved | Failure::Unconnected) => !GONE.hits(line),
        Some(Failure::Timeout) => CONNECTING.hits(line) && !CONNECTED.hits(line),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        for pattern in [
            &TIMEOUT,
            &REFUSED,
            &UNRESOLVED,
            &OTHERWISE,
            &GONE,
            &UNCONNECTED,
            &CONNECTED,
            &CONNECTING,
            &SERVER_ERROR,
            &STATUS,
        ] {
            assert!(pattern.compiles());
        }
    }

    #[test]
    fn ways_of_failing_are_told_apart() {
        assert_eq!(failure("dial tcp 10.0.0.1:80: i/o timeout"), Some(Failure::Timeout));
        assert_eq!(failure("dial tcp 10.0.0.1:80: connect: connection refused"), Some(Failure::Refused));
        assert_eq!(failure("lookup db: no such host"), Some(Failure::Unresolved));
        assert_eq!(failure("GET http://a/x returned 503"), Some(Failure::ServerError));
        assert_eq!(failure("key 503 not found"), None);
    }

    #[test]
    fn what_frameworks_resolve_and_a_connection_that_is_gone_are_no_calls_in_vain() {
        assert_eq!(failure("Could not resolve placeholder 'mq.topic' in value \"${mq.topic}\""), None);
        assert_eq!(failure("Could not resolve all files for configuration ':runtime'"), None);
        assert_eq!(failure("MissingResourceException: Can't find bundle for base name messages, locale en_US"), None);
        assert_eq!(failure("Error: Can't resolve 'react' in '/app/src'"), None);
        assert_eq!(failure("curl: (6) Could not resolve host: billing"), Some(Failure::Unresolved));
        assert!(!tells_of_no_connection("ERROR client 203.0.113.9: read: connection reset by peer"));
        assert!(tells_of_no_connection("ERROR connect: connection refused"));
    }

    #[test]
    fn clients_that_do_not_say_how_are_understood() {
        for line in [
            "CommunicationsException: Communications link failure",
            "P1001: Can't reach database server at `db`:`5432`",
            "curl: (7) Failed to connect to billing port 8080 after 2 ms: Couldn't connect to server",
            "Connection to node -1 (kafka-0.kafka.mq.svc/10.244.1.7:9092) could not be established.",
            "RedisConnectionException: Unable to connect to redis/10.96.4.4:6379",
            "kafka.errors.NoBrokersAvailable: NoBrokersAvailable",
            "ERROR 2003 (HY000): Can't connect to MySQL server on 'mysql.data:3306' (111)",
            "NpgsqlException (0x80004005): Failed to connect to 10.96.3.4:5432",
        ] {
            assert_eq!(failure(line), Some(Failure::Unconnected), "{line}");
        }
        let unresolved = "ConfigException: No resolvable bootstrap urls given in bootstrap.servers";
        assert_eq!(failure(unresolved), Some(Failure::Unresolved));
    }

    #[test]
    fn who_was_answered_is_connected_and_what_waits_for_something_else_is_no_call() {
        for line in [
            "failed to connect to `host=db user=app`: server error (FATAL: password authentication failed for user \"app\")",
            "Cannot connect to database: too many connections",
            "Can't connect to local MySQL server through socket '/var/run/mysqld/mysqld.sock' (2)",
            "HikariPool-1 - Connection is not available, request timed out after 30000ms (total=10, active=10, idle=0, waiting=3)",
            "ERROR Lock wait timeout exceeded; try restarting transaction",
            "TimeoutException: timed out waiting for the migration lock",
        ] {
            assert!(!tells_of_no_connection(line), "{line}");
        }
        let empty = "HikariPool-1 - Connection is not available, request timed out after 30000ms (total=0, active=0, idle=0, waiting=0)";
        assert!(tells_of_no_connection(empty), "a pool that never got one");
        assert!(tells_of_no_connection("java.net.SocketTimeoutException: connect timed out"));
    }
}
