//! Containers that the runtime could not start: what it says of them, and what it says is missing.

use crate::playbook::pods::ContainerView;

/// What is said of the end of a container, or of why it never began.
pub(super) fn said<'v>(view: &ContainerView<'v>) -> &'v str {
    let told = view.waiting().filter(|_| view.never_began()).and_then(|waiting| waiting.message.as_deref());
    view.ended().and_then(|ended| ended.message.as_deref()).or(told).unwrap_or_default()
}

/// Whether a container never began because its Node had no room for it: no command and no image is at fault then.
pub(super) fn lacks_room(message: &str) -> bool {
    const SPENT: [&str; 4] = [
        "no space left on device",
        "cannot allocate memory",
        "too many open files",
        "resource temporarily unavailable",
    ];
    let message = message.to_lowercase();
    SPENT.iter().any(|spent| message.contains(spent))
}

/// Whether the runtime did not find the program of a container.
pub(super) fn lacks_program(view: &ContainerView<'_>) -> bool {
    let said = essence(said(view)).to_lowercase();
    let is_missing = said.contains("not found") || said.contains("no such file");
    view.never_began() && said.contains("exec") && is_missing && !lacks_room(&said)
}

/// What the runtime says of a container that it could not start.
pub(super) fn proof<'v>(view: &ContainerView<'v>) -> Option<&'v str> {
    let message = view.ended().and_then(|ended| ended.message.as_deref()).filter(|_| view.never_began())?;
    Some(essence(message)).filter(|said| !said.is_empty())
}

/// What a container runtime could not run: the end of its chain of errors, whose beginning is the same for every failure.
pub(in crate::playbook::analyzer) fn essence(message: &str) -> &str {
    const MARKS: [&str; 3] = ["exec: \"", "error during container init: ", "unable to start container process: "];
    let end = MARKS.iter().find_map(|mark| message.find(mark)).map_or(message, |at| &message[at..]);
    end.trim_end_matches(": unknown")
}
