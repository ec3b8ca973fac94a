//! The mail as it travels: headers that thread and silence auto-replies, around the rendered parts.

use lettre::Message;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment as FilePart, Body, Mailbox, MultiPart, SinglePart};
use thiserror::Error;

use super::render::Mail;
use crate::notify::attachment::Attachment;
use crate::notify::delivered::fingerprint;
use crate::notify::notice::Notice;

/// A mail that cannot be put together; with checked settings this does not happen.
#[derive(Debug, Error)]
#[error("the mail cannot be put together: {0}")]
pub struct Unwritable(#[from] lettre::error::Error);

/// The identity of the mail about a notice: the same when it is sent again, so that a reader shows it once.
#[must_use]
pub fn message_id(notice: &Notice, domain: &str) -> String {
    format!("<{}.{}@{domain}>", notice.incident.simple(), fingerprint(notice))
}

/// The root of an incident's thread. No mail has it: every mail answers it, so the order they arrive in does not matter.
#[must_use]
pub fn thread_id(notice: &Notice, domain: &str) -> String {
    format!("<inc-{}@{domain}>", notice.incident.simple())
}

/// Writes the mail, with a file when there is one.
///
/// # Errors
/// When a header or an address is not acceptable to mail.
pub fn write(
    notice: &Notice,
    mail: Mail,
    file: Option<Attachment>,
    from: &Mailbox,
    to: &[Mailbox],
) -> Result<Vec<u8>, Unwritable> {
    let domain = from.email.domain();
    let root = thread_id(notice, domain);
    let mut message = Message::builder()
        .from(from.clone())
        .subject(mail.subject)
        .message_id(Some(message_id(notice, domain)))
        .in_reply_to(root.clone())
        .references(root)
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .raw_header(header("X-Auto-Response-Suppress", "All"))
        .raw_header(header("List-Id", format!("<firstlook.{domain}>")));
    for mailbox in to {
        message = message.to(mailbox.clone());
    }
    let file = file.map(file_part);
    let message = match (mail.html, file) {
        (Some(html), Some(file)) => {
            let said = MultiPart::alternative_plain_html(mail.text, html);
            message.multipart(MultiPart::mixed().multipart(said).singlepart(file))?
        }
        (Some(html), None) => message.multipart(MultiPart::alternative_plain_html(mail.text, html))?,
        (None, Some(file)) => {
            message.multipart(MultiPart::mixed().singlepart(SinglePart::plain(mail.text)).singlepart(file))?
        }
        (None, None) => message.body(mail.text)?,
    };
    Ok(message.formatted())
}

fn file_part(file: Attachment) -> SinglePart {
    let kind = ContentType::parse("text/markdown; charset=utf-8").unwrap_or(ContentType::TEXT_PLAIN);
    FilePart::new(file.name).body(Body::new(file.content), kind)
}

fn header(name: &'static str, value: impl Into<String>) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.into())
}
