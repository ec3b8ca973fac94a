//! What `deploy/` installs: the rights it gives, the configuration it writes, and the server it puts beside Firstlook.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use firstlook::toolbox::config::McpSettings;
use rmcp::model::CallToolRequestParams;
use rmcp::service::ServiceExt;
use rmcp::transport::StreamableHttpClientTransport;
use serde_json::{Value, json};

use crate::support::cluster;
use crate::support::original::{ServerProcess, UNTHROTTLED};
use crate::support::tools;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Values files that together switch on every part of the chart.
fn examples() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(root().join("deploy/helm/firstlook/ci")).unwrap().map(|file| file.unwrap().path()).collect();
    files.extend(["sqlite", "postgres"].map(|name| root().join(format!("deploy/manifests/values-{name}.yaml"))));
    files
}

/// The objects the chart renders for a values file.
fn rendered(values: &Path) -> Vec<Value> {
    let helm = run(Command::new(root().join("scripts/helm.sh")));
    let mut command = Command::new(helm.trim());
    command.args(["template", "firstlook"]).arg(root().join("deploy/helm/firstlook"));
    command.args(["--namespace", "monitoring", "--values"]).arg(values);
    let text = run(command);
    let documents = text.split("\n---").filter(|document| document.contains("kind:"));
    documents.map(|document| yaml_serde::from_str(document.trim_start_matches("---")).unwrap()).collect()
}

fn run(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

/// A file of a ConfigMap among the objects.
fn file<'a>(objects: &'a [Value], name: &str) -> &'a str {
    of_kind(objects, "ConfigMap").find_map(|map| map["data"][name].as_str()).unwrap()
}

