//! The one template environment: where text is laid out, a template does it; HTML escapes by file name.

use std::sync::LazyLock;

use minijinja::{Environment, Error, UndefinedBehavior, Value};

use super::text::defang;

/// `.html.j2` is escaped as HTML, `.txt.j2` is not; a misspelt variable is an error, not an empty space.
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    env.add_filter("defang", |text: String| defang(&text));
    env
});

/// Renders a template that is compiled into the program.
pub(crate) fn render(name: &str, source: &str, context: Value) -> Result<String, Error> {
    ENVIRONMENT.render_named_str(name, source, context)
}
