//! A page: its frame, and how it becomes an answer. Must not know what a page shows.

use askama::Template;
use axum::extract::Request;
use axum::http::Method;
use axum::http::header::{CONTENT_TYPE, COOKIE, REFERER};
use axum::response::{IntoResponse, Response};
use url::{Position, Url};

use crate::console::access::{Right, Rights, Visitor};
use crate::console::now::Marks;
use crate::console::status::Status;
use crate::console::trouble::Trouble;
use crate::console::words::{self, Foreign};
use crate::console::{Console, assets};

/// A link of the rail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console) enum Section {
    Now,
    Users,
    Analytics,
    DeadLetters,
    Drift,
    /// No link's, as help.
    None,
}

/// Light, dark, or as the browser says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::console) enum Theme {
    #[default]
    Auto,
    Light,
    Dark,
}

impl Theme {
    pub(in crate::console) const ALL: [Self; 3] = [Self::Auto, Self::Light, Self::Dark];

    /// As the cookie and the form say it.
    pub(in crate::console) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    pub(in crate::console) fn word(self) -> &'static str {
        match self {
            Self::Auto => "Auto",
            Self::Light => "Light",
            Self::Dark => "Dark",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.name() == name)
    }
}

/// The cookies that say how pages look; they say nothing of anybody.
pub(in crate::console) const THEME_COOKIE: &str = "user_sync_theme";
pub(in crate::console) const KEYS_COOKIE: &str = "user_sync_keys";

/// How a request wants its page to look.
#[derive(Debug, Clone, Default)]
pub(in crate::console) struct Look {
    pub(in crate::console) theme: Theme,
    /// Whether single keys do something (WCAG 2.1.4).
    pub(in crate::console) has_keys: bool,
    /// The page's own path and query: where to go on after a choice, and after a sign-in.
    pub(in crate::console) path: String,
    /// The seconds after which a browser without script asks again, by `?refresh=30`.
    pub(in crate::console) refresh_seconds: Option<u16>,
}

impl Look {
    pub(in crate::console) fn of(request: &Request) -> Self {
        let cookies = request.headers().get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let cookies: Vec<_> = cookies.flat_map(cookie::Cookie::split_parse).flatten().collect();
        let value =
            |name: &str| cookies.iter().find(|cookie| cookie.name() == name).map(cookie::Cookie::value);
        // The page that an action was started from.
        let referer = || Url::parse(request.headers().get(REFERER)?.to_str().ok()?).ok();
        let path = match *request.method() {
            Method::GET => request.uri().path_and_query().map(ToString::to_string),
            _ => referer().map(|url| url[Position::BeforePath..Position::AfterQuery].to_owned()),
        };
        let query = url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes());
        let refresh =
            query.into_iter().find_map(|(name, value)| (name == "refresh").then(|| value.parse().ok()));
        Self {
            theme: value(THEME_COOKIE).and_then(Theme::named).unwrap_or_default(),
            has_keys: value(KEYS_COOKIE) != Some("off"),
            path: path.unwrap_or_default(),
            refresh_seconds: refresh.flatten().filter(|seconds| (5..=3600).contains(seconds)),
        }
    }

    pub(in crate::console) fn themes(&self) -> [Theme; 3] {
        Theme::ALL
    }
}

/// A link of the rail, as `frame.html` writes it.
#[derive(Debug)]
pub(in crate::console) struct Link {
    pub(in crate::console) url: &'static str,
    pub(in crate::console) name: &'static str,
    /// The rest of the name, where there is room.
    pub(in crate::console) more: &'static str,
    pub(in crate::console) is_current: bool,
    /// A mark, and a number beside it.
    pub(in crate::console) sign: Option<(Status, String)>,
}

/// What stands around every page's own content.
#[derive(Debug, Clone)]
pub(in crate::console) struct Frame {
    pub(in crate::console) environment: String,
    pub(in crate::console) section: Section,
    pub(in crate::console) marks: Marks,
    /// `None` where nobody is signed in.
    pub(in crate::console) visitor: Option<(String, Rights)>,
    pub(in crate::console) look: Look,
}

impl Frame {
    /// The frame of a visitor's page.
    pub(in crate::console) fn of(console: &Console, visitor: &Visitor, section: Section) -> Self {
        let visitor = (Some((visitor.name.clone(), visitor.rights)), visitor.look.clone());
        Self::with(console, visitor, section)
    }

    /// The frame where nobody is signed in: it shows nothing of the deployment.
    pub(in crate::console) fn outside(console: &Console, look: Look) -> Self {
        Self { marks: Marks::default(), ..Self::with(console, (None, look), Section::None) }
    }

    fn with(console: &Console, visitor: (Option<(String, Rights)>, Look), section: Section) -> Self {
        let (visitor, look) = visitor;
        Self { environment: console.environment.clone(), section, marks: console.now.marks(), visitor, look }
    }

    /// The links of the rail.
    pub(in crate::console) fn links(&self) -> [Link; 5] {
        let Marks { now, dead_letters } = self.marks;
        let letters = dead_letters.filter(|count| *count > 0);
        let letters = letters.map(|letters| (Status::Attention, words::count(letters)));
        let link = |section, url, name, more, sign| {
            let is_current = self.section == section;
            Link { url, name, more, is_current, sign }
        };
        [
            link(Section::Now, "/now", "Now", "", Some((now, String::new()))),
            link(Section::Users, "/users", "Users", "", None),
            link(Section::Analytics, "/analytics", "Analytics", "", None),
            link(Section::DeadLetters, "/dead-letters", "Dead letters", "", letters),
            link(Section::Drift, "/drift", "Drift", " and audit", None),
        ]
    }

    /// Others chose it.
    pub(in crate::console) fn name(&self) -> Foreign<'_> {
        Foreign(self.visitor.as_ref().map_or("", |(name, _)| name))
    }

    /// What the visitor may do, in words: `read, reveal`.
    pub(in crate::console) fn rights(&self) -> String {
        let rights = self.visitor.as_ref().map(|(_, rights)| rights.all()).unwrap_or_default();
        rights.into_iter().map(Right::name).collect::<Vec<_>>().join(", ")
    }

    /// What a right permits, after "to".
    pub(in crate::console) fn meaning(&self, right: &Right) -> &'static str {
        match right {
            Right::Read => "see every page, with personal data masked",
            Right::Reveal => {
                "see one user's personal data for 10 minutes, with a reason that is written down"
            }
            Right::Act => "send messages back or drop them, and start comparisons and repairs",
        }
    }

    pub(in crate::console) fn may_act(&self) -> bool {
        self.visitor.as_ref().is_some_and(|(_, rights)| rights.act)
    }

    pub(in crate::console) fn environment(&self) -> Foreign<'_> {
        Foreign(&self.environment)
    }

    pub(in crate::console) fn style(&self) -> &'static str {
        assets::style()
    }

    pub(in crate::console) fn icon(&self) -> &'static str {
        assets::icon()
    }

    pub(in crate::console) fn script(&self) -> &'static str {
        assets::script()
    }
}

/// A page as an answer. The template extends `frame.html` and has a field `frame`.
#[derive(Debug)]
pub(in crate::console) struct Page<T>(pub(in crate::console) T);

pub(in crate::console) type Answer<T> = Result<Page<T>, Trouble>;

impl<T: Template> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        match self.0.render() {
            Ok(html) => ([(CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response(),
            Err(error) => Trouble::Broken(Box::new(error)).into_response(),
        }
    }
}

#[cfg(test)]
mod tests;
