//! Service links: for every Service of the Namespace, Pods are given variables such as `WEB_PORT=tcp://10.96.0.7:80`, and one
//! of them hides the setting of the same name that a program looks for.

use k8s_openapi::api::core::v1::{Pod, Service};

use crate::playbook::environment;
use crate::playbook::facts::{Seen, SeenLog};
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// The value Kubernetes gives such a variable.
/// Source: <https://kubernetes.io/docs/tutorials/services/connect-applications-service/#environment-variables>
static LINK: Pattern = Pattern::new(r"\b(?:tcp|udp|sctp)://(\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:]+\]):\d{1,5}\b");
/// Lines below the variable's name within which its value may stand.
const NEAR: usize = 3;

/// Findings about Pods that fail over such a variable.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.current_pods().filter(|pod| !pods::is_ready(&pod.object)).filter_map(|pod| collides(scene, pod)).collect()
}

fn collides(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    if pod.object.spec.as_ref()?.enable_service_links == Some(false) {
        return None;
    }
    let (log, line, service) = reach::present_logs(scene, &pod.object)
        .into_iter()
        .find_map(|(log, text)| complains(scene, &pod.object, text).map(|(line, service)| (log, line, service)))?;
    Some(told(scene, pod, log, line, service))
}

/// The line that names the variable, and the Service that it is made for.
fn complains<'t, 's>(scene: &'s Scene<'_>, pod: &Pod, text: &'t str) -> Option<(&'t str, &'s Seen<Service>)> {
    let lines: Vec<&str> = text.lines().filter(|line| !logs::instructs(line)).collect();
    let given: Vec<&str> = environment::variables(pod).iter().map(|variable| variable.name).collect();
    // What whole maps and Secrets bring is not known.
    if pods::containers(pod).iter().any(|view| view.spec.env_from.as_ref().is_some_and(|all| !all.is_empty())) {
        return None;
    }
    if let Some(found) = confluent(scene, pod, &given, &lines) {
        return Some(found);
    }
    lines.iter().enumerate().find_map(|(at, line)| {
        let service =
            scene.services.iter().filter(|service| named(&service.object).namespace == named(pod).namespace).find(
                |service| {
                    let variable = variable(&named(&service.object).name);
                    environment::has_word(line, &variable) && !given.contains(&variable.as_str())
                },
            )?;
        let address = service.object.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref());
        let own = |near: &&&str| {
            LINK.group(near, 1)
                .is_some_and(|link| address.is_none_or(|address| link.trim_matches(['[', ']']) == address))
        };
        let links = lines.iter().skip(at).take(NEAR).any(|near| own(&near));
        links.then_some((*line, service))
    })
}

/// Confluent's images refuse to begin over a variable `KAFKA_PORT`, and do not name it: `port is deprecated. Please use
/// KAFKA_ADVERTISED_LISTENERS instead.` (<https://github.com/confluentinc/cp-docker-images>).
fn confluent<'t, 's>(
    scene: &'s Scene<'_>,
    pod: &Pod,
    given: &[&str],
    lines: &[&'t str],
) -> Option<(&'t str, &'s Seen<Service>)> {
    const VARIABLE: &str = "KAFKA_PORT";
    let last = lines.iter().rev().find(|line| !line.trim().is_empty())?;
    let mut services = scene.services.iter().filter(|it| named(&it.object).namespace == named(pod).namespace);
    let service = services.find(|service| variable(&named(&service.object).name) == VARIABLE)?;
    (!given.contains(&VARIABLE) && last.trim().starts_with("port is deprecated. Please use KAFKA_"))
        .then_some((*last, service))
}

/// `web-api` becomes `WEB_API_PORT`.
fn variable(service: &str) -> String {
    format!("{}_PORT", service.to_ascii_uppercase().replace('-', "_"))
}

fn told(scene: &Scene<'_>, pod: &Seen<Pod>, log: &SeenLog, line: &str, service: &Seen<Service>) -> Finding {
    let (name, workload, service_name) = (named(&pod.object), scene.workload(&pod.object), named(&service.object));
    let variable = variable(&service_name.name);
    let headline = scene.text(
        format!("{workload} 因环境变量 {variable} 启动失败：它不在 Pod 配置里，而是 Kubernetes 因 {service_name} 的存在注入的（值形如 tcp://地址:端口），与程序自己的配置项重名"),
        format!("{workload} fails over variable {variable}: its spec does not set it; Kubernetes injects it because {service_name} exists (as tcp://address:port), and the program takes it for its own setting"),
    );
    let clash = scene.quote_any(&service.reference, &[&format!("name: {}", service_name.name), &service_name.name]);
    Finding::new("service_link_collision", Depth::Root, &name, &workload, headline)
        .confidence(Confidence::Medium)
        .cite([scene.quote(&log.reference, line), clash])
        .touches([service_name.clone()])
        .steps([
            look(
                scene.text("查看该 Service", "Look at the Service"),
                kubectl(&service_name.namespace, &format!("get service {}", service_name.name)),
            ),
            change(
                scene.text(
                    format!("在 Pod 模板中设置 enableServiceLinks: false，或显式设置 {variable}，或给 Service 改名"),
                    format!("Set enableServiceLinks: false in the template, or set {variable} explicitly, or rename the Service"),
                ),
                scene.text("在该 Service 之前启动的 Pod 没有这个变量，重启后也会失败", "Pods started before the Service lack the variable and will fail when they restart"),
                edit_template(&workload),
            ),
        ])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, container, crashed, patched, pod, service};

    const LOG: &str = "ValidationError: 1 validation error for Settings\nWEB_PORT\n  Input should be a valid integer [input_value='tcp://10.96.55.129:9100', input_type=str]";

    fn failing(spec: Value, log: &str) -> World {
        World::asking("Pod", "web-1-a")
            .with(pod(patched(crashed(1, "Error"), json!({"spec": spec}))))
            .with(patched(service(json!({"app": "web"})), json!({"spec": {"clusterIP": "10.96.55.129"}})))
            .log("web-1-a", log)
    }

    #[test]
    fn a_variable_that_a_service_brought_is_told_from_a_setting() {
        let world = failing(json!({}), LOG);
        assert_eq!(world.cause(), "service_link_collision Deployment/web");
        assert!(world.diagnosis().headline.contains("WEB_PORT"));
    }

    #[test]
    fn a_setting_of_the_specs_own_and_links_turned_off_are_another_story() {
        let own = json!({"containers": [container(json!({"env": [{"name": "WEB_PORT", "value": "x"}]}))]});
        let whole = json!({"containers": [container(json!({"envFrom": [{"configMapRef": {"name": "web"}}]}))]});
        for spec in [own, whole, json!({"enableServiceLinks": false})] {
            assert!(!failing(spec, LOG).codes().contains(&"service_link_collision"));
        }
    }

    #[test]
    fn an_address_without_the_variable_says_nothing() {
        let world = failing(json!({}), "INFO listening on tcp://10.96.55.129:9100\nERROR cannot parse the plan");
        assert!(!world.codes().contains(&"service_link_collision"));
    }
}
