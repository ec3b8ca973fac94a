//! How people come in: with a link's pass to one incident, or with a login to all of them.
//!
//! A login is a signed cookie and nothing is kept of it: it ends after a day, or when a token or a password changes.

use std::sync::Arc;
use std::time::Duration;

use axum::Form;
use axum::extract::{Query, Request, State};
use axum::http::header::{COOKIE, HOST, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use minijinja::context;
use serde::Deserialize;
use url::{Url, form_urlencoded};
use uuid::Uuid;

use super::error::ApiError;
use super::pages::base::{self, Visit};
use super::pages::wants_page;
use super::{App, auth};
use crate::notify::pass::{self, Signer};

/// How long a login lasts.
const LIFE: SignedDuration = SignedDuration::from_hours(24);
/// Wrong credentials are answered after this long, so that guessing takes its time.
const WRONG: Duration = Duration::from_millis(500);
/// The cookie's name.
const COOKIE_NAME: &str = "firstlook_session";

/// Knows who has logged in, and the passes of links.
#[derive(Debug)]
pub struct Sessions {
    signer: Signer,
    /// What a session stands for: the credentials as they are now.
    name: String,
    /// Where people reach these pages.
    public_url: Option<Url>,
}

impl Sessions {
    /// Sessions of those who hold these credentials.
    #[must_use]
    pub fn new(signer: Signer, auth: &super::Auth, public_url: Option<&str>) -> Self {
        let name = format!("session/{}", auth.fingerprint());
        Self { signer, name, public_url: public_url.and_then(|url| url.parse().ok()) }
    }

    fn holds(&self, headers: &HeaderMap, now: Timestamp) -> bool {
        cookie(headers).is_some_and(|session| self.signer.knows(&self.name, session, now))
    }

    /// Whether the address carries a pass for the incident it names.
    fn passes(&self, path: &str, query: &str, now: Timestamp) -> bool {
        let mut parts = path.trim_start_matches('/').split('/');
        let (Some("incidents"), Some(Ok(id))) = (parts.next(), parts.next().map(str::parse::<Uuid>)) else {
            return false;
        };
        let mut given = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == "pass");
        given.next().is_some_and(|(_, given)| self.signer.knows(&pass::incident(id), &given, now))
    }

    /// The cookie that begins a session; over HTTPS alone where these pages are reached so.
    fn begun(&self, headers: &HeaderMap, now: Timestamp) -> String {
        let session = self.signer.sign(&self.name, now.checked_add(LIFE).unwrap_or(Timestamp::MAX));
        let secure = if self.is_https(headers) { "; Secure" } else { "" };
        format!("{COOKIE_NAME}={session}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}", LIFE.as_secs())
    }

    fn is_https(&self, headers: &HeaderMap) -> bool {
        let public = self.public_url.as_ref().filter(|url| url.scheme() == "https").and_then(Url::host_str);
        let asked = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        public.is_some_and(|host| asked == host || asked.strip_prefix(host).is_some_and(|rest| rest.starts_with(':')))
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE_NAME).map(|(_, session)| session)
}

/// Whether somebody is logged in, so that the way out is shown.
pub(super) fn is_logged_in(headers: &HeaderMap) -> bool {
    cookie(headers).is_some()
}

/// Whether somebody may change something: with credentials or a login of their own, never by a link alone.
pub(super) fn may_act(app: &App, headers: &HeaderMap) -> bool {
    app.auth.admits(headers, None) || app.sessions.holds(headers, Timestamp::now())
}

/// Lets those in who may see a page, and shows the others the way in.
pub async fn check(State(app): State<Arc<App>>, visit: Visit, request: Request, next: Next) -> Response {
    let (headers, uri, now) = (request.headers(), request.uri(), Timestamp::now());
    if may_act(&app, headers) || app.sessions.passes(uri.path(), uri.query().unwrap_or_default(), now) {
        return next.run(request).await;
    }
    if !wants_page(headers) {
        return auth::refused(ApiError::unauthorized());
    }
    let asked = uri.path_and_query().map_or("", |asked| asked.as_str()).trim_start_matches('/');
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("next", asked).finish();
    (StatusCode::SEE_OTHER, base::headers(), [(LOCATION, format!("{}login?{query}", visit.root))]).into_response()
}

/// Where to go after the login.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    next: String,
}

impl Asked {
    /// Only to pages of ours, relative to this one: an address elsewhere would lend our name to whoever made the link.
    fn next(&self) -> &str {
        let page = self.next.split(['?', '#']).next().unwrap_or_default();
        let ours = page == "status" || page == "incidents" || page.starts_with("incidents/");
        let plain = page.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_".contains(&byte));
        let rest = self.next[page.len()..].bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        if ours && plain && rest && !page.contains("//") { &self.next } else { "incidents" }
    }
}

