//! Kinds of what a Node may lack, and who brings it by its name.

use crate::playbook::pattern::Pattern;

/// What a Node may lack: how the kubelet or the runtime says it, its name in Chinese and English, what those who bring it are
/// called, and what is in their names and in many another's.
pub(super) struct Kind {
    sign: Pattern,
    pub(super) zh: &'static str,
    pub(super) en: &'static str,
    brought_by: &'static [&'static str],
    vague: &'static [&'static str],
}

static KINDS: [Kind; 5] = [
    Kind {
        sign: Pattern::new(r"(?i)cannot load seccomp profile|seccomp profile\b.*(?:not found|no such file|not exist)"),
        zh: " seccomp profile",
        en: "the seccomp profile",
        brought_by: &["seccomp", "security-profiles", "spod"],
        vague: &[],
    },
    Kind {
        sign: Pattern::new(
            r"(?i)apparmor.*(?:not found|not loaded|no such file|not enabled|not supported)|(?:not found|not loaded).*apparmor",
        ),
        zh: " AppArmor profile",
        en: "the AppArmor profile",
        brought_by: &["apparmor", "security-profiles", "spod"],
        vague: &[],
    },
    Kind {
        sign: Pattern::new(
            r#"(?i)no runtime for "[^"]+" is configured|runtimehandler "[^"]+" not supported|unknown runtime handler"#,
        ),
        zh: "容器运行时 handler",
        en: "the runtime handler",
        brought_by: &[],
        vague: &["runtime"],
    },
    Kind {
        sign: Pattern::new(r"(?i)adding custom device|gathering device information"),
        zh: "设备文件",
        en: "the device",
        brought_by: &[],
        vague: &["device"],
    },
    Kind {
        sign: Pattern::new(r"(?i)hostpath type check failed"),
        zh: " hostPath 路径",
        en: "the hostPath",
        brought_by: &[],
        vague: &[],
    },
];

/// The name of the handler or of the device that is missing.
pub(super) static MISSING: Pattern = Pattern::new(
    r#"(?i)no runtime for "([^"]+)"|runtimehandler "([^"]+)"|unknown runtime handler "?([^"\s]+)|custom device "?/dev/([^"\s:]+)"#,
);
/// What is called otherwise by those who bring it.
const ALSO: [(&str, &str); 4] = [("runsc", "gvisor"), ("nvidia", "gpu"), ("dri", "gpu"), ("spin", "wasm")];
/// Words that tell nothing of what is brought.
const EVERYWHERE: [&str; 9] =
    ["runtime", "device", "devices", "container", "plugin", "driver", "node", "agent", "installer"];
/// The fewest letters of a word that tells, and of one that may be the beginning of another.
const WORD: usize = 3;
const BEGINNING: usize = 4;

/// Whether a DaemonSet brings by its name what is missing: `true` where the name tells of just that, `false` where of its kind.
pub(super) fn brings(kind: &Kind, message: &str, name: &str) -> Option<bool> {
    let own = words(name);
    let missing = missing(message);
    let alike = |one: &String, other: &String| {
        let begins = |long: &str, short: &str| short.len() >= BEGINNING && long.starts_with(short);
        one == other || begins(one, other) || begins(other, one)
    };
    let tells = missing.iter().any(|it| own.iter().any(|own| alike(it, own)));
    if tells || kind.brought_by.iter().any(|word| name.contains(word)) {
        return Some(true);
    }
    kind.vague.iter().any(|word| name.contains(word)).then_some(false)
}

/// The words for what a message says is missing.
fn missing(message: &str) -> Vec<String> {
    let Some(found) = MISSING.groups(message) else { return Vec::new() };
    let mut all = found.iter().skip(1).flatten().flat_map(|it| words(it.as_str())).collect::<Vec<_>>();
    let also = ALSO.iter().filter(|(word, _)| all.iter().any(|it| it == word));
    let also: Vec<String> = also.map(|(_, other)| (*other).to_owned()).collect();
    all.extend(also);
    all
}

/// The telling words of a name, without the numbers of devices.
fn words(name: &str) -> Vec<String> {
    let parts = name.split(|letter: char| !letter.is_ascii_alphanumeric());
    let bare = parts.map(|part| part.trim_end_matches(|letter: char| letter.is_ascii_digit()).to_ascii_lowercase());
    bare.filter(|part| part.len() >= WORD && !EVERYWHERE.contains(&part.as_str())).collect()
}

/// What a message says that a Node lacks.
pub(super) fn kind(message: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.sign.hits(message))
}
