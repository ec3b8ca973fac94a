//! What a code of the app API asks for: a new token, a new card, another form, a pause, or somebody's attention.

use std::time::Duration;

use crate::notify::ladder::Refusal;
use crate::notify::post::Reply;
use crate::notify::send::{Reason, SendError};

/// Why a call failed.
#[derive(Debug)]
pub enum Failure {
    /// The token is not valid any more: a new one may pass.
    Token(String),
    /// The message to change or to answer is not there any more, or too old.
    Gone(String),
    /// An entity's own trouble; its message may still be changed.
    Entity(Trouble, String),
    /// A filter takes offence at something in it: a plainer form may be without that.
    Filtered(String),
    /// As for every channel.
    Refused(Refusal),
}

/// What a card entity (cardkit v1) says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It does not grow any more: switched off, or over by itself after about ten minutes.
    Closed,
    /// Somebody presses something on it just now.
    Busy,
    /// The sequence is not larger than one it has seen.
    Behind,
    /// It is not there, or too old.
    Lost,
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        Self::Refused(Refusal::Other(error))
    }
}

impl Failure {
    /// The failure in the words of the ladder, where a new token or card was of no help or is no choice.
    pub fn refusal(self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            Self::Gone(said) => Refusal::Other(SendError::new(Reason::Rejected, said)),
            Self::Entity(_, said) | Self::Filtered(said) => Refusal::Form(said),
            Self::Token(said) => Refusal::Other(SendError::new(Reason::Auth, said)),
        }
    }
}

/// What an answered code means; `said` is what came with it, without secrets.
pub fn failure(code: i64, said: &str, reply: &Reply) -> Failure {
    let detail = |hint: &str| format!("Feishu answered {code} \"{said}\"{hint}");
    let other = |reason, hint: &str| Failure::from(SendError::new(reason, detail(hint)));
    match code {
        99_991_661 | 99_991_663 | 99_991_665 | 99_991_671 => {
            Failure::Token(detail(": the token is refused; check `app_id` and `app_secret`"))
        }
        11_232 | 11_233 | 11_247 | 230_020 | 230_049 | 99_991_400 => slow(detail(""), reply),
        _ if reply.status.as_u16() == 429 => slow(detail(""), reply),
        230_011 | 230_031 | 230_110 => Failure::Gone(detail("")),
        230_022 | 230_028 => Failure::Filtered(detail("")),
        200_850 | 300_309 => Failure::Entity(Trouble::Closed, detail("")),
        200_810 => Failure::Entity(Trouble::Busy, detail("")),
        300_317 => Failure::Entity(Trouble::Behind, detail("")),
        200_740 | 200_750 => Failure::Entity(Trouble::Lost, detail("")),
        230_001 if said.contains("receive_id") => other(Reason::Auth, ": check `receive_id` and `receive_id_type`"),
        _ => advice(code).map_or_else(
            || match reply.status.is_server_error() {
                true => other(Reason::Server, ""),
                // 230001, 230025, 230099, 200770, 200860, 300305 and codes nobody wrote down.
                false => Failure::Refused(Refusal::Form(detail(""))),
            },
            |hint| other(Reason::Auth, hint),
        ),
    }
}

fn slow(detail: String, reply: &Reply) -> Failure {
    let wait = reply.wait.unwrap_or(Duration::from_secs(1));
    SendError { retry_after: Some(wait), ..SendError::new(Reason::RateLimited, detail) }.into()
}

/// What a person has to do before this can work.
fn advice(code: i64) -> Option<&'static str> {
    Some(match code {
        10_003 | 10_012 | 10_014 => ": check `app_id` and `app_secret` on the app's page in the developer console",
        230_002 => ": add the app's bot to the chat of `receive_id`",
        230_006 => ": switch the bot on under the app's features, and publish a version",
        230_013 | 230_034 | 230_029 | 230_053 => {
            ": this receiver cannot be written to; check `receive_id` and the app's availability"
        }
        230_018 | 230_035 => ": the chat's settings forbid the bot to write; its owner can allow it",
        230_027 | 99_991_672 => ": grant the scope im:message:send_as_bot to the app, and publish a version",
        232_009 => ": the chat was dissolved; write another one into `receive_id`",
        99_991_403 => ": the tenant's API calls of this month are used up",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;

    fn met(code: i64, status: u16) -> Failure {
        let status = StatusCode::from_u16(status).unwrap();
        failure(code, "x", &Reply { status, body: Vec::new(), wait: None })
    }

    fn reason(code: i64, status: u16) -> Option<Reason> {
        match met(code, status) {
            Failure::Refused(Refusal::Other(error)) => Some(error.reason),
            _ => None,
        }
    }

    #[test]
    fn f34_every_documented_code_has_its_consequence_whatever_the_status() {
        for status in [200, 400] {
            for code in [99_991_661, 99_991_663, 99_991_665, 99_991_671] {
                assert!(matches!(met(code, status), Failure::Token(_)), "{code}");
            }
            for code in [230_011, 230_031, 230_110] {
                assert!(matches!(met(code, status), Failure::Gone(_)), "{code}");
            }
            for code in [230_022, 230_028] {
                assert!(matches!(met(code, status), Failure::Filtered(_)), "{code}");
            }
            for code in [230_001, 230_025, 230_099, 200_770, 200_860] {
                assert!(matches!(met(code, status), Failure::Refused(Refusal::Form(_))), "{code}");
            }
            for code in [11_232, 11_233, 11_247, 230_020, 230_049, 99_991_400] {
                assert_eq!(reason(code, status), Some(Reason::RateLimited), "{code}");
            }
            for code in [
                230_002, 230_006, 230_013, 230_018, 230_027, 230_029, 230_034, 230_035, 230_053, 232_009, 99_991_403,
                99_991_672,
            ] {
                assert_eq!(reason(code, status), Some(Reason::Auth), "{code}");
            }
        }
        for (code, trouble) in [
            (200_740, Trouble::Lost),
            (200_750, Trouble::Lost),
            (200_810, Trouble::Busy),
            (200_850, Trouble::Closed),
            (300_309, Trouble::Closed),
            (300_317, Trouble::Behind),
        ] {
            assert!(matches!(met(code, 400), Failure::Entity(said, _) if said == trouble), "{code}");
        }
        assert_eq!(reason(1, 429), Some(Reason::RateLimited));
        assert_eq!(reason(2200, 500), Some(Reason::Server));
    }

    #[test]
    fn a_wrong_receiver_is_no_matter_of_form() {
        let reply = Reply { status: StatusCode::BAD_REQUEST, body: Vec::new(), wait: None };
        let failure = failure(230_001, "invalid receive_id", &reply);
        assert!(matches!(failure, Failure::Refused(Refusal::Other(error)) if error.reason == Reason::Auth));
    }
}
