//! The full report as a file beside a message that could not hold it: uploaded, then sent by its media id.

use bytes::Bytes;

use super::wire::{Answer, Media, Message, form_data};
use crate::notify::attachment::Attachment;
use crate::notify::post::Address;

/// The bot's file store, at the address beside its webhook's.
#[derive(Debug, Clone)]
pub struct Files {
    upload: Address,
}

impl Files {
    /// The file store of a bot; `None` when the webhook's address does not end in `/send`, so that its sibling is unknown.
    pub fn beside(webhook: &Address) -> Option<Self> {
        let upload = webhook.sibling("send", "upload_media", ("type", "file"))?;
        Some(Self { upload })
    }

    /// Uploads a file and returns the message that shows it in the group.
    ///
    /// # Errors
    /// What failed, for the log: the message the file belongs to is out already.
    pub async fn upload(&self, client: &reqwest::Client, file: &Attachment) -> Result<Message, String> {
        let (kind, body) = form_data(&file.name, file.content.as_bytes());
        let reply =
            self.upload.post_bytes(client, &kind, Bytes::from(body)).await.map_err(|error| error.to_string())?;
        let answer = Answer::read(&reply.body).ok_or_else(|| format!("HTTP {} without WeCom's reply", reply.status))?;
        match answer.media_id {
            Some(media_id) if answer.errcode == 0 => Ok(Message::File { file: Media { media_id } }),
            _ => Err(format!("WeCom answered {} \"{}\"", answer.errcode, self.upload.silence(&answer.errmsg))),
        }
    }
}
