//! Protocol: what clients and servers say where a client speaks another protocol than the port it calls.

use crate::playbook::logs;
use crate::playbook::pattern::Pattern;

/// What a client speaks, and what the port expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// Plain text to a port that expects TLS.
    PlainToTls,
    /// TLS to a port that speaks plain text.
    TlsToPlain,
    /// Without SASL to a port that asks for it.
    WithoutSasl,
}

impl Mismatch {
    /// What the client speaks and what the port expects, in Chinese and in English.
    #[must_use]
    pub fn words(self) -> [(&'static str, &'static str); 2] {
        match self {
            Self::PlainToTls => [("明文（未启用 TLS）", "plain text"), ("TLS/SSL", "TLS/SSL")],
            Self::TlsToPlain => [("TLS/SSL", "TLS/SSL"), ("明文（不支持 TLS）", "plain text")],
            Self::WithoutSasl => [("未使用 SASL", "no SASL"), ("SASL", "SASL")],
        }
    }
}

/// How clients say that a port wants TLS: what Go's and nginx' servers answer to HTTP, what a client makes of an alert of
/// TLS, librdkafka's own guess.
static WANTS_TLS: Pattern = Pattern::new(
    r#"(?i)client sent an http request to an https server|plain http request was sent to https port|malformed http response "\\x15\\x03|expected http/, rtsp/|connecting to an? ssl listener|insecure transport are prohibited"#,
);
/// How clients say that a port does not speak TLS: Go, OpenSSL, Java, rustls, .NET, and the drivers of databases.
static SPEAKS_PLAIN: Pattern = Pattern::new(
    r"(?i)first record does not look like a tls handshake|server gave http response to https client|wrong[ _]version[ _]number|unsupported or unrecognized ssl message|not an ssl/tls record|invalidcontenttype|cannot determine the frame size|ssl is not enabled on the server|server does(?: not|n't) support (?:ssl|it)\b",
);
/// Lines of a server about a client, in which the same words stand with the roles turned round, and of a proxy about what
/// stands behind it, which is not the client's to change.
static SERVED: Pattern = Pattern::new(
    r"(?i)tls handshake error from|accepting a client connection|could not accept ssl connection|while (?:ssl handshaking|reading client request headers)|upstream connect error|transport failure reason|failed authentication with /|unexpected error from /",
);
/// How a client of Kafka says that a broker hangs up before anything was said, which is not said of one that is down.
static HUNG_UP: Pattern = Pattern::new(
    r"(?i)bootstrap broker \S+:\d+ .*\bdisconnected|connection to node -?\d+ \(\S+\) terminated during authentication",
);
/// How clients complain of a certificate, or say that they speak TLS themselves.
static OWN_TLS: Pattern = Pattern::new(
    r"(?i)\bpkix\b|x509|certificate|ssl handshake failed|sslhandshakeexception|security\.protocol ?[=:] ?(?:sasl_)?ssl\b",
);
/// The setting by which a client of Kafka speaks plain text.
static OWN_PLAIN: Pattern = Pattern::new(r"(?i)security[._]protocol ?[=:] ?(?:sasl_)?plaintext\b");
/// What a broker makes of the first bytes of TLS (0x1603 and a version) as the length of a message.
static CLIENT_HELLO: Pattern = Pattern::new(r"Invalid receive \(size = 36929\d{4}\b");
/// How many lines below what happened to a client a broker says why.
const BELOW: usize = 2;

/// Lines of servers about a client they do not understand: its address, and their own port where it stands there.
static HEARD: [(Mismatch, Pattern); 7] = [
    (
        Mismatch::PlainToTls,
        Pattern::new(
            r"(?i)tls handshake error from \[?([0-9a-f.:]+?)\]?:\d+: .*(?:first record does not look like|client sent an http request)",
        ),
    ),
    (
        Mismatch::PlainToTls,
        Pattern::new(r"(?i)failed authentication with /([\d.]+) \(channelId=[\d.]+:(\d+)-.*\(ssl handshake failed\)"),
    ),
    (
        Mismatch::PlainToTls,
        Pattern::new(
            r"(?i)accepting a client connection: .*(?:wrong version number|http request).*\baddr=\[?([0-9a-f.:]+?)\]?:\d+\b",
        ),
    ),
    (
        Mismatch::PlainToTls,
        Pattern::new(
            r"(?i)(?:wrong version number|http request|plain http request to https port).* while (?:ssl handshaking|reading client request headers), client: ([0-9a-f.:]+)",
        ),
    ),
    (
        Mismatch::WithoutSasl,
        Pattern::new(
            r"(?i)failed authentication with /([\d.]+) \(channelId=[\d.]+:(\d+)-.*unexpected kafka request of type \w+ during sasl handshake",
        ),
    ),
    (
        Mismatch::TlsToPlain,
        Pattern::new(r#"(?i)^([\d.]+) - - \[[^\]]*\] (?:"\\x16\\x03|code 400, message bad (?:request version|http/))"#),
    ),
    (Mismatch::TlsToPlain, Pattern::new(r"(?i)unexpected error from /([\d.]+) \(channelId=[\d.]+:(\d+)-")),
];

/// A server's line about a client that it does not understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard<'a> {
    /// What it says.
    pub mismatch: Mismatch,
    /// The line.
    pub line: &'a str,
    /// The client's address.
    pub client: &'a str,
    /// The server's port.
    pub port: Option<i32>,
}