/// The page that asks who one is.
pub async fn page(visit: Visit, State(app): State<Arc<App>>, Query(asked): Query<Asked>) -> Response {
    form(&visit, &app, asked.next(), StatusCode::OK)
}

fn form(visit: &Visit, app: &App, next: &str, status: StatusCode) -> Response {
    let values = context! { next, wrong => status == StatusCode::UNAUTHORIZED, named => !app.auth.basic.is_empty() };
    visit.page(status, "login.html.j2", values)
}

/// What the form sends.
#[derive(Debug, Deserialize)]
pub struct Given {
    #[serde(default)]
    username: String,
    password: String,
    #[serde(flatten)]
    asked: Asked,
}

/// Begins a session for the right credentials.
pub async fn enter(
    visit: Visit,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Form(given): Form<Given>,
) -> Response {
    if !app.auth.knows_pair(&given.username, given.password.trim(), None) {
        tracing::warn!("a login with wrong credentials was refused");
        tokio::time::sleep(WRONG).await;
        return form(&visit, &app, given.asked.next(), StatusCode::UNAUTHORIZED);
    }
    let session = app.sessions.begun(&headers, Timestamp::now());
    let to = [(LOCATION, given.asked.next().to_owned()), (SET_COOKIE, session)];
    (StatusCode::SEE_OTHER, base::headers(), to).into_response()
}

/// Ends a session.
pub async fn leave() -> Response {
    let over = format!("{COOKIE_NAME}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    (StatusCode::SEE_OTHER, [(LOCATION, "login".to_owned()), (SET_COOKIE, over)]).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Auth;

    fn sessions(token: &str) -> Sessions {
        let auth = Auth { tokens: vec![token.into()], ..Auth::default() };
        let signer = Signer::new(&"s3cret".into()).unwrap();
        Sessions::new(signer, &auth, Some("https://firstlook.example.com/x"))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_session_lasts_a_day_and_ends_when_the_token_changes() {
        let begun = sessions("one").begun(&headers(&[("host", "firstlook.example.com")]), at(0));
        assert!(begun.contains("HttpOnly") && begun.contains("SameSite=Lax") && begun.ends_with("; Secure"), "{begun}");
        let brought = headers(&[("cookie", &format!("a=b; {}", begun.split(';').next().unwrap()))]);
        assert!(sessions("one").holds(&brought, at(86_399)));
        assert!(!sessions("one").holds(&brought, at(86_400)));
        assert!(!sessions("two").holds(&brought, at(1)), "another token");
        assert!(!sessions("one").holds(&headers(&[("cookie", "firstlook_session=1.x")]), at(0)));
        let plain = sessions("one").begun(&headers(&[("host", "10.0.0.7:8080")]), at(0));
        assert!(!plain.contains("Secure"), "a browser would not send it back over HTTP");
    }

    #[test]
    fn a_pass_opens_the_pages_of_its_incident_alone() {
        let (id, other) = (Uuid::now_v7(), Uuid::now_v7());
        let (ours, given) =
            (sessions("one"), Signer::new(&"s3cret".into()).unwrap().sign(&pass::incident(id), at(100)));
        let query = format!("lang=en&pass={given}");
        for path in
            [format!("/incidents/{id}"), format!("/incidents/{id}/events"), format!("/incidents/{id}/evidence/E1")]
        {
            assert!(ours.passes(&path, &query, at(99)), "{path}");
            assert!(!ours.passes(&path, &query, at(100)), "{path}");
            assert!(!ours.passes(&path, "", at(99)), "{path}");
        }
        for path in [format!("/incidents/{other}"), "/incidents".into(), "/status".into(), format!("/x/{id}")] {
            assert!(!ours.passes(&path, &query, at(99)), "{path}");
        }
        let cookie = headers(&[("cookie", &format!("firstlook_session={given}"))]);
        assert!(!ours.holds(&cookie, at(99)), "a pass is no session");
    }

    #[test]
    fn after_the_login_one_is_led_to_pages_of_ours_only() {
        let led = |next: &str| Asked { next: next.into() }.next().to_owned();
        for ours in
            ["incidents", "incidents?state=open&alert=a%2Fb", "incidents/0192-ab", "status", "incidents/1/evidence/E1"]
        {
            assert_eq!(led(ours), ours);
        }
        for other in [
            "",
            "//evil.example",
            "https://evil.example",
            "incidents//evil",
            "../x",
            "incidents/../../x",
            "status\\x",
            "javascript:1",
            "/incidents",
            "incidents/1?x=\r\nSet-Cookie: a=b",
            "incidentsx",
        ] {
            assert_eq!(led(other), "incidents", "{other}");
        }
    }
}
