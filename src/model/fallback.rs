//! The configured models in order: the next one answers when one cannot.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::absence::{Absence, Passed};
use super::error::{Class, ModelError};
use super::roster::Roster;
use super::wire::{Reply, TokenUsage};
use super::{Model, Request};

/// Several models as one. Make one for each run: a model that failed is not asked again in the same run, so that its
/// waits are paid once.
pub struct Fallback<M> {
    roster: Arc<Roster<M>>,
    course: Mutex<Course>,
}

/// How far a run has come.
struct Course {
    current: usize,
    passed: Vec<Passed>,
}

impl<M: Model> Fallback<M> {
    /// The models in the order they are to be tried, beginning with the first that can be asked now.
    ///
    /// # Errors
    /// When none can be: each with the reason, and nothing when there is no model at all.
    pub fn new(roster: Arc<Roster<M>>) -> Result<Self, Vec<Passed>> {
        let mut passed = Vec::new();
        for current in 0..roster.len() {
            match roster.absence(current) {
                Some(why) => passed.push(roster.pass(current, why)),
                None => return Ok(Self { roster, course: Mutex::new(Course { current, passed }) }),
            }
        }
        Err(passed)
    }

    /// The models this run went on without, in order, and why.
    #[must_use]
    pub fn passed_over(&self) -> Vec<Passed> {
        self.course().passed.clone()
    }

    /// Goes on to the next model that can be asked; false when there is none, and the run stays where it is.
    fn move_on(&self, from: usize, why: Absence) -> bool {
        let mut skipped = Vec::new();
        for next in from + 1..self.roster.len() {
            match self.roster.absence(next) {
                Some(why) => skipped.push(self.roster.pass(next, why)),
                None => {
                    let mut course = self.course();
                    course.passed.push(self.roster.pass(from, why));
                    course.passed.extend(skipped);
                    course.current = next;
                    return true;
                }
            }
        }
        false
    }

    /// When a model must have answered: while another can still take over, one gets half of the time that is left.
    fn share(&self, index: usize, deadline: Instant) -> Instant {
        let others = index + 1..self.roster.len();
        if others.into_iter().all(|other| self.roster.absence(other).is_some()) {
            return deadline;
        }
        let now = Instant::now();
        now + deadline.saturating_duration_since(now) / 2
    }

    fn current(&self) -> &M {
        self.roster.model(self.index())
    }

    fn index(&self) -> usize {
        self.course().current
    }

    fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M: Model> Model for Fallback<M> {
    fn name(&self) -> &str {
        self.current().name()
    }

    fn context_tokens(&self) -> usize {
        self.current().context_tokens()
    }

    fn cost(&self, usage: TokenUsage) -> f64 {
        self.current().cost(usage)
    }

    fn currency(&self) -> Option<&str> {
        self.roster.currency()
    }

    async fn complete(&self, request: &Request, deadline: Instant) -> Result<Reply, ModelError> {
        loop {
            let index = self.index();
            let unanswered = match self.roster.ask(index, request, self.share(index, deadline)).await {
                Ok(reply) => return Ok(reply),
                Err(unanswered) => unanswered,
            };
            // What does not fit is for the loop to shorten.
            if unanswered.error.class == Class::ContextLength || !self.move_on(index, unanswered.why) {
                return Err(unanswered.error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::model::AssistantMessage;
    use crate::model::ledger::{DailyLimits, Ledger, Reached};
    use crate::telemetry::Metrics;

    const EIGHTEEN_MINUTES: Duration = Duration::from_secs(18 * 60);

    /// Answers after a while, or fails.
    struct Scripted {
        name: &'static str,
        fails: Option<Class>,
        takes: Duration,
        asked: AtomicUsize,
        answered: Arc<AtomicUsize>,
        /// Money for a thousand tokens of a question.
        price: f64,
        currency: Option<&'static str>,
    }

    impl Scripted {
        fn new(name: &'static str, fails: Option<Class>) -> Self {
            Self {
                name,
                fails,
                takes: Duration::ZERO,
                asked: 0.into(),
                answered: Arc::default(),
                price: 1.0,
                currency: None,
            }
        }

        fn priced(self, price: f64, currency: &'static str) -> Self {
            Self { price, currency: Some(currency), ..self }
        }

        fn slow(name: &'static str) -> Self {
            Self { takes: EIGHTEEN_MINUTES, ..Self::new(name, None) }
        }
    }

    impl Model for Scripted {
        fn name(&self) -> &str {
            self.name
        }

        fn context_tokens(&self) -> usize {
            1000
        }

        fn cost(&self, usage: TokenUsage) -> f64 {
            usage.prompt as f64 / 1000.0 * self.price
        }

        fn currency(&self) -> Option<&str> {
            self.currency
        }

        async fn complete(&self, _: &Request, _: Instant) -> Result<Reply, ModelError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(self.takes).await;
            self.answered.fetch_add(1, Ordering::Relaxed);
            let message = AssistantMessage { content: Some(self.name.to_owned()), ..Default::default() };
            let usage = Some(TokenUsage { prompt: 900, completion: 100 });
            match self.fails {
                Some(class) => Err(ModelError::new(self.name, class, "no")),
                None => Ok(Reply { message, usage, ..Reply::default() }),
            }
        }
    }

    fn roster(models: impl IntoIterator<Item = (Scripted, DailyLimits)>, daily: DailyLimits) -> Arc<Roster<Scripted>> {
        Arc::new(Roster::new(models, Ledger::new(TimeZone::UTC), daily, Arc::new(Metrics::new())))
    }

    fn without_limits<const N: usize>(models: [Scripted; N]) -> Arc<Roster<Scripted>> {
        roster(models.map(|model| (model, DailyLimits::default())), DailyLimits::default())
    }

    fn two(first: Option<Class>, second: Option<Class>) -> Arc<Roster<Scripted>> {
        without_limits([Scripted::new("a", first), Scripted::new("b", second)])
    }

    fn run(roster: &Arc<Roster<Scripted>>) -> Fallback<Scripted> {
        Fallback::new(Arc::clone(roster)).unwrap_or_else(|passed| panic!("nobody is left: {passed:?}"))
    }

    fn asked(roster: &Roster<Scripted>) -> Vec<usize> {
        roster.models().map(|model| model.asked.load(Ordering::Relaxed)).collect()
    }

    fn passed(model: &str, why: Absence) -> Passed {
        Passed { model: model.to_owned(), why }
    }

    async fn ask(models: &Fallback<Scripted>) -> Result<String, ModelError> {
        let deadline = Instant::now() + Duration::from_secs(180);
        models.complete(&Request::default(), deadline).await.map(|reply| reply.message.content.unwrap_or_default())
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_takes_over_for_the_rest_of_the_run_and_the_reason_is_kept() {
        let roster = two(Some(Class::Server), None);
        let models = run(&roster);
        for _ in 0..2 {
            assert_eq!(ask(&models).await.unwrap(), "b");
        }
        assert_eq!((models.name(), asked(&roster)), ("b", vec![1, 2]));
        let why = Absence::Failed { class: Class::Server, status: None };
        assert_eq!(models.passed_over(), [passed("a", why)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_model_costs_the_next_runs_nothing_until_its_rest_is_over() {
        let roster = two(Some(Class::Auth), None);
        for _ in 0..5 {
            assert_eq!(ask(&run(&roster)).await.unwrap(), "b");
        }
        assert_eq!(asked(&roster), [1, 5]);
        assert_eq!(run(&roster).passed_over(), [passed("a", Absence::Resting(Class::Auth))]);
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(ask(&run(&roster)).await.unwrap(), "b");
        assert_eq!(asked(&roster), [2, 6], "one run finds out whether it is back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_leaves_a_model_that_another_run_found_dead() {
        let roster = two(None, None);
        let models = run(&roster);
        assert_eq!(ask(&models).await.unwrap(), "a");
        roster.breaker(0).enter().unwrap().failed(&ModelError::new("a", Class::Quota, "no"));
        assert_eq!(ask(&models).await.unwrap(), "b");
        assert_eq!(models.passed_over(), [passed("a", Absence::Resting(Class::Quota))]);
    }

    #[tokio::test(start_paused = true)]
    async fn when_nobody_can_be_asked_it_is_known_at_once_and_why() {
        let roster = two(Some(Class::Auth), Some(Class::Quota));
        assert_eq!(ask(&run(&roster)).await.unwrap_err().class, Class::Quota, "the last error is told");
        let passed_over = Fallback::new(Arc::clone(&roster)).err().unwrap();
        assert_eq!(
            passed_over,
            [passed("a", Absence::Resting(Class::Auth)), passed("b", Absence::Resting(Class::Quota))]
        );
        assert!(Fallback::new(without_limits([])).err().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_fit_is_for_the_loop_to_shorten() {
        let models = run(&two(Some(Class::ContextLength), None));
        let error = ask(&models).await.unwrap_err();
        assert_eq!((error.model.as_str(), error.class), ("a", Class::ContextLength));
        assert_eq!(models.name(), "a");
    }

    #[tokio::test(start_paused = true)]
    async fn a_model_of_eighteen_minutes_passes_to_the_next_while_time_is_left_and_rests_after_two_runs() {
        let roster = without_limits([Scripted::slow("a"), Scripted::new("b", None)]);
        let started = Instant::now();
        for _ in 0..3 {
            assert_eq!(ask(&run(&roster)).await.unwrap(), "b");
        }
        assert_eq!(started.elapsed(), Duration::from_secs(180), "half of the time of two runs, nothing of the third");
        assert_eq!(asked(&roster), [2, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_answer_of_an_only_model_that_comes_after_the_deadline_never_comes() {
        let slow = Scripted::slow("a");
        let answered = Arc::clone(&slow.answered);
        let roster = without_limits([slow]);
        let started = Instant::now();
        let error = ask(&run(&roster)).await.unwrap_err();
        assert_eq!(
            (error.class, started.elapsed()),
            (Class::Timeout, Duration::from_secs(180)),
            "all of the time is its"
        );
        tokio::time::sleep(EIGHTEEN_MINUTES).await;
        assert_eq!(answered.load(Ordering::Relaxed), 0, "the call was dropped at the deadline");
        assert_eq!(roster.ledger().spent("a").tokens(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_model_is_not_blamed_for_a_run_whose_time_was_over() {
        let roster = without_limits([Scripted::slow("a")]);
        for _ in 0..5 {
            let deadline = Instant::now() + Duration::from_secs(3);
            run(&roster).complete(&Request::default(), deadline).await.unwrap_err();
        }
        assert_eq!(asked(&roster), [5]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_model_whose_day_is_spent_gives_way_and_a_run_that_began_may_end() {
        let limits = DailyLimits { tokens: Some(1500), cost: None };
        let models = [(Scripted::new("a", None), limits), (Scripted::new("b", None), DailyLimits::default())];
        let roster = roster(models, DailyLimits::default());
        let first = run(&roster);
        for _ in 0..3 {
            assert_eq!(ask(&first).await.unwrap(), "a");
        }
        let second = run(&roster);
        assert_eq!(ask(&second).await.unwrap(), "b");
        assert_eq!(second.passed_over(), [passed("a", Absence::Spent(Reached::Tokens(1500)))]);
        assert!(roster.standings().map(|(_, standing)| standing.capped).eq([true, false]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_pays_the_price_of_the_model_that_answers_it() {
        let dear = Scripted::new("a", Some(Class::Server)).priced(8.0, "CNY");
        let models = run(&without_limits([dear, Scripted::new("b", None).priced(2.0, "CNY")]));
        let usage = TokenUsage { prompt: 1000, completion: 0 };
        assert_eq!((models.cost(usage), models.currency()), (8.0, Some("CNY")));
        assert_eq!(ask(&models).await.unwrap(), "b");
        assert_eq!((models.cost(usage), models.currency()), (2.0, Some("CNY")));
    }

    #[test]
    fn a_sum_over_two_currencies_has_none() {
        let currency = |second: Scripted| {
            let models = run(&without_limits([Scripted::new("a", None).priced(8.0, "CNY"), second]));
            models.currency().map(str::to_owned)
        };
        assert_eq!(currency(Scripted::new("b", None).priced(2.0, "USD")), None);
        assert_eq!(currency(Scripted::new("b", None)).as_deref(), Some("CNY"), "one without a price adds nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_of_all_models_together_leaves_the_playbook_alone() {
        let models = ["a", "b"].map(|name| (Scripted::new(name, None), DailyLimits::default()));
        let roster = roster(models, DailyLimits { tokens: None, cost: Some(0.9) });
        assert_eq!(ask(&run(&roster)).await.unwrap(), "a");
        let passed_over = Fallback::new(Arc::clone(&roster)).err().unwrap();
        assert!(passed_over.iter().all(|one| one.why == Absence::AllSpent(Reached::Cost(0.9))), "{passed_over:?}");
    }
}
