//! `${NAME}`, `${NAME:-default}` and `${file:PATH}` inside texts that are already parsed, so that what a variable or
//! a file holds can never become YAML. `$${` stands for a plain `${`.

use std::path::{Path, PathBuf};

/// Longest file taken as a secret, in bytes: a PEM chain fits, a wrong path to a log does not.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Where values come from.
pub(super) struct Sources<'a> {
    /// The environment.
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    /// The folder that relative files are looked up in: the configuration's own.
    pub(super) folder: PathBuf,
}

impl Sources<'_> {
    /// The text with everything put in, or what is wrong, in words that name the variable or file and never its value.
    pub(super) fn expand(&self, text: &str) -> Result<String, String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, from) = rest.split_at(at);
            if let Some(before) = before.strip_suffix('$') {
                expanded.push_str(before);
                expanded.push_str("${");
                rest = &from[2..];
                continue;
            }
            let Some(end) = from.find('}') else {
                return Err("\"${\" is never closed; add \"}\", or write \"$${\" for a plain \"${\"".to_owned());
            };
            expanded.push_str(before);
            expanded.push_str(&self.value(&from[2..end])?);
            rest = &from[end + 1..];
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    /// The files a text takes values from.
    pub(super) fn files_of(&self, text: &str) -> Vec<PathBuf> {
        let named = text.split("${file:").skip(1).filter_map(|rest| rest.split_once('}').map(|(path, _)| path));
        named.map(|path| self.folder.join(path)).collect()
    }

    fn value(&self, expression: &str) -> Result<String, String> {
        if let Some(path) = expression.strip_prefix("file:") {
            return self.file(Path::new(path));
        }
        let (name, default) = match expression.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (expression, None),
        };
        if !is_variable_name(name) {
            return Err(format!(
                "\"${{{}}}\" is neither ${{NAME}}, ${{NAME:-default}} nor ${{file:PATH}}; write \"$${{\" for a plain \"${{\"",
                name.chars().take(60).collect::<String>()
            ));
        }
        match ((self.variable)(name), default) {
            (Some(value), None) => Ok(value),
            (Some(value), Some(_)) if !value.is_empty() => Ok(value),
            (_, Some(default)) => Ok(default.to_owned()),
            (None, None) => {
                Err(format!("the environment variable {name} is not set; set it, or write ${{{name}:-default}}"))
            }
        }
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        let full = self.folder.join(path);
        let shown = path.display();
        let unreadable = |why: &dyn std::fmt::Display| {
            format!("the file {shown} cannot be read ({why}); mount it, or correct the path")
        };
        let metadata = std::fs::metadata(&full).map_err(|error| unreadable(&error))?;
        if !metadata.is_file() {
            return Err(unreadable(&"not a regular file"));
        }
        if metadata.len() > MAX_FILE_BYTES {
            return Err(format!(
                "the file {shown} is longer than {MAX_FILE_BYTES} bytes, which no secret is; correct the path"
            ));
        }
        let text = std::fs::read_to_string(&full).map_err(|error| unreadable(&error))?;
        Ok(text.trim_end_matches(['\n', '\r']).to_owned())
    }
}

fn is_variable_name(name: &str) -> bool {
    let letter = |char: char| char.is_ascii_alphabetic() || char == '_';
    name.starts_with(letter) && name.chars().all(|char| letter(char) || char.is_ascii_digit())
}
