//! The scene: the facts of one question as typed objects, with the look-ups that analyzers share.

use std::collections::BTreeMap;

use k8s_openapi::Metadata;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};

use crate::alert::{Lang, ObjectRef};
use crate::playbook::Question;
use crate::playbook::facts::{Facts, Seen, SeenEvent, SeenLog};
use crate::playbook::once::Once;
use crate::playbook::reach::Call;
use crate::playbook::{logs, pods, selector};
use crate::report::Citation;

/// What one diagnosis works on. Objects are typed once, here.
#[derive(Debug)]
pub struct Scene<'a> {
    /// Everything that was read.
    pub facts: &'a Facts,
    /// What is asked.
    pub question: &'a Question,
    /// The language of every sentence.
    pub lang: Lang,
    /// Pods.
    pub pods: Vec<Seen<Pod>>,
    /// Deployments.
    pub deployments: Vec<Seen<Deployment>>,
    /// ReplicaSets.
    pub replica_sets: Vec<Seen<ReplicaSet>>,
    /// StatefulSets.
    pub stateful_sets: Vec<Seen<StatefulSet>>,
    /// DaemonSets.
    pub daemon_sets: Vec<Seen<DaemonSet>>,
    /// Jobs.
    pub jobs: Vec<Seen<Job>>,
    /// Services.
    pub services: Vec<Seen<Service>>,
    /// Nodes.
    pub nodes: Vec<Seen<Node>>,
    /// PersistentVolumeClaims.
    pub claims: Vec<Seen<PersistentVolumeClaim>>,
    /// Of each Pod its place in `pods`, and its workload.
    workloads: BTreeMap<ObjectRef, (usize, ObjectRef)>,
    /// Places in `pods` of those that belong to a workload, or that an object controls.
    owned: BTreeMap<ObjectRef, Vec<usize>>,
    /// What was worked out of the logs: many analyzers ask, few logs are long to read.
    once: Once,
}

impl<'a> Scene<'a> {
    /// Types the objects and resolves who owns which Pod.
    #[must_use]
    pub fn new(facts: &'a Facts, question: &'a Question, lang: Lang) -> Self {
        let pods = facts.all::<Pod>();
        let once = Once::of(facts, pods.len());
        let mut scene = Self {
            facts,
            question,
            lang,
            pods,
            deployments: facts.all(),
            replica_sets: facts.all(),
            stateful_sets: facts.all(),
            daemon_sets: facts.all(),
            jobs: facts.all(),
            services: facts.all(),
            nodes: facts.all(),
            claims: facts.all(),
            workloads: BTreeMap::new(),
            owned: BTreeMap::new(),
            once,
        };
        for (place, pod) in scene.pods.iter().enumerate() {
            let (workload, owner) = (scene.owner_of_pod(&pod.object), scene.owner(&pod.object.metadata));
            for owner in owner.into_iter().filter(|owner| *owner != workload) {
                scene.owned.entry(owner).or_default().push(place);
            }
            scene.owned.entry(workload.clone()).or_default().push(place);
            scene.workloads.insert(named(&pod.object), (place, workload));
        }
        scene
    }

    /// The one of two texts that is in the reader's language.
    #[must_use]
    pub fn text(&self, zh: impl Into<String>, en: impl Into<String>) -> String {
        self.lang.pick(zh.into(), en.into())
    }

    /// Two parts of a sentence with the colon of its language.
    #[must_use]
    pub fn colon(&self, head: impl std::fmt::Display, rest: impl std::fmt::Display) -> String {
        self.text(format!("{head}：{rest}"), format!("{head}: {rest}"))
    }

    /// The workload a Pod belongs to (its Deployment, StatefulSet, DaemonSet or Job), or the Pod itself.
    #[must_use]
    pub fn workload(&self, pod: &Pod) -> ObjectRef {
        let pod = named(pod);
        self.workloads.get(&pod).map(|(_, workload)| workload.clone()).unwrap_or(pod)
    }

    /// The Pod of that name, when it was read.
    #[must_use]
    pub fn pod(&self, name: &ObjectRef) -> Option<&Seen<Pod>> {
        self.workloads.get(name).and_then(|(place, _)| self.pods.get(*place))
    }

    /// The Pods of a workload.
    #[must_use]
    pub fn pods_of(&self, workload: &ObjectRef) -> Vec<&Seen<Pod>> {
        let places = self.owned.get(workload).map(Vec::as_slice).unwrap_or_default();
        places.iter().filter_map(|place| self.pods.get(*place)).collect()
    }

