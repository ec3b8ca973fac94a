//! Processes whose own heap is full: the runtime ends them while the container's memory limit is not reached.

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::playbook::analyzer::headroom;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named};
use crate::playbook::trace;
use crate::quantity;
use crate::report::Confidence;

/// The options by which runtimes are told the size of their heap: the JVM's, Node's, .NET's and Go's.
static OPTION: Pattern = Pattern::new(
    r"-Xmx\S+|-XX:MaxRAMPercentage=\S+|-XX:MaxHeapSize=\S+|--max[-_]old[-_]space[-_]size=\S+|\bDOTNET_GCHeapHardLimit\S*|\bGOMEMLIMIT=?\S*",
);

/// How often a process that lives on says it before its heap is full rather than one request too large.
const OFTEN: usize = 3;

/// Findings about containers whose runtime says that its heap is full.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.current_pods().filter_map(|pod| full(scene, pod)).collect()
}

fn full(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let (log, line) = reach::present_logs(scene, &pod.object).into_iter().find_map(|(log, text)| {
        let lines: Vec<&str> = text.lines().filter(|line| !logs::instructs(line)).collect();
        Some((log, trace::heap(&lines)?))
    })?;
    let views = pods::containers(&pod.object);
    let view = views.iter().find(|view| view.name() == log.container)?;
    // What the kernel ended for memory is the limit's story, and one request that failed is no full heap.
    let told =
        log.lines.as_deref().map_or(0, |text| text.lines().filter(|line| trace::heap(&[line]).is_some()).count());
    let ended = view.restarts() > 0 || view.failing(scene.facts.now);
    if super::memory::ran_out(view) || !(ended || told >= OFTEN) {
        return None;
    }
    let (name, workload) = (named(&pod.object), scene.workload(&pod.object));
    let said = logs::said(line);
    let (option, limit) = (option(view.spec, log.lines.as_deref().ok()), limit(view.spec));
    let told_zh = option.as_ref().map_or_else(|| "未找到堆大小设置".to_owned(), |option| format!("堆由 {option} 限定"));
    let told_en = option
        .as_ref()
        .map_or_else(|| "no heap setting was found".to_owned(), |option| format!("the heap is set by {option}"));
    let headline = scene.text(
        format!("{workload} 的进程堆内存（heap）用尽：{said}（{told_zh}，容器内存 limit {limit}）"),
        format!(
            "{workload} runs out of its process's own heap: {said} ({told_en}, the container's memory limit is {limit})"
        ),
    );
    let exit = view.ended().map(|ended| format!("exitCode: {}", ended.exit_code));
    let spec_line = option.as_ref().and_then(|option| scene.quote_any(&pod.reference, &[option]));
    Some(
        Finding::new("heap_exhausted", Depth::Root, &name, &workload, headline)
            .confidence(Confidence::Medium)
            .cite([scene.quote(&log.reference, line), spec_line])
            .cite([exit.and_then(|exit| scene.quote(&pod.reference, &exit))])
            .ruled_out(
                scene.text("容器超出内存 limit（OOMKilled）", "a container over its memory limit (OOMKilled)"),
                scene.text(
                    "终止原因不是 OOMKilled，报错来自运行时自身的堆",
                    "it was not OOMKilled; the runtime's own heap is what is full",
                ),
            )
            .steps([
                look(
                    scene.text("查看堆用尽之前的日志", "Read the log before the heap was full"),
                    kubectl(&name.namespace, &format!("logs {} -c {} --previous --tail=200", name.name, view.name())),
                ),
                change(
                    match options(line) {
                        Some(options) => scene.text(
                            format!("调大堆（{options}），或减少单次处理的数据量"),
                            format!("Give it a larger heap ({options}), or let it hold less at a time"),
                        ),
                        None => scene.text(
                            "减少单次处理的数据量，或放宽进程自身的内存上限（ulimit）",
                            "Let it hold less at a time, or raise the process's own limit of memory (ulimit)",
                        ),
                    },
                    room(scene, &limit),
                    edit_template(&workload),
                ),
            ]),
    )
}

