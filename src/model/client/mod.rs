//! A model's provider met over HTTP: what is asked, in which form, and what its answer means.

mod endpoint;
mod exchange;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_openai::error::OpenAIError;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::config::{DEFAULT_CONTEXT_TOKENS, ModelConfig};
use super::error::{Class, ModelError};
use super::form::{Change, Form};
use super::profile::{CatalogueError, Profile, ToolSetting};
use super::recover::{recover, without_thinking};
use super::tape::Tape;
use super::wire::prompted::{self, Called};
use super::wire::{Reply, Sending, TokenUsage};
use super::{Capabilities, Model, Reaction, Request, ToolMode, retry};
use crate::telemetry::Health;
use crate::trust;
use crate::unreached::root_cause;
use endpoint::Endpoint;
use exchange::{connection_error, exchange, fault_error};

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The window of an endpoint that was found to lose the beginning of prompts: Ollama's when nothing else is set.
const OLLAMA_CONTEXT_TOKENS: usize = 4096;

/// How long the plainest form is kept to, after it worked where a fuller one was refused in words nobody knows.
const PLAIN: Duration = Duration::from_secs(10 * 60);

/// Tokens that are left free for an answer anyway.
const USUAL_ANSWER: usize = 4096;

/// A model behind an OpenAI-compatible interface.
pub struct Client {
    config: Arc<ModelConfig>,
    profile: Arc<Profile>,
    api: async_openai::Client<Endpoint>,
    learnt: Mutex<Learnt>,
    recovered: AtomicU64,
    health: Health,
}

/// What turned out about the endpoint, from refusals and from asking.
#[derive(Default)]
struct Learnt {
    form: Form,
    /// Until then nothing but the plainest is sent.
    plain_until: Option<Instant>,
    capabilities: Option<Capabilities>,
}

impl Learnt {
    /// The form to begin with.
    fn form_now(&self) -> Form {
        let plain = self.plain_until.is_some_and(|until| Instant::now() < until);
        let plainest = || self.form.with(Change::Plainest);
        plain.then(plainest).flatten().unwrap_or_else(|| self.form.clone())
    }

    /// Takes over a form that worked. The plainest leaves out what was configured, for a refusal that nobody understood
    /// and that may pass: the full form is tried again after a while.
    fn learn(&mut self, form: &Form) {
        if form.has(Change::Plainest) {
            self.plain_until = Some(Instant::now() + PLAIN);
        }
        self.form.learn(&form.without(Change::Plainest));
    }
}

impl Client {
    /// Prepares a client; nothing is sent.
    ///
    /// # Errors
    /// When the address or the key cannot be used.
    pub fn new(config: ModelConfig) -> Result<Self, ModelError> {
        Self::taped(config, None)
    }

