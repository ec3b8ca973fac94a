//! Channels: addresses that must parse, windows that must end, and channels told instead that must be there.

use jiff::SignedDuration;
use secrecy::ExposeSecret;

use super::super::problem::not_one_of;
use super::{Complaint, names, url_of};
use crate::config::Config;
use crate::notify::channel::ChannelSettings;

/// What is wrong with channels, each by itself.
pub(super) fn channels(config: &Config, found: &mut Vec<Complaint>) {
    names("channels", config.channels.iter().map(ChannelSettings::name), found);
    for (index, channel) in config.channels.iter().enumerate() {
        let (key, address) = channel.address();
        let schemes: &[&str] = if key == "smtp" { &["smtps", "smtp"] } else { &["https", "http"] };
        if let Err(what) = url_of(address.expose_secret(), schemes) {
            found.push((format!("channels[{index}].{key}"), what));
        }
        if channel.delivery().max_per_minute == Some(0) {
            let what = "would send nothing; write at least 1, or leave it out for what the product takes";
            found.push((format!("channels[{index}].delivery.max_per_minute"), what.to_owned()));
        }
        if let ChannelSettings::FeishuApp(app) = channel {
            // The changes of a card would take the turns of new ones, and ring nobody.
            if channel.delivery().max_per_minute.is_some() {
                let what = "is not for an app, whose card changes in place; merge_above says when new ones go together";
                found.push((format!("channels[{index}].delivery.max_per_minute"), what.to_owned()));
            }
            found.extend(app.contradiction().map(|(key, what)| (format!("channels[{index}].{key}"), what.to_owned())));
        }
        if let ChannelSettings::Email(mail) = channel
            && mail.to.is_empty()
        {
            found.push((format!("channels[{index}].to"), "is empty; write at least one recipient".to_owned()));
        }
        let day = SignedDuration::from_hours(24);
        if channel.batch().is_some_and(|window| window < SignedDuration::from_secs(1) || window > day) {
            found.push((
                format!("channels[{index}].batch"),
                "must be between 1s and 24h; 10m is a good value".to_owned(),
            ));
        }
    }
}

/// A channel that is told instead must be there, be another one, and not lead back.
pub(super) fn fallbacks(config: &Config, found: &mut Vec<Complaint>) {
    let names: Vec<&str> = config.channels.iter().map(ChannelSettings::name).collect();
    let next = |name: &str| {
        let channel = config.channels.iter().find(|channel| channel.name() == name)?;
        channel.delivery().fallback.as_deref()
    };
    for (index, name) in names.iter().enumerate() {
        let Some(fallback) = config.channels[index].delivery().fallback.as_deref() else { continue };
        let mut way: Vec<&str> = std::iter::successors(Some(fallback), |name| next(name)).take(names.len()).collect();
        let back = way.iter().position(|one| one == name);
        way.truncate(back.map_or(0, |at| at + 1));
        let what = if fallback == *name {
            "is this channel itself; name another one".to_owned()
        } else if !names.contains(&fallback) {
            not_one_of("channel", fallback, &names)
        } else if back.is_some() {
            format!("leads back to {name}: {}; the last of them needs none", way.join(" > "))
        } else {
            continue;
        };
        found.push((format!("channels[{index}].delivery.fallback"), what));
    }
}
