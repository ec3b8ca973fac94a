//! Single parts of the program, fed by hand: for those who work on it.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::process::ExitCode;

use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Value, json};

use super::CliError;
use crate::model::{Family, Function, Recovered, recover};

/// What can be looked at.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Find calls in text: reads lines of JSON with family, input, `finish_reason` and tools, prints one line for each.
    ParseToolcalls,
}

/// One text to read.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    family: String,
    input: String,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    tools: BTreeMap<String, Tool>,
}

/// A function that is offered in the turn.
#[derive(Deserialize)]
struct Tool {
    #[serde(default, alias = "read_only")]
    readonly: Option<bool>,
    #[serde(default)]
    schema: Value,
}

/// Runs one of them.
pub(super) fn run(command: &Command) -> Result<ExitCode, CliError> {
    match command {
        Command::ParseToolcalls => parse(std::io::stdin().lock(), std::io::stdout().lock()).map_err(CliError::failed),
    }
}

/// Answers every line; a line that cannot be read is answered with what is wrong with it, and the exit code says so.
fn parse(lines: impl BufRead, mut out: impl Write) -> std::io::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for line in lines.split(b'\n') {
        let line = line?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let answer = serde_json::from_slice(&line).map(answer).unwrap_or_else(|error| {
            code = ExitCode::from(1);
            json!({ "error": error.to_string() })
        });
        writeln!(out, "{answer}")?;
    }
    out.flush()?;
    Ok(code)
}

fn answer(line: Line) -> Value {
    let truncated = matches!(line.finish_reason.as_deref(), Some("length" | "max_tokens"));
    let tools: Vec<Function> = line.tools.into_iter().map(function).collect();
    let Recovered { status, calls, text, .. } = recover(Family::named(&line.family), &line.input, truncated, &tools);
    let calls: Vec<_> = calls.iter().map(|call| json!({ "name": call.name, "arguments": call.arguments })).collect();
    json!({ "status": status.label(), "calls": calls, "text": text })
}

fn function((name, tool): (String, Tool)) -> Function {
    let changes = tool.schema.get("x-mutating") == Some(&Value::Bool(true));
    let read_only = tool.readonly.unwrap_or(true) && !changes;
    Function { name, description: String::new(), parameters: tool.schema, read_only }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_answered_in_its_order() {
        let get =
            r#"{"pods_get":{"readonly":true,"schema":{"type":"object","properties":{"name":{"type":"string"}}}}}"#;
        let lines = format!(
            "{{\"family\":\"hermes\",\"input\":\"a<tool_call>{{\\\"name\\\":\\\"pods_get\\\"}}</tool_call>\",\"finish_reason\":\"stop\",\"tools\":{get}}}\n\
             oops\n\
             {{\"family\":\"what\",\"input\":\"b\",\"tools\":{{\"x\":{{\"schema\":{{\"x-mutating\":true}}}}}}}}\n"
        );
        let mut out = Vec::new();
        let code = parse(lines.as_bytes(), &mut out).unwrap();
        let answers: Vec<Value> =
            String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let call = json!({ "name": "pods_get", "arguments": {} });
        assert_eq!(answers[0], json!({ "status": "parsed", "calls": [call], "text": "a" }));
        assert!(answers[1]["error"].is_string());
        assert_eq!(answers[2], json!({ "status": "none", "calls": [], "text": "b" }));
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(1)));
    }
}
