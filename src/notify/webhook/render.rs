//! A notice as the bytes that are posted and signed.

use std::io::Write;

use jiff::Timestamp;

use super::wire::Message;
use crate::notify::notice::{Notice, NoticeBody};
use crate::notify::send::Form;
use crate::notify::story::{Caps, tell};
use crate::notify::{attachment, plain};

/// Receivers commonly take a mebibyte (nginx's default for a request body); what is longer leaves out alerts first.
pub const BUDGET: usize = 1 << 20;
/// The text in a message, in bytes.
const TEXT: usize = 16_000;

/// The body in this form: everything, the first twenty alerts, or the text alone. `None` when it does not fit.
#[must_use]
pub fn body(notice: &Notice, now: Timestamp, form: Form) -> Option<Vec<u8>> {
    // What tells of several incidents would list the alerts of one.
    let all = if notice.is_collective() { &[] } else { notice.group.alerts.as_slice() };
    let alerts = match form {
        Form::Full => all,
        Form::Compact => &all[..all.len().min(20)],
        Form::Plain => &[],
    };
    let report = notice.report().filter(|_| form != Form::Plain);
    let (event, investigating, missing, resolved_at) = match &notice.body {
        NoticeBody::Alert { investigating, missing, .. } => ("alert", *investigating, missing.as_slice(), None),
        NoticeBody::Diagnosis { .. } => ("diagnosis", false, &[][..], None),
        NoticeBody::Resolved { resolved_at } => ("resolved", false, &[][..], Some(*resolved_at)),
        NoticeBody::Digest { .. } => ("digest", false, &[][..], None),
        NoticeBody::Summary { .. } => ("summary", false, &[][..], None),
        NoticeBody::Test => ("test", false, &[][..], None),
    };
    let none = Default::default();
    let mut story = tell(notice, now, Caps::page(form));
    if form == Form::Plain {
        // The text is all there is: the report and the alerts were left out.
        attachment::say_what_is_cut(notice, &mut story, now);
    }
    let message = Message {
        version: 1,
        event,
        incident: notice.is_of_one().then_some(notice.incident),
        opened_at: notice.opened_at,
        resolved_at,
        page_url: notice.page_url.as_deref().filter(|url| url.len() <= 4_096),
        text: plain::text(&story, TEXT),
        common_labels: if form == Form::Plain || notice.is_collective() { &none } else { &notice.group.common_labels },
        alerts,
        alerts_left_out: all.len() - alerts.len(),
        report,
        investigating,
        missing: if form == Form::Plain { &[] } else { missing },
        meanwhile: &notice.meanwhile,
        undelivered: &notice.undelivered,
    };
    let mut body = Bounded(Vec::new());
    serde_json::to_writer(&mut body, &message).is_ok().then_some(body.0)
}

/// Bytes up to the budget: what is far larger is not written out to find that out.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > BUDGET {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::fixtures::{notice, now};

    #[test]
    fn what_belongs_to_no_single_incident_has_no_incidents_id_and_no_alerts_of_one() {
        let mut summary = notice("summary.en");
        summary.group = notice("alert-oom.en").group;
        let test = crate::notify::rehearsal::notice(summary.lang, "UTC");
        for (notice, event) in [(summary, "summary"), (notice("digest.en"), "digest"), (test, "test")] {
            let body: serde_json::Value = serde_json::from_slice(&body(&notice, now(), Form::Full).unwrap()).unwrap();
            assert_eq!((&body["event"], &body["incident"]), (&event.into(), &serde_json::Value::Null));
            assert!(event == "test" || body["alerts"].as_array().unwrap().is_empty(), "{body:#}");
        }
    }
}
