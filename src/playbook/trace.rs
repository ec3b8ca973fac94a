//! Stack traces: the one line that says why, in the forms the usual languages print.

use crate::playbook::parsed;
use crate::playbook::pattern::Pattern;

/// An error's name and message as Java, .NET and Node print it above their frames.
static THROWN: Pattern = Pattern::new(
    r#"^\s*(?:Uncaught\s+|Unhandled exception\.\s+|Exception in thread "[^"]*"\s+)?(?:[\w$]+\.)*\w*(?:Error|Exception)\b(?:\s\[[\w.]+\])?:"#,
);
/// The heading of a Python traceback.
const TRACEBACK: &str = "Traceback (most recent call last)";
static FRAME: Pattern = Pattern::new(r"^\s+at\s");
/// Ruby: `app.rb:3:in 'boot': key not found (KeyError)`.
static RUBY: Pattern = Pattern::new(r"\.rb:\d+:in .+ \([A-Z][\w:]*\)$");
static RUST: Pattern = Pattern::new(r"^thread '.*' (?:\(\d+\) )?panicked at .+:\d+:\d+:$");

/// The first cause of an exception whose whole chain is written as one text: `outer; nested exception is inner`, or a trace
/// that a structured line carries. Any other text as it is.
#[must_use]
pub fn innermost(text: &str) -> &str {
    const MARKS: [&str; 2] = ["\nCaused by: ", "; nested exception is "];
    let inner = MARKS.iter().find_map(|mark| text.rsplit_once(mark)).map_or(text, |(_, inner)| inner);
    inner.split_once("\n\tat ").map_or(inner, |(said, _)| said)
}

/// Whether a line is one of a trace's frames.
#[must_use]
pub fn is_frame(line: &str) -> bool {
    FRAME.hits(line)
}

/// What a runtime says when its own heap is full, however the application dies of it.
static HEAP: Pattern = Pattern::new(
    r"^\s*(?:Exception in thread .*|Caused by: |Terminating due to )?java\.lang\.OutOfMemoryError\b|JavaScript heap out of memory|^\s*(?:Unhandled exception\. )?System\.OutOfMemoryException\b|^MemoryError\b",
);

/// The line by which a runtime says that its own heap is full.
#[must_use]
pub fn heap<'a>(lines: &[&'a str]) -> Option<&'a str> {
    lines.iter().rev().find(|line| HEAP.hits(line)).copied()
}

/// The decisive line of the trace: the deepest cause in Java, .NET and Node, the exception of a Python traceback, the
/// panic of Go and Rust, what a C++ exception says, the uncaught error of PHP and Ruby; `None` where no trace is printed.
#[must_use]
pub fn decisive<'a>(lines: &[&'a str]) -> Option<&'a str> {
    heap(lines)
        .or_else(|| parsed::complaint(lines))
        .or_else(|| caused(lines))
        .or_else(|| python(lines))
        .or_else(|| panic(lines))
        .or_else(|| terminated(lines))
        .or_else(|| thrown(lines))
}

/// Chains name their beginning last.
fn caused<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let marks = ["Caused by:", "---> ", "[cause]:"];
    let chained = |line: &&&str| marks.iter().any(|mark| line.trim_start().starts_with(mark));
    lines.iter().rev().find(chained).copied()
}

/// The last traceback's exception; of those of which each only wraps the one before, the first. One that is cut before its
/// exception says nothing.
fn python<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let begins = |at: &usize| lines[*at].contains(TRACEBACK);
    let whole = |at: &usize| exception(lines, *at).is_some();
    let starts: Vec<usize> = (0..lines.len()).filter(begins).filter(whole).collect();
    let mut chosen = starts.len().checked_sub(1)?;
    while chosen > 0 {
        let end = starts.get(chosen + 1).copied().unwrap_or(lines.len());
        if !wraps(&lines[starts[chosen - 1]..starts[chosen]], &lines[starts[chosen]..end]) {
            break;
        }
        chosen -= 1;
    }
    exception(lines, starts[chosen])
}

/// The exception below a traceback's frames: the first line that is indented no further than its heading, which loggers and
/// groups of exceptions move to the right.
fn exception<'a>(lines: &[&'a str], start: usize) -> Option<&'a str> {
    let is_margin = |text: &str| text.chars().all(|letter| letter.is_whitespace() || "|+".contains(letter));
    let margin = lines[start].find(TRACEBACK).filter(|at| is_margin(&lines[start][..*at])).unwrap_or(0);
    let mut below = lines[start + 1..].iter().copied();
    let found = below.find(|line| {
        let inside = line.get(..margin).is_some_and(is_margin);
        !inside || !line[margin..].starts_with([' ', '\t', '|', '+', '-'])
    })?;
    found.get(..margin).is_some_and(is_margin).then_some(found)
}

