//! The known providers, and which of them a configured model belongs to.

use std::path::{Path, PathBuf};

use rust_embed::Embed;
use serde::Deserialize;
use thiserror::Error;
use url::Url;

use super::{Facts, Profile};
use crate::model::ModelConfig;

/// The files that come inside the binary.
#[derive(Embed)]
#[folder = "config/providers"]
struct BuiltIn;

/// The file whose facts lie under all others: what is true of any endpoint, and of families wherever they are served.
const GENERIC: &str = "generic";

/// One file: a provider and the families of models it serves.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Provider {
    /// By which `models[].provider` calls it.
    name: String,
    /// Ends of host names it is known by.
    #[serde(default)]
    hosts: Vec<String>,
    /// Ports it is known by on any host.
    #[serde(default)]
    ports: Vec<u16>,
    /// What is true of all its models.
    #[serde(default)]
    defaults: Facts,
    /// What is true of some; the first that fits a name counts.
    #[serde(default)]
    families: Vec<Family>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Family {
    /// Parts of model names, in lower case.
    names: Vec<String>,
    facts: Facts,
}

impl Provider {
    fn family(&self, model: &str) -> Option<&Facts> {
        let fits = |family: &&Family| family.names.iter().any(|name| begins_a_word(model, name));
        self.families.iter().find(fits).map(|family| &family.facts)
    }

    fn serves(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let ends =
            |end: &String| host == end || host.strip_suffix(end.as_str()).is_some_and(|rest| rest.ends_with('.'));
        self.hosts.iter().any(ends) || url.port().is_some_and(|port| self.ports.contains(&port))
    }
}

/// Why profiles cannot be used.
#[derive(Debug, Error)]
pub enum CatalogueError {
    /// A folder or file cannot be read.
    #[error("{}: cannot be read ({cause}); check the path given to providers", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A file is not what it must be.
    #[error("{}: {detail}; see config/providers for how such a file looks", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A model names a provider that no file describes.
    #[error("no provider is called \"{given}\" (valid: {}); leave it out to have it recognised by base_url", valid.join(", "))]
    Unknown {
        /// What the model says.
        given: String,
        /// The names there are.
        valid: Vec<String>,
    },
}

/// All known providers.
#[derive(Debug, Clone)]
pub struct Catalogue(Vec<Provider>);

impl Catalogue {
    /// Those that come inside the binary.
    ///
    /// # Errors
    /// Never with the files as they are; a test reads each.
    pub fn built_in() -> Result<Self, CatalogueError> {
        let text = |path: &str| BuiltIn::get(path).map(|file| String::from_utf8_lossy(&file.data).into_owned());
        BuiltIn::iter()
            .map(|path| read(Path::new(path.as_ref()), &text(&path).unwrap_or_default()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// These and an operator's own: a file whose `name` is known takes its place.
    ///
    /// # Errors
    /// When the folder cannot be read, or a `.yaml` file in it is no provider.
    pub fn with_folder(mut self, folder: &Path) -> Result<Self, CatalogueError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |cause| CatalogueError::Unreadable { path, cause }
        };
        for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
            let path = entry.map_err(unreadable(folder))?.path();
            if path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") {
                let provider = read(&path, &std::fs::read_to_string(&path).map_err(unreadable(&path))?)?;
                self.0.retain(|known| known.name != provider.name);
                self.0.push(provider);
            }
        }
        Ok(self)
    }

    /// The names of all providers, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.0.iter().map(|provider| provider.name.clone()).collect();
        names.sort();
        names
    }

    /// The profile of a configured model: its provider as named, else as recognised by the address, else none in
    /// particular; and the family of its name. What is said of a family counts more than what is said of a provider's
    /// models in general, and what the operator says counts most.
    ///
    /// # Errors
    /// When the model names a provider that is not known.
    pub fn profile(&self, config: &ModelConfig) -> Result<Profile, CatalogueError> {
        let provider = self.provider_of(config)?;
        let generic = self.named(GENERIC);
        let model = config.model.to_lowercase();
        let layers = [
            generic.map(|generic| &generic.defaults),
            provider.map(|provider| &provider.defaults),
            generic.and_then(|generic| generic.family(&model)),
            provider.and_then(|provider| provider.family(&model)),
        ];
        let name = provider.map_or(GENERIC, |provider| provider.name.as_str()).to_owned();
        let mut profile = Profile { provider: name, ..Profile::default() };
        layers.into_iter().flatten().for_each(|facts| facts.apply(&mut profile));
        if config.base_url.trim_end_matches('/').ends_with("/v1") {
            // Parameters of the address belong to addresses without a version of their own (Azure's deployments).
            profile.query.clear();
        }
        config.said().apply(&mut profile);
        Ok(profile)
    }

    fn provider_of(&self, config: &ModelConfig) -> Result<Option<&Provider>, CatalogueError> {
        let Some(given) = &config.provider else {
            let url = Url::parse(&config.base_url).ok();
            return Ok(url.and_then(|url| self.0.iter().find(|provider| provider.serves(&url))));
        };
        let unknown = || CatalogueError::Unknown { given: given.clone(), valid: self.names() };
        self.named(given).map(Some).ok_or_else(unknown)
    }

    fn named(&self, name: &str) -> Option<&Provider> {
        self.0.iter().find(|provider| provider.name == name)
    }
}

