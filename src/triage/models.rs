//! What a report says of the models: which were passed over and why, and what keeps all of them from being asked.

use crate::alert::Lang;
use crate::model::Passed;
use crate::report::PassedOver;

/// Models that were passed over, in the words of reports.
pub(super) fn passed_over(passed: &[Passed], lang: Lang) -> Vec<PassedOver> {
    passed.iter().map(|one| PassedOver { model: one.model.clone(), why: one.why.brief(lang) }).collect()
}

/// The daily limits that kept models away, each told once.
pub(super) fn limits(passed: &[Passed], lang: Lang) -> Vec<String> {
    let mut told: Vec<String> = passed.iter().filter_map(|one| one.why.limit(&one.model, lang)).collect();
    told.dedup();
    told
}

/// Why no model is asked at all, as a word for dashboards.
pub(super) fn nobody(passed: &[Passed]) -> &'static str {
    match passed {
        [] => "no_model",
        _ if passed.iter().all(|one| one.why.label() == "daily_limit") => "daily_limit",
        _ => "models_resting",
    }
}

/// Why no model is asked at all, for the people who read the report; nothing where none is configured.
pub(super) fn gaps(passed: &[Passed], lang: Lang) -> Vec<String> {
    let mut gaps = limits(passed, lang);
    let resting = passed.iter().filter(|one| one.why.label() != "daily_limit");
    let resting: Vec<String> = resting.map(|one| format!("{} {}", one.model, one.why.brief(lang))).collect();
    if !resting.is_empty() {
        gaps.push(lang.pick(
            format!("模型此前连续失败，本次由规则库单独研判：{}", resting.join("、")),
            format!("The models failed before and were not asked: {}.", resting.join(", ")),
        ));
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ledger::Reached;
    use crate::model::{Absence, Class};

    fn passed(model: &str, why: Absence) -> Passed {
        Passed { model: model.to_owned(), why }
    }

    #[test]
    fn what_keeps_all_models_away_is_told_once() {
        let limit = Absence::AllSpent(Reached::Tokens(100));
        let spent = [passed("a", limit), passed("b", limit)];
        assert_eq!((nobody(&spent), gaps(&spent, Lang::En).len()), ("daily_limit", 1));
        let mixed = [passed("a", limit), passed("b", Absence::Resting(Class::Auth))];
        assert_eq!(nobody(&mixed), "models_resting");
        assert_eq!(gaps(&mixed, Lang::En)[1], "The models failed before and were not asked: b resting (key refused).");
        assert_eq!((nobody(&[]), gaps(&[], Lang::Zh).len()), ("no_model", 0));
    }
}
