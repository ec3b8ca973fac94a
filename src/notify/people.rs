//! People by the names their own alerts call them: a platform knows them by ids that tell nobody who is meant.

use std::collections::BTreeMap;

use super::channel::ChannelSettings;

/// Names of people by the platform's id, as the `owners` of all channels have them.
#[derive(Debug, Clone, Default)]
pub struct People(BTreeMap<String, String>);

impl People {
    /// Whom the channels know; of several names the first in the alphabet stays the same from day to day.
    #[must_use]
    pub fn of(channels: &[ChannelSettings]) -> Self {
        let mut names = BTreeMap::new();
        for (name, id) in channels.iter().filter_map(owners).flatten() {
            names.entry(id.clone()).or_insert_with(|| name.clone());
        }
        Self(names)
    }

    /// A person's name, or the id where nobody gave one.
    #[must_use]
    pub fn name<'a>(&'a self, id: &'a str) -> &'a str {
        self.0.get(id).map_or(id, String::as_str)
    }
}

/// The users of a channel's product by what alerts call them; none where it calls nobody.
fn owners(channel: &ChannelSettings) -> Option<&BTreeMap<String, String>> {
    match channel {
        ChannelSettings::FeishuBot(settings) => Some(&settings.owners),
        ChannelSettings::FeishuApp(settings) => Some(&settings.owners),
        ChannelSettings::WecomBot(settings) => Some(&settings.owners),
        ChannelSettings::Email(_) | ChannelSettings::Webhook(_) => None,
    }
}
