//! Scope: which objects the question is about, so that a fault elsewhere is not taken for its answer.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{PersistentVolume, Pod};
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;

use crate::alert::ObjectRef;
use crate::playbook::analyzer::{aggregation, disruption, service};
use crate::playbook::awaited;
use crate::playbook::callees;
use crate::playbook::facts::Seen;
use crate::playbook::finding::Finding;
use crate::playbook::pods;
use crate::playbook::reach::{self, Call, Failure};
use crate::playbook::relay;
use crate::playbook::scene::{Scene, named, service_selector};

/// Failing calls followed one after the other: from a front end to the database behind its back end, with one to spare.
pub(super) const CALLS: i32 = 4;

/// How close a finding is to what is asked, the closest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relevance {
    /// Another part of the cluster.
    Elsewhere,
    /// The same namespace, nothing more.
    Neighbour,
    /// A target suffers from it, or depends on where it shows.
    Touching,
    /// It shows at a target, its owner, or something it owns.
    Direct,
}

/// The objects the question is about, and those their failing calls reach.
#[derive(Debug, Default)]
pub struct Scope {
    direct: BTreeSet<ObjectRef>,
    /// What failing calls reach, with the number of calls on the way.
    reached: BTreeMap<ObjectRef, i32>,
    namespaces: BTreeSet<String>,
    /// Whether a whole Namespace is asked about, for want of anything in it that the alerts name.
    wide: bool,
    /// Whether the alerts are about something that is no object: what objects suffer from is beside the point then.
    elsewhere: bool,
}

impl Scope {
    /// Follows owners up and down from every target, selectors from Services, and failing calls from Pods.
    #[must_use]
    pub fn of(scene: &Scene<'_>) -> Self {
        let elsewhere = scene.question.targets.is_empty() && !scene.question.outside.is_empty();
        let mut scope = Self { elsewhere, ..Self::default() };
        for target in &scene.question.targets {
            scope.follow(scene, target);
        }
        scope.widen(scene);
        scope.namespaces = scope.direct.iter().map(|object| object.namespace.clone()).collect();
        scope.namespaces.remove("");
        scope.follow_calls(scene);
        scope.follow_metrics(scene);
        scope
    }

    /// What stands behind an object, itself among it.
    #[must_use]
    pub fn behind(scene: &Scene<'_>, object: &ObjectRef) -> BTreeSet<ObjectRef> {
        let mut scope = Self::default();
        scope.follow(scene, object);
        scope.direct
    }

    /// Whether a whole Namespace is asked about, so that any of the faults in it may be meant.
    #[must_use]
    pub fn is_wide(&self) -> bool {
        self.wide
    }

    /// Whether an object is one the question is about.
    #[must_use]
    pub fn has(&self, object: &ObjectRef) -> bool {
        self.direct.contains(object)
    }