/// Whether an exception only passes the one before it on: it names it as its cause, or the function that caught that one
/// raised it by itself. What went wrong in a handler, or in what it called, is a failure of its own.
fn wraps(first: &[&str], second: &[&str]) -> bool {
    let joined = |mark: &str| first.iter().any(|line| line.contains(mark));
    joined("was the direct cause of")
        || (joined("During handling of the above exception") && is_raised_by_catcher(first, second))
}

fn is_raised_by_catcher(first: &[&str], second: &[&str]) -> bool {
    let is_place = |line: &&str| line.trim_start().starts_with("File \"");
    let is_raise = |line: &&str| ["raise ", "sys.exit("].iter().any(|code| line.trim_start().starts_with(code));
    let frames: Vec<&str> = second[1..].iter().take_while(|line| is_indented(line)).copied().collect();
    let Some(last) = frames.iter().rposition(is_place) else { return false };
    // The outermost frame of the first is the function that caught it.
    let caught = first.iter().copied().find(is_place).and_then(function);
    caught.is_some() && caught == function(frames[last]) && frames[last + 1..].iter().any(is_raise)
}

/// File and function of a frame: `File "/app/boot.py", line 8, in load`.
fn function(frame: &str) -> Option<(&str, &str)> {
    let (file, rest) = frame.trim().split_once(", line ")?;
    Some((file, rest.split_once(", in ")?.1))
}

fn is_indented(line: &str) -> bool {
    line.starts_with(' ') || line.starts_with('\t')
}

/// C++: what the exception says stands below its type, for those that say something.
fn terminated<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let at = lines.iter().rposition(|line| line.starts_with("terminate called"))?;
    let says = |line: &&&str| line.trim_start().starts_with("what():");
    lines.get(at + 1).filter(says).or(lines.get(at)).copied()
}

fn panic<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let go = |line: &&&str| line.starts_with("panic: ") || line.starts_with("fatal error: ");
    if let Some(line) = lines.iter().find(go) {
        return Some(line);
    }
    let rust = lines.iter().rposition(|line| line.starts_with("thread '") && line.contains("panicked at "))?;
    let told_below = RUST.hits(lines[rust]);
    lines.get(rust + 1).filter(|_| told_below).or(lines.get(rust)).copied()
}