    /// The same, with every exchange recorded on a tape or played from it.
    ///
    /// # Errors
    /// When the address or the key cannot be used.
    pub fn taped(config: ModelConfig, tape: Option<Arc<Tape>>) -> Result<Self, ModelError> {
        let unknown = |error: CatalogueError| ModelError::new(&config.name, Class::Config, error.to_string());
        let profile = config.profile().map_err(unknown)?;
        let endpoint = Endpoint::new(&config, &profile)?;
        // A redirect would carry the key and the conversation to another place than the configured one.
        let http = trust::client(|builder| {
            builder
                .user_agent(concat!("firstlook/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT)
                .redirect(reqwest::redirect::Policy::none())
        })
        .map_err(|error| ModelError::new(&config.name, Class::Config, root_cause(&error)))?;
        let config = Arc::new(config);
        let service = tower::service_fn({
            let (config, http) = (Arc::clone(&config), http.clone());
            move |factory| exchange(Arc::clone(&config), http.clone(), tape.clone(), factory)
        });
        let api = async_openai::Client::build(http, endpoint).with_http_service(service);
        let (learnt, recovered) = (Mutex::default(), AtomicU64::new(0));
        Ok(Self { config, profile, api, learnt, recovered, health: Health::default() })
    }

    /// How this model is spoken to.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// How its last calls went.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// What was found out by asking; it decides how functions are offered where the profile leaves it open.
    pub fn learn(&self, capabilities: &Capabilities) {
        self.learnt().capabilities = Some(capabilities.clone());
    }

    /// What was found out by asking, if anything was.
    #[must_use]
    pub fn capabilities(&self) -> Option<Capabilities> {
        self.learnt().capabilities.clone()
    }

    /// Stands for address, model and profile where what was found out is kept: a change of any asks anew. A digest,
    /// because an address may hold a password.
    #[must_use]
    pub fn identity(&self) -> String {
        let what = format!("{}\n{}\n{:?}", self.config.base_url, self.config.model, self.profile);
        Sha256::digest(what).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// How functions are offered now.
    #[must_use]
    pub fn mode(&self) -> ToolMode {
        let form = self.learnt().form.clone();
        self.mode_in(&form)
    }

    /// Calls that were found in text since this was last asked.
    pub fn take_recovered_calls(&self) -> u64 {
        self.recovered.swap(0, Ordering::Relaxed)
    }

    /// Asks by the protocol whatever was learnt, and gives the answer as it came: nothing is read from its text, nothing
    /// is learnt. For finding out what an endpoint can do.
    ///
    /// # Errors
    /// As [`Model::complete`]; among them that functions are refused.
    pub async fn raw(&self, request: &Request, deadline: Instant) -> Result<Reply, ModelError> {
        let form = self.learnt().form.without(Change::SwitchToPromptTools);
        // A forced call says nothing about whether the model calls by itself.
        let form = form.with(Change::DropParameter("tool_choice")).unwrap_or(form);
        let call = |form: Form| async move { self.attempt(request, &form, ToolMode::Native, deadline).await };
        let reform = |error: &ModelError, form: &Form| match error.class {
            Class::ToolsUnsupported => None,
            _ => self.reform(error, form, request),
        };
        retry::persist(deadline, form, call, reform).await.map(|(reply, _)| reply)
    }

    fn learnt(&self) -> MutexGuard<'_, Learnt> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mode_in(&self, form: &Form) -> ToolMode {
        let refused = || form.has(Change::SwitchToPromptTools);
        let unable = || self.capabilities().is_some_and(|known| known.needs_prompt_tools());
        match self.profile.tools {
            ToolSetting::Native => ToolMode::Native,
            ToolSetting::Prompt => ToolMode::Prompt,
            ToolSetting::Auto if refused() || unable() => ToolMode::Prompt,
            ToolSetting::Auto => ToolMode::Native,
        }
    }

    fn sending<'a>(&'a self, form: &'a Form, mode: ToolMode) -> Sending<'a> {
        Sending { config: &self.config, profile: &self.profile, form, mode }
    }

    /// The form to try after a refusal: the one it asks for, else the plainest; `None` when neither changes anything.
    fn reform(&self, error: &ModelError, form: &Form, request: &Request) -> Option<Form> {
        let Reaction::Resend(change) = error.reaction else { return None };
        let body = |form: &Form| self.sending(form, self.mode_in(form)).body(request);
        let refused = body(form);
        let changes = match change {
            Change::SwitchToPromptTools => vec![change],
            // What refuses a schema may still take the weaker form.
            Change::DropParameter("response_format") => vec![Change::AnyJsonObject, change, Change::Plainest],
            _ => vec![change, Change::Plainest],
        };
        let mut candidates = changes.into_iter().filter_map(|change| form.with(change));
        candidates.find(|candidate| body(candidate) != refused)
    }

    /// Asks as long as it may help, and remembers the form that worked.
    async fn persist(&self, request: &Request, deadline: Instant) -> Result<Reply, ModelError> {
        let start = self.learnt().form_now();
        let call = |form: Form| async move {
            let mode = self.mode_in(&form);
            let reply = self.attempt(request, &form, mode, deadline).await?;
            Ok(self.understood(reply, mode, request))
        };
        let reform = |error: &ModelError, form: &Form| self.reform(error, form, request);
        let (reply, form) = retry::persist(deadline, start.clone(), call, reform).await?;
        if form != start {
            tracing::info!(model = %self.config.name, form = ?form, "the endpoint takes requests in this form");
            self.learnt().learn(&form);
        }
        Ok(reply)
    }

    /// Asks once, without trying again.
    async fn attempt(
        &self,
        request: &Request,
        form: &Form,
        mode: ToolMode,
        deadline: Instant,
    ) -> Result<Reply, ModelError> {
        let limit = deadline.min(Instant::now() + self.config.total_timeout());
        let sending = self.sending(form, mode);
        let body = sending.body(request);
        let answer = tokio::time::timeout_at(limit, self.api.chat().create_byot::<_, Value>(body)).await;
        match answer {
            Ok(answer) => self.read(answer.map_err(|error| self.own_error(error))?, sending.max_tokens()),
            Err(_) => Err(ModelError::new(&self.config.name, Class::Timeout, "no whole answer in the time there was")),
        }
    }

    fn read(&self, completion: Value, max_tokens: Option<u32>) -> Result<Reply, ModelError> {
        let reply = Reply::read(completion, max_tokens).map_err(|fault| fault_error(&self.config, fault))?;
        if reply.filtered {
            let detail = "the provider's content filter stopped the answer";
            return Err(ModelError::new(&self.config.name, Class::ContentFilter, detail));
        }
        Ok(reply)
    }

    /// Finds the calls in an answer's text when it has none of its own, and leaves of the text what may be shown.
    fn understood(&self, mut reply: Reply, mode: ToolMode, request: &Request) -> Reply {
        if !reply.message.tool_calls.is_empty() {
            return reply;
        }
        let Some(text) = reply.message.content.take() else { return reply };
        let family = self.profile.text_format;
        let asked_for = match mode {
            ToolMode::Prompt => prompted::read(&without_thinking(&text, family), &request.tools),
            ToolMode::Native => Called::default(),
        };
        let (calls, garbled, shown) = if asked_for.is_something() && !reply.truncated {
            (asked_for.calls, asked_for.garbled, asked_for.words)
        } else {
            let mut found = recover(family, &text, reply.truncated, &request.tools);
            let shown = std::mem::take(&mut found.text);
            reply.complaints = std::mem::take(&mut found.complaints);
            let (calls, garbled) = found.into_calls();
            self.recovered.fetch_add(calls.len() as u64, Ordering::Relaxed);
            (calls, garbled, shown)
        };
        if shown.is_empty() && calls.is_empty() && garbled.is_none() && reply.message.reasoning().is_none() {
            // All of it was thinking; at the very end the loop looks for an answer there.
            let thinking = text.trim().trim_start_matches("<think>");
            reply.message.extra.insert("reasoning_content".to_owned(), thinking.into());
        }
        reply.message.content = (!shown.is_empty()).then_some(shown);
        reply.message.tool_calls = calls;
        reply.garbled = garbled;
        reply
    }

    fn own_error(&self, error: OpenAIError) -> ModelError {
        let name = &self.config.name;
        match error {
            OpenAIError::Boxed(inner) => match inner.downcast::<ModelError>() {
                Ok(error) => *error,
                Err(other) => ModelError::new(name, Class::Network, other.to_string()),
            },
            OpenAIError::Reqwest(error) => connection_error(&self.config, error),
            OpenAIError::InvalidArgument(detail) => ModelError::new(name, Class::Config, detail),
            _ => ModelError::new(name, Class::BadAnswer, "what came back is not JSON"),
        }
    }
}

impl Model for Client {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn context_tokens(&self) -> usize {
        let known = self.profile.context_tokens.unwrap_or(DEFAULT_CONTEXT_TOKENS);
        let is_cut = self.capabilities().is_some_and(|found| found.front_truncated == Some(true));
        let window = if is_cut { known.min(OLLAMA_CONTEXT_TOKENS) } else { known };
        // Question and answer share it. The loop leaves room for an answer of the usual length, not for a longer limit.
        let limit = self.config.max_tokens.map_or(0, |limit| limit as usize);
        window - limit.saturating_sub(USUAL_ANSWER).min(window / 2)
    }

    fn cost(&self, usage: TokenUsage) -> f64 {
        self.profile.prices.as_ref().map_or(0.0, |prices| prices.of(usage))
    }

    fn currency(&self) -> Option<&str> {
        self.profile.prices.as_ref().map(|prices| prices.currency.as_str())
    }

    async fn complete(&self, request: &Request, deadline: Instant) -> Result<Reply, ModelError> {
        let started = Instant::now();
        let outcome = self.persist(request, deadline).await;
        match &outcome {
            Ok(_) => self.health.succeeded(started.elapsed()),
            // These are about what was asked, not about who was asked.
            Err(error) if matches!(error.class, Class::ContextLength | Class::ContentFilter) => {}
            Err(error) => self.health.failed(error.class.label(), error, |lang| error.class.advice(lang)),
        }
        outcome
    }
}