    /// The Pods the question is about.
    pub fn pods<'s>(&'s self, scene: &'s Scene<'_>) -> impl Iterator<Item = &'s Seen<Pod>> {
        scene.pods.iter().filter(|pod| self.direct.contains(&named(&pod.object)))
    }

    /// How many failing calls lead from a target to where a finding stands: it then explains the errors on the way. 0 for
    /// what is a target's own.
    #[must_use]
    pub fn calls_away(&self, finding: &Finding) -> i32 {
        if self.direct.contains(&finding.about) {
            return 0;
        }
        let held_up = finding.touches.iter().filter_map(|object| self.reached.get(object)).max();
        self.reached.get(&finding.about).or(held_up).copied().unwrap_or(0)
    }

    /// How close a finding is. Without any target everything is asked.
    #[must_use]
    pub fn relevance(&self, finding: &Finding) -> Relevance {
        if self.elsewhere {
            return Relevance::Neighbour;
        }
        if self.direct.is_empty() || self.direct.contains(&finding.about) || self.direct.contains(&finding.blame) {
            return Relevance::Direct;
        }
        let close = |object: &ObjectRef| self.direct.contains(object) || self.reached.contains_key(object);
        if finding.touches.iter().any(close) || close(&finding.about) || close(&finding.blame) {
            return Relevance::Touching;
        }
        if self.namespaces.contains(&finding.about.namespace) { Relevance::Neighbour } else { Relevance::Elsewhere }
    }

    /// An alert may name a Service that nothing is called after: then it is about something in its namespace.
    fn widen(&mut self, scene: &Scene<'_>) {
        let known = self.direct.iter().any(|object| scene.facts.raw(object).is_some());
        if known {
            return;
        }
        let services = scene.question.targets.iter().filter(|target| target.kind == "Service");
        for namespace in services.map(|target| target.namespace.clone()).collect::<BTreeSet<_>>() {
            self.wide = true;
            self.direct.extend(inside(scene, &namespace));
        }
    }

    fn follow(&mut self, scene: &Scene<'_>, target: &ObjectRef) {
        if !self.direct.insert(target.clone()) {
            return;
        }
        match target.kind.as_str() {
            "Pod" => self.follow_pod(scene, target),
            "Service" => self.follow_service(scene, target),
            "Namespace" => {
                self.wide = true;
                self.direct.extend(inside(scene, &target.name));
            }
            "PersistentVolumeClaim" => self.follow_claim(scene, target),
            "HorizontalPodAutoscaler" => self.follow_autoscaler(scene, target),
            "Ingress" => self.follow_ingress(scene, target),
            "CronJob" => self.follow_cron_job(scene, target),
            "PodDisruptionBudget" => self.follow_pods(scene, disruption::covered_by(scene, target)),
            "PersistentVolume" => self.follow_volume(scene, target),
            "APIService" => self.follow_api(scene, target),
            "ReplicaSet" | "Deployment" | "StatefulSet" | "DaemonSet" | "Job" => self.follow_workload(scene, target),
            _ => {}
        }
    }

    fn follow_pod(&mut self, scene: &Scene<'_>, target: &ObjectRef) {
        let pod = scene.pod(target);
        let workload = match pod {
            Some(pod) => scene.workload(&pod.object),
            // A Pod that is gone still names its workload: the workload's name is the beginning of its own.
            None => match workloads(scene, &target.namespace)
                .into_iter()
                .filter(|workload| target.name.starts_with(&format!("{}-", workload.name)))
                .max_by_key(|workload| workload.name.len())
            {
                Some(workload) => workload,
                None => return,
            },
        };
        self.follow(scene, &workload);
    }

    fn follow_workload(&mut self, scene: &Scene<'_>, target: &ObjectRef) {
        let sets = scene.replica_sets.iter().map(|set| (named(&set.object), scene.owner(&set.object.metadata)));
        for (set, owner) in sets {
            if owner.as_ref() == Some(target) {
                self.direct.insert(set);
            } else if set == *target
                && let Some(owner) = owner
            {
                self.follow(scene, &owner);
            }
        }
        let job = scene.jobs.iter().find(|job| named(&job.object) == *target);
        if let Some(cron_job) = job.and_then(|job| scene.owner(&job.object.metadata)) {
            self.direct.insert(cron_job);
        }
        self.direct.extend(scene.pods_of(target).into_iter().map(|pod| named(&pod.object)));
    }

    fn follow_service(&mut self, scene: &Scene<'_>, target: &ObjectRef) {
        let service = scene.service(&target.namespace, &target.name);
        let workloads_behind: BTreeSet<ObjectRef> = service
            .map(|service| scene.backends(&service.object))
            .unwrap_or_default()
            .into_iter()
            .map(|pod| scene.workload(&pod.object))
            .collect();
        // Alerts name a Service after its workload even where no such Service exists, or where it selects nothing.
        let same_name = workloads(scene, &target.namespace).into_iter().filter(|workload| workload.name == target.name);
        let wanted = service.and_then(|service| service_selector(&service.object));
        let made = wanted.and_then(|wanted| service::made_for(scene, &target.namespace, wanted));
        for workload in same_name.chain(workloads_behind).chain(made).collect::<BTreeSet<_>>() {
            self.follow(scene, &workload);
        }
    }

    fn follow_claim(&mut self, scene: &Scene<'_>, target: &ObjectRef) {
        let mounting = |pod: &&Seen<Pod>| {
            pod.object.metadata.namespace.as_deref() == Some(&target.namespace)
                && pods::claims(&pod.object).contains(&target.name)
        };
        let names: Vec<ObjectRef> = scene.pods.iter().filter(mounting).map(|pod| named(&pod.object)).collect();
        for pod in names {
            self.follow(scene, &pod);
        }
    }

    fn follow_autoscaler(&mut self, scene: &Scene<'_>, target: &ObjectRef) {
        let Some(found) = scene.facts.get::<HorizontalPodAutoscaler>(&target.namespace, &target.name) else { return };
        let scaled = &found.object.spec.scale_target_ref;
        self.follow(scene, &ObjectRef::new(&scaled.kind, &target.namespace, &scaled.name));
    }

    fn follow_ingress(&mut self, scene: &Scene<'_>, target: &ObjectRef) {
        let Some(found) = scene.facts.get::<Ingress>(&target.namespace, &target.name) else { return };
        for (service, _) in crate::playbook::analyzer::ingress::backends(&found.object) {
            self.follow(scene, &ObjectRef::new("Service", &target.namespace, service));
        }
    }

    fn follow_pods(&mut self, scene: &Scene<'_>, pods: Vec<ObjectRef>) {
        for pod in pods {
            self.follow(scene, &pod);
        }
    }

    fn follow_volume(&mut self, scene: &Scene<'_>, target: &ObjectRef) {
        let claim =
            scene.facts.get::<PersistentVolume>("", &target.name).and_then(|found| found.object.spec?.claim_ref);
        let named = claim.and_then(|claim| Some((claim.namespace?, claim.name?)));
        if let Some((namespace, name)) = named {
            self.follow(scene, &ObjectRef::new("PersistentVolumeClaim", namespace, name));
        }
    }

    fn follow_api(&mut self, scene: &Scene<'_>, target: &ObjectRef) {
        let found = scene.facts.get::<APIService>("", &target.name);
        if let Some(service) = found.and_then(|found| aggregation::service_of(&found.object)) {
            self.follow(scene, &service);
        }
    }

    fn follow_cron_job(&mut self, scene: &Scene<'_>, target: &ObjectRef) {
        if scene.facts.get::<CronJob>(&target.namespace, &target.name).is_none() {
            return;
        }
        let owned = scene.jobs.iter().filter(|job| scene.owner(&job.object.metadata).as_ref() == Some(target));
        let jobs: Vec<ObjectRef> = owned.map(|job| named(&job.object)).collect();
        for job in jobs {
            self.follow(scene, &job);
        }
    }

    /// Follows failing calls from Pod to Pod: what a dependency calls in vain itself is where the trouble begins.
    fn follow_calls(&mut self, scene: &Scene<'_>) {
        let mut callers: Vec<ObjectRef> = self.pods(scene).map(|pod| named(&pod.object)).collect();
        for calls in 1..=CALLS {
            let found: BTreeSet<ObjectRef> = callers.iter().flat_map(|caller| called_by(scene, caller)).collect();
            let new = found.into_iter().filter(|object| !self.reached.contains_key(object));
            let new: Vec<ObjectRef> = new.collect();
            callers =
                new.iter().filter(|object| object.kind == "Pod" && !self.direct.contains(object)).cloned().collect();
            self.reached.extend(new.into_iter().map(|object| (object, calls)));
        }
    }

    /// An autoscaler without metrics calls an API in vain, and so whoever answers for that.
    fn follow_metrics(&mut self, scene: &Scene<'_>) {
        let apis = scene.facts.all::<APIService>();
        let missed = |api: &&Seen<APIService>| {
            let suffering = aggregation::suffering(scene, &api.object);
            aggregation::is_down(&api.object) && suffering.iter().any(|object| self.direct.contains(object))
        };
        let services: Vec<ObjectRef> =
            apis.iter().filter(missed).filter_map(|api| aggregation::service_of(&api.object)).collect();
        for service in services {
            self.reached.extend(Self::behind(scene, &service).into_iter().map(|object| (object, 1)));
        }
    }
}

