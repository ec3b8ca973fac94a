//! One reader's request: in which language, from how deep, and with which pass; and the answer as a page.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::{
    ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use minijinja::{Value, context};
use url::form_urlencoded;

use super::assets::{ICON, SCRIPT, STYLE};
use super::{TEMPLATES, language};
use crate::alert::Lang;
use crate::http::{App, login};
use crate::store::StoreError;

/// What a page needs to know of its reader's request.
#[derive(Debug, Clone)]
pub struct Visit {
    /// The language to answer in.
    pub lang: Lang,
    /// The relative way to the first page: `./` or so many `../`.
    pub root: String,
    /// The query that links to other pages carry on: the language, when it was asked for. Empty or `?…`.
    pub keep: String,
    /// The same for pages of this incident: with the pass that opened this one.
    pub keep_pass: String,
    /// The query of this page in the other language.
    pub other: String,
    /// Whether they came with a login, and so can end it.
    logged_in: bool,
}

/// Why there is no page.
#[derive(Debug)]
pub enum Trouble {
    /// There is nothing of this name.
    Missing,
    /// The store failed.
    Store(StoreError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl FromRequestParts<Arc<App>> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Self::Rejection> {
        let accepts = parts.headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let logged_in = login::is_logged_in(&parts.headers);
        Ok(Self { logged_in, ..Self::new(&parts.uri, accepts, app.desk.settings().lang) })
    }
}

impl Visit {
    /// A visit of an address by a reader who accepts these languages; `configured` when it is none of ours.
    #[must_use]
    pub fn new(uri: &Uri, accepts: &str, configured: Lang) -> Self {
        let pairs: Vec<(String, String)> =
            form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let asked = pairs.iter().find(|(key, _)| key == "lang").and_then(|(_, tag)| language::of_tag(tag));
        let lang = asked.or_else(|| language::preferred(accepts)).unwrap_or(configured);
        let depth = uri.path().matches('/').count().saturating_sub(1);
        let kept = |names: &[&str]| {
            query(pairs.iter().filter(|(key, _)| names.contains(&key.as_str())).map(|(key, value)| (&**key, &**value)))
        };
        let rest = pairs.iter().filter(|(key, _)| key != "lang").map(|(key, value)| (&**key, &**value));
        Self {
            lang,
            root: if depth == 0 { "./".to_owned() } else { "../".repeat(depth) },
            keep: kept(&["lang"]),
            keep_pass: kept(&["lang", "pass"]),
            logged_in: false,
            other: query(rest.chain([("lang", lang.pick(Lang::En, Lang::Zh).tag())])),
        }
    }

    /// A page from a template that extends the base.
    pub fn page(&self, status: StatusCode, template: &str, values: Value) -> Response {
        let frame = context! {
            zh => self.lang == Lang::Zh,
            lang => self.lang.tag(),
            root => self.root.as_str(),
            keep => self.keep.as_str(),
            keep_pass => self.keep_pass.as_str(),
            other => self.other.as_str(),
            logged_in => self.logged_in,
            style => STYLE.name.as_str(),
            script => SCRIPT.name.as_str(),
            icon => ICON.name.as_str(),
            ..values
        };
        let rendered = TEMPLATES.get_template(template).and_then(|template| template.render(frame));
        let (status, html) = rendered.map_or_else(
            |error| {
                tracing::error!(error = format!("{error:#}"), template, "a page's template failed");
                (StatusCode::INTERNAL_SERVER_ERROR, "<!doctype html><title>Firstlook</title>500".to_owned())
            },
            |html| (status, html),
        );
        (status, headers(), Html(html)).into_response()
    }

    /// The page that says why there is none.
    pub fn trouble(&self, trouble: &Trouble) -> Response {
        let (status, title, said) = match trouble {
            Trouble::Missing => (
                StatusCode::NOT_FOUND,
                self.lang.pick("没有这个页面", "There is no such page"),
                self.lang.pick(
                    "链接可能不完整，或者事件已按保留期限清理。",
                    "The link may be cut short, or the incident was removed after its time.",
                ),
            ),
            Trouble::Store(error) => {
                tracing::error!(%error, "the store failed a page");
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    self.lang.pick("存储暂时没有响应", "The store does not answer just now"),
                    self.lang.pick(
                        "稍后刷新；告警照常发送，原因见服务日志。",
                        "Reload in a moment; alerts are sent as usual, and the service's log says why.",
                    ),
                )
            }
        };
        self.page(status, "trouble.html.j2", context! { title, said })
    }
}

fn query<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    if text.is_empty() { text } else { format!("?{text}") }
}

/// What every page is served with. It is its reader's own, and says nothing to where its links lead.
pub fn headers() -> [(HeaderName, &'static str); 5] {
    [
        (CONTENT_SECURITY_POLICY, super::CONTENT_SECURITY_POLICY),
        (CACHE_CONTROL, "private, no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(uri: &str, accepts: &str) -> Visit {
        Visit::new(&uri.parse().unwrap(), accepts, Lang::Zh)
    }

    #[test]
    fn the_language_is_as_asked_then_as_accepted_then_as_configured() {
        assert_eq!(visit("/incidents?lang=en", "zh").lang, Lang::En);
        assert_eq!(visit("/incidents?lang=xx", "en").lang, Lang::En);
        assert_eq!(visit("/incidents", "fr").lang, Lang::Zh);
    }

    #[test]
    fn links_are_relative_and_carry_on_what_was_asked() {
        let page = visit("/incidents/1?pass=a%26b&lang=en&x=1", "");
        assert_eq!((page.root.as_str(), page.keep.as_str()), ("../", "?lang=en"));
        assert_eq!(page.keep_pass, "?pass=a%26b&lang=en");
        assert_eq!(page.other, "?pass=a%26b&x=1&lang=zh-CN");
        assert_eq!(visit("/incidents", "").root, "./");
        assert_eq!(visit("/incidents", "").keep_pass, "");
    }

    #[test]
    fn every_page_is_locked_down_even_a_missing_one() {
        let page = visit("/nowhere", "").trouble(&Trouble::Missing);
        assert_eq!(page.status(), StatusCode::NOT_FOUND);
        let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe") && !policy.contains('*'));
        assert_eq!(page.headers()[CACHE_CONTROL], "private, no-store");
        assert_eq!(page.headers()["x-robots-tag"], "noindex, nofollow");
    }
}
