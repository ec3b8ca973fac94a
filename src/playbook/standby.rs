//! Standby: what a replica says while another one leads. It waits as it was made to, whatever level its logger gives that:
//! its lines are no errors.

use k8s_openapi::api::core::v1::Pod;

use crate::playbook::facts::Seen;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named};
use crate::playbook::scope::Scope;

/// The words of client-go and controller-runtime, their Python twin, Spring Integration and ShedLock, Quartz, Patroni,
/// Curator and Flink, and of applications that say it for themselves.
static STANDS_BY: Pattern = Pattern::new(concat!(
    r"(?i)attempting to acquire (?:the )?leader (?:lease|lock)",
    r"|\b(?:lock|lease|leadership) (?:is |was )?(?:currently |still |already )?(?:held|owned|taken) by \S+ and has not (?:yet )?expired",
    r"|\b(?:lease|leadership|leader lock) (?:is )?(?:currently |still |already )?(?:held|owned|taken|acquired) by another\b",
    r"|\block (?:is )?(?:currently |still |already )?(?:held|owned|taken|acquired) by another (?:instance|replica|pod|node|scheduler)\b",
    r"|\byet to finish lease_duration\b",
    r#"|\bfailed to acquire lease\W+(?:lease=\S+|[\w./-]+)["\s]*$"#,
    r"|\b(?:lead\w*|lease|lock|master|primary|elect\w*)\b.*\bstanding by\b",
    r"|\bstanding by\b.*\b(?:lead\w*|lease|lock|master|primary|elect\w*|follower|secondary)\b|\b(?:scheduler|replica|instance|node)\b.*\bin standby mode\b",
    r"|\bnew leader elected\b",
    r"|\bwaiting (?:for|to (?:acquire|obtain|gain|be granted|get)) (?:the )?(?:leadership|leader (?:lock|lease|election))",
    r"|\bwaiting to become (?:the )?(?:leader|master|primary)\b",
    r"|\b(?:another|other) (?:instance|node|replica|member|pod|scheduler|process) (?:is|holds|owns|has) (?:already |currently )?(?:the )?(?:current |active )?(?:leader(?:ship)?|master|lead|leader lock)\b",
    r"|\b(?:i am|we are|this (?:node|instance|replica|pod) is) (?:not (?:the )?(?:leader|master|active)\b|an? (?:secondary|standby|follower)\b)",
    r"|\bno action\. i am \S+ *,? (?:an? )?(?:secondary|replica|standby)",
    r"|\block owner: \S+?; i am \S+",
    r"|\bnot executing \S+ it'?s locked\b",
    r"|未(?:获得|抢到)(?:主|leader)|(?:当前|本)(?:节点|实例|副本)(?:为|是)备(?:机|节点|用)|等待成为\s*(?:主节点|leader)",
));
/// What no replica says that merely waits: the lead was lost, nobody has it, or the lock itself cannot be asked for.
static TROUBLED: Pattern = Pattern::new(
    r"(?i)\bfatal\b|forbidden|unauthori[sz]ed|no leader\b|leader(?:ship| election)? (?:was )?lost|lost (?:the )?(?:leader|lease)|failed to renew|stopped leading|refused|timed? ?out|deadline exceeded|no such host|not found|unreachable|too many|corrupt|error retrieving|error initially creating",
);

/// Whether a line says that a process waits because another one leads.
#[must_use]
pub fn stands_by(line: &str) -> bool {
    STANDS_BY.hits(line) && !TROUBLED.hits(line)
}

/// How often a log says so before it is worth telling.
const OFTEN: usize = 3;

/// Whether a Pod's log says again and again that another one leads.
fn stands(scene: &Scene<'_>, pod: &Seen<Pod>) -> bool {
    let says = |text: &str| text.lines().filter(|line| stands_by(line)).count() >= OFTEN;
    reach::present_logs(scene, &pod.object).iter().any(|(_, text)| says(text))
}

/// A Pod that waits for a lead which no other of its workload is seen to have: nobody may, and nothing is done then.
#[must_use]
pub fn without_leader<'s>(scene: &'s Scene<'_>, scope: &'s Scope) -> Option<&'s Seen<Pod>> {
    let leads = |other: &&Seen<Pod>| pods::is_ready(&other.object) && !stands(scene, other);
    scope.pods(scene).filter(|pod| stands(scene, pod)).find(|pod| {
        let own = named(&pod.object);
        let all = scene.pods_of(&scene.workload(&pod.object));
        !all.into_iter().filter(|other| named(&other.object) != own).any(|other| leads(&other))
    })
}