/// The Services a Pod calls in vain or whose troubles it passes on, and what stands behind them.
pub(super) fn called_by(scene: &Scene<'_>, caller: &ObjectRef) -> BTreeSet<ObjectRef> {
    let Some(caller) = scene.pod(caller) else { return BTreeSet::new() };
    let mut reached = BTreeSet::new();
    if let Some(wait) = awaited::of_pod(scene, &caller.object).filter(|wait| wait.named.sure) {
        reached.extend(Scope::behind(scene, &wait.named.object));
    }
    let mut services = relay::sources(scene, &caller.object);
    services.extend(callees::complained_of(scene, &caller.object));
    for call in reach::failing_calls(scene, &caller.object) {
        reached.extend(of_call(scene, &caller.object, &call));
    }
    for service in services {
        reached.extend(Scope::behind(scene, &named(&service.object)));
    }
    reached
}

/// What a failing call leads to: the Service it means and what stands behind it, the resolver, the network of its Node.
pub(super) fn of_call(scene: &Scene<'_>, caller: &Pod, call: &Call<'_>) -> BTreeSet<ObjectRef> {
    let mut reached = BTreeSet::new();
    let dns = reach::dns_service(scene).filter(|_| reach::resolver_is_silent(call));
    if reach::resolver_is_silent(call) {
        let pods = scene.pods.iter().map(|pod| (named(&pod.object), scene.workload(&pod.object)));
        reached.extend(pods.filter(|(pod, _)| reach::is_dns(pod)).flat_map(|(pod, workload)| [pod, workload]));
    }
    if matches!(call.failure, Failure::Timeout | Failure::Refused | Failure::Unconnected)
        || reach::resolver_is_silent(call)
    {
        let here = pods::node_name(caller);
        let agents = scene.pods.iter().filter(|pod| reach::is_network(&named(&pod.object)));
        reached.extend(agents.filter(|pod| pods::node_name(&pod.object) == here).map(|pod| named(&pod.object)));
    }
    let service = dns.or_else(|| reach::service_of(scene, caller, call));
    if let (None, Some(pod)) = (service, reach::pod_of(scene, caller, call)) {
        reached.extend([named(&pod.object), scene.workload(&pod.object)]);
    }
    reached.extend(service.map(|service| Scope::behind(scene, &named(&service.object))).unwrap_or_default());
    reached
}

