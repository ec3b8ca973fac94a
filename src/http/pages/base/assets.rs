//! Style, script and icon: compiled in, named after their content, so that a browser may keep them for good.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// A file that pages load.
pub(super) struct Asset {
    /// Its name with its hash, for example `page.0123456789ab.css`.
    pub(super) name: String,
    kind: &'static str,
    body: &'static str,
}

impl Asset {
    fn new(stem: &str, ending: &str, kind: &'static str, body: &'static str) -> Self {
        let hash: String = Sha256::digest(body).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Self { name: format!("{stem}.{hash}.{ending}"), kind, body }
    }
}

pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("page", "css", "text/css; charset=utf-8", include_str!("page.css")));
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("page", "js", "text/javascript; charset=utf-8", include_str!("page.js")));
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("icon.svg")));

/// Serves one of them; an older name is gone.
pub async fn serve(Path(name): Path<String>) -> Response {
    let found = [&STYLE, &SCRIPT, &ICON].into_iter().find(|asset| asset.name == name);
    let Some(asset) = found else { return StatusCode::NOT_FOUND.into_response() };
    let headers = [
        (CONTENT_TYPE, asset.kind),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, asset.body).into_response()
}

/// Writes them beside pages that are opened as files.
#[cfg(test)]
pub fn write(folder: &std::path::Path) {
    for asset in [&STYLE, &SCRIPT, &ICON] {
        std::fs::write(folder.join(&asset.name), asset.body).expect("an asset is written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_asset_is_kept_for_good_under_its_hash_alone() {
        let found = serve(Path(STYLE.name.clone())).await;
        assert_eq!(found.status(), StatusCode::OK);
        assert_eq!(found.headers()[CACHE_CONTROL], "public, max-age=31536000, immutable");
        assert_eq!(serve(Path("page.css".into())).await.status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        for body in [STYLE.body, SCRIPT.body] {
            assert!(!body.contains("http") && !body.contains("@import") && !body.contains("url("));
        }
    }
}