    /// The Pods that matter now: neither on their way out nor the remains of a workload that has recovered since.
    pub fn current_pods(&self) -> impl Iterator<Item = &Seen<Pod>> {
        self.pods.iter().filter(|pod| !pods::is_leaving(&pod.object) && !self.is_history(&pod.object))
    }

    /// The Pods a Service selects; none when it has no selector.
    #[must_use]
    pub fn backends(&self, service: &Service) -> Vec<&Seen<Pod>> {
        let Some(wanted) = service_selector(service) else { return Vec::new() };
        let namespace = &service.metadata.namespace;
        self.pods
            .iter()
            .filter(|pod| pod.object.metadata.namespace == *namespace)
            .filter(|pod| selector::covers(wanted, pod.object.metadata.labels.as_ref()))
            .collect()
    }

    /// How many Pods are ready behind a Service; `None` where it was not read.
    #[must_use]
    pub fn backends_ready(&self, service: &ObjectRef) -> Option<usize> {
        let service = self.service(&service.namespace, &service.name)?;
        Some(self.backends(&service.object).iter().filter(|pod| pods::is_ready(&pod.object)).count())
    }

    /// The Service of that name, when it was read.
    #[must_use]
    pub fn service(&self, namespace: &str, name: &str) -> Option<&Seen<Service>> {
        self.services.iter().find(|service| {
            service.object.metadata.name.as_deref() == Some(name)
                && service.object.metadata.namespace.as_deref().unwrap_or_default() == namespace
        })
    }