fn thrown<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let php = |line: &&&str| line.contains("PHP Fatal error:") || line.contains("Fatal error: Uncaught");
    if let Some(line) = lines.iter().rev().find(|line| php(line) || RUBY.hits(line)) {
        return Some(line);
    }
    // Node lists who asked for a module that it does not find before the frames.
    let asking = |line: &&&str| line.starts_with("Require stack:") || line.starts_with("- ");
    let above_frames = |at: &usize| {
        let below = lines[at + 1..].iter().find(|line| !asking(line));
        THROWN.hits(lines[*at]) && below.is_some_and(|line| FRAME.hits(line))
    };
    (0..lines.len()).rev().find(above_frames).map(|at| lines[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<&str> {
        decisive(&text.lines().filter(|line| !line.trim().is_empty()).collect::<Vec<_>>())
    }

    #[test]
    fn every_pattern_compiles() {
        assert!([&THROWN, &FRAME, &RUBY, &RUST, &HEAP].iter().all(|pattern| pattern.compiles()));
    }

    #[test]
    fn chains_are_followed_to_their_beginning() {
        let java = "java.lang.RuntimeException: boot\n\tat a.B\nCaused by: java.net.UnknownHostException: db\n\tat c.D";
        assert_eq!(of(java), Some("Caused by: java.net.UnknownHostException: db"));
        let dotnet = "Unhandled exception. System.AggregateException: One or more errors occurred.\n ---> System.Net.Sockets.SocketException (111): Connection refused\n   at A.B()\n   --- End of inner exception stack trace ---";
        assert_eq!(of(dotnet), Some(" ---> System.Net.Sockets.SocketException (111): Connection refused"));
        let python = "Traceback (most recent call last):\n  File \"a.py\"\nKeyError: 'DSN'\n\nThe above exception was the direct cause of the following exception:\n\nTraceback (most recent call last):\n  File \"b.py\"\nBootError: failed";
        assert_eq!(of(python), Some("KeyError: 'DSN'"));
        let apart = "Traceback (most recent call last):\n  File \"a.py\"\nTimeoutError: slow\nTraceback (most recent call last):\n  File \"b.py\"\nValueError: bad port";
        assert_eq!(of(apart), Some("ValueError: bad port"));
    }

    /// Two tracebacks, the second raised while the first was handled.
    fn handled(frame: &str, code: &str, error: &str) -> String {
        format!(
            "Traceback (most recent call last):\n  File \"/app/boot.py\", line 8, in load\n    return raw[\"bucket\"]\n           ~~~^^^^^^^^^^\nKeyError: 'bucket'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"/app/boot.py\", line 14, in <module>\n    load()\n  File \"/app/{frame}\n    {code}\n    ^^^^^^^^\n{error}\n"
        )
    }

    #[test]
    fn an_exception_that_the_catching_function_raises_only_wraps_what_it_caught() {
        let wrapped = handled("boot.py\", line 10, in load", "raise ConfigError(\"bad\")", "ConfigError: bad");
        assert_eq!(of(&wrapped), Some("KeyError: 'bucket'"));
        let ended = handled("boot.py\", line 10, in load", "sys.exit(1)", "SystemExit: 1");
        assert_eq!(of(&ended), Some("KeyError: 'bucket'"));
        let slip = handled("boot.py\", line 10, in load", "log.eror(\"bad\")", "AttributeError: no eror");
        assert_eq!(of(&slip), Some("AttributeError: no eror"), "the handler itself is wrong");
        let fallback = handled("store.py\", line 3, in connect", "raise Refused(host)", "Refused: db-2");
        assert_eq!(of(&fallback), Some("Refused: db-2"), "the way out failed for a reason of its own");
    }

    #[test]
    fn a_cpp_exception_is_known_by_what_it_says() {
        let cpp = "I0101 loading shards\nterminate called after throwing an instance of 'std::out_of_range'\n  what():  map::at: key \"eu-3\"\nAborted (core dumped)";
        assert_eq!(of(cpp), Some("  what():  map::at: key \"eu-3\""));
        let mute = "terminate called after throwing an instance of 'int'\nAborted (core dumped)";
        assert_eq!(of(mute), Some("terminate called after throwing an instance of 'int'"));
    }

    #[test]
    fn panics_say_why_in_the_line_where_their_language_puts_it() {
        assert_eq!(
            of("up\nfatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1"),
            Some("fatal error: all goroutines are asleep - deadlock!")
        );
        let new = "thread 'main' panicked at src/main.rs:9:14:\nmissing DATABASE_URL: NotPresent\nnote: run with `RUST_BACKTRACE=1`";
        assert_eq!(of(new), Some("missing DATABASE_URL: NotPresent"));
        let old = "thread 'main' panicked at 'no config', src/main.rs:9:14";
        assert_eq!(of(old), Some(old));
    }

    #[test]
    fn errors_above_frames_are_told_from_the_source_line_node_prints_first() {
        let node = "/app/index.js:5\n  throw new Error('no port');\n  ^\n\nError: no port\n    at Object.<anonymous> (/app/index.js:5:9)\nNode.js v20.1.0";
        assert_eq!(of(node), Some("Error: no port"));
        let coded = "TypeError [ERR_INVALID_URL]: Invalid URL\n    at new URL (node:internal/url:797:36)";
        assert_eq!(of(coded), Some("TypeError [ERR_INVALID_URL]: Invalid URL"));
        let module = "node:internal/modules/cjs/loader:1228\n  throw err;\n  ^\n\nError: Cannot find module './plan'\nRequire stack:\n- /app/server.js\n    at Module._load (node:internal)\n  code: 'MODULE_NOT_FOUND',";
        assert_eq!(of(module), Some("Error: Cannot find module './plan'"));
        let php = "PHP Fatal error:  Uncaught PDOException: could not find driver in /app/db.php:3";
        assert_eq!(of(php), Some(php));
        let ruby = "app.rb:3:in 'fetch': key not found: \"DSN\" (KeyError)\n\tfrom app.rb:9:in '<main>'";
        assert_eq!(of(ruby), Some("app.rb:3:in 'fetch': key not found: \"DSN\" (KeyError)"));
    }

    #[test]
    fn ordinary_lines_are_no_trace() {
        assert_eq!(of("ERROR config: TOKEN is not set\n at 10:00 the job ends\nINFO done"), None);
    }
}
