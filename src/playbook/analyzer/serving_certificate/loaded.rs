//! Which of several Secrets an expired certificate comes from: the one below whose mount a process loaded it, as its log
//! says with a date that is over.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::secrets;
use crate::alert::ObjectRef;
use crate::playbook::logs;
use crate::playbook::origin;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::scene::named;

/// How logs write when a certificate ends, beside its path.
static ENDS: Pattern = Pattern::new(
    r#"(?i)\b(?:not[_ -]?after|expir(?:es|ed|y|ation)(?:[_ -]?(?:at|on|date|time))?|valid[_ -]?(?:until|to|till))["']?\s*[:=]?\s*["']?(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)"#,
);

/// The one Secret from which a Pod loaded a certificate that is over, and the line that says so. Where one was loaded anew,
/// the last time counts.
pub(super) fn over<'a>(pod: &Pod, text: &'a str, now: Timestamp) -> Option<(ObjectRef, &'a str)> {
    let namespace = named(pod).namespace;
    let lines: Vec<(&str, bool)> = text.lines().filter_map(|line| Some((line, is_over(line, now)?))).collect();
    let mut found: Vec<(ObjectRef, &str)> = Vec::new();
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let mut secrets = secrets(volume);
        let Some(secret) = secrets.pop().filter(|_| secrets.is_empty()) else { continue };
        let views = pods::containers(pod);
        let mounts = views.iter().flat_map(|view| view.spec.volume_mounts.iter().flatten());
        let paths: Vec<&str> =
            mounts.filter(|mount| mount.name == volume.name).map(|mount| mount.mount_path.as_str()).collect();
        let last = lines.iter().rfind(|(line, _)| paths.iter().any(|path| origin::names(line, path)));
        if let Some((line, true)) = last {
            found.push((ObjectRef::new("Secret", &namespace, secret), line));
        }
    }
    found.pop().filter(|_| found.is_empty())
}

/// Whether the certificate that a line tells of is over; none where it tells of none.
fn is_over(line: &str, now: Timestamp) -> Option<bool> {
    let found = ENDS.groups(line).filter(|_| !logs::instructs(line))?;
    let ends: Timestamp = format!("{}T{}Z", &found[1], &found[2]).parse().ok()?;
    Some(ends < now)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::playbook::world::{World, container, pod};

    const REFUSED: &str = "level=error msg=\"call failed\" err=\"Post https://bank.example.com/v1: remote error: tls: expired certificate\"\n";

    fn asked(log: &str) -> World {
        let volume = |name: &str| json!({"name": name, "secret": {"secretName": format!("{name}-tls")}});
        let mount = |name: &str| json!({"name": name, "mountPath": format!("/etc/channel/{name}")});
        let mounts = json!({"volumeMounts": [mount("bank"), mount("card")]});
        let spec: Value =
            json!({"spec": {"containers": [container(mounts)], "volumes": [volume("bank"), volume("card")]}});
        World::asking("Pod", "web-1-a").with(pod(spec)).log("web-1-a", &format!("{log}{}", REFUSED.repeat(4)))
    }

    #[test]
    fn the_pattern_compiles() {
        assert!(ENDS.compiles());
    }

    #[test]
    fn of_two_certificates_the_one_whose_end_the_log_tells_is_meant() {
        let loaded = "msg=\"loaded\" dir=/etc/channel/card not_after=2027-05-02T03:11:09Z\nmsg=\"loaded\" dir=/etc/channel/bank not_after=2026-11-22T15:59:59Z\n";
        let told = asked(loaded);
        assert_eq!(told.cause(), "client_certificate_expired Secret/bank-tls");
        let diagnosis = told.diagnosis();
        assert!(diagnosis.causes[0].evidence.iter().any(|it| it.quote.contains("not_after=2026-11-22")));
        assert!(!diagnosis.unresolved.iter().any(|asked| asked.contains("which Secret")), "{:?}", diagnosis.unresolved);
    }

    #[test]
    fn one_that_was_loaded_anew_or_ends_later_and_one_of_two_are_not() {
        let blamed = |log: &str| asked(log).cause();
        let anew =
            "dir=/etc/channel/bank expires: 2026-11-22 15:59:59\ndir=/etc/channel/bank expires: 2027-11-22 15:59:59\n";
        let both = "dir=/etc/channel/bank notAfter=2026-11-22T15:59:59Z\ndir=/etc/channel/card notAfter=2026-11-22T15:59:59Z\n";
        let elsewhere = "file=/etc/pki/ca.pem notAfter=2026-11-22T15:59:59Z\n";
        for log in ["", anew, both, elsewhere] {
            assert_eq!(blamed(log), "client_certificate_expired Deployment/web", "{log}");
        }
    }
}