/// What a client's line says of the port it calls.
#[must_use]
pub fn told(line: &str) -> Option<Mismatch> {
    if logs::instructs(line) || SERVED.hits(line) {
        return None;
    }
    let plain = || SPEAKS_PLAIN.hits(line).then_some(Mismatch::TlsToPlain);
    WANTS_TLS.hits(line).then_some(Mismatch::PlainToTls).or_else(plain)
}

/// Whether a line says that the other side hangs up as one does that understands nothing.
#[must_use]
pub fn hung_up(line: &str) -> bool {
    HUNG_UP.hits(line) && !logs::instructs(line)
}

/// Whether a line of a client makes it worth reading whom it calls, and what it is told.
#[must_use]
pub fn asks(line: &str) -> bool {
    hung_up(line) || told(line).is_some()
}

/// What a server's log says of clients it does not understand.
#[must_use]
pub fn heard(text: &str) -> Vec<Heard<'_>> {
    let lines: Vec<&str> = text.lines().collect();
    let of_line = |at: usize| {
        let line = lines[at];
        let (mismatch, found) = HEARD.iter().find_map(|(mismatch, words)| Some((*mismatch, words.groups(line)?)))?;
        let below = &lines[at..lines.len().min(at + BELOW + 1)];
        // A broker's "unexpected error" may be anything.
        let unsaid = line.contains("nexpected error from") && !below.iter().any(|line| CLIENT_HELLO.hits(line));
        let port = found.get(2).and_then(|port| port.as_str().parse().ok());
        let client = found.get(1)?.as_str();
        (!unsaid && !logs::instructs(line)).then_some(Heard { mismatch, line, client, port })
    };
    (0..lines.len()).filter_map(of_line).collect()
}

/// Whether a client speaks TLS itself, as its log says, so that a handshake fails for another reason.
#[must_use]
pub fn speaks_tls(text: &str) -> bool {
    text.lines().any(|line| OWN_TLS.hits(line) && told(line).is_none())
}

/// The line by which a client says that it speaks plain text.
#[must_use]
pub fn plain(text: &str) -> Option<&str> {
    text.lines().find(|line| OWN_PLAIN.hits(line) && !logs::instructs(line))
}

