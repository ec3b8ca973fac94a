//! What types cannot say: names that must be unique or exist, addresses that must parse, doors that must be locked.

mod channels;

use std::collections::{BTreeSet, HashSet};

use http::HeaderName;
use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::problem::{nearest, not_one_of};
use super::triage::NO_LIMIT;
use super::{Config, Server};
use crate::incident::retention::Retention;
use crate::incident::routes::Route;
use crate::model::{ModelConfig, Profile};
use crate::notify::channel::ChannelSettings;

/// A path and what is wrong there.
type Complaint = (String, String);

/// Everything that is wrong with a configuration that was read.
pub(super) fn problems(config: &Config) -> Vec<Complaint> {
    let mut found = Vec::new();
    server(&config.server, &mut found);
    retention(config.retention, &mut found);
    found.extend(store(config.store.expose_secret()).map(|what| ("store".to_owned(), what)));
    found.extend(timezone(&config.timezone).map(|what| ("timezone".to_owned(), what)));
    for (key, what) in config.triage.out_of_range() {
        found.push((format!("triage.{key}"), what));
    }
    models(config, &mut found);
    mcp(config, &mut found);
    channels::channels(config, &mut found);
    channels::fallbacks(config, &mut found);
    routes(config, &mut found);
    if let Some(Err(what)) = config.alertmanager.as_ref().map(|link| http_url(&link.url)) {
        found.push(("alertmanager.url".to_owned(), what));
    }
    if let Some(Err(what)) = config.prometheus.as_ref().map(|settings| http_url(&settings.url)) {
        found.push(("prometheus.url".to_owned(), what));
    }
    found
}

/// Money of several currencies cannot be added up to one limit.
pub(super) fn currencies(config: &Config) -> Option<Complaint> {
    config.triage.daily.cost?;
    let profiles = config.models.iter().filter_map(|model| model.profile.as_ref());
    let known: BTreeSet<&str> =
        profiles.filter_map(|profile| Some(profile.prices.as_ref()?.currency.as_str())).collect();
    (known.len() > 1).then(|| {
        let known: Vec<&str> = known.into_iter().collect();
        let what = format!(
            "would add up {}; give each model its own models[].daily.cost, or prices in one currency",
            known.join(" and ")
        );
        ("triage.daily.cost".to_owned(), what)
    })
}

/// What works but is probably not meant.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    let mut warn = |is: bool, what: &str| {
        if is {
            found.push(what.to_owned());
        }
    };
    warn(config.channels.is_empty(), "channels is empty: alerts are investigated and kept, but nobody is told");
    warn(config.mcp.is_empty(), "mcp is empty: the cluster cannot be looked at, messages will hold the alert alone");
    warn(config.models.is_empty(), "models is empty: the playbook answers alone");
    let short = |secret: &SecretString| secret.expose_secret().len() < 16;
    warn(
        config.server.tokens.iter().any(short),
        "server.tokens has one of less than 16 characters, which can be guessed",
    );
    warn(
        config.server.insecure && !config.server.authenticates(),
        "server.insecure is true: whoever reaches the address can send alerts and read incidents",
    );
    warn(
        config.server.authenticates() && !config.server.knows_people(),
        "server.tokens and server.basic_auth are empty: nobody can log in, and pages open by the links of messages alone",
    );
    let catch_all = config.routes.iter().position(Route::takes_all);
    warn(
        catch_all.is_some_and(|at| at + 1 < config.routes.len()),
        "routes has entries after one without match: they are never reached",
    );
    found
}

