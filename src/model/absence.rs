//! Why a model was not asked, or not any more: a word for metrics, a few for people.

use super::error::{Class, ModelError};
use super::ledger::Reached;
use crate::alert::Lang;

/// Why a model does not answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Absence {
    /// It failed in this run.
    Failed {
        /// With what.
        class: Class,
        /// The HTTP status, when there was one.
        status: Option<u16>,
    },
    /// It failed before, and nobody asks it for a while.
    Resting(Class),
    /// Its own daily limit is used up.
    Spent(Reached),
    /// The daily limit of all models together is used up.
    AllSpent(Reached),
}

/// A model that was passed over.
#[derive(Debug, Clone, PartialEq)]
pub struct Passed {
    /// Its name in the configuration.
    pub model: String,
    /// Why.
    pub why: Absence,
}

impl Absence {
    /// What a failure says of the model that failed.
    #[must_use]
    pub fn of(error: &ModelError) -> Self {
        Self::Failed { class: error.class, status: error.status }
    }

    /// A fixed word for metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Failed { .. } => "failed",
            Self::Resting(_) => "resting",
            Self::Spent(_) | Self::AllSpent(_) => "daily_limit",
        }
    }

    /// A few words of our own, none of the provider's: they stand on every card.
    #[must_use]
    pub fn brief(self, lang: Lang) -> String {
        match self {
            Self::Failed { class, status: Some(status) } => format!("{status} {}", class_in_words(class, lang)),
            Self::Failed { class, status: None } => class_in_words(class, lang).to_owned(),
            Self::Resting(class) => {
                let why = class_in_words(class, lang);
                lang.pick(format!("暂停调用（{why}）"), format!("resting ({why})"))
            }
            Self::Spent(_) => lang.pick("当日限额已用完", "daily limit used up").to_owned(),
            Self::AllSpent(_) => lang.pick("当日总限额已用完", "daily limit of all models used up").to_owned(),
        }
    }

    /// The sentence about a limit that is used up; about the rest the brief words say enough.
    #[must_use]
    pub fn limit(self, model: &str, lang: Lang) -> Option<String> {
        let (who, setting, reached) = match self {
            Self::Spent(reached) => {
                (lang.pick(format!("模型 {model} "), format!("Model {model}")), "models[].daily", reached)
            }
            Self::AllSpent(reached) => {
                (lang.pick("所有模型".to_owned(), "All models together".to_owned()), "triage.daily", reached)
            }
            Self::Failed { .. } | Self::Resting(_) => return None,
        };
        let (zh, en) = match reached {
            Reached::Tokens(limit) => (format!("{limit} tokens"), format!("{limit} tokens")),
            Reached::Cost(limit) => (format!("费用 {limit}"), format!("cost {limit}")),
        };
        Some(lang.pick(
            format!("{who}今天的限额（{zh}）已用完，本次不再调用（配置项 {setting}）"),
            format!("{who} used up today's limit ({en}) and took no part (setting: {setting})."),
        ))
    }
}

/// What kind of failure it was, in two or three words.
fn class_in_words(class: Class, lang: Lang) -> &'static str {
    let (zh, en) = match class {
        Class::Network => ("连接失败", "unreachable"),
        Class::Timeout => ("超时", "timed out"),
        Class::RateLimited => ("限流", "rate limited"),
        Class::Server => ("服务端错误", "server error"),
        Class::BadAnswer => ("应答无法识别", "unusable answer"),
        Class::Auth => ("密钥被拒", "key refused"),
        Class::Quota => ("余额不足", "no quota left"),
        Class::NotFound => ("找不到该模型", "not found"),
        Class::ToolsUnsupported => ("不支持工具调用", "cannot call tools"),
        Class::ContextLength => ("上下文放不下", "conversation too long"),
        Class::ContentFilter => ("内容审查拒绝", "content filter"),
        Class::Rejected => ("请求被拒", "request refused"),
        Class::Config => ("配置有误", "unusable settings"),
    };
    lang.pick(zh, en)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_has_room_for_every_reason_and_none_of_the_providers_words() {
        let refused =
            ModelError::refused("fast", Some(429), None, r#"{"message":"TPM limit reached, see https://evil"}"#);
        assert_eq!(Absence::of(&refused).brief(Lang::En), "429 rate limited");
        assert_eq!(Absence::of(&refused).brief(Lang::Zh), "429 限流");
        assert_eq!(Absence::Resting(Class::Timeout).brief(Lang::En), "resting (timed out)");
        assert_eq!(Absence::Resting(Class::Timeout).brief(Lang::Zh), "暂停调用（超时）");
    }

    #[test]
    fn a_limit_is_told_with_its_figure_and_its_setting() {
        let own = Absence::Spent(Reached::Tokens(2000));
        assert_eq!(
            own.limit("fast", Lang::En).unwrap(),
            "Model fast used up today's limit (2000 tokens) and took no part (setting: models[].daily)."
        );
        assert_eq!(
            Absence::AllSpent(Reached::Cost(1.5)).limit("fast", Lang::Zh).unwrap(),
            "所有模型今天的限额（费用 1.5）已用完，本次不再调用（配置项 triage.daily）"
        );
        assert_eq!(Absence::Resting(Class::Auth).limit("fast", Lang::En), None);
    }
}
