//! Trouble that has passed: the warning by which a Pod that is well again tells what the alert probably saw.

use crate::playbook::facts::SeenEvent;
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::scene::Scene;
use crate::playbook::scope::Scope;

/// Events that only say that something is tried again or was put off.
static ECHO: Pattern = Pattern::new(r"^(?:Error: (?:ErrImagePull|ImagePullBackOff)|Back-off )");
/// Letters of a long message's beginning and end that are told.
const ENDS: (usize, usize) = (60, 120);

/// A message, where it is long, by its beginning and its end: the latter says why.
fn both_ends(message: &str) -> String {
    let letters: Vec<char> = message.chars().collect();
    if letters.len() <= ENDS.0 + ENDS.1 {
        return logs::shorten(message, ENDS.0 + ENDS.1);
    }
    let head: String = letters[..ENDS.0].iter().collect();
    let tail: String = letters[letters.len() - ENDS.1..].iter().collect();
    format!("{} … {}", head.trim_end(), logs::shorten(tail.trim_start(), ENDS.1))
}

/// The latest warning about a Pod that is well again: what the alert probably saw.
pub(super) fn trouble(scene: &Scene<'_>, scope: &Scope) -> Option<String> {
    let warnings = scene.facts.events().iter().filter(|event| event.kind == "Warning" && scope.has(&event.about));
    let last = warnings.clone().max_by_key(|event| event.last_seen)?;
    // That it was tried again says less than what went wrong, which stands in an event beside it.
    let telling = |event: &&SeenEvent| event.about == last.about && !ECHO.hits(&event.message);
    let last = if ECHO.hits(&last.message) {
        warnings.filter(telling).max_by_key(|event| event.last_seen).unwrap_or(last)
    } else {
        last
    };
    if logs::instructs(&last.message) {
        return None;
    }
    let said = both_ends(&last.message);
    Some(scene.text(
        format!("{} 此前出现过告警事件 {}：{said}", last.about, last.reason),
        format!("{} had a warning before, {}: {said}", last.about, last.reason),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, deployment, pod};

    #[test]
    fn the_warning_that_says_why_is_told_to_its_end() {
        let why = "Failed to pull image \"reg/web:1\": failed to pull and unpack image \"reg/web:1\": failed to resolve reference \"reg/web:1\": failed to do request: Head \"https://reg/v2/web/manifests/1\": dial tcp 10.0.0.9:443: i/o timeout";
        let world =
            World::asking("Pod", "web-1-a").alert("KubePodNotReady").with(pod(json!({}))).with(deployment(1, 1));
        let told =
            world.event("Pod", "web-1-a", "Failed", why).event("Pod", "web-1-a", "Failed", "Error: ImagePullBackOff");
        let told = told.diagnosis().primary.findings.join("\n");
        assert!(told.contains("Failed to pull image") && told.contains("i/o timeout"), "{told}");
    }
}