/// How large the heap may become within the container's limit.
fn room(scene: &Scene<'_>, limit: &str) -> String {
    let told = scene.text(
        "堆要小于容器的内存 limit；只调大 limit 没有用",
        "The heap must stay below the container's limit; raising the limit alone changes nothing",
    );
    let Some(fits) = quantity::amount(limit).map(headroom::fits) else { return told };
    let fits = headroom::written(fits);
    scene.text(
        format!("{told}。limit {limit} 中堆最多可占约 {fits}，其余留给 metaspace、线程与缓冲区"),
        format!(
            "{told}. Of {limit} the heap may have about {fits}; the rest is for threads, buffers and the runtime itself"
        ),
    )
}

/// The options that size the heap of the runtime whose words a line is; none for Python, which has no such option.
fn options(line: &str) -> Option<&'static str> {
    if line.contains("JavaScript heap") {
        Some("--max-old-space-size, NODE_OPTIONS")
    } else if line.contains("java.lang.") {
        Some("-Xmx, -XX:MaxRAMPercentage")
    } else {
        line.contains("System.OutOfMemory").then_some("DOTNET_GCHeapHardLimit")
    }
}

/// The option that sets the heap: in the container's arguments and variables, or as the runtime repeated it at its start.
fn option(container: &Container, log: Option<&str>) -> Option<String> {
    let arguments = container.command.iter().flatten().chain(container.args.iter().flatten()).cloned();
    let variables = container.env.iter().flatten().map(|variable| {
        let value = variable.value.as_deref().unwrap_or_default();
        if variable.name.starts_with("DOTNET_") || variable.name == "GOMEMLIMIT" {
            format!("{}={value}", variable.name)
        } else {
            value.to_owned()
        }
    });
    let repeated = log
        .into_iter()
        .flat_map(str::lines)
        .filter(|line| line.starts_with("Picked up ") && !logs::instructs(line))
        .map(str::to_owned);
    let places = arguments.chain(variables).chain(repeated);
    let found = places.filter_map(|place| Some(OPTION.groups(&place)?.get(0)?.as_str().to_owned())).next();
    found.map(|option| logs::shorten(&option, 60))
}

fn limit(container: &Container) -> String {
    let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
    limits.and_then(|limits| limits.get("memory")).map_or_else(|| "-".to_owned(), |limit| limit.0.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, container, crashed, patched, pod};

    const FULL: &str = "java.lang.OutOfMemoryError: Java heap space\n\tat java.util.Arrays.copyOf(Arrays.java:3537)";

    fn told(state: Value, settings: Value, log: &str) -> World {
        let spec = json!({"spec": {"containers": [container(settings)]}});
        World::asking("Pod", "web-1-a").with(pod(patched(state, spec))).log("web-1-a", log)
    }

    #[test]
    fn a_full_heap_is_told_with_its_setting_and_the_containers_limit() {
        let settings = json!({"env": [{"name": "JAVA_TOOL_OPTIONS", "value": "-Xms256m -Xmx512m"}],
            "resources": {"limits": {"memory": "3Gi"}}});
        let world = told(crashed(3, "Error"), settings, FULL);
        assert_eq!(world.cause(), "heap_exhausted Deployment/web");
        let headline = world.diagnosis().headline;
        assert!(headline.contains("-Xmx512m") && headline.contains("3Gi"), "{headline}");
        let node = "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory";
        let world = told(crashed(134, "Error"), json!({"args": ["--max-old-space-size=512", "a.js"]}), node);
        assert_eq!(world.cause(), "heap_exhausted Deployment/web");
        assert!(world.diagnosis().headline.contains("--max-old-space-size=512"));
    }

    #[test]
    fn what_the_kernel_ended_is_the_limits_story() {
        let world = told(crashed(137, "OOMKilled"), json!({}), FULL);
        assert!(!world.codes().contains(&"heap_exhausted"), "{:?}", world.codes());
        assert!(world.cause().starts_with("oom_killed"), "{}", world.cause());
    }

    #[test]
    fn how_much_heap_fits_into_the_limit_is_said_with_the_step() {
        let detail = |limits: Value| {
            let told = told(crashed(3, "Error"), json!({"resources": {"limits": limits}}), FULL).diagnosis();
            told.steps.iter().map(|step| step.detail.clone()).collect::<String>()
        };
        assert!(detail(json!({"memory": "3Gi"})).contains("Of 3Gi the heap may have about 2304Mi"));
        assert!(!detail(json!({})).contains("the heap may have"));
    }

    #[test]
    fn words_about_memory_are_no_full_heap() {
        told(json!({}), json!({}), "INFO heap used 148 MiB of 512 MiB\nINFO OutOfMemoryError handler installed")
            .is_calm();
    }
}
