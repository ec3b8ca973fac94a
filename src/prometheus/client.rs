//! Questions to Prometheus: bounded in time, range, points, series and bytes.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use thiserror::Error;
use url::Url;

use super::config::PrometheusSettings;
use super::wire::{Data, Entry, Envelope};
use crate::alert::Labels;
use crate::redact::Echo;
use crate::series::Point;
use crate::trust;
use crate::unreached::root_cause;

/// The longest one query may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const LARGEST: usize = 8 << 20;
/// The longest range that is asked for.
pub const LONGEST_RANGE: SignedDuration = SignedDuration::from_hours(24);
/// Points of a range, at most: what a chart can show.
pub(super) const MOST_POINTS: i64 = 240;
/// No rule is evaluated more often.
const SHORTEST_STEP: i64 = 15;

/// Why there is no answer. Names the host and never the rest of the address.
#[derive(Debug, Clone, Error)]
pub enum PrometheusError {
    /// A setting cannot work.
    #[error("prometheus.{0}")]
    Settings(String),
    /// Not reached, or no answer in time.
    #[error("Prometheus at {host} is not reached: {why}; check prometheus.url, DNS, egress and proxy settings")]
    Unreachable {
        /// Its host.
        host: String,
        /// What happened.
        why: String,
    },
    /// It refuses whoever asks.
    #[error("Prometheus at {host} answers {status}; check prometheus.token, username and password")]
    Refused {
        /// Its host.
        host: String,
        /// 401 or 403.
        status: u16,
    },
    /// It does not understand the question, or cannot answer it; in its own words.
    #[error("Prometheus says: {0}")]
    Query(String),
    /// Something else answers at the address.
    #[error("{host} answers {status} without Prometheus' JSON; check prometheus.url and its path prefix")]
    NoPrometheus {
        /// Its host.
        host: String,
        /// HTTP status.
        status: u16,
    },
    /// More than is read.
    #[error("the answer is larger than {} MiB; ask for fewer series or a shorter range", LARGEST >> 20)]
    TooLarge,
}

impl PrometheusError {
    /// Whether it is not there or refuses us; what it says about a question is an answer.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Refused { .. } | Self::NoPrometheus { .. })
    }
}

/// A series and its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Its labels, `__name__` among them.
    pub labels: Labels,
    /// Its values; NaN and infinite ones among them.
    pub points: Vec<Point>,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// The series; a scalar is one without labels.
    pub series: Vec<Measured>,
    /// A string, which PromQL can also answer.
    pub text: Option<String>,
    /// What Prometheus warns of: an answer that may be partial.
    pub warnings: Vec<String>,
}

/// One Prometheus. Nothing is dialled before the first question.
#[derive(Debug)]
pub struct Client {
    base: Url,
    host: String,
    headers: HeaderMap,
    echo: Echo,
    http: reqwest::Client,
}

impl Client {
    /// Reads the settings.
    ///
    /// # Errors
    /// When one cannot work; the error names the key.
    pub fn new(settings: &PrometheusSettings) -> Result<Self, PrometheusError> {
        let wrong = |what: &str| PrometheusError::Settings(what.to_owned());
        let base = Url::parse(&settings.url).map_err(|error| PrometheusError::Settings(format!("url: {error}")))?;
        let host = base.host_str().ok_or_else(|| wrong("url: it names no host"))?.to_owned();
        if !matches!(base.scheme(), "http" | "https") {
            return Err(wrong("url: must begin with http:// or https://"));
        }
        let http = trust::client(|builder| {
            builder.timeout(TIMEOUT).connect_timeout(Duration::from_secs(3)).redirect(reqwest::redirect::Policy::none())
        })
        .map_err(|error| PrometheusError::Settings(root_cause(&error)))?;
        let headers = headers(settings)?;
        let echo = Echo::of_headers(headers.values()).and_of_address(&base);
        Ok(Self { base, host, headers, echo, http })
    }

