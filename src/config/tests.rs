//! What a file says, and what every bad file is told.

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;

fn fixtures(kind: &str) -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config").join(kind);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), path))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn variable(name: &str) -> Option<String> {
    let value = match name {
        "FIRSTLOOK_TOKEN" => "do-not-print-me-token",
        "DB_PASSWORD" => "do: not\nprint-me",
        "SILICONFLOW_API_KEY" => "sk-do-not-print-me",
        "MAX_TOKENS" => "4096",
        "EMPTY" => "",
        _ => return None,
    };
    Some(value.to_owned())
}

fn parse_file(path: &Path) -> Result<Config, ConfigError> {
    let folder = path.parent().unwrap().to_owned();
    parse(&std::fs::read_to_string(path).unwrap(), &Sources { variable: &variable, folder })
        .map_err(|problems| ConfigError::Invalid { path: path.file_name().unwrap().into(), problems })
}

fn parse_text(text: &str) -> Result<Config, Vec<Problem>> {
    parse(text, &Sources { variable: &variable, folder: PathBuf::new() })
}

#[test]
fn every_bad_file_says_where_and_what_to_do() {
    let answers: Vec<String> =
        fixtures("bad").iter().map(|(name, path)| parse_file(path).expect_err(name).to_string()).collect();
    let text = answers.join("\n\n");
    assert!(!text.contains("do-not-print-me"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn good_files_are_taken_with_these_warnings() {
    let told: Vec<String> = fixtures("good")
        .iter()
        .map(|(name, path)| {
            let config = parse_file(path).unwrap_or_else(|error| panic!("{name}: {error}"));
            format!("{name}: {:#?}", config.warnings)
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_full_file_says_all_of_this() {
    let mut config = parse_file(&fixtures("good").iter().find(|(name, _)| name == "full").unwrap().1).unwrap();
    // Where the project lies is no part of the picture.
    let files = std::mem::take(&mut config.secret_files);
    assert!(matches!(files.as_slice(), [file] if file.ends_with("good/secret.txt")), "{files:?}");
    assert_eq!(config.store.expose_secret(), "postgres://user:do: not\nprint-me@host/db", "a variable is never YAML");
    assert_eq!(config.server.basic_auth[0].password.expose_secret(), "from-a-file", "without the newline at its end");
    assert_eq!(config.models[1].max_tokens, Some(4096), "a variable can be a number");
    assert_eq!(config.models[1].base_url, "http://localhost:11434/v1");
    let ChannelSettings::FeishuBot(feishu) = &config.channels[0] else { panic!("{:?}", config.channels[0]) };
    assert_eq!(feishu.secret.as_ref().unwrap().expose_secret(), "a${b}");
    let shown = format!("{config:#?}");
    assert!(!shown.contains("print-me") && !shown.contains("from-a-file") && !shown.contains("hook/abc"), "{shown}");
    insta::assert_snapshot!(shown);
}

#[test]
fn what_is_left_out_has_a_default() {
    let config = Config::default();
    assert_eq!(Config { warnings: config.warnings.clone(), ..parse_text("").unwrap() }.timezone, config.timezone);
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.store.expose_secret(), "sqlite:firstlook.db");
    assert_eq!(config.language, Lang::Zh);
    assert_eq!(config.triage, TriageSettings::default());
    assert_eq!(parse_text("triage: { deadline: 90s }").unwrap().triage.max_turns, 12, "one key does not reset others");
    assert_eq!(parse_text("triage:\nserver:\nchannels:\n").unwrap().triage, TriageSettings::default());
}

#[test]
fn listen_addresses_people_write() {
    for (written, meant) in [
        ("localhost:9000", "127.0.0.1:9000"),
        ("127.0.0.1:9000", "127.0.0.1:9000"),
        ("'[::1]:9000'", "[::1]:9000"),
        ("':9000'", "0.0.0.0:9000"),
        ("0.0.0.0:0", "0.0.0.0:0"),
    ] {
        let config = parse_text(&format!("server: {{ listen: {written}, tokens: [a-token-long-enough] }}")).unwrap();
        assert_eq!(config.server.listen.to_string(), meant);
    }
}

#[test]
fn beyond_loopback_a_token_a_user_or_an_explicit_word_is_needed() {
    assert!(parse_text("server: { listen: '[::]:80' }").is_err());
    assert!(parse_text("server: { listen: '[::]:80', insecure: true }").is_ok());
    assert!(parse_text("server: { listen: '[::]:80', basic_auth: [{ username: a, password: b }] }").is_ok());
    assert!(parse_text("server: { listen: '[::1]:80' }").is_ok());
}

#[test]
fn depth_and_repetition_are_bounded() {
    assert!(parse_text(&format!("models: {}", "[".repeat(100_000))).is_err());
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    assert!(parse_text(&laughs).is_err());
}

#[test]
fn a_missing_file_is_named() {
    let error = load(Path::new("/no/such/firstlook.yaml")).unwrap_err().to_string();
    assert!(error.starts_with("/no/such/firstlook.yaml: ") && error.contains("--config"), "{error}");
}

#[test]
fn load_reads_a_file_and_its_environment() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "a-token-long-enough\r\n").unwrap();
    let path = folder.path().join("firstlook.yaml");
    std::fs::write(&path, "server: { tokens: [\"${file:token}\", \"${CARGO_PKG_NAME}-${CARGO_PKG_NAME}\"] }").unwrap();
    let tokens = load(&path).unwrap().server.tokens;
    assert_eq!(tokens[0].expose_secret(), "a-token-long-enough", "beside the configuration, without its line end");
    assert_eq!(tokens[1].expose_secret(), "firstlook-firstlook");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,80}", key in prop::sample::select(KEYS.to_vec()), tail in "[ -~\n]{0,60}") {
        let _ = parse_text(&text);
        let _ = parse_text(&format!("{key}: {tail}"));
    }

    #[test]
    fn what_a_variable_holds_is_taken_as_it_is(value in "\\PC{1,40}") {
        let source = |_: &str| Some(value.clone());
        let sources = Sources { variable: &source, folder: PathBuf::new() };
        prop_assert_eq!(sources.expand("<${X}|${X:-d}>").unwrap(), format!("<{value}|{value}>"));
    }
}

#[test]
fn a_model_is_given_what_is_known_of_its_provider() {
    let model = |rest: &str| {
        parse_text(&format!("models: [{{ name: a, base_url: \"https://api.siliconflow.cn/v1\", model: m, {rest} }}]"))
    };
    let config = model("thinking: off, tools: prompt").unwrap();
    let profile = config.models[0].profile().unwrap();
    assert_eq!(profile.provider, "siliconflow");
    assert!(profile.thinking_fields(config.models[0].thinking).unwrap().contains_key("enable_thinking"));
    let told = |rest: &str| model(rest).unwrap_err()[0].to_string();
    assert!(
        told("provider: silicon").contains("did you mean \"siliconflow\"? (valid: azure"),
        "{}",
        told("provider: silicon")
    );
    assert!(told("provider: generic, thinking: off").contains("no known switch"));
}

#[test]
fn an_app_whose_presses_come_over_http_needs_the_key_they_are_signed_with() {
    let app = |rest: &str| {
        parse_text(&format!(
            "channels: [{{ name: a, type: feishu-app, app_id: c, app_secret: s, receive_id: oc_1, {rest} }}]"
        ))
    };
    assert!(app("operators: [ou_1]").is_ok(), "over the long connection nothing is signed");
    assert!(app("callbacks: http, encrypt_key: k").is_ok());
    let told = |rest: &str| app(rest).unwrap_err()[0].to_string();
    assert!(told("callbacks: http").contains("encrypt_key"), "{}", told("callbacks: http"));
    assert!(told("callbacks: carrier_pigeon").contains("long_connection"), "{}", told("callbacks: carrier_pigeon"));
    assert!(app("operators: [ou_1, ou_2], silencers: [ou_2]").is_ok());
    for contradiction in ["silencers: [ou_2]", "operators: [ou_1], silencers: []"] {
        assert!(told(contradiction).contains("silencers"), "{}", told(contradiction));
    }
    assert!(told("silence_for: 0s").contains("silence_for"), "{}", told("silence_for: 0s"));
}

#[test]
fn the_examples_load() {
    for name in ["config/minimal.yaml", "config/full.yaml", "deploy/compose/firstlook.yaml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        let folder = path.parent().unwrap().to_owned();
        let variable = |name: &str| Some(format!("https://example.com/value-long-enough/{name}"));
        let sources = Sources { variable: &variable, folder };
        let config = parse(&text, &sources).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
        assert!(!config.channels.is_empty());
    }
}

#[test]
fn one_daily_limit_does_not_add_up_two_currencies() {
    let config = |second: &str| {
        let model = |name: &str, currency: &str| {
            format!(
                "  - {{ name: {name}, base_url: 'http://localhost/v1', model: m, prices: {{ input: 1, output: 2, currency: {currency} }} }}\n"
            )
        };
        format!("models:\n{}{}triage:\n  daily: {{ cost: 5 }}\n", model("a", "CNY"), model("b", second))
    };
    assert!(parse_text(&config("CNY")).is_ok());
    let problems = parse_text(&config("USD")).expect_err("two currencies");
    assert!(problems[0].to_string().contains("CNY and USD"), "{}", problems[0]);
}
