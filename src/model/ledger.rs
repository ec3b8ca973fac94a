//! What each model has used up today, against its daily limits.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::Notify;

use super::TokenUsage;
use crate::store::Spending;

/// What may be used up in a day, which ends at midnight in the configured time zone; absent means without limit.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DailyLimits {
    /// Tokens in a day, questions and answers together; left out: no limit.
    pub tokens: Option<u64>,
    /// Money in a day, in the currency of the model's prices; left out: no limit.
    pub cost: Option<f64>,
}

impl DailyLimits {
    /// The key of a limit nothing could be done under, if there is one.
    #[must_use]
    pub fn senseless(self) -> Option<&'static str> {
        let nothing = self.cost.is_some_and(|cost| !(cost > 0.0 && cost.is_finite()));
        (self.tokens == Some(0)).then_some("tokens").or_else(|| nothing.then_some("cost"))
    }

    fn reached_by(self, spent: Spending) -> Option<Reached> {
        let tokens = self.tokens.filter(|&limit| spent.tokens() >= limit).map(Reached::Tokens);
        tokens.or_else(|| self.cost.filter(|&limit| spent.cost >= limit).map(Reached::Cost))
    }
}

/// A daily limit that is reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reached {
    /// The tokens.
    Tokens(u64),
    /// The money.
    Cost(f64),
}

/// What was spent, by day and model.
pub type Pages = BTreeMap<Date, BTreeMap<String, Spending>>;

/// Today's spending by model: what the store knew when it was last asked, and what came since.
#[derive(Debug)]
pub struct Ledger {
    zone: TimeZone,
    book: Mutex<Book>,
    added: Notify,
}

#[derive(Debug, Default)]
struct Book {
    /// The day `stored` is of.
    day: Option<Date>,
    stored: BTreeMap<String, Spending>,
    /// On its way to the store.
    leaving: Pages,
    fresh: Pages,
}

impl Ledger {
    /// An empty one; days begin at midnight in `zone`.
    #[must_use]
    pub fn new(zone: TimeZone) -> Self {
        Self { zone, book: Mutex::default(), added: Notify::new() }
    }

    /// The day it is.
    #[must_use]
    pub fn today(&self) -> Date {
        Zoned::new(Timestamp::now(), self.zone.clone()).date()
    }

    /// Counts one answer.
    pub fn add(&self, model: &str, usage: TokenUsage, cost: f64) {
        let more = Spending { prompt_tokens: usage.prompt, completion_tokens: usage.completion, cost };
        let today = self.today();
        add(self.book().fresh.entry(today).or_default(), model, more);
        self.added.notify_one();
    }

    /// Waits for an answer that was counted since this was last waited for.
    pub async fn added(&self) {
        self.added.notified().await;
    }

    /// Which of a model's limits is reached today, if one is.
    #[must_use]
    pub fn reached(&self, model: &str, limits: DailyLimits) -> Option<Reached> {
        limits.reached_by(self.spent(model))
    }

    /// Which limit all models together have reached today, if one is. Currencies are not told apart.
    #[must_use]
    pub fn all_reached(&self, limits: DailyLimits) -> Option<Reached> {
        let today = self.today();
        limits.reached_by(self.book().of(today, |_| true))
    }

    /// What a model used up today.
    #[must_use]
    pub fn spent(&self, model: &str) -> Spending {
        let today = self.today();
        self.book().of(today, |name| name == model)
    }

    /// Takes over what the store knows of a day: other replicas spend too, and this process may be a new one.
    pub fn learn(&self, day: Date, stored: BTreeMap<String, Spending>) {
        let mut book = self.book();
        book.day = Some(day);
        book.stored = stored;
    }

    /// What the store does not know yet. It counts as on its way, and comes again, until [`Ledger::settled`].
    #[must_use]
    pub fn unsettled(&self) -> Pages {
        let mut book = self.book();
        for (day, models) in std::mem::take(&mut book.fresh) {
            let page = book.leaving.entry(day).or_default();
            models.iter().for_each(|(model, spending)| add(page, model, *spending));
        }
        book.leaving.clone()
    }