fn server(server: &Server, found: &mut Vec<Complaint>) {
    if !server.listen.ip().is_loopback() && !server.authenticates() && !server.insecure {
        found.push((
            "server.listen".to_owned(),
            "anyone who reaches this address could send alerts and read incidents; set server.tokens (for example \
             [\"${FIRSTLOOK_TOKEN}\"]) or server.basic_auth, or listen on 127.0.0.1, or say server.insecure: true when \
             something in front authenticates"
                .to_owned(),
        ));
    }
    for (index, token) in server.tokens.iter().enumerate() {
        if token.expose_secret().trim().is_empty() {
            found.push((
                format!("server.tokens[{index}]"),
                "the token is empty; give it a value or remove it".to_owned(),
            ));
        }
    }
    for (index, user) in server.basic_auth.iter().enumerate() {
        if user.username.is_empty() || user.username.contains(':') || user.password.expose_secret().is_empty() {
            let what = "a user needs a name without a colon, and a password; give both or remove the entry";
            found.push((format!("server.basic_auth[{index}]"), what.to_owned()));
        }
    }
    if server.link_secret.as_ref().is_some_and(|secret| secret.expose_secret().len() < 16) {
        found.push(("server.link_secret".to_owned(), "must have at least 16 characters, or be left out".to_owned()));
    }
    if !(SignedDuration::ZERO..=SignedDuration::from_hours(365 * 24)).contains(&server.link_life) {
        found.push(("server.link_life".to_owned(), "must be between 0s and 8760h, which is a year".to_owned()));
    }
    senders(server, found);
    if let Some(Err(what)) = server.public_url.as_deref().map(http_url) {
        found.push(("server.public_url".to_owned(), what));
    }
    let limits = server.limits;
    for (key, value) in [
        ("max_body_bytes", limits.max_body_bytes),
        ("max_alerts", limits.max_alerts),
        ("max_connections", limits.max_connections),
        ("max_waiting", limits.max_waiting),
    ] {
        if value == 0 {
            found.push((
                format!("server.limits.{key}"),
                "0 would refuse every alert; leave it out for the default".to_owned(),
            ));
        }
    }
}

/// Credentials of single senders.
fn senders(server: &Server, found: &mut Vec<Complaint>) {
    for (index, sender) in server.senders.iter().enumerate() {
        let path = format!("server.senders[{index}].token");
        if sender.token.expose_secret().trim().is_empty() {
            found.push((path, "the token is empty; give it a value or remove the entry".to_owned()));
        } else if server.tokens.iter().any(|token| token.expose_secret() == sender.token.expose_secret()) {
            found.push((
                path,
                "the token is one of server.tokens too, which open every route; choose another".to_owned(),
            ));
        }
    }
    let headers = [
        ("token_header", server.token_header.as_ref()),
        ("grafana_hmac.header", server.grafana_hmac.as_ref().map(|hmac| &hmac.header)),
        ("grafana_hmac.timestamp_header", server.grafana_hmac.as_ref().and_then(|hmac| hmac.timestamp_header.as_ref())),
    ];
    for (key, name) in headers {
        if name.is_some_and(|name| name.parse::<HeaderName>().is_err() || name.eq_ignore_ascii_case("authorization")) {
            let what = "must be the name of a header of its own, such as X-Firstlook-Token".to_owned();
            found.push((format!("server.{key}"), what));
        }
    }
    let empty = |secret: &SecretString| secret.expose_secret().trim().is_empty();
    if server.grafana_hmac.as_ref().is_some_and(|hmac| empty(&hmac.secret)) {
        found.push(("server.grafana_hmac.secret".to_owned(), "is empty; write the contact point's secret".to_owned()));
    }
}

fn retention(retention: Retention, found: &mut Vec<Complaint>) {
    let hour = SignedDuration::from_hours(1);
    for (key, value) in [("incidents", retention.incidents), ("evidence", retention.evidence)] {
        if value < hour {
            found.push((format!("retention.{key}"), "must be at least 1h; 2160h is 90 days".to_owned()));
        }
    }
    if (1..64 << 20).contains(&retention.max_bytes) {
        let most = "must be at least 67108864 (64 MiB), or 0 for any number; 10737418240 (10 GiB) is a good value";
        found.push(("retention.max_bytes".to_owned(), most.to_owned()));
    }
    if retention.max_incidents < 100 {
        found.push(("retention.max_incidents".to_owned(), "must be at least 100; 100000 is a good value".to_owned()));
    }
}

fn store(url: &str) -> Option<String> {
    let known = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
    let file = url.strip_prefix("sqlite:").is_some_and(|path| !path.trim_start_matches('/').is_empty());
    (!known && !file).then(|| "expected sqlite:PATH or postgres://user:pass@host/database".to_owned())
}

fn timezone(name: &str) -> Option<String> {
    if jiff::tz::TimeZone::get(name).is_ok() {
        return None;
    }
    let known: Vec<String> = jiff::tz::db().available().map(|zone| zone.to_string()).collect();
    let hint = nearest(name, &known).map(|near| format!(", did you mean \"{near}\"?")).unwrap_or_default();
    Some(format!("\"{name}\" is no IANA time zone{hint} (valid: names such as Asia/Shanghai or UTC)"))
}