    /// The Node of that name, when it was read.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Seen<Node>> {
        self.nodes.iter().find(|node| node.object.metadata.name.as_deref() == Some(name))
    }

    /// The controller of a workload's own object, for example the Deployment of a ReplicaSet.
    #[must_use]
    pub fn owner(&self, metadata: &ObjectMeta) -> Option<ObjectRef> {
        let owner = controller(metadata)?;
        Some(ObjectRef::new(&owner.kind, metadata.namespace.clone().unwrap_or_default(), &owner.name))
    }

    /// Events about an object with one of these reasons.
    #[must_use]
    pub fn events(&self, about: &ObjectRef, reasons: &[&str]) -> Vec<&'a SeenEvent> {
        let meant = |event: &&SeenEvent| {
            event.about.kind == about.kind
                && event.about.name == about.name
                && (about.namespace.is_empty() || event.about.namespace == about.namespace)
        };
        let events = self.facts.events().iter().filter(meant);
        events.filter(|event| reasons.contains(&event.reason.as_str())).collect()
    }

    /// The logs of a container; that of the run before the present one first, since that run is the one that ended.
    #[must_use]
    pub fn logs(&self, pod: &ObjectRef, container: &str) -> Vec<&'a SeenLog> {
        let of_pod = |log: &&SeenLog| log.namespace == pod.namespace && log.pod == pod.name;
        let mut logs: Vec<&SeenLog> = self
            .facts
            .logs()
            .iter()
            .filter(of_pod)
            .filter(|log| log.container.is_empty() || container.is_empty() || log.container == container)
            .collect();
        logs.sort_by_key(|log| !log.previous);
        logs
    }

    /// What a log's text says of the present.
    #[must_use]
    pub fn present(&self, log: &SeenLog, text: &'a str) -> &'a str {
        self.once.present(self.facts, log, text)
    }

    /// The failing calls of a Pod, looked for the first time that somebody asks.
    pub(super) fn calls(&self, pod: &Pod, look: impl FnOnce() -> Vec<Call<'a>>) -> Vec<Call<'a>> {
        match self.workloads.get(&named(pod)) {
            Some((place, _)) => self.once.calls(self.facts, *place, look),
            None => look(),
        }
    }

    /// The line of a container's log that says why, and its citation.
    #[must_use]
    pub fn culprit(&self, pod: &ObjectRef, container: &str) -> Option<(&'a str, Option<Citation>)> {
        self.picked(pod, container, logs::culprit)
    }

    /// The last warning in a container's log, for where no line reports an error.
    #[must_use]
    pub fn warning(&self, pod: &ObjectRef, container: &str) -> Option<(&'a str, Option<Citation>)> {
        self.picked(pod, container, logs::warning)
    }

    /// What is picked from the first of a container's logs that has it, and its citation.
    #[must_use]
    pub fn picked(
        &self,
        pod: &ObjectRef,
        container: &str,
        pick: impl Fn(&'a str) -> Option<&'a str>,
    ) -> Option<(&'a str, Option<Citation>)> {
        self.logs(pod, container).into_iter().find_map(|log| {
            let line = pick(log.lines.as_deref().ok()?)?;
            Some((line, self.quote_error(&log.reference, line)))
        })
    }

    /// How often something was seen, in brackets; nothing for once, which is also what is said when nobody counted.
    #[must_use]
    pub fn times(&self, count: i64) -> String {
        if count <= 1 { String::new() } else { self.text(format!("，共 {count} 次"), format!(" ({count} times)")) }
    }

    /// Whole minutes since a moment.
    #[must_use]
    pub fn minutes_since(&self, time: Option<&Time>) -> Option<i64> {
        time.map(|time| (self.facts.now.as_second() - time.0.as_second()).max(0) / 60)
    }

    /// The autoscaler of a workload.
    #[must_use]
    pub fn autoscaler(&self, workload: &ObjectRef) -> Option<Seen<HorizontalPodAutoscaler>> {
        self.facts.all::<HorizontalPodAutoscaler>().into_iter().find(|it| {
            let target = &it.object.spec.scale_target_ref;
            let named_by = target.kind == workload.kind && target.name == workload.name;
            named_by && named(&it.object).namespace == workload.namespace
        })
    }

    /// Ready and wanted replicas of a workload whose object was read.
    #[must_use]
    pub fn replicas(&self, workload: &ObjectRef) -> Option<(i32, i32)> {
        match workload.kind.as_str() {
            "Deployment" => {
                let found = self.deployments.iter().find(|found| named(&found.object) == *workload)?;
                let status = found.object.status.as_ref()?;
                let wanted = found.object.spec.as_ref()?.replicas.unwrap_or(1);
                Some((status.ready_replicas.unwrap_or(0).min(status.available_replicas.unwrap_or(0)), wanted))
            }
            "StatefulSet" => {
                let found = self.stateful_sets.iter().find(|found| named(&found.object) == *workload)?;
                let ready = found.object.status.as_ref()?.ready_replicas.unwrap_or(0);
                Some((ready, found.object.spec.as_ref()?.replicas.unwrap_or(1)))
            }
            "DaemonSet" => {
                let found = self.daemon_sets.iter().find(|found| named(&found.object) == *workload)?;
                let status = found.object.status.as_ref()?;
                Some((status.number_ready, status.desired_number_scheduled))
            }
            _ => None,
        }
    }

    fn is_history(&self, pod: &Pod) -> bool {
        let workload = self.workload(pod);
        let complete = |job: &Job| {
            let conditions = job.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or(&[]);
            conditions.iter().any(|condition| condition.type_ == "Complete" && condition.status == "True")
        };
        pods::is_finished(pod)
            && match workload.kind.as_str() {
                "Job" => self.jobs.iter().any(|job| named(&job.object) == workload && complete(&job.object)),
                _ => self.replicas(&workload).is_some_and(|(ready, wanted)| ready >= wanted),
            }
    }

    fn owner_of_pod(&self, pod: &Pod) -> ObjectRef {
        let Some(owner) = self.owner(&pod.metadata) else { return named(pod) };
        if owner.kind != "ReplicaSet" {
            return owner;
        }
        let set = self.replica_sets.iter().find(|set| named(&set.object) == owner);
        if let Some(deployment) = set.and_then(|set| self.owner(&set.object.metadata)) {
            return deployment;
        }
        let hash = pod.metadata.labels.as_ref().and_then(|labels| labels.get("pod-template-hash"));
        match hash.and_then(|hash| owner.name.strip_suffix(&format!("-{hash}"))) {
            Some(name) if set.is_none() => ObjectRef::new("Deployment", &owner.namespace, name),
            _ => owner,
        }
    }
}

/// Kind, namespace and name of a typed object.
#[must_use]
pub fn named<K: k8s_openapi::Resource + Metadata<Ty = ObjectMeta>>(object: &K) -> ObjectRef {
    let metadata = object.metadata();
    ObjectRef::new(K::KIND, metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

/// The owner that manages an object.
#[must_use]
pub fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    let owners = metadata.owner_references.as_deref().unwrap_or(&[]);
    owners.iter().find(|owner| owner.controller == Some(true)).or_else(|| owners.first())
}

/// A Service's selector, when it selects anything (not for external names).
#[must_use]
pub fn service_selector(service: &Service) -> Option<&selector::LabelMap> {
    let spec = service.spec.as_ref()?;
    let external = spec.type_.as_deref() == Some("ExternalName");
    spec.selector.as_ref().filter(|wanted| !wanted.is_empty() && !external)
}
