//! What a page says of an incident in figures: when it began and ended, how much of it fires, whose it is.

use super::{Fact, Shown, fact};
use crate::notify::story::words as said;
use crate::notify::text;
use crate::times;

impl Shown {
    pub(super) fn facts(&self) -> Vec<Fact> {
        let (lang, incident) = (self.lang, &self.detail.incident);
        // As the messages count it: as long as the condition was there, which can be long before we were told of it.
        let began = incident.group.began(incident.opened_at, self.now);
        let ended = incident.resolved_at.map(|told| {
            let said = incident.group.ended(told);
            if said < began { told } else { said }
        });
        let lasted = times::duration(lang, ended.unwrap_or(self.now).as_second() - began.as_second());
        let firing = incident.group.firing().count();
        let all = incident.group.alerts.len();
        let mut facts = vec![
            fact(lang.pick("开始", "Began"), times::moment(began, &self.zone).unwrap_or_default()),
            fact(lang.pick("收到", "Received"), times::moment(incident.opened_at, &self.zone).unwrap_or_default()),
            fact(lang.pick("持续", "Lasted"), lasted),
            fact(lang.pick("触发中", "Firing"), format!("{firing} / {all}")),
        ];
        let oldest = incident.group.oldest(incident.opened_at, self.now).and_then(|at| times::moment(at, &self.zone));
        facts.extend(oldest.map(|at| fact(lang.pick("最早的一条始于", "Oldest of the group since"), at)));
        let ended = ended.and_then(|at| times::moment(at, &self.zone));
        facts.extend(ended.map(|at| fact(lang.pick("恢复", "Resolved"), at)));
        if incident.generation > 1 {
            facts.push(fact(lang.pick("同组触发次数", "Times fired"), incident.generation.to_string()));
        }
        facts.extend(said::owners(lang, &incident.group).map(|who| fact(lang.pick("负责人", "Owner"), who)));
        facts.push(fact(lang.pick("接收器", "Receiver"), text::line(&incident.group.receiver, 80)));
        facts.push(fact(lang.pick("事件", "Incident"), incident.id.to_string()));
        facts
    }
}
