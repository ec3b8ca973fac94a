//! Whether presses on a Feishu app's cards could arrive: its long connection dialled once.

use std::sync::Arc;

use super::{Tried, with_advice};
use crate::alert::Lang;
use crate::notify::channel::Channel;
use crate::notify::feishu::app::{Callbacks, FeishuApp};

/// The app behind a channel, when its presses come over the long connection.
pub(super) fn listening(channel: &Channel) -> Option<Arc<FeishuApp>> {
    channel.app().filter(|app| app.callbacks() == Some(Callbacks::LongConnection)).cloned()
}

/// Dials and hangs up. That the callback itself is subscribed cannot be seen from this side.
pub(super) async fn dial(app: Arc<FeishuApp>, lang: Lang) -> Tried {
    match app.dial().await {
        Ok(()) => Ok(lang
            .pick(
                "长连接已接通；card.action.trigger 是否已订阅，运行后点一次卡片按钮便知",
                "the long connection stands; whether card.action.trigger is subscribed, a press on a card shows once it runs",
            )
            .to_owned()),
        Err(ended) => Err(with_advice(&ended, ended.advice(lang), lang)),
    }
}
