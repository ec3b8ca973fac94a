//! Parsed: how readers of YAML say that a text is none, over several lines, and which line of the text they mean.

use crate::playbook::pattern::Pattern;

/// The exception above: SnakeYAML's (Spring), PyYAML's.
static THROWN: Pattern =
    Pattern::new(r"^\s*(?:Caused by: )?(?:(?:[\w$]+\.)*snakeyaml\.[\w.$]*Exception|yaml\.\w+\.\w+Error): ");
/// What is wrong, on a line of its own below it; go-yaml says it in one line with its number.
static WRONG: Pattern = Pattern::new(
    r"^\s*(?:found (?:character|duplicate|unexpected|undefined|unknown)|mapping values are not allowed|could not find expected|expected (?:<|'<|the|',')|did not find expected|cannot start any token)|yaml: (?:line \d+: |unmarshal errors)",
);
/// Where: ` in 'reader', line 14, column 1:`, `in "/etc/app.yml", line 14, column 1`, `yaml: line 14: `.
static WHERE: Pattern = Pattern::new(r#"^\s*in ['"<].+?['">], line (\d{1,6}), column \d+|yaml: line (\d{1,6}): "#);
/// Lines below the exception in which what is wrong, and where, are looked for.
const BELOW: usize = 12;

/// The line that says what is wrong with the text, of the last such exception; nothing where another came after it.
#[must_use]
pub fn complaint<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let at = lines.iter().rposition(|line| THROWN.hits(line))?;
    let below = &lines[at + 1..];
    let later = below.iter().any(|line| line.trim_start().starts_with("Caused by:"));
    below.iter().take(BELOW).rfind(|line| WRONG.hits(line)).copied().filter(|_| !later)
}

/// Whether a line says that a text is no YAML.
#[must_use]
pub fn tells(line: &str) -> bool {
    WRONG.hits(line)
}

/// The number of the line that a complaint means, and that line where it is shown.
#[must_use]
pub fn place<'a>(log: &'a str, complaint: &str) -> Option<(usize, Option<&'a str>)> {
    let mut lines = log.lines().skip_while(|line| *line != complaint).take(BELOW);
    let number = |line: &str| WHERE.group(line, 1).or_else(|| WHERE.group(line, 2))?.parse().ok();
    let found = lines.find_map(number)?;
    Some((found, lines.next().map(str::trim).filter(|shown| !shown.is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playbook::logs::culprit;

    const SPRING: &str = "09:57:25.418 [main] ERROR org.springframework.boot.SpringApplication -- Application run failed\norg.yaml.snakeyaml.scanner.ScannerException: while scanning for the next token\nfound character '\\t(TAB)' that cannot start any token. (Do not use \\t(TAB) for indentation)\n in 'reader', line 3, column 1:\n    \tttl: 45\n    ^\n\n\tat org.yaml.snakeyaml.scanner.ScannerImpl.fetchMoreTokens(ScannerImpl.java:454)\n";

    #[test]
    fn every_pattern_compiles() {
        assert!(THROWN.compiles() && WRONG.compiles() && WHERE.compiles());
    }

    #[test]
    fn what_is_wrong_with_a_yaml_and_where_is_read_from_the_lines_below() {
        let said = culprit(SPRING).unwrap();
        assert!(said.starts_with("found character") && tells(said), "{said}");
        assert_eq!(place(SPRING, said), Some((3, Some("ttl: 45"))));
        let go = "error: cannot load /etc/app.yaml: yaml: line 7: mapping values are not allowed in this context";
        assert_eq!((tells(go), place(go, go)), (true, Some((7, None))));
    }

    #[test]
    fn an_exception_of_another_kind_is_not_meant() {
        let other = format!("{SPRING}Caused by: java.net.UnknownHostException: db\n\tat a.B(B.java:1)\n");
        assert_eq!(culprit(&other), Some("Caused by: java.net.UnknownHostException: db"));
        assert!(!tells("found 3 unread messages"));
    }
}
