//! Data of another version: a server that does not start on what an older or newer one wrote. The data is sound; the image is
//! not the one it was written by.

use crate::alert::ObjectRef;
use crate::playbook::analyzer::rollout;
use crate::playbook::back;
use crate::playbook::finding::{change, kubectl, look, slash};
use crate::playbook::pattern::Pattern;
use crate::playbook::pods::ContainerView;
use crate::playbook::scene::Scene;
use crate::report::Step;

/// The code of such an end.
pub(super) const CODE: &str = "crashloop_data_of_other_version";

/// How servers refuse such data: PostgreSQL (its version or its catalogue's), MySQL and MariaDB, MongoDB, Elasticsearch and
/// OpenSearch, Redis, etcd.
pub(super) static REFUSES: Pattern = Pattern::new(concat!(
    r"(?i)database files are incompatible with server|data directory was initialized by postgresql version",
    r"|invalid mysql server (?:up|down)grade|cannot (?:up|down)grade from \d{5,} to \d{5,}|upgrade after a crash is not supported",
    r"|unsupported redo log format",
    r"|wrong mongod version|invalid featurecompatibilityversion|too recent to start up on the existing data files",
    r"|cannot (?:downgrade|upgrade) a node from version",
    r"|can't handle rdb format version|cluster cannot be downgraded",
));
/// The version that wrote it, where the server names it.
static WRITTEN_BY: Pattern = Pattern::new(
    r"(?i)initialized by postgresql version (\d[\w.]*)|grade from '?(\d[\d.]*)'?|grade a node from version \[([\w.-]+)\]|written by version '?(\d[\d.]*)|featurecompatibilityversion\W+version\W+(\d[\d.]*)",
);

/// The version that wrote the data, by the server's words.
fn written_by(line: &str) -> Option<String> {
    let found = WRITTEN_BY.groups(line)?;
    let version = (1..=5).find_map(|at| found.get(at))?.as_str().trim_end_matches('.');
    // MySQL writes one number, two digits for each part behind the first: 80036 is 8.0.36.
    let parts = version.parse::<u32>().ok().filter(|number| *number >= 10_000);
    let dotted = parts.map(|number| format!("{}.{}.{}", number / 10_000, number / 100 % 100, number % 100));
    Some(dotted.unwrap_or_else(|| version.to_owned()))
}

/// The tag of an image, of which a port and a digest are no part; empty where it has none.
fn tag(image: &str) -> &str {
    let named = image.split('@').next().unwrap_or_default();
    let last = named.rsplit('/').next().unwrap_or_default();
    last.split_once(':').map_or("", |(_, tag)| tag.trim_start_matches('v'))
}

/// What the image was before, where the newest version of the workload changed it.
fn image_before(scene: &Scene<'_>, workload: &ObjectRef, view: &ContainerView<'_>) -> Option<String> {
    rollout::image_before(scene, workload, view.name()).filter(|before| before != view.image())
}

/// The reason with the change of the image that brought it.
pub(super) fn explained(
    scene: &Scene<'_>,
    workload: &ObjectRef,
    view: &ContainerView<'_>,
    line: Option<&str>,
    why: String,
) -> String {
    let image = view.image();
    // A sentence may end before it comes to the version.
    let unsaid = line.and_then(written_by).filter(|version| !why.contains(version.as_str()));
    let why = match unsaid {
        Some(version) => {
            scene.text(format!("{why}，数据由版本 {version} 写入"), format!("{why}, its data is of version {version}"))
        }
        None => why,
    };
    match image_before(scene, workload, view) {
        Some(before) => scene.text(
            format!("{why}（镜像由 {before} 改为 {image}）"),
            format!("{why} (its image was changed from {before} to {image})"),
        ),
        None => scene.text(format!("{why}（镜像为 {image}）"), format!("{why} (its image is {image})")),
    }
}

