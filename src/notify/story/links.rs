//! Where a message leads: our page, the alert's graph, its runbook, a silence for it.

use url::Url;

use super::Link;
use crate::alert::AlertStatus;
use crate::notify::notice::{Notice, NoticeBody};
use crate::notify::text::{address, web_link};

/// All links of a notice. Addresses that came with the alert are shown only when they are plain web addresses, and name their host.
#[must_use]
pub fn all(notice: &Notice) -> Vec<Link> {
    let lang = notice.lang;
    let page = notice.page_url.as_deref().and_then(web_link).map(|url| Link {
        label: match notice.body {
            NoticeBody::Digest { .. } | NoticeBody::Summary { .. } => lang.pick("全部事件", "All incidents"),
            _ => lang.pick("查看完整报告", "Full report"),
        }
        .to_owned(),
        url: address(&url),
        primary: true,
    });
    if notice.is_collective() {
        return page.into_iter().collect();
    }
    let leading = notice.group.leading();
    let graph = leading.and_then(|alert| alert.generator_url.as_deref());
    let runbook = leading.and_then(|alert| alert.annotations.get("runbook_url")).map(String::as_str);
    let foreign = [(lang.pick("告警来源", "Source"), graph), ("Runbook", runbook)];
    let foreign = foreign.into_iter().filter_map(|(label, raw)| outside(label, &web_link(raw?)?));
    page.into_iter().chain(foreign).chain(silence(notice)).collect()
}

/// A new silence for exactly the leading alert's labels, in the configured Alertmanager; only while it fires.
fn silence(notice: &Notice) -> Option<Link> {
    const MOST_LABELS: usize = 40;
    let over = matches!(notice.body, NoticeBody::Resolved { .. } | NoticeBody::Test)
        || notice.group.status == AlertStatus::Resolved;
    let labels = &notice.group.leading()?.labels;
    if over || labels.is_empty() || labels.len() > MOST_LABELS {
        return None;
    }
    let mut url = web_link(notice.alertmanager_url.as_deref()?)?;
    let quoted = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
    let matchers: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{}\"", quoted(value))).collect();
    let filter: String =
        url::form_urlencoded::byte_serialize(format!("{{{}}}", matchers.join(",")).as_bytes()).collect();
    url.set_query(None);
    url.set_fragment(Some(&format!("/silences/new?filter={}", filter.replace('+', "%20"))));
    outside(notice.lang.pick("静默", "Silence"), &url)
}

fn outside(label: &str, url: &Url) -> Option<Link> {
    const LONGEST: usize = 900;
    let host = url.host_str().filter(|host| host.len() <= 80)?;
    let url_text = address(url);
    (url_text.len() <= LONGEST).then(|| Link { label: format!("{label} · {host}"), url: url_text, primary: false })
}