/// Whether a text gives a host with a port: `kafka:9094`, `kafka.data.svc:9094`.
#[must_use]
pub fn names(text: &str, host: &str, port: i32) -> bool {
    let port = port.to_string();
    let part = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    text.match_indices(host).any(|(at, _)| {
        let behind = &text[at + host.len()..];
        let whole = !text[..at].ends_with(|it: char| part(it) || it == '.') && !behind.starts_with(part);
        let rest = behind.trim_start_matches(|it: char| part(it) || it == '.');
        let digits = rest.strip_prefix(':').and_then(|rest| rest.split(|it: char| !it.is_ascii_digit()).next());
        whole && digits == Some(port.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        for pattern in [&WANTS_TLS, &SPEAKS_PLAIN, &SERVED, &HUNG_UP, &OWN_TLS, &OWN_PLAIN, &CLIENT_HELLO] {
            assert!(pattern.compiles());
        }
        assert!(HEARD.iter().all(|(_, pattern)| pattern.compiles()));
    }

    #[test]
    fn clients_say_it_in_the_words_of_their_libraries() {
        for line in [
            "ERROR Get \"http://web:8443/\": 400 Bad Request: Client sent an HTTP request to an HTTPS server.",
            "<center>The plain HTTP request was sent to HTTPS port</center>",
            "ERROR Get \"http://web:8443/\": net/http: HTTP/1.x transport connection broken: malformed HTTP response \"\\x15\\x03\\x01\\x00\\x02\\x02\"",
            "kafka:9094/bootstrap: Disconnected while requesting ApiVersion: might be caused by incorrect security.protocol configuration (connecting to a SSL listener?)",
        ] {
            assert_eq!(told(line), Some(Mismatch::PlainToTls), "{line}");
        }
        for line in [
            "ERROR Get \"https://web:8080/\": http: server gave HTTP response to HTTPS client",
            "ERROR tls: first record does not look like a TLS handshake",
            "curl: (35) error:0A00010B:SSL routines::wrong version number",
            "ssl.SSLError: [SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1007)",
            "javax.net.ssl.SSLException: Unsupported or unrecognized SSL message",
            "pq: SSL is not enabled on the server",
        ] {
            assert_eq!(told(line), Some(Mismatch::TlsToPlain), "{line}");
        }
        assert_eq!(
            told("http: TLS handshake error from 10.0.0.1:5: tls: first record does not look like a TLS handshake"),
            None
        );
        assert_eq!(
            told("[error] SSL_do_handshake() failed (SSL: wrong version number) while SSL handshaking to upstream"),
            None
        );
        assert_eq!(told("x509: certificate signed by unknown authority"), None);
        assert!(hung_up("WARN [Consumer] Bootstrap broker kafka:9094 (id: -1 rack: null) disconnected"));
        assert!(!hung_up("INFO Node 2 disconnected."));
    }

    #[test]
    fn servers_say_whom_they_do_not_understand() {
        let one = |text: &str| heard(text).first().map(|it| (it.mismatch, it.client.to_owned(), it.port));
        let of = |mismatch, port| Some((mismatch, "10.0.0.7".to_owned(), port));
        let kafka = "INFO [SocketServer] Failed authentication with /10.0.0.7 (channelId=10.0.0.1:9094-10.0.0.7:36986-2) (SSL handshake failed) (o.a.k.Selector)";
        assert_eq!(one(kafka), of(Mismatch::PlainToTls, Some(9094)));
        let sasl = "INFO Failed authentication with /10.0.0.7 (channelId=10.0.0.1:9093-10.0.0.7:3-2) (Unexpected Kafka request of type METADATA during SASL handshake.)";
        assert_eq!(one(sasl), of(Mismatch::WithoutSasl, Some(9093)));
        let hello = "WARN Unexpected error from /10.0.0.7 (channelId=10.0.0.1:9092-10.0.0.7:3-2); closing connection\no.a.k.InvalidReceiveException: Invalid receive (size = 369295616 larger than 104857600)";
        assert_eq!(one(hello), of(Mismatch::TlsToPlain, Some(9092)));
        assert_eq!(one(&hello.replace("369295616", "204857600")), None, "a message that is merely large");
        let go = "http: TLS handshake error from 10.0.0.7:40312: client sent an HTTP request to an HTTPS server";
        assert_eq!(one(go), of(Mismatch::PlainToTls, None));
        let distrust = "http: TLS handshake error from 10.0.0.7:40312: remote error: tls: bad certificate";
        assert_eq!(one(distrust), None);
        let nginx = r#"10.0.0.7 - - [27/Nov/2026:01:00:00 +0000] "\x16\x03\x01\x02\x00\x01" 400 157 "-" "-""#;
        assert_eq!(one(nginx), of(Mismatch::TlsToPlain, None));
        let redis = "Error accepting a client connection: error:0A00010B:SSL routines::wrong version number (addr=10.0.0.7:5 laddr=10.0.0.1:6379)";
        assert_eq!(one(redis), of(Mismatch::PlainToTls, None));
    }

    #[test]
    fn a_port_is_found_behind_its_host_alone() {
        assert!(names("bootstrap: kafka:9094", "kafka", 9094) && names("kafka.data.svc:9094,b:1", "kafka", 9094));
        assert!(!names("kafka:90941", "kafka", 9094) && !names("my-kafka:9094", "kafka", 9094));
        assert!(!names("kafka-b:9094", "kafka", 9094) && !names("kafka:9092", "kafka", 9094));
    }

    #[test]
    fn a_client_that_complains_of_certificates_speaks_tls() {
        let settings = "INFO up\nsecurity.protocol = PLAINTEXT";
        assert!(plain(settings) == Some("security.protocol = PLAINTEXT") && !speaks_tls(settings));
        assert!(plain("INFO up").is_none() && speaks_tls("ERROR PKIX path building failed"));
    }
}