/// Whether a name stands in another where a word begins: `o1` in `my-o1-mini`, not in `demo1`.
fn begins_a_word(model: &str, name: &str) -> bool {
    model.match_indices(name).any(|(at, _)| !model[..at].ends_with(|c: char| c.is_ascii_alphanumeric()))
}

fn read(path: &Path, text: &str) -> Result<Provider, CatalogueError> {
    yaml_serde::from_str(text)
        .map_err(|error| CatalogueError::Invalid { path: path.to_owned(), detail: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::super::{Auth, ReplayReasoning, Thinking, ToolSetting};
    use super::*;
    use crate::model::Family;

    fn config(rest: &str) -> ModelConfig {
        yaml_serde::from_str(&format!("{{ name: m, {rest} }}")).unwrap()
    }

    fn profile(rest: &str) -> Profile {
        Catalogue::built_in().unwrap().profile(&config(rest)).unwrap()
    }

    #[test]
    fn every_file_is_read_and_named_as_it_says() {
        let catalogue = Catalogue::built_in().unwrap();
        assert_eq!(catalogue.0.len(), BuiltIn::iter().count());
        for path in BuiltIn::iter() {
            let name = Path::new(path.as_ref()).file_stem().unwrap().to_str().unwrap();
            let provider = catalogue.named(name).unwrap_or_else(|| panic!("{name}.yaml is called otherwise inside"));
            let names = provider.families.iter().flat_map(|family| &family.names);
            names.for_each(|name| assert_eq!(*name, name.to_lowercase(), "names are compared in lower case"));
        }
        let expected = [
            "azure",
            "dashscope",
            "deepseek",
            "generic",
            "minimax",
            "moonshot",
            "ollama",
            "openai",
            "sglang",
            "siliconflow",
            "vllm",
            "volcengine",
            "zhipu",
        ];
        assert_eq!(catalogue.names(), expected);
    }

    #[test]
    fn a_provider_is_named_or_recognised_by_its_address() {
        let cases = [
            ("base_url: https://api.deepseek.com, model: deepseek-chat", "deepseek"),
            ("base_url: https://api.siliconflow.cn/v1, model: Qwen/Qwen3-30B-A3B", "siliconflow"),
            ("base_url: https://api.siliconflow.com/v1, model: x", "siliconflow"),
            ("base_url: https://ark.cn-beijing.volces.com/api/v3, model: ep-1", "volcengine"),
            ("base_url: https://dashscope.aliyuncs.com/compatible-mode/v1, model: qwen-plus", "dashscope"),
            ("base_url: https://open.bigmodel.cn/api/paas/v4, model: glm-4.6", "zhipu"),
            ("base_url: https://api.moonshot.cn/v1, model: kimi-k2.5", "moonshot"),
            ("base_url: https://api.minimaxi.com/v1, model: MiniMax-M2", "minimax"),
            ("base_url: https://api.openai.com/v1, model: gpt-5", "openai"),
            ("base_url: https://mine.openai.azure.com/openai/deployments/gpt, model: gpt-4o", "azure"),
            ("base_url: http://gpu:11434/v1, model: qwen3", "ollama"),
            ("base_url: http://gpu:8000/v1, model: qwen3", "generic"),
            ("base_url: http://gpu:8000/v1, model: qwen3, provider: vllm", "vllm"),
            ("base_url: https://evilapi.openai.com.example.com/v1, model: x", "generic"),
            ("base_url: https://notopenai.com/v1, model: x", "generic"),
        ];
        for (rest, expected) in cases {
            assert_eq!(profile(rest).provider, expected, "{rest}");
        }
    }

    #[test]
    fn a_family_is_known_wherever_it_is_served() {
        let v3 = profile("base_url: http://gateway/v1, model: deepseek-ai/DeepSeek-V3");
        assert_eq!(v3.text_format, Family::DeepseekV3);
        let coder = profile("base_url: http://gpu:8000/v1, provider: vllm, model: Qwen/Qwen3-Coder-30B-A3B-Instruct");
        assert_eq!(coder.text_format, Family::Qwen3Coder);
        assert!(!coder.tool_choice.contains(&super::super::ToolChoice::Required), "the family counts more");
        assert_eq!(profile("base_url: http://x/v1, model: doubao").text_format, Family::Unknown);
        assert_eq!(
            profile("base_url: http://x/v1, model: codellama").text_format,
            Family::Unknown,
            "another family's name inside"
        );
    }

    #[test]
    fn an_operator_has_the_last_word() {
        let said = "base_url: https://api.deepseek.com, model: deepseek-chat, tools: prompt, context_tokens: 9000, \
                    prices: { input: 1, output: 2, currency: EUR }, extra_body: { user: ops }, replay_reasoning: never";
        let profile = profile(said);
        assert_eq!((profile.tools, profile.context_tokens), (ToolSetting::Prompt, Some(9000)));
        assert_eq!(profile.prices.unwrap().currency, "EUR");
        assert_eq!(profile.extra_body["user"], "ops");
        assert_eq!(profile.replay_reasoning, ReplayReasoning::Never);
    }

    #[test]
    fn azure_has_its_own_header_and_a_version_where_the_address_has_none() {
        let old = profile("base_url: https://a.openai.azure.com/openai/deployments/gpt, model: gpt-4o");
        assert_eq!(old.auth, Auth::ApiKeyHeader);
        assert!(old.query.contains_key("api-version"));
        let new = profile("base_url: https://a.openai.azure.com/openai/v1/, model: gpt-4o");
        assert!(new.query.is_empty());
        let said = "base_url: https://a.openai.azure.com/openai/v1, model: gpt-4o, query: { api-version: preview }";
        assert_eq!(profile(said).query["api-version"], "preview");
    }

    #[test]
    fn thinking_is_switched_by_the_fields_of_the_provider() {
        let qwen = profile("base_url: https://dashscope.aliyuncs.com/compatible-mode/v1, model: qwen3-32b");
        assert_eq!(qwen.thinking_fields(Thinking::Off).unwrap()["enable_thinking"], false);
        assert_eq!(qwen.thinking_fields(Thinking::Default).unwrap().len(), 0);
        assert_eq!(profile("base_url: http://x/v1, model: qwen3").thinking_fields(Thinking::Off), None);
    }

    #[test]
    fn an_unknown_provider_is_an_error_with_the_names_there_are() {
        let config = config("base_url: http://x/v1, model: m, provider: deepsek");
        let error = Catalogue::built_in().unwrap().profile(&config).unwrap_err().to_string();
        assert!(error.contains("deepsek") && error.contains("siliconflow, vllm"), "{error}");
    }

    #[test]
    fn a_folder_adds_providers_and_replaces_known_ones() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("own.yaml", "{ name: own, hosts: [llm.corp], defaults: { context_tokens: 7 } }");
        write("deepseek.yaml", "{ name: deepseek, hosts: [api.deepseek.com], defaults: { tools: prompt } }");
        write("notes.txt", "not one of them");
        let catalogue = Catalogue::built_in().unwrap().with_folder(folder.path()).unwrap();
        let own = catalogue.profile(&config("base_url: https://llm.corp/v1, model: x")).unwrap();
        assert_eq!((own.provider.as_str(), own.context_tokens), ("own", Some(7)));
        let deepseek = catalogue.profile(&config("base_url: https://api.deepseek.com, model: x")).unwrap();
        assert_eq!(deepseek.tools, ToolSetting::Prompt);
        write("bad.yaml", "{ name: bad, tool: yes }");
        let error = Catalogue::built_in().unwrap().with_folder(folder.path()).unwrap_err().to_string();
        assert!(error.contains("bad.yaml") && error.contains("tool"), "{error}");
    }
}