/// First back to the version that wrote the data, then the upgrade as the server's makers mean it.
pub(super) fn steps(scene: &Scene<'_>, workload: &ObjectRef, view: &ContainerView<'_>, line: &str) -> Vec<Step> {
    let (namespace, name) = (&workload.namespace, slash(workload));
    let version = written_by(line);
    // Of several upgrades the last one may have begun on data that was too old already.
    let wrote = |image: &String| {
        let tag = tag(image);
        version.as_ref().is_none_or(|version| {
            tag.starts_with(version.as_str()) || !tag.starts_with(|first: char| first.is_ascii_digit())
        })
    };
    let before = image_before(scene, workload, view).filter(wrote);
    let (zh, en) = match (&before, &version) {
        (Some(image), _) => (format!("（{image}）"), format!(" ({image})")),
        (None, Some(version)) => (format!("（版本 {version}）"), format!(" (version {version})")),
        (None, None) => Default::default(),
    };
    let settable = !matches!(workload.kind.as_str(), "Pod" | "Job");
    let set = settable.then(|| kubectl(namespace, &format!("set image {name} {}=<IMAGE:TAG>", view.name())));
    vec![
        look(
            scene.text("查看镜像是何时、由谁改的", "See when its image was changed"),
            if settable {
                kubectl(namespace, &format!("rollout history {name}"))
            } else {
                kubectl(namespace, &format!("describe {name}"))
            },
        ),
        change(
            scene.text(
                format!("先换回写入这些数据的版本的镜像{zh}，数据仍可用"),
                format!("First go back to the image of the version that wrote the data{en}: it can still read it"),
            ),
            scene.text(
                "不要删除或重新初始化数据目录（PVC）：它是唯一的一份",
                "Do not delete the data directory or its claim, and do not initialise it anew: it is the only copy",
            ),
            if before.is_some() { Some(back::undo(workload)) } else { set },
        ),
        change(
            scene.text(
                "需要升级时，再按官方的大版本升级步骤进行",
                "Where the upgrade is wanted, do it as the server's makers describe for a major version",
            ),
            scene.text(
                "例如用旧版本导出、在新卷上用新版本导入（pg_dumpall），或使用 pg_upgrade；先做备份",
                "For example dump with the old version and restore with the new one on a new volume (pg_dumpall), or pg_upgrade; take a backup first",
            ),
            None,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playbook::world::{World, crashed, deployment, pod, replica_set};

    const OLD: &str = "2026-11-23 02:59:00.123 UTC [1] FATAL:  database files are incompatible with server\n2026-11-23 02:59:00.123 UTC [1] DETAIL:  The data directory was initialized by PostgreSQL version 15, which is not compatible with this version 16.2.\n";

    #[test]
    fn a_version_that_a_long_line_comes_to_late_is_told() {
        let line = r#"{"t":{"$date":"2026-11-23T02:59:00.246+00:00"},"s":"F","c":"CONTROL","id":20573,"ctx":"initandlisten","msg":"Wrong mongod version","attr":{"error":"UPGRADE PROBLEM: Found an invalid featureCompatibilityVersion document (ERROR: Location4926900: Invalid featureCompatibilityVersion document in admin.system.version: { _id: \"featureCompatibilityVersion\", version: \"5.0\" }."}}"#;
        let world = World::asking("Deployment", "web")
            .with(deployment(1, 0))
            .with(pod(crashed(62, "Error")))
            .log("web-1-a", line);
        let told = world.diagnosis();
        assert!(told.headline.contains("its data is of version 5.0"), "{}", told.headline);
    }

    #[test]
    fn every_pattern_compiles() {
        assert!(REFUSES.compiles() && WRITTEN_BY.compiles());
    }

    #[test]
    fn a_server_on_the_data_of_an_older_one_is_told_with_its_detail_and_goes_back_first() {
        let world = World::asking("Deployment", "web")
            .with(deployment(1, 0))
            .with(replica_set(1, "reg/web:1", 1, 0))
            .with(replica_set(0, "reg/web:15.6", 0, 0))
            .with(pod(crashed(1, "Error")))
            .log("web-1-a", OLD);
        assert_eq!(world.cause(), "crashloop_data_of_other_version Deployment/web");
        let told = world.diagnosis();
        for words in ["initialized by PostgreSQL version 15", "from reg/web:15.6 to reg/web:1"] {
            assert!(told.headline.contains(words), "{}", told.headline);
        }
        assert!(!told.headline.contains("UTC"), "{}", told.headline);
        let quoted =
            told.causes[0].evidence.iter().any(|it| it.quote.contains("not compatible with this version 16.2"));
        assert!(quoted, "{:?}", told.causes[0].evidence);
        let changes: Vec<_> = told.steps.iter().filter(|it| it.effect == crate::report::Effect::Changes).collect();
        assert!(changes[0].command.as_deref().is_some_and(|it| it.contains("rollout undo")), "{changes:?}");
        assert!(changes[0].detail.contains("Do not delete"), "{changes:?}");
    }

    #[test]
    fn without_the_version_before_the_one_that_wrote_the_data_is_named() {
        let world = World::asking("Pod", "web-1-a").with(pod(crashed(1, "Error"))).log("web-1-a", OLD);
        let steps = world.diagnosis().steps;
        let back = steps.iter().find(|step| step.title.contains("(version 15)")).unwrap();
        assert!(back.command.as_deref().is_some_and(|it| it.contains("set image")), "{back:?}");
    }

    #[test]
    fn other_servers_refusals_are_known_and_other_complaints_of_theirs_are_not() {
        for line in [
            "[ERROR] [MY-013171] [InnoDB] Cannot boot server version 80100 on data directory built by version 80300. Invalid MySQL server downgrade: Cannot downgrade from 80300 to 80100.",
            "Wrong mongod version: UPGRADE PROBLEM: Found an invalid featureCompatibilityVersion document",
            "java.lang.IllegalStateException: cannot downgrade a node from version [8.15.0] to version [7.17.0]",
            "# Can't handle RDB format version 12",
        ] {
            assert!(REFUSES.hits(line), "{line}");
        }
        assert_eq!(
            written_by("cannot downgrade a node from version [8.15.0] to version [7.17.0]").as_deref(),
            Some("8.15.0")
        );
        for line in [
            "FATAL:  could not map anonymous shared memory",
            "FATAL:  data directory has invalid permissions",
            "upgrade the client",
        ] {
            assert!(!REFUSES.hits(line), "{line}");
        }
    }

    #[test]
    fn a_start_that_fails_over_something_else_is_no_upgrade() {
        let full = "2026-11-23 02:59:00 UTC [1] FATAL:  could not open shared memory segment\n2026-11-23 02:59:00 UTC [1] HINT:  Check the limits of the host.\n";
        let world = World::asking("Pod", "web-1-a").with(pod(crashed(1, "Error"))).log("web-1-a", full);
        assert_eq!(world.codes()[0], "crashloop_app_error");
        let headline = world.diagnosis().headline;
        assert!(headline.contains("Check the limits of the host"), "{headline}");
    }

    /// What is offered for the data of PostgreSQL 15, or what else a line says, by the image of the version before.
    fn back(before: &str, line: &str) -> Step {
        let world = World::asking("Deployment", "web")
            .with(deployment(1, 0))
            .with(replica_set(1, "reg/web:17.1", 1, 0))
            .with(replica_set(0, before, 0, 0))
            .with(pod(crashed(1, "Error")))
            .log("web-1-a", line);
        assert_eq!(world.cause(), "crashloop_data_of_other_version Deployment/web");
        world.diagnosis().steps.into_iter().find(|step| step.effect == crate::report::Effect::Changes).unwrap()
    }

    #[test]
    fn an_image_that_cannot_read_the_data_either_is_not_gone_back_to() {
        let undoes = |step: &Step| step.command.as_deref().is_some_and(|it| it.contains("rollout undo"));
        let newer = back("reg/web:16.2", OLD);
        assert!(!undoes(&newer) && newer.title.contains("(version 15)"), "{newer:?}");
        assert!(newer.command.as_deref().is_some_and(|it| it.contains("set image")), "{newer:?}");
        for right in ["reg/web:15.6", "reg/web:v15", "reg:5000/web:15-alpine"] {
            assert!(undoes(&back(right, OLD)), "{right}");
        }
        for unsaid in ["reg/web:stable", "reg:5000/web", "reg/web@sha256:9f86d081884c7d65"] {
            assert!(undoes(&back(unsaid, OLD)), "{unsaid} says nothing of its version");
        }
        assert!(!undoes(&back("reg/web:16.2@sha256:15f86d08", OLD)));
    }

    #[test]
    fn a_version_that_mysql_writes_as_one_number_is_the_one_of_its_image() {
        let line = "2026-11-23T02:59:00Z 1 [ERROR] [MY-014061] [Server] Invalid MySQL server upgrade: Cannot upgrade from 80036 to 90001. Upgrade to next major version is only allowed from the last LTS release.\n";
        let right = back("reg/web:8.0.36-debian", line);
        assert!(right.command.as_deref().is_some_and(|it| it.contains("rollout undo")), "{right:?}");
        let other = back("reg/web:8.4.2", line);
        assert!(other.title.contains("(version 8.0.36)"), "{other:?}");
    }

    #[test]
    fn an_applications_own_upgrade_is_no_servers_refusal() {
        assert!(!REFUSES.hits("ERROR migrate: cannot upgrade from 12 to 13: step 13 is missing"));
        assert!(REFUSES.hits("Cannot upgrade from 80036 to 90001"));
    }
}