    /// Its host, for people.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The value of an expression at a moment.
    ///
    /// # Errors
    /// When it does not answer, or says that the expression is wrong.
    pub async fn query(&self, expression: &str, at: Timestamp) -> Result<Answer, PrometheusError> {
        self.ask("query", &[("query", expression), ("time", &seconds(at))]).await
    }

    /// The values of an expression over a range, at most a day and 240 points of it.
    ///
    /// # Errors
    /// When it does not answer, or says that the expression is wrong.
    pub async fn query_range(
        &self,
        expression: &str,
        start: Timestamp,
        end: Timestamp,
        step: Option<i64>,
    ) -> Result<Answer, PrometheusError> {
        let start = start.max(end - LONGEST_RANGE);
        let range = end.as_second() - start.as_second();
        let step = step_for(range, step);
        // Counted back from the end, so that the newest value is the present one.
        let start = end - SignedDuration::from_secs(range / step * step);
        let step = step.to_string();
        let form = [("query", expression), ("start", &seconds(start)), ("end", &seconds(end)), ("step", &step)];
        self.ask("query_range", &form).await
    }

    async fn ask(&self, path: &str, form: &[(&str, &str)]) -> Result<Answer, PrometheusError> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/api/v1/{path}", self.base.path().trim_end_matches('/')));
        let unreachable = |error: reqwest::Error| PrometheusError::Unreachable {
            host: self.host.clone(),
            why: if error.is_timeout() { "no answer in time".to_owned() } else { root_cause(&error.without_url()) },
        };
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.http.post(url).headers(self.headers.clone());
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        let mut answer = request.send().await.map_err(unreachable)?;
        let status = answer.status().as_u16();
        if matches!(status, 401 | 403) {
            return Err(PrometheusError::Refused { host: self.host.clone(), status });
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            body.extend_from_slice(&chunk);
            if body.len() > LARGEST {
                return Err(PrometheusError::TooLarge);
            }
        }
        let envelope: Envelope = serde_json::from_slice(&body)
            .map_err(|_| PrometheusError::NoPrometheus { host: self.host.clone(), status })?;
        read(envelope).map_err(|error| match error {
            PrometheusError::Query(said) => PrometheusError::Query(self.echo.without(said)),
            other => other,
        })
    }
}

fn headers(settings: &PrometheusSettings) -> Result<HeaderMap, PrometheusError> {
    let bad = |key: &str| PrometheusError::Settings(format!("{key}: cannot be sent as a header"));
    let secret = |key: &str, text: &str| {
        let mut value = HeaderValue::from_str(text).map_err(|_| bad(key))?;
        value.set_sensitive(true);
        Ok(value)
    };
    let mut headers = HeaderMap::new();
    if let Some(token) = &settings.token {
        headers.insert(AUTHORIZATION, secret("token", &format!("Bearer {}", token.expose_secret()))?);
    } else if let Some(user) = &settings.username {
        use base64::Engine;
        let password = settings.password.as_ref().map(|password| password.expose_secret()).unwrap_or_default();
        let both = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        headers.insert(AUTHORIZATION, secret("password", &format!("Basic {both}"))?);
    }
    for (name, value) in &settings.headers {
        let key = format!("headers.{name}");
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad(&key))?;
        headers.insert(name, secret(&key, value.expose_secret())?);
    }
    Ok(headers)
}

/// A step that keeps a range within its points.
fn step_for(range: i64, asked: Option<i64>) -> i64 {
    let least = (range.max(1)).div_euclid(MOST_POINTS) + i64::from(range % MOST_POINTS != 0);
    asked.unwrap_or(SHORTEST_STEP).max(least).max(1)
}

fn seconds(at: Timestamp) -> String {
    let millis = at.as_millisecond();
    format!("{}.{:03}", millis.div_euclid(1_000), millis.rem_euclid(1_000))
}

