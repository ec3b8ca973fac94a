//! Pods: their containers with spec and status side by side, and the few questions every analyzer asks of them.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{
    Container, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod, PodCondition, PodSpec,
};

/// How many times as long as the run that failed a run lasts that has got over it, and the least of it, in seconds: longer
/// than what Prometheus still counts as a crash loop once it is over.
const OUTLIVED: i64 = 10;
const STEADY: i64 = 240;

/// A container as the Pod declares it and as the kubelet reports it.
#[derive(Debug, Clone, Copy)]
pub struct ContainerView<'a> {
    /// Its declaration; a status without one is ignored.
    pub spec: &'a Container,
    /// What the kubelet says, once it said anything.
    pub status: Option<&'a ContainerStatus>,
    /// Whether it runs before the others.
    pub init: bool,
}

impl<'a> ContainerView<'a> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        &self.spec.name
    }

    /// Its image as declared.
    #[must_use]
    pub fn image(&self) -> &'a str {
        self.spec.image.as_deref().unwrap_or_default()
    }

    /// Why it waits, when it does.
    #[must_use]
    pub fn waiting(&self) -> Option<&'a ContainerStateWaiting> {
        self.status?.state.as_ref()?.waiting.as_ref()
    }

    /// The reason it waits, empty when it does not.
    #[must_use]
    pub fn waiting_reason(&self) -> &'a str {
        self.waiting().and_then(|waiting| waiting.reason.as_deref()).unwrap_or_default()
    }

    /// How its present or last run ended.
    #[must_use]
    pub fn ended(&self) -> Option<&'a ContainerStateTerminated> {
        let status = self.status?;
        let of = |state: Option<&'a k8s_openapi::api::core::v1::ContainerState>| state?.terminated.as_ref();
        of(status.state.as_ref()).or_else(|| of(status.last_state.as_ref()))
    }

    /// Whether the runtime could not even start it: then it has written no log.
    #[must_use]
    pub fn never_began(&self) -> bool {
        let reason = self.ended().and_then(|ended| ended.reason.as_deref()).unwrap_or_default();
        matches!(reason, "StartError" | "ContainerCannotRun")
            || matches!(self.waiting_reason(), "RunContainerError" | "StartError")
    }

    /// Whether it runs now.
    #[must_use]
    pub fn running(&self) -> bool {
        self.status.and_then(|status| status.state.as_ref()).is_some_and(|state| state.running.is_some())
    }

    /// How often the kubelet restarted it.
    #[must_use]
    pub fn restarts(&self) -> i32 {
        self.status.map_or(0, |status| status.restart_count)
    }

    /// Whether it passes its readiness probe (or needs none and runs).
    #[must_use]
    pub fn ready(&self) -> bool {
        self.status.is_some_and(|status| status.ready)
    }

    /// Whether it keeps failing now: waiting to be restarted, ended badly, restarted within the last 10 minutes for
    /// at least the third time, or within the hour for at least the sixth. One restart long ago is no failure, and a run
    /// that has outlived the one before by ten minutes has got over what ended that.
    #[must_use]
    pub fn failing(&self, now: Timestamp) -> bool {
        if matches!(self.waiting_reason(), "CrashLoopBackOff" | "RunContainerError" | "StartError") {
            return true;
        }
        let Some(ended) = self.ended() else { return false };
        if !self.running() {
            return ended.exit_code != 0 && self.waiting_reason().is_empty();
        }
        let seconds = ended.finished_at.as_ref().map_or(0, |at| now.as_second() - at.0.as_second());
        let often = if seconds < 600 { 3 } else { 6 };
        seconds < 3600 && self.restarts() >= often && !self.got_over_it(ended, now)
    }

    /// Whether it is ready and has run ten minutes longer than the run that ended, or ten times as long and for some minutes.
    fn got_over_it(&self, ended: &ContainerStateTerminated, now: Timestamp) -> bool {
        let running = self.status.and_then(|status| status.state.as_ref()?.running.as_ref()?.started_at.as_ref());
        let (Some(since), Some(from), Some(to)) = (running, &ended.started_at, &ended.finished_at) else {
            return false;
        };
        let (runs, ran) = (now.as_second() - since.0.as_second(), to.0.as_second() - from.0.as_second());
        self.ready() && (runs >= ran + 600 || runs >= (ran * OUTLIVED).max(STEADY))
    }
}

/// Init containers first, then the others, in order of declaration.
#[must_use]
pub fn containers(pod: &Pod) -> Vec<ContainerView<'_>> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let status = pod.status.as_ref();
    let find = |statuses: Option<&'_ Vec<ContainerStatus>>, name: &str| -> Option<usize> {
        statuses?.iter().position(|status| status.name == name)
    };
    let init_statuses = status.and_then(|status| status.init_container_statuses.as_ref());
    let statuses = status.and_then(|status| status.container_statuses.as_ref());
    let init = spec.init_containers.iter().flatten().map(|container| ContainerView {
        spec: container,
        status: find(init_statuses, &container.name).and_then(|index| init_statuses?.get(index)),
        init: true,
    });
    let main = spec.containers.iter().map(|container| ContainerView {
        spec: container,
        status: find(statuses, &container.name).and_then(|index| statuses?.get(index)),
        init: false,
    });
    init.chain(main).collect()
}

/// A condition by its type.
#[must_use]
pub fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

/// The phase, empty when the status was not read.
#[must_use]
pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Whether the Pod serves: its `Ready` condition is true.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition.status == "True")
}

/// Whether the Pod serves as far as is known: a Pod of which only a table row was read is not called unready.
#[must_use]
pub fn may_serve(pod: &Pod) -> bool {
    is_ready(pod) || phase(pod).is_empty()
}

/// Whether the Pod has run to its end, well or badly.
#[must_use]
pub fn is_finished(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// What a version of a workload asks of its Pods.
#[must_use]
pub fn template(set: &ReplicaSet) -> Option<&PodSpec> {
    set.spec.as_ref()?.template.as_ref()?.spec.as_ref()
}

/// Whether the kubelet threw the Pod out.
#[must_use]
pub fn is_evicted(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.reason.as_deref()) == Some("Evicted")
}

/// Whether the Pod is being deleted.
#[must_use]
pub fn is_leaving(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether the scheduler has not found a Node yet.
#[must_use]
pub fn is_unscheduled(pod: &Pod) -> bool {
    phase(pod) == "Pending" && node_name(pod).is_none()
}

/// The Node it runs on.
#[must_use]
pub fn node_name(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|name| !name.is_empty())
}

/// Names of the claims its volumes use (for generic ephemeral volumes: the claim made for it).
#[must_use]
pub fn claims(pod: &Pod) -> Vec<String> {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or(&[]);
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    volumes
        .iter()
        .filter_map(|volume| {
            let claim = volume.persistent_volume_claim.as_ref().map(|source| source.claim_name.clone());
            claim.or_else(|| volume.ephemeral.as_ref().map(|_| format!("{name}-{}", volume.name)))
        })
        .collect()
}
