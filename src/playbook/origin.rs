//! Origin: from which ConfigMap or Secret the configuration comes that a failing container complains about. A lead for
//! people; what was changed in it past its applied copy is told with it.

use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Volume};

use crate::alert::ObjectRef;
use crate::playbook::analyzer::{broker, crash, edited_config, pool, proxy, retained};
use crate::playbook::facts::Seen;
use crate::playbook::finding::Finding;
use crate::playbook::pods;
use crate::playbook::scene::Scene;
use crate::playbook::{change, drift, latent, logs, parsed, protocol, reach};
use crate::report::Related;

/// Objects named for one cause.
const NAMED: usize = 2;
/// The longest path that is repeated, in characters.
const PATH: usize = 120;

/// The objects behind the paths and variables that a finding's log lines name.
#[must_use]
pub fn leads(scene: &Scene<'_>, finding: &Finding) -> Vec<Related> {
    let Some(pod) = scene.pod(&finding.about) else { return Vec::new() };
    let cited = |reference: &str| finding.evidence.iter().any(|it| it.reference == reference);
    let texts =
        scene.facts.logs().iter().filter(|log| cited(&log.reference)).filter_map(|log| log.lines.as_deref().ok());
    let lines: Vec<&str> = texts.flat_map(telling).collect();
    let mut leads: Vec<Related> = Vec::new();
    for view in pods::containers(&pod.object) {
        for (object, through) in sources(&pod.object, view.spec, &lines) {
            if !leads.iter().any(|known| known.resource == object) && leads.len() < NAMED {
                leads.push(lead(scene, object, &through));
            }
        }
    }
    leads
}

/// The ConfigMaps whose contents a Pod's log complains about: those behind the paths and variables that its errors name, and,
/// where it calls a name that does not resolve, trusts no certificate, meets a proxy or reports little but errors, all that it
/// takes its configuration from.
#[must_use]
pub fn maps_in_question(pod: &Pod, log: &str) -> Vec<ObjectRef> {
    let mut lines = telling(log);
    lines.extend(logs::culprit(log));
    let named = pods::containers(pod).into_iter().flat_map(|view| sources(pod, view.spec, &lines));
    let mut maps: Vec<ObjectRef> = named.map(|(object, _)| object).collect();
    let is_noisy = logs::is_noisy(logs::error_share(log));
    let asks = |line: &str| {
        reach::unresolved_service(pod, line, |_| true).is_some()
            || edited_config::tells_of_distrust(line)
            || proxy::answers(line)
            || pool::tells(line)
            || retained::tells(line)
            || crash::tells_of_expiry(line)
            || parsed::tells(line)
    };
    if is_noisy
        || reach::names_nobody(log)
        || lines.iter().any(|line| asks(line))
        || log.lines().any(|line| broker::is_alarm(line) || protocol::asks(line))
    {
        maps.extend(latent::maps(pod));
    }
    maps.extend(logs::culprit(log).iter().flat_map(|line| crash::maps_of_words(pod, line)));
    maps.retain(|object| object.kind == "ConfigMap");
    maps.sort();
    maps.dedup();
    maps
}

/// The lines that may name what is wrong: errors, of which an outer one often names the file that an inner one cannot read,
/// and the line before each, which says what the process was about to read.
fn telling(log: &str) -> Vec<&str> {
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty() && !logs::instructs(line)).collect();
    let is_error = |at: usize| lines.get(at).is_some_and(|line| logs::is_error(line));
    (0..lines.len()).filter(|at| is_error(*at) || is_error(at + 1)).map(|at| lines[at]).collect()
}

/// Objects and the words by which the lines name them: a file below a mount's path, a variable's name.
fn sources(pod: &Pod, container: &Container, lines: &[&str]) -> Vec<(ObjectRef, String)> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or(&[]);
    let says = |words: &str| lines.iter().any(|line| names(line, words));
    let mounted =
        container.volume_mounts.iter().flatten().filter(|mount| says(&mount.mount_path)).filter_map(|mount| {
            let volume = volumes.iter().find(|volume| volume.name == mount.name)?;
            let path = lines.iter().find_map(|line| path_in(line, &mount.mount_path));
            Some((of_volume(namespace, volume)?, path.unwrap_or_else(|| mount.mount_path.clone())))
        });
    let variables = container.env.iter().flatten().filter(|variable| says(&variable.name)).filter_map(|variable| {
        let from = variable.value_from.as_ref()?;
        let map = from.config_map_key_ref.as_ref().map(|it| ObjectRef::new("ConfigMap", namespace, &it.name));
        let secret = from.secret_key_ref.as_ref().map(|it| ObjectRef::new("Secret", namespace, &it.name));
        Some((map.or(secret)?, variable.name.clone()))
    });
    mounted.chain(variables).collect()
}

/// The whole path that begins with a mount's in a line: `/etc/app/a.toml` for `/etc/app`.
fn path_in(line: &str, mount: &str) -> Option<String> {
    let of_path = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    let at = line.find(mount.trim_end_matches('/'))?;
    let path: String = line[at..].chars().take_while(|letter| of_path(*letter)).take(PATH).collect();
    Some(path.trim_end_matches(['.', '-']).to_owned())
}

