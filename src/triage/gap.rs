//! Gaps: what gather could not read, told in the reader's language.

use std::time::Duration;

use crate::alert::Lang;
use crate::toolbox::Absent;

/// Why something was not read.
#[derive(Debug, Clone)]
pub enum Gap {
    /// A server took no part.
    Server(Absent),
    /// Reading took too long, and what was left stayed unread.
    CutOff(Duration),
    /// As much was read as may be for one incident; more could have been worth reading.
    TooMuch(usize),
    /// One read failed, in the server's words.
    Unread {
        /// What was wanted.
        what: String,
        /// The first line of the answer.
        why: String,
    },
}

impl Gap {
    /// The sentence in this language.
    #[must_use]
    pub fn told(&self, lang: Lang) -> String {
        match self {
            Self::Server(absent) => absent.told(lang),
            Self::CutOff(limit) => {
                let seconds = limit.as_secs();
                lang.pick(
                    format!("读取集群在 {seconds} 秒后中止，其余内容没有读到"),
                    format!("reading was cut off after {seconds} s"),
                )
            }
            Self::TooMuch(limit) => lang.pick(
                format!("已读取 {limit} 次，达到单个事件的上限，其余相关对象没有读到"),
                format!("reading ended at its limit of {limit} reads, so objects further off were not looked at"),
            ),
            Self::Unread { what, why } => lang.pick(format!("未能读取 {what}：{why}"), format!("{what}: {why}")),
        }
    }
}