    /// What was on its way on a day has arrived.
    pub fn settled(&self, day: Date) {
        let mut book = self.book();
        let arrived = book.leaving.remove(&day).unwrap_or_default();
        if book.day != Some(day) {
            return;
        }
        arrived.iter().for_each(|(model, spending)| add(&mut book.stored, model, *spending));
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// What was spent on a day by the models that count.
    fn of(&self, day: Date, counts: impl Fn(&str) -> bool) -> Spending {
        let stored = (self.day == Some(day)).then_some(&self.stored);
        let pages = [stored, self.leaving.get(&day), self.fresh.get(&day)];
        let entries = pages.into_iter().flatten().flatten().filter(|(model, _)| counts(model));
        entries.fold(Spending::default(), |sum, (_, spending)| sum.plus(*spending))
    }
}

fn add(page: &mut BTreeMap<String, Spending>, model: &str, more: Spending) {
    let entry = page.entry(model.to_owned()).or_default();
    *entry = entry.plus(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: TokenUsage = TokenUsage { prompt: 900, completion: 100 };

    fn ledger() -> Ledger {
        Ledger::new(TimeZone::UTC)
    }

    #[test]
    fn a_limit_is_reached_when_it_is_used_up() {
        let ledger = ledger();
        let limits = DailyLimits { tokens: Some(2000), cost: Some(0.5) };
        ledger.add("fast", USAGE, 0.1);
        assert_eq!(ledger.reached("fast", limits), None);
        ledger.add("fast", USAGE, 0.1);
        assert_eq!(ledger.reached("fast", limits), Some(Reached::Tokens(2000)));
        assert_eq!(ledger.reached("other", limits), None);
        assert_eq!(ledger.reached("fast", DailyLimits { cost: Some(0.2), tokens: None }), Some(Reached::Cost(0.2)));
        assert_eq!(ledger.reached("fast", DailyLimits::default()), None);
    }

    #[test]
    fn all_models_together_have_a_limit_of_their_own() {
        let ledger = ledger();
        ledger.add("fast", USAGE, 0.1);
        ledger.add("slow", USAGE, 0.2);
        let limits = |tokens| DailyLimits { tokens: Some(tokens), cost: None };
        assert_eq!(ledger.all_reached(limits(2001)), None);
        assert_eq!(ledger.all_reached(limits(2000)), Some(Reached::Tokens(2000)));
    }

    #[test]
    fn what_was_settled_is_settled_once_and_still_counts() {
        let ledger = ledger();
        let today = ledger.today();
        ledger.learn(today, BTreeMap::new());
        ledger.add("fast", USAGE, 0.1);
        assert_eq!(ledger.unsettled()[&today]["fast"].tokens(), 1000);
        ledger.add("fast", USAGE, 0.1);
        let fresh = ledger.unsettled()[&today].clone();
        assert_eq!(fresh["fast"].tokens(), 2000, "what did not arrive comes again");
        ledger.add("fast", USAGE, 0.1);
        ledger.settled(today);
        assert_eq!(ledger.spent("fast").tokens(), 3000);
        assert_eq!(ledger.unsettled()[&today]["fast"].tokens(), 1000, "what came meanwhile has not arrived");
        ledger.settled(today);
        assert!(ledger.unsettled().is_empty());
        // A second replica added as much.
        ledger.learn(today, BTreeMap::from([("fast".to_owned(), fresh["fast"].plus(fresh["fast"]))]));
        ledger.add("fast", USAGE, 0.1);
        assert_eq!(ledger.spent("fast").tokens(), 5000);
    }

    #[test]
    fn yesterday_does_not_count_but_is_settled() {
        let ledger = ledger();
        let yesterday = ledger.today().yesterday().unwrap();
        let spent = Spending { prompt_tokens: 7, ..Spending::default() };
        ledger.book().fresh.entry(yesterday).or_default().insert("fast".to_owned(), spent);
        ledger.learn(yesterday, BTreeMap::from([("fast".to_owned(), spent)]));
        assert_eq!(ledger.spent("fast"), Spending::default());
        assert_eq!(ledger.unsettled()[&yesterday]["fast"], spent);
    }

    #[test]
    fn a_limit_of_nothing_is_a_mistake() {
        assert_eq!(DailyLimits { tokens: Some(0), cost: None }.senseless(), Some("tokens"));
        assert_eq!(DailyLimits { tokens: None, cost: Some(f64::NAN) }.senseless(), Some("cost"));
        assert_eq!(DailyLimits { tokens: Some(1), cost: Some(0.1) }.senseless(), None);
    }
}
