//! What each model has used up today, against its daily limits.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::TokenUsage;
use crate::store::Spending;

/// What one model may use up in a day, in the configured time zone; absent means without limit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DailyLimits {
    /// Tokens, questions and answers together.
    pub tokens: Option<u64>,
    /// Money, in the currency of the model's prices.
    pub cost: Option<f64>,
}

/// A daily limit that is reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reached {
    /// The tokens.
    Tokens(u64),
    /// The money.
    Cost(f64),
}

/// Today's spending by model: what the store knew when it was last asked, and what came since.
#[derive(Debug)]
pub struct Ledger {
    zone: TimeZone,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    day: Option<Date>,
    stored: BTreeMap<String, Spending>,
    fresh: BTreeMap<String, Spending>,
}

impl Ledger {
    /// An empty one; days begin at midnight in `zone`.
    #[must_use]
    pub fn new(zone: TimeZone) -> Self {
        Self { zone, book: Mutex::default() }
    }

    /// The day it is.
    #[must_use]
    pub fn today(&self) -> Date {
        Zoned::new(Timestamp::now(), self.zone.clone()).date()
    }

    /// Counts one answer.
    pub fn add(&self, model: &str, usage: TokenUsage, cost: f64) {
        let more = Spending { prompt_tokens: usage.prompt, completion_tokens: usage.completion, cost };
        let mut book = self.book(self.today());
        let entry = book.fresh.entry(model.to_owned()).or_default();
        *entry = entry.plus(more);
    }

    /// Which of a model's limits is reached today, if one is.
    #[must_use]
    pub fn reached(&self, model: &str, limits: DailyLimits) -> Option<Reached> {
        let spent = self.spent(model);
        let tokens = limits.tokens.filter(|&limit| spent.tokens() >= limit).map(Reached::Tokens);
        tokens.or_else(|| limits.cost.filter(|&limit| spent.cost >= limit).map(Reached::Cost))
    }

    /// What a model used up today.
    #[must_use]
    pub fn spent(&self, model: &str) -> Spending {
        let book = self.book(self.today());
        let of = |entries: &BTreeMap<String, Spending>| entries.get(model).copied().unwrap_or_default();
        of(&book.stored).plus(of(&book.fresh))
    }

    /// Takes over what the store knows of a day: other replicas spend too, and this process may be a new one.
    pub fn learn(&self, day: Date, stored: BTreeMap<String, Spending>) {
        let mut book = self.book(self.today());
        if book.day == Some(day) {
            book.stored = stored;
        }
    }

    /// What came since the last time, to be added to the store. It keeps counting here.
    #[must_use]
    pub fn settle(&self) -> (Date, BTreeMap<String, Spending>) {
        let today = self.today();
        let mut book = self.book(today);
        let fresh = std::mem::take(&mut book.fresh);
        for (model, spending) in &fresh {
            let entry = book.stored.entry(model.clone()).or_default();
            *entry = entry.plus(*spending);
        }
        (today, fresh)
    }

    /// The book of a day; with a new day a new page begins.
    fn book(&self, today: Date) -> MutexGuard<'_, Book> {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        if book.day != Some(today) {
            *book = Book { day: Some(today), ..Book::default() };
        }
        book
    }
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
    fn what_was_settled_is_settled_once_and_still_counts() {
        let ledger = ledger();
        ledger.add("fast", USAGE, 0.1);
        let (day, fresh) = ledger.settle();
        assert_eq!(fresh["fast"].tokens(), 1000);
        assert!(ledger.settle().1.is_empty());
        assert_eq!(ledger.spent("fast").tokens(), 1000);
        // A second replica added as much.
        ledger.learn(day, BTreeMap::from([("fast".to_owned(), fresh["fast"].plus(fresh["fast"]))]));
        ledger.add("fast", USAGE, 0.1);
        assert_eq!(ledger.spent("fast").tokens(), 3000);
    }

    #[test]
    fn yesterday_does_not_count() {
        let ledger = ledger();
        ledger.add("fast", USAGE, 0.1);
        ledger.learn(ledger.today().yesterday().unwrap(), BTreeMap::from([("fast".to_owned(), Spending::default())]));
        assert_eq!(ledger.spent("fast").tokens(), 1000, "an answer of the store that came over midnight is ignored");
        drop(ledger.book(ledger.today().tomorrow().unwrap()));
        assert_eq!(ledger.spent("fast"), Spending::default(), "a new day begins at nothing");
    }
}
