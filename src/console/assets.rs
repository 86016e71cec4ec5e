//! The style sheet and the script, in the program: each under a URL with its content's hash, so that a browser may keep it
//! for good. Must not know a page.

use std::sync::LazyLock;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;
use sha2::{Digest as _, Sha256};

use crate::console::Shared;

/// A browser asks no more for what has its hash in its name (RFC 8246).
const FOREVER: &str = "public, max-age=31536000, immutable";

struct Asset {
    text: &'static str,
    media_type: &'static str,
    path: String,
}

impl Asset {
    fn of(name: &str, extension: &str, media_type: &'static str, text: &'static str) -> Self {
        let hash = Sha256::digest(text.as_bytes());
        let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { text, media_type, path: format!("/assets/{name}-{hash}.{extension}") }
    }

    fn answer(&'static self) -> impl IntoResponse {
        ([(CONTENT_TYPE, self.media_type), (CACHE_CONTROL, FOREVER)], self.text)
    }
}

static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::of("console", "css", "text/css; charset=utf-8", include_str!("assets/console.css"))
});
static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::of("console", "js", "text/javascript; charset=utf-8", include_str!("assets/console.js"))
});

static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::of("icon", "svg", "image/svg+xml", include_str!("assets/icon.svg")));

/// The URL of the picture in a browser's tab.
pub(in crate::console) fn icon() -> &'static str {
    &ICON.path
}

/// The style sheet's URL.
pub(in crate::console) fn style() -> &'static str {
    &STYLE.path
}

/// The script's URL.
pub(in crate::console) fn script() -> &'static str {
    &SCRIPT.path
}

pub(in crate::console) fn routes() -> Router<Shared> {
    [&STYLE, &SCRIPT, &ICON]
        .into_iter()
        .fold(Router::new(), |router, asset| router.route(&asset.path, get(|| async { asset.answer() })))
}