/// The workloads of a namespace that were read.
fn workloads(scene: &Scene<'_>, namespace: &str) -> Vec<ObjectRef> {
    const KINDS: [&str; 4] = ["Deployment", "StatefulSet", "DaemonSet", "Job"];
    let owners = scene.pods.iter().map(|pod| scene.workload(&pod.object));
    let read = scene.facts.names().into_iter();
    read.chain(owners)
        .filter(|object| object.namespace == namespace && KINDS.contains(&object.kind.as_str()))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

fn inside(scene: &Scene<'_>, namespace: &str) -> Vec<ObjectRef> {
    scene.facts.names().into_iter().filter(|object| object.namespace == namespace).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{
        World, crashed, deployment, node, patched, pod, replica_set, service, unready, unschedulable,
    };

    fn broken(kind: &str, name: &str) -> World {
        World::asking(kind, name)
            .with(deployment(1, 0))
            .with(replica_set(1, "reg/web:1", 1, 0))
            .with(pod(crashed(1, "Error")))
            .log("web-1-a", "ERROR cannot parse rules.yaml")
    }

    #[test]
    fn owners_and_what_they_own_are_followed_both_ways() {
        for (kind, name) in [("Deployment", "web"), ("ReplicaSet", "web-1"), ("Pod", "web-1-a"), ("Pod", "web-1-gone")]
        {
            assert_eq!(broken(kind, name).cause(), "crashloop_app_error Deployment/web", "{kind}/{name}");
        }
    }

    #[test]
    fn a_service_label_means_the_workload_of_that_name_or_else_the_namespace() {
        assert_eq!(broken("Service", "web").cause(), "crashloop_app_error Deployment/web");
        assert_eq!(broken("Service", "shop-frontend").cause(), "crashloop_app_error Deployment/web");
    }

    /// A Pod that is not Ready and warns so, beside a StatefulSet's Pod that no Node takes.
    fn unready_beside(host: &str, line: &str) -> World {
        let cordoned = json!({"spec": {"unschedulable": true}});
        let owner =
            json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "s", "controller": true}]);
        let waiting = patched(
            unschedulable("0/1 nodes are available: 1 node(s) were unschedulable."),
            json!({"metadata": {"name": "db-0", "labels": {"app": "db"}, "ownerReferences": owner}}),
        );
        let governing = json!({"metadata": {"name": "db"}, "spec": {"clusterIP": "None"}});
        World::asking("Service", "web")
            .with(service(json!({"app": "web"})))
            .with(deployment(1, 0))
            .with(pod(unready(json!({"running": {"startedAt": "2026-11-23T01:00:00Z"}}), json!({}), 0)))
            .event("Pod", "web-1-a", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503")
            .log("web-1-a", &format!("{line} {host}:6379\n"))
            .with(patched(service(json!({"app": "db"})), governing))
            .with(pod(waiting))
            .with(node(cordoned))
    }

    #[test]
    fn an_unready_pod_leads_to_the_node_that_what_it_needs_waits_for() {
        let warns =
            "2026-11-23T02:58:35Z WARN [health] store DOWN: java.net.UnknownHostException: Unable to connect to";
        for host in ["db-0.db.shop.svc", "db-0.db", "db-0.db.shop", "db.shop.svc.cluster.local"] {
            assert_eq!(unready_beside(host, warns).cause(), "no_usable_node Node/n1", "{host}");
        }
        let other = unready_beside("cache-0.cache.shop.svc", warns);
        assert_ne!(other.cause(), "no_usable_node Node/n1", "it calls somebody else");
        let calm = unready_beside("db-0.db", "2026-11-23T02:58:35Z INFO [health] store is at");
        assert_ne!(calm.cause(), "no_usable_node Node/n1", "nothing fails there");
    }

    #[test]
    fn another_workloads_trouble_is_not_the_targets() {
        let other = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "cart", "namespace": "shop"},
            "spec": {"replicas": 1, "selector": {}, "template": {}}, "status": {"readyReplicas": 1, "availableReplicas": 1,
            "updatedReplicas": 1, "replicas": 1}});
        broken("Deployment", "cart").with(other).is_calm();
    }
}