fn read(envelope: Envelope) -> Result<Answer, PrometheusError> {
    let said = |text: &str| crate::redact::redact(text).into_owned();
    let (Some(Data { kind, result }), "success") = (envelope.data, envelope.status.as_str()) else {
        return Err(PrometheusError::Query(said(&format!("{}: {}", envelope.error_type, envelope.error))));
    };
    let unreadable = |_| PrometheusError::Query(format!("a {kind} that cannot be read"));
    let mut answer = Answer { warnings: envelope.warnings, ..Answer::default() };
    match kind.as_str() {
        "scalar" => {
            let value = serde_json::from_value(result).map_err(unreadable)?;
            answer.series.push(Measured { labels: Labels::new(), points: vec![point(value)] });
        }
        "string" => {
            let (_, text): (f64, String) = serde_json::from_value(result).map_err(unreadable)?;
            answer.text = Some(text);
        }
        _ => {
            let entries: Vec<Entry> = serde_json::from_value(result).map_err(unreadable)?;
            answer.series = entries
                .into_iter()
                .map(|entry| Measured {
                    points: entry.value.into_iter().chain(entry.values).map(point).collect(),
                    labels: entry.metric.into_iter().collect(),
                })
                .collect();
        }
    }
    Ok(answer)
}

#[expect(clippy::cast_possible_truncation, reason = "seconds since 1970 fit")]
fn point((at, value): (f64, String)) -> Point {
    let at = Timestamp::from_millisecond((at * 1e3) as i64).unwrap_or(Timestamp::UNIX_EPOCH);
    // `NaN`, `+Inf` and `-Inf` are what Prometheus writes, and what Rust reads.
    Point { at, value: value.parse().unwrap_or(f64::NAN) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> Result<Answer, PrometheusError> {
        read(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn every_kind_of_result_is_read() {
        let vector = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"x"},"value":[1800000000.123,"1"]}]}}"#;
        let answer = parsed(vector).unwrap();
        assert_eq!((answer.series[0].labels["job"].as_str(), answer.series[0].points[0].value), ("x", 1.0));
        let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"0.5"],[2,"NaN"],[3,"+Inf"]]}]},"warnings":["partial"]}"#;
        let answer = parsed(matrix).unwrap();
        assert!(answer.series[0].points[1].value.is_nan() && answer.series[0].points[2].value.is_infinite());
        assert_eq!(answer.warnings, ["partial"]);
        assert_eq!(
            parsed(r#"{"status":"success","data":{"resultType":"scalar","result":[1,"7"]}}"#).unwrap().series[0].points
                [0]
            .value,
            7.0
        );
        assert_eq!(
            parsed(r#"{"status":"success","data":{"resultType":"string","result":[1,"x"]}}"#).unwrap().text.as_deref(),
            Some("x")
        );
    }

    #[test]
    fn a_refusal_is_told_in_prometheus_words() {
        let error = parsed(r#"{"status":"error","errorType":"bad_data","error":"1:3: parse error"}"#).unwrap_err();
        assert!(error.to_string().contains("bad_data: 1:3: parse error"), "{error}");
    }

    #[test]
    fn a_range_never_has_more_points_than_a_chart_shows() {
        for (range, asked, step) in
            [(3_600, None, 15), (86_400, None, 360), (86_400, Some(15), 360), (60, Some(60), 60), (0, None, 15)]
        {
            assert_eq!(step_for(range, asked), step, "{range} s, {asked:?}");
            assert!(range / step <= MOST_POINTS);
        }
    }

    #[test]
    fn settings_that_cannot_work_name_their_key() {
        let settings = |url: &str| PrometheusSettings {
            url: url.into(),
            token: None,
            username: None,
            password: None,
            headers: [("X-Org".to_owned(), "a\nb".into())].into(),
        };
        for (url, key) in
            [("prom:9090", "url"), ("ftp://prom", "url"), ("nonsense", "url"), ("http://prom:9090", "headers.X-Org")]
        {
            let error = Client::new(&settings(url)).unwrap_err().to_string();
            assert!(error.contains(key) && !error.contains("a\nb"), "{error}");
        }
    }
}
