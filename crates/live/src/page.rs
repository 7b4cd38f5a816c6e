//! `/`: all streams of an app, live; `/kafidx`: its tracking events. Pages without a build step and without third-party
//! code, put together here from parts that they share; they read the feed with the visitor's own key.

use angarium_kit::{
    access::Public,
    http::{Doc, Routes},
};
use axum::response::{Html, IntoResponse, Response};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::header;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

const HEAD: &str = include_str!("page/head.html");
const STYLE: &str = include_str!("page/style.css");
const HEADER: &str = include_str!("page/header.html");

/// The script of a page: what both share, and what is its own.
macro_rules! script {
    ($own:literal) => {
        concat!(
            include_str!("page/feed.js"),
            include_str!("page/rates.js"),
            include_str!("page/list.js"),
            include_str!($own),
        )
    };
}

struct Page {
    name: &'static str,
    title: &'static str,
    body: &'static str,
    script: &'static str,
}

const HOME: Page = Page {
    name: "home",
    title: "Live",
    body: include_str!("page/home.html"),
    script: script!("page/home.js"),
};
const EVENTS: Page = Page {
    name: "events",
    title: "Live events",
    body: include_str!("page/events.html"),
    script: script!("page/events.js"),
};

static HOME_SERVED: LazyLock<Served> = LazyLock::new(|| HOME.render());
static EVENTS_SERVED: LazyLock<Served> = LazyLock::new(|| EVENTS.render());

pub fn routes() -> Routes {
    let doc = |id, summary| Doc::new("pages", id, summary, "").answers_as(200, "a page", "text/html", None);
    Routes::new()
        .get("/kafidx", show_live_page, doc("show_live_page", "The live page of tracking events"))
        .get("/", show_home, doc("show_home", "The first page: all streams of an app, live"))
}

async fn show_home(_: Public) -> Response {
    HOME_SERVED.answer()
}

async fn show_live_page(_: Public) -> Response {
    EVENTS_SERVED.answer()
}

/// A page as it goes out.
struct Served {
    html: String,
    policy: String,
}

impl Page {
    fn render(&self) -> Served {
        let Page { name, title, body, script } = self;
        let html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n{HEAD}<title>{title} · Angarium</title>\n\
             <style>{STYLE}</style>\n</head>\n<body class=\"{name}\" data-state=\"busy\">\n{HEADER}{body}\n\
             <script>{script}</script>\n</body>\n</html>\n"
        );
        // The page runs its own script and style, talks to its own server, and nothing else.
        let policy = format!(
            "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            source(script),
            source(STYLE),
        );
        Served { html, policy }
    }
}

/// How a policy names a script or style that stands in the page (CSP Level 3, 2.3.1).
fn source(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}

impl Served {
    fn answer(&'static self) -> Response {
        let headers = [
            (header::CONTENT_SECURITY_POLICY, &*self.policy),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CACHE_CONTROL, "no-cache"),
        ];
        (headers, Html(&*self.html)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_runs_nothing_but_its_own_script() {
        for page in [HOME, EVENTS] {
            let Served { html, policy } = page.render();
            assert!(!page.script.contains("</script") && !page.script.contains("<!--"), "{}", page.name);
            assert!(!STYLE.contains("</style"));
            assert_eq!(html.matches("<script").count(), 1, "{}", page.name);
            assert!(!policy.contains("unsafe"), "{policy}");
            assert!(!html.contains("src=\"") && !html.contains(" style=\""), "{}", page.name);
            let markup = html.split("<script>").next().unwrap_or_default();
            let handlers =
                markup.split_whitespace().filter(|word| word.starts_with("on") && word.contains("=\""));
            assert_eq!(handlers.collect::<Vec<_>>(), [""; 0], "{}", page.name);
        }
    }
}