fn words(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

#[test]
fn no_role_reads_secrets_runs_commands_or_changes_anything() {
    for values in examples() {
        let objects = rendered(&values);
        let roles: Vec<_> = of_kind(&objects, "ClusterRole").chain(of_kind(&objects, "Role")).collect();
        assert!(!roles.is_empty());
        for rule in roles.iter().flat_map(|role| role["rules"].as_array().unwrap()) {
            for verb in words(&rule["verbs"]) {
                assert!(["get", "list"].contains(&verb), "{}: {rule}", values.display());
            }
            for resource in words(&rule["resources"]) {
                let subresource = resource.split_once('/').is_some_and(|(_, part)| part != "log");
                assert!(!subresource && !["*", "secrets"].contains(&resource), "{}: {rule}", values.display());
            }
        }
    }
}

/// With the separate server, Firstlook itself has no business with the API server.
#[test]
fn only_who_reads_the_cluster_holds_a_token_for_it() {
    for values in examples() {
        let objects = rendered(&values);
        let separate = file(&objects, "firstlook.yaml").contains("/mcp");
        let subject = of_kind(&objects, "ClusterRoleBinding").next().unwrap()["subjects"][0]["name"].clone();
        let firstlook = of_kind(&objects, "Deployment").find(|it| it["metadata"]["name"] == "firstlook").unwrap();
        let pod = &firstlook["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], !separate, "{}", values.display());
        assert_eq!(pod["serviceAccountName"] == subject, !separate, "{}", values.display());
    }
}

#[test]
fn every_pod_meets_the_restricted_standard_and_mounts_its_root_read_only() {
    for values in examples() {
        for deployment in of_kind(&rendered(&values), "Deployment") {
            let pod = &deployment["spec"]["template"]["spec"];
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
            for container in pod["containers"].as_array().unwrap() {
                let context = &container["securityContext"];
                assert_eq!(context["allowPrivilegeEscalation"], false);
                assert_eq!(context["readOnlyRootFilesystem"], true);
                assert_eq!(context["capabilities"]["drop"], json!(["ALL"]));
                assert!(container["resources"]["limits"]["memory"].is_string());
            }
        }
    }
}

/// `check` gets past the configuration: it fails at what is not there, with 1, and not at the file, with 2.
#[test]
fn firstlook_takes_the_configuration_the_chart_writes() {
    for values in examples() {
        let home = tempfile::tempdir().unwrap();
        let text = file(&rendered(&values), "firstlook.yaml")
            .replace("sqlite:/var/lib/firstlook", &format!("sqlite:{}", home.path().display()))
            .replace("https://api.siliconflow.cn", "http://127.0.0.1:9");
        std::fs::write(home.path().join("firstlook.yaml"), text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_firstlook"));
        command.args(["check", "--config"]).arg(home.path().join("firstlook.yaml"));
        for name in ["FEISHU_WEBHOOK", "WECOM_WEBHOOK"] {
            command.env(name, "http://127.0.0.1:9/");
        }
        for name in ["FIRSTLOOK_TOKEN", "FEISHU_SECRET", "SILICONFLOW_API_KEY"] {
            command.env(name, "a-secret");
        }
        command.env("FIRSTLOOK_DATABASE_URL", "postgres://127.0.0.1:9/none");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(1), "{}: {said}", values.display());
    }
}

/// Bytes of a quantity as Kubernetes writes it.
fn bytes(quantity: &str) -> u64 {
    let (number, unit) = quantity.split_at(quantity.len() - 2);
    let shift = ["Mi", "Gi", "Ti"].iter().position(|known| *known == unit).unwrap() * 10 + 20;
    number.parse::<u64>().unwrap() << shift
}

/// What the store may grow to, by the configuration among the objects.
fn most(objects: &[Value]) -> u64 {
    let config: Value = yaml_serde::from_str(file(objects, "firstlook.yaml")).unwrap();
    config["retention"]["max_bytes"].as_u64().unwrap()
}

/// A disk that is full keeps nothing: what is oldest has to go before, with room for the log beside the file.
#[test]
fn f13_the_store_is_pruned_before_its_volume_is_full() {
    let mut claims = 0;
    for values in examples() {
        let objects = rendered(&values);
        for claim in of_kind(&objects, "PersistentVolumeClaim") {
            let size = bytes(claim["spec"]["resources"]["requests"]["storage"].as_str().unwrap());
            let most = most(&objects);
            assert!(size / 2 < most && most < size / 4 * 3, "{}: {most} of {size}", values.display());
            claims += 1;
        }
    }
    assert!(claims > 1, "{claims}");
    let plain = std::fs::read_to_string(root().join("deploy/manifests/firstlook-sqlite.yaml")).unwrap();
    let plain: Vec<Value> = plain
        .split("\n---")
        .map(|document| yaml_serde::from_str(document.trim_start_matches("---")).unwrap())
        .collect();
    let claim = of_kind(&plain, "PersistentVolumeClaim").next().unwrap();
    assert!(most(&plain) < bytes(claim["spec"]["resources"]["requests"]["storage"].as_str().unwrap()));
}

/// What a person says goes, and is written as the whole number it is.
#[test]
fn a_bound_of_the_store_given_in_values_is_kept() {
    let home = tempfile::tempdir().unwrap();
    let values = home.path().join("values.yaml");
    let sqlite = std::fs::read_to_string(root().join("deploy/helm/firstlook/ci/sqlite.yaml")).unwrap();
    std::fs::write(&values, sqlite.replace("config:\n", "config:\n  retention: { max_bytes: 1234567890123 }\n"))
        .unwrap();
    assert_eq!(most(&rendered(&values)), 1_234_567_890_123);
}

/// The real server with the very file and `--read-only`, as the Deployment starts it: no Secret, no tool that changes something, and the reads Firstlook needs.
#[tokio::test]
async fn the_hardened_server_refuses_secrets_and_offers_nothing_that_changes() {
    let objects = rendered(&root().join("deploy/manifests/values-postgres.yaml"));
    let deployment = of_kind(&objects, "Deployment").find(|it| it["metadata"]["name"] == "firstlook-mcp").unwrap();
    let arguments = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    assert!(words(arguments).contains(&"--read-only"), "{arguments}");
    let home = tempfile::tempdir().unwrap();
    let toml = home.path().join("config.toml");
    std::fs::write(&toml, file(&objects, "config.toml")).unwrap();
    let cluster = cluster::serve(&root().join("scenarios/01-pvc-provisioner-missing")).await;
    let more = ["--config", toml.to_str().unwrap()];
    let server = ServerProcess::start(tools::kubernetes_mcp_server(), cluster.address, &more, &UNTHROTTLED).await;
    let transport = StreamableHttpClientTransport::from_uri(server.url("/mcp").as_str());
    let client = ().serve(transport).await.unwrap();

    let names: Vec<String> = client.list_all_tools().await.unwrap().into_iter().map(|tool| tool.name.into()).collect();
    for forbidden in ["pods_exec", "pods_run", "pods_delete", "resources_create_or_update", "configuration_view"] {
        assert!(!names.iter().any(|name| name == forbidden), "{names:?}");
    }
    for needed in ["pods_get", "pods_log", "events_list", "resources_get", "resources_list"] {
        assert!(names.iter().any(|name| name == needed), "{names:?}");
    }
    let arguments = json!({"apiVersion": "v1", "kind": "Secret", "namespace": "test-data", "name": "any"});
    let ask = CallToolRequestParams::new("resources_get").with_arguments(arguments.as_object().cloned().unwrap());
    let said = client.call_tool(ask).await.unwrap();
    let text = &said.content.first().and_then(|content| content.as_text()).unwrap().text;
    assert!(said.is_error == Some(true) && text.contains("not allowed"), "{text}");
}

/// The address in the configuration is the Service of the server beside it.
#[test]
fn the_configuration_points_at_the_server_beside_it() {
    let objects = rendered(&root().join("deploy/manifests/values-postgres.yaml"));
    let config: Value = yaml_serde::from_str(file(&objects, "firstlook.yaml")).unwrap();
    let settings: McpSettings = serde_json::from_value(config["mcp"][0].clone()).unwrap();
    let services: Vec<String> = of_kind(&objects, "Service")
        .map(|service| {
            format!(
                "http://{}:{}/mcp",
                service["metadata"]["name"].as_str().unwrap(),
                service["spec"]["ports"][0]["port"]
            )
        })
        .collect();
    assert!(services.iter().any(|service| format!("{settings:?}").contains(service.as_str())), "{settings:?}");
}

#[test]
fn alertmanager_takes_the_receiver_snippet() {
    let home = tempfile::tempdir().unwrap();
    let token = home.path().join("token");
    std::fs::write(&token, "a-secret").unwrap();
    let snippet = std::fs::read_to_string(root().join("deploy/alertmanager/receiver.yaml")).unwrap();
    let text = snippet.replace("/etc/alertmanager/secrets/firstlook/token", token.to_str().unwrap());
    assert_ne!(text, snippet);
    let file = home.path().join("alertmanager.yml");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new("amtool");
    command.arg("check-config").arg(&file);
    assert!(run(command).contains("SUCCESS"));
}