fn of_volume(namespace: &str, volume: &Volume) -> Option<ObjectRef> {
    let map = volume.config_map.as_ref().map(|it| ObjectRef::new("ConfigMap", namespace, &it.name));
    let secret = volume.secret.as_ref().and_then(|it| it.secret_name.as_ref());
    map.or_else(|| secret.map(|name| ObjectRef::new("Secret", namespace, name)))
}

/// Whether a line has the words as a whole: `/etc/app` in `/etc/app/a.toml`, not in `/etc/apples`.
#[must_use]
pub fn names(line: &str, words: &str) -> bool {
    let part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    let words = words.trim_end_matches('/');
    !words.is_empty()
        && line.match_indices(words).any(|(at, _)| {
            !line[..at].chars().next_back().is_some_and(part) && !line[at + words.len()..].starts_with(part)
        })
}

fn lead(scene: &Scene<'_>, object: ObjectRef, through: &str) -> Related {
    let why = scene.text(
        format!("日志提到的 {through} 来自它：可能相关的线索，不是证据"),
        format!("{through}, which the log names, comes from it: a lead, not a proof"),
    );
    if let Some(edited) = drift::lead(scene, &object) {
        return Related { why: scene.colon(why, edited.why), ..edited };
    }
    let said = changed(scene, &object)
        .unwrap_or_else(|| scene.text("请核对最近是否改动过", "see whether it was changed lately"));
    Related { resource: object, why, findings: vec![said] }
}

/// How long ago a ConfigMap that was read came to be, when that was lately.
fn changed(scene: &Scene<'_>, object: &ObjectRef) -> Option<String> {
    let found: Seen<ConfigMap> =
        scene.facts.get(&object.namespace, &object.name).filter(|_| object.kind == "ConfigMap")?;
    let minutes =
        scene.minutes_since(found.object.metadata.creation_timestamp.as_ref()).filter(|age| *age < change::RECENT)?;
    let lasted = scene.lasted(minutes);
    Some(scene.text(format!("{lasted}前才创建（或被重建）"), format!("it was created (or made again) {lasted} ago")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::names;
    use crate::playbook::world::{World, crashed, patched, pod};

    fn configured(line: &str) -> Vec<Value> {
        let container = json!({"name": "web", "image": "reg/web:1", "volumeMounts": [{"name": "conf", "mountPath": "/etc/web"}],
            "env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "web-token", "key": "t"}}}, {"name": "LEVEL", "value": "x"}]});
        let spec = json!({"spec": {"containers": [container], "volumes": [{"name": "conf", "configMap": {"name": "web-conf"}}]}});
        let world = World::asking("Pod", "web-1-a").with(pod(patched(crashed(1, "Error"), spec))).log("web-1-a", line);
        let related = world.diagnosis().related;
        related.iter().map(|it| json!([it.resource.to_string(), it.why])).collect()
    }

    #[test]
    fn the_object_behind_a_path_or_a_variable_is_a_lead() {
        let map = configured("FATAL /etc/web/web.toml:2: max_conns: invalid type");
        assert!(map.iter().any(|it| it[0] == "ConfigMap shop/web-conf"), "{map:?}");
        let before = configured("INFO loading /etc/web/web.toml\nError: invalid type: string \"8OO\", expected u32");
        let told = |it: &Value| it[1].as_str().is_some_and(|why| why.starts_with("/etc/web/web.toml, which"));
        assert!(before.iter().any(told), "{before:?}");
        let secret = configured("FATAL config: TOKEN is malformed");
        assert!(secret.iter().any(|it| it[0] == "Secret shop/web-token"), "{secret:?}");
    }

    #[test]
    fn what_the_log_does_not_name_is_no_lead() {
        assert!(configured("FATAL LEVEL is malformed").is_empty(), "a plain value has no object behind it");
        assert!(configured("FATAL cannot open /etc/webapp/a.toml").is_empty());
    }

    #[test]
    fn where_a_certificate_has_expired_all_that_configures_the_caller_is_in_question() {
        let volumes = json!([{"name": "conf", "configMap": {"name": "web-conf"}}]);
        let object = pod(json!({"spec": {"volumes": volumes}}));
        let object = serde_json::from_value(object).unwrap();
        let maps = |line: &str| {
            let log = format!("{}{line}", "INFO GET / 200\n".repeat(30));
            super::maps_in_question(&object, &log).into_iter().map(|map| map.name).collect::<Vec<_>>()
        };
        let expired = "ERROR Post \"https://ledger:8443/v1\": x509: certificate has expired or is not yet valid";
        assert_eq!(maps(expired), ["web-conf"]);
        assert!(maps("ERROR cannot price an empty cart").is_empty());
    }

    #[test]
    fn names_are_whole() {
        assert!(names("open /etc/web/a: no such file", "/etc/web/") && names("TOKEN=", "TOKEN"));
        assert!(!names("/etc/website", "/etc/web") && !names("MY_TOKEN", "TOKEN"));
    }
}