fn models(config: &Config, found: &mut Vec<Complaint>) {
    names("models", config.models.iter().map(|model| model.name.as_str()), found);
    for (index, model) in config.models.iter().enumerate() {
        if let Err(what) = http_url(&model.base_url) {
            found.push((format!("models[{index}].base_url"), what));
        }
        if model.model.is_empty() {
            found.push((
                format!("models[{index}].model"),
                "is empty; write the provider's name for the model".to_owned(),
            ));
        }
        if model.api_key.as_ref().is_some_and(|key| key.expose_secret().trim().is_empty()) {
            found.push((
                format!("models[{index}].api_key"),
                "the key is empty; give it a value or remove it".to_owned(),
            ));
        }
        if let Some(key) = model.daily.senseless() {
            found.push((format!("models[{index}].daily.{key}"), NO_LIMIT.to_owned()));
        }
        if !model.timeout.is_positive() {
            found.push((format!("models[{index}].timeout"), "must be longer than 0s".to_owned()));
        }
    }
}

/// A wish that cannot be fulfilled is told at once, not on the first alert.
pub(super) fn thinking(index: usize, model: &ModelConfig, profile: &Profile) -> Option<Complaint> {
    let what = format!(
        "provider {} has no known switch for thinking of this model; remove the key, name the provider, or give the \
         field in extra_body",
        profile.provider
    );
    profile.thinking_fields(model.thinking).is_none().then(|| (format!("models[{index}].thinking"), what))
}

fn mcp(config: &Config, found: &mut Vec<Complaint>) {
    names("mcp", config.mcp.iter().map(|server| server.name.as_str()), found);
    for (index, server) in config.mcp.iter().enumerate() {
        found.extend(server.contradiction().map(|(key, what)| (format!("mcp[{index}].{key}"), what)));
    }
}

fn routes(config: &Config, found: &mut Vec<Complaint>) {
    let mut known: Vec<&str> =
        config.channels.iter().map(ChannelSettings::name).filter(|name| !name.is_empty()).collect();
    known.dedup();
    let mut seen = HashSet::new();
    for (index, one) in config.server.prometheusalert.iter().enumerate() {
        let path = format!("server.prometheusalert[{index}]");
        if one.receiver.trim().is_empty() || !seen.insert(&one.receiver) {
            found.push((format!("{path}.receiver"), "is empty or taken by an entry above; choose another".to_owned()));
        }
        for (place, name) in one.channels.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                found.push((format!("{path}.channels[{place}]"), not_one_of("channel", name, &known)));
            }
        }
    }
    Route::each(&config.routes, "routes", &mut |path, route| {
        for (place, name) in route.channels.iter().flatten().enumerate() {
            if !known.contains(&name.as_str()) {
                found.push((format!("{path}.channels[{place}]"), not_one_of("channel", name, &known)));
            }
        }
    });
    for (index, window) in config.maintenance.iter().enumerate() {
        if window.to.is_none() && window.daily.is_none() {
            let what = "never ends; give `to` a time, or `daily` the hours of every day".to_owned();
            found.push((format!("maintenance[{index}].to"), what));
        }
    }
}

/// Names are what routes, metrics and logs speak of: present, and only once.
fn names<'a>(list: &str, names: impl Iterator<Item = &'a str>, found: &mut Vec<Complaint>) {
    let mut seen = HashSet::new();
    for (index, name) in names.enumerate() {
        let path = format!("{list}[{index}].name");
        if name.trim().is_empty() {
            found.push((path, "the name is empty; write one".to_owned()));
        } else if !seen.insert(name) {
            found.push((path, format!("the name \"{name}\" is taken by an entry above; choose another")));
        }
    }
}

/// Why a text is no address for HTTP. It never quotes the text, which may hold a password.
pub(super) fn http_url(text: &str) -> Result<(), String> {
    url_of(text, &["https", "http"])
}

fn url_of(text: &str, schemes: &[&str]) -> Result<(), String> {
    let expected = schemes.iter().map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(" or ");
    let url = Url::parse(text).map_err(|error| format!("not a URL ({error}); it must begin with {expected}"))?;
    if !schemes.contains(&url.scheme()) {
        return Err(format!("the URL must begin with {expected}"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("the URL names no host".to_owned());
    }
    Ok(())
}
