//! The configured models in order: the next one answers when one cannot.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

use super::error::{Class, ModelError};
use super::wire::Reply;
use super::{Model, Request};

/// Several models as one. Make one for each run: a model that failed is not asked again in the same run, so that its
/// waits are paid once.
pub struct Fallback<M> {
    models: Arc<[M]>,
    current: AtomicUsize,
}

impl<M: Model> Fallback<M> {
    /// The models in the order they are to be tried; `None` when there is none.
    #[must_use]
    pub fn new(models: Arc<[M]>) -> Option<Self> {
        (!models.is_empty()).then_some(Self { models, current: AtomicUsize::new(0) })
    }

    fn index(&self) -> usize {
        self.current.load(Ordering::Relaxed).min(self.models.len() - 1)
    }
}

impl<M: Model> Model for Fallback<M> {
    fn name(&self) -> &str {
        self.models[self.index()].name()
    }

    fn context_tokens(&self) -> usize {
        self.models[self.index()].context_tokens()
    }

    async fn complete(&self, request: &Request, deadline: Instant) -> Result<Reply, ModelError> {
        loop {
            let index = self.index();
            let is_last = index + 1 == self.models.len();
            // While another can still answer, one model gets half of the time that is left.
            let now = Instant::now();
            let share = if is_last { deadline } else { now + deadline.saturating_duration_since(now) / 2 };
            match self.models[index].complete(request, share).await {
                Err(error) if !is_last && error.class != Class::ContextLength => {
                    tracing::warn!(model = %error.model, class = error.class.label(), "model failed, the next one takes over");
                    self.current.store(index + 1, Ordering::Relaxed);
                }
                outcome => return outcome,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::AssistantMessage;

    struct Fixed(&'static str, Option<Class>, AtomicUsize);

    impl Model for Fixed {
        fn name(&self) -> &str {
            self.0
        }

        fn context_tokens(&self) -> usize {
            1000
        }

        async fn complete(&self, _: &Request, _: Instant) -> Result<Reply, ModelError> {
            self.2.fetch_add(1, Ordering::Relaxed);
            let content = Some(self.0.to_owned());
            match self.1 {
                Some(class) => Err(ModelError::new(self.0, class, "no")),
                None => Ok(Reply { message: AssistantMessage { content, ..Default::default() }, ..Reply::default() }),
            }
        }
    }

    fn fallback(first: Option<Class>, second: Option<Class>) -> Fallback<Fixed> {
        Fallback::new(Arc::new([Fixed("a", first, 0.into()), Fixed("b", second, 0.into())])).unwrap()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test]
    async fn the_second_takes_over_for_the_rest_of_the_run() {
        let models = fallback(Some(Class::Auth), None);
        for _ in 0..2 {
            let reply = models.complete(&Request::default(), soon()).await.unwrap();
            assert_eq!(reply.message.content.as_deref(), Some("b"));
        }
        assert_eq!(models.name(), "b");
        assert_eq!(models.models[0].2.load(Ordering::Relaxed), 1, "the first was asked once");
    }

    #[tokio::test]
    async fn what_does_not_fit_is_for_the_loop_to_shorten() {
        let models = fallback(Some(Class::ContextLength), None);
        let error = models.complete(&Request::default(), soon()).await.unwrap_err();
        assert_eq!((error.model.as_str(), error.class), ("a", Class::ContextLength));
    }

    #[tokio::test]
    async fn when_all_fail_the_last_error_is_told() {
        let models = fallback(Some(Class::Auth), Some(Class::Quota));
        assert_eq!(models.complete(&Request::default(), soon()).await.unwrap_err().class, Class::Quota);
    }
}
