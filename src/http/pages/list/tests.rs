//! The list as it is served: in both languages, empty, full, and with names that would be markup.

use std::path::PathBuf;

use super::*;
use crate::report::Verdict;
use crate::store::IncidentSummary;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn listed(number: u128, alertname: &str, headline: Option<&str>) -> Listed {
    let incident = IncidentSummary {
        id: Uuid::from_u128(number),
        generation: 1,
        state: IncidentState::Open,
        opened_at: at(0),
        updated_at: at(5),
        resolved_at: None,
        began_at: at(-300),
        ended_at: None,
        deliveries: 1,
        alertname: alertname.to_owned(),
        severity: "critical".to_owned(),
        gravest: "critical".to_owned(),
        namespace: "shop".to_owned(),
        firing: 2,
        verdict: headline.map(|_| Verdict::Fault),
        headline: headline.map(str::to_owned),
    };
    Listed { incident, investigation: Some(InvestigationState::Running), undelivered: 0 }
}

fn over(number: u128) -> Listed {
    let mut one = listed(number, "KubeJobFailed", Some("Job `nightly` hit its `backoffLimit`"));
    one.incident.state = IncidentState::Resolved;
    one.incident.resolved_at = Some(at(4_000));
    one.incident.ended_at = Some(at(3_900));
    one.incident.verdict = Some(Verdict::Inconclusive);
    one.investigation = Some(InvestigationState::Done);
    one.undelivered = 1;
    one
}

async fn html(browse: &Browse, asked: &Asked, lang: Lang) -> String {
    let uri = format!("/incidents{}", asked.link(&asked.state, &asked.before)).parse().unwrap();
    let page = Visit::new(&uri, "", lang).page(
        StatusCode::OK,
        "list.html.j2",
        browse.values(asked, lang, "Asia/Shanghai", at(7_200)),
    );
    assert_eq!(page.status(), StatusCode::OK);
    let body = axum::body::to_bytes(page.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

fn browse(listed: Vec<Listed>) -> Browse {
    Browse {
        listed,
        more: true,
        counts: ByState { open: 3, resolved: 12 },
        lost: Vec::new(),
        choices: Choices {
            severities: vec!["critical".into(), "warning".into()],
            namespaces: vec!["shop".into()],
            alerts: vec!["KubeJobFailed".into()],
        },
    }
}

#[tokio::test]
async fn what_was_graver_before_says_so_beside_the_severity_of_what_fires_now() {
    let mut one = listed(1, "KubePodNotReady", None);
    one.incident.severity = "warning".to_owned();
    for (lang, said) in [(Lang::En, "was critical"), (Lang::Zh, "曾为严重")] {
        let page = html(&browse(vec![one.clone()]), &Asked::default(), lang).await;
        assert!(page.contains(said), "{page}");
    }
    let same = html(&browse(vec![listed(1, "KubePodNotReady", None)]), &Asked::default(), Lang::En).await;
    assert!(!same.contains("was critical"), "{same}");
}

#[tokio::test]
async fn the_list_in_both_languages() {
    for lang in [Lang::Zh, Lang::En] {
        let page = browse(vec![listed(1, "KubePodCrashLooping", None), over(2)]);
        let asked = Asked { severity: "critical".into(), ..Asked::default() };
        insta::assert_snapshot!(
            format!("list.{}", lang.tag()),
            super::super::unhashed(&html(&page, &asked, lang).await)
        );
    }
}

#[tokio::test]
async fn an_empty_list_says_why() {
    let nothing = (ByState::default(), Choices::default());
    let empty = Browse { listed: Vec::new(), more: false, counts: nothing.0, choices: nothing.1, lost: Vec::new() };
    assert!(html(&empty, &Asked::default(), Lang::En).await.contains("No alert has come yet"));
    let asked = Asked { alert: "x".into(), ..Asked::default() };
    assert!(html(&empty, &asked, Lang::Zh).await.contains("没有符合条件的事件"));
}

#[tokio::test]
async fn names_and_filters_are_never_markup() {
    let attack = "\"><script>alert(1)</script>\u{202e}";
    let asked = Asked { alert: attack.into(), severity: attack.into(), namespace: attack.into(), ..Asked::default() };
    let mut page = browse(vec![listed(1, attack, Some(attack))]);
    page.choices.namespaces.push(attack.into());
    let html = html(&page, &asked, Lang::En).await;
    assert_eq!(html.matches("<script").count(), 1, "only our own: {html}");
    assert!(html.contains("&lt;script&gt;alert(1)"));
}

#[test]
fn the_next_page_begins_where_this_one_ends() {
    let asked = Asked { before: format!("1790000000000_{}", Uuid::from_u128(7)), ..Asked::default() };
    assert_eq!(asked.before(), Some((at(0), Uuid::from_u128(7))));
    for broken in ["", "x_y", "1", "99999999999999999999_1"] {
        assert_eq!(Asked { before: broken.into(), ..Asked::default() }.before(), None, "{broken}");
    }
    assert_eq!(Asked { alert: "a&b".into(), ..Asked::default() }.link("open", ""), "?state=open&alert=a%26b");
}

/// Writes the list as a file a browser can open; `scripts/screens.sh` photographs it.
#[tokio::test]
async fn pages_to_photograph() {
    let Some(folder) = std::env::var_os("FIRSTLOOK_PAGES").map(PathBuf::from) else { return };
    super::super::base::write_assets(&folder.join("assets"));
    let said = [
        (
            "KubePodNotReady",
            "Pod `shop/web-0` cannot be scheduled: PVC `data` waits for StorageClass `cbs`, which does not exist.",
        ),
        ("KubeDeploymentReplicasMismatch", "存储类 `cbs` 的驱动没有安装，PVC `test-data` 一直 Pending，Pod 无法调度。"),
        ("NodeFilesystemAlmostOutOfSpace", "`/var/lib/containerd` on `node-7` is full of images nobody uses."),
    ];
    for lang in [Lang::Zh, Lang::En] {
        let mut rows = vec![listed(1, "KubePodCrashLooping", None), over(2)];
        rows.extend(said.iter().zip(3..).map(|((name, headline), number)| {
            let mut one = listed(number, name, Some(headline));
            one.investigation = Some(InvestigationState::Done);
            one.incident.severity = if number == 5 { "info" } else { "warning" }.into();
            one
        }));
        std::fs::write(
            folder.join(format!("list.{}.html", lang.tag())),
            html(&browse(rows), &Asked::default(), lang).await,
        )
        .unwrap();
        let visit = Visit::new(&"/login".parse().unwrap(), "", lang);
        let login = visit.page(StatusCode::OK, "login.html.j2", context! { next => "", wrong => false, named => true });
        let login = axum::body::to_bytes(login.into_body(), 1 << 20).await.unwrap();
        std::fs::write(folder.join(format!("login.{}.html", lang.tag())), login).unwrap();
    }
}

#[tokio::test]
async fn a_daily_summary_nobody_got_can_be_sent_again() {
    let lost = UndeliveredDigest {
        channel: "值班/a → b".into(),
        day: "2026-11-23".into(),
        last_error: Some("<b>19001</b>".into()),
    };
    let page = html(&Browse { lost: vec![lost], ..browse(vec![]) }, &Asked::default(), Lang::En).await;
    let action = "incidents&#x2f;summaries&#x2f;2026-11-23&#x2f;%E5%80%BC%E7%8F%AD%2Fa%20%E2%86%92%20b&#x2f;again";
    assert!(page.contains(action) && !page.contains("<b>19001"), "{page}");
}