/// A replica whose log says again and again that another one leads, where no error was found: what an alert that counts its
/// lines saw.
#[must_use]
pub fn told(scene: &Scene<'_>, scope: &Scope) -> Option<String> {
    if let Some(pod) = without_leader(scene, scope) {
        let pod = named(&pod.object);
        return Some(scene.text(
            format!("{pod} 的日志反复说明锁由另一副本持有，但没有看到持有锁的副本：可能无人工作"),
            format!("{pod} says again and again that another replica holds the lead, and none that does was seen: perhaps nobody works"),
        ));
    }
    let pod = named(&scope.pods(scene).find(|pod| stands(scene, pod))?.object);
    Some(scene.text(
        format!("{pod} 是备用副本（standby）：日志反复说明锁由另一副本持有，它在等待接替；这是正常（healthy）状态，不是错误"),
        format!("{pod} stands by: its log says again and again that another replica holds the lead, which it waits to take over; that is healthy and no error"),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::playbook::logs;
    use crate::playbook::world::{World, pod};

    #[test]
    fn every_pattern_compiles() {
        assert!(STANDS_BY.compiles() && TROUBLED.compiles());
    }

    #[test]
    fn a_replica_that_waits_for_the_lead_reports_no_error() {
        for line in [
            "E1126 14:33:50.689823 1 elector.go:52] \"cannot lead, standing by\" lease=\"a/b\" err=\"lock is held by b-1_x and has not yet expired\"",
            "E1126 14:33:50.689823 1 leaderelection.go:330] lock is held by web-1_4f21 and has not yet expired",
            "ERROR scheduler: leadership is held by another instance",
            "2026-11-26 10:00:00 ERROR: no action. I am (pg-1), a secondary, and following a leader (pg-0)",
            "ERROR cannot run: this instance is not the leader",
            "{\"level\":\"error\",\"msg\":\"waiting to become leader\"}",
            "level=error msg=\"failed to acquire lease platform/web-leader\"",
        ] {
            assert!(stands_by(line) && !logs::is_error(line), "{line}");
        }
    }

    #[test]
    fn a_lead_that_is_lost_or_cannot_be_asked_for_is_trouble() {
        for line in [
            "E1126 14:32:50.666662 1 main.go:131] \"leader election lost\"",
            "E1126 14:32:41 1 leaderelection.go:441] error retrieving resource lock a/b: leases.coordination.k8s.io \"b\" is forbidden",
            "ERROR etcdserver: no leader",
            "ERROR failed to acquire lease a/b: Get \"https://10.96.0.1\": connection refused",
            "ERROR cannot lock row: lock wait timed out, standing by",
            "FATAL could not lock /data/db: the lock is held by another process",
            "FATAL migration: lock is held by another instance",
        ] {
            assert!(!stands_by(line) && logs::is_error(line), "{line}");
        }
    }

    #[test]
    fn a_standby_that_repeats_itself_is_healthy_and_told_as_that() {
        let line = "E1123 02:50:00.689823 1 elector.go:52] \"cannot lead, standing by\" err=\"lock is held by web-1-b_4f21 and has not yet expired\"\n";
        let alone = World::asking("Pod", "web-1-a").with(pod(json!({}))).log("web-1-a", &line.repeat(30));
        assert_eq!(alone.diagnosis().verdict, crate::report::Verdict::Inconclusive, "nobody leads");
        let world = alone.with(pod(json!({"metadata": {"name": "web-1-b"}})));
        world.is_calm();
        let told = world.diagnosis().primary.findings.join("; ");
        assert!(told.contains("stands by"), "{told}");
        let lost = line.replace("lock is held by web-1-b_4f21 and has not yet expired", "leases is forbidden");
        let world = World::asking("Pod", "web-1-a").with(pod(json!({}))).log("web-1-a", &lost.repeat(30));
        assert_eq!(world.cause(), "application_errors Deployment/web");
    }

    #[test]
    fn a_lock_of_other_things_is_still_an_error() {
        for line in ["FATAL cannot open database: lock is held by PID 71", "ERROR disk is full, standing by"] {
            assert!(!stands_by(line) && logs::is_error(line), "{line}");
        }
    }
}
