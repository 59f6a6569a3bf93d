//! Pages in a frame of the application: the script that speaks to the page around them, and the pages that only frames show.
//!
//! # Decisions
//!
//! The Membrane SDKs expect [penpal](https://github.com/Aaronius/penpal) 6 in the frame. Its handshake and its calls are a few
//! messages, so the script of these pages sends them itself.
//!
//! The first message says nothing, so it goes to any page. All others go to the origin that answered it, if the workspace
//! trusts that origin. The policy of the page names the same origins, so browsers show it nowhere else.
//!
//! Providers refuse to be framed, so the end user approves in a window of its own. The frame asks for the status of the
//! connection request behind it: messages between the two are lost with providers that separate their windows
//! (`Cross-Origin-Opener-Policy`). The window cannot reach the frame, which would let a provider replace it.

use askama::Template;
use http::StatusCode;
use larder::connection::{Connection, Standing};
use larder::error::Error;
use larder::http::{Response, status_of};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::result::{ResultPage, developer, script_json};
use super::{ForPeople, FormHead, Language, Origin, PagePolicy, html, sentence, words};

/// The script of pages in a frame.
pub(super) const SCREEN: &str = include_str!("../../templates/screen.js");

/// The application's page around a page of ours.
#[derive(Clone, Copy, Debug)]
pub struct ScreenFrame<'a> {
    /// The origins that may show the page, and receive its result.
    pub origins: &'a [Origin],
    /// The URL that the page's forms lead to, relative to the page.
    pub action: &'a str,
    /// The color scheme that the application asked for.
    pub theme: Theme,
}

/// The color scheme of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Theme {
    /// That of the system.
    #[default]
    Auto,
    /// Always light.
    Light,
    /// Always dark.
    Dark,
}

/// A connection that is made in another window.
#[derive(Clone, Copy, Debug)]
pub struct Departure<'a> {
    /// The link of its connection request.
    pub link: &'a str,
    /// The URL of the request's status, relative to the page, and the token that reads it.
    pub status: (&'a str, &'a str),
    /// Why the last attempt failed, if there was one.
    pub problem: Option<&'a str>,
    /// Whether there are other ways to connect.
    pub has_other_ways: bool,
}

/// How a page in a frame ends.
#[derive(Clone, Copy, Debug)]
pub enum ScreenEnd<'a> {
    /// With a connection, which the application gets.
    Connected(&'a Connection),
    /// The end user canceled.
    Canceled,
    /// With an error, which the end user reads before closing the frame.
    Failed(&'a Error, &'a ForPeople),
}

#[derive(Template)]
#[template(path = "departure.html")]
struct DeparturePage<'a> {
    head: FormHead<'a>,
    language: Language,
    title: String,
    departure: Departure<'a>,
    problem: Option<ForPeople>,
    screen: Option<String>,
}

#[derive(Template)]
#[template(path = "connection.html")]
struct ConnectionPage<'a> {
    head: FormHead<'a>,
    language: Language,
    title: &'a str,
    state: words::Words,
    is_good: bool,
    account: Option<&'a str>,
    problem: Option<ForPeople>,
    screen: Option<String>,
}

impl Theme {
    /// Reads the parameter of the SDKs. Unknown values count as none.
    pub fn of(name: &str) -> Self {
        match name {
            "light" => Self::Light,
            "dark" => Self::Dark,
            _ => Self::Auto,
        }
    }
}

impl ScreenFrame<'_> {
    /// Returns the script's data: the calls to make once the application has answered, and the request to wait for.
    pub(super) fn data(&self, calls: &Value, pending: Option<&Value>) -> String {
        script_json(&json!({ "origins": self.origins, "calls": calls, "pending": pending }))
    }

    /// Returns the policy of a page in the frame.
    pub(super) fn policy(&self) -> PagePolicy<'_> {
        PagePolicy { embedders: self.origins, script: Some(SCREEN), theme: self.theme, ..PagePolicy::default() }
    }
}

/// Renders the page that leads to a provider in another window, and waits.
pub fn departure(head: FormHead<'_>, departure: Departure<'_>) -> Response {
    let language = head.language;
    let (url, token) = departure.status;
    let known = if departure.problem.is_some() { "error" } else { "pending" };
    let pending = json!({ "url": url, "token": token, "known": known });
    let page = DeparturePage {
        title: head.title(),
        problem: departure.problem.map(|problem| ForPeople::of_message(problem, language)),
        screen: head.frame.map(|frame| frame.data(&json!([]), Some(&pending))),
        head,
        language,
        departure,
    };
    html(StatusCode::OK, page.render(), PagePolicy { connects: true, ..head.policy() })
}

/// Renders the page of one connection, whose button reconnects it.
pub fn connection(head: FormHead<'_>, connection: &Connection) -> Response {
    let language = head.language;
    let (is_good, state) = match connection.standing() {
        Standing::Deleted | Standing::MustReconnect => (false, words::RECONNECT_NEEDED),
        Standing::TestFailed => (false, words::ATTEMPT_TEST_FAILED),
        Standing::CannotRefresh => (false, words::CANNOT_REFRESH),
        Standing::Deactivated => (false, words::DEACTIVATED),
        Standing::RefreshFailing | Standing::Fresh | Standing::Works | Standing::Stored => (true, words::CONNECTED),
    };
    let problem = connection.test_problem.as_ref().or(connection.problem.as_ref());
    let account = connection.account.as_ref().map(|account| account.label.as_ref().unwrap_or(&account.id));
    let page = ConnectionPage {
        title: connection.details.name.as_deref().unwrap_or(head.name),
        state,
        is_good,
        account: account.map(String::as_str),
        problem: problem.map(|problem| ForPeople::of_message(&problem.message, language)),
        screen: head.frame.map(|frame| frame.data(&json!([]), None)),
        head,
        language,
    };
    html(StatusCode::OK, page.render(), head.policy())
}

/// Renders the last page in a frame.
pub fn screen_end(language: Language, frame: ScreenFrame<'_>, end: ScreenEnd<'_>) -> Response {
    let (status, title, detail, calls) = match end {
        ScreenEnd::Connected(connection) => {
            let view = connection.view();
            let name = view["name"].as_str().unwrap_or_default();
            let detail = words::IS_CONNECTED.with(language, name);
            (StatusCode::OK, words::CONNECTED, detail, json!([["onSuccess", view], ["close"]]))
        }
        ScreenEnd::Canceled => {
            let detail = words::YOU_CANCELED.say(language).to_owned();
            (StatusCode::OK, words::NOT_CONNECTED, detail, json!([["close"]]))
        }
        ScreenEnd::Failed(error, shown) => (status_of(error), words::NOT_CONNECTED, shown.text.clone(), json!([])),
    };
    let page = ResultPage {
        language,
        title: title.say(language),
        detail: &sentence(&detail),
        is_success: matches!(end, ScreenEnd::Connected(_)),
        is_english: matches!(end, ScreenEnd::Failed(_, shown) if shown.is_english),
        developer: match end {
            ScreenEnd::Failed(error, shown) => developer(error, shown),
            _ => None,
        },
        link: None,
        message: None,
        can_close: matches!(end, ScreenEnd::Failed(..)),
        screen: Some(frame.data(&calls, None)),
    };
    html(status, page.render(), frame.policy())
}

#[cfg(test)]
mod tests {
    use http::header;
    use larder::connection::ConnectionKey;
    use time::OffsetDateTime;

    use super::super::{Mark, hash};
    use super::*;

    fn origins() -> [Origin; 1] {
        [Origin::of_redirect_uri("https://app.example").expect("an origin")]
    }

    fn policy(page: &Response) -> &str {
        page.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("visible ASCII")
    }

    fn frame(origins: &[Origin], theme: Theme) -> ScreenFrame<'_> {
        ScreenFrame { origins, action: "../screens/connect", theme }
    }

    #[test]
    fn nothing_breaks_out_of_a_page_in_a_frame() {
        let (evil, origins) = ("</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'`", origins());
        let mut stored = Connection::new(ConnectionKey::new("acme", "c1"), OffsetDateTime::UNIX_EPOCH);
        stored.details.name = Some(evil.to_owned());
        stored.account = larder::connection::Account::new("1", Some(evil));
        let mark = Mark::new("a", evil, Some("javascript:alert(1)"));
        let head = FormHead {
            language: Language::En,
            name: evil,
            mark: &mark,
            is_reconnect: false,
            connection: None,
            hidden: &[("formTicket", evil)],
            can_cancel: true,
            frame: Some(frame(&origins, Theme::Auto)),
        };
        let leaving = Departure { link: evil, status: (evil, evil), problem: Some(evil), has_other_ways: true };
        for page in [
            departure(head, leaving),
            connection(head, &stored),
            screen_end(Language::En, frame(&origins, Theme::Auto), ScreenEnd::Connected(&stored)),
            screen_end(
                Language::En,
                frame(&origins, Theme::Auto),
                ScreenEnd::Failed(&Error::connection(None, evil), &ForPeople::of_message(evil, Language::En)),
            ),
        ] {
            let body = page.body();
            assert_eq!(body.matches("</script>").count(), 2, "{body}");
            assert!(!body.contains("<img") && !body.contains("href=\"javascript"), "{body}");
            let policy = policy(&page);
            assert!(policy.contains("frame-ancestors https://app.example;"), "{policy}");
            assert!(policy.contains(&format!("script-src '{}'", hash(SCREEN))), "{policy}");
        }
    }

    #[test]
    fn a_theme_wins_over_the_system_and_its_style_is_allowed() {
        let origins = origins();
        for (theme, query, scheme) in [
            (Theme::Auto, "@media (prefers-color-scheme: dark)", "color-scheme: light dark;"),
            (Theme::Light, "@media not all", "color-scheme: light;"),
            (Theme::Dark, "@media all", "color-scheme: dark;"),
        ] {
            let page = screen_end(Language::En, frame(&origins, theme), ScreenEnd::Canceled);
            let (_, rest) = page.body().split_once("<style>").expect("a style sheet");
            let style = rest.split_once("</style>").expect("an end").0;
            assert!(style.contains(query) && style.contains(scheme), "{theme:?}: {style}");
            assert!(policy(&page).contains(&format!("style-src '{}';", hash(style))), "{theme:?}");
        }
        assert_eq!(["light", "dark", "auto", ""].map(Theme::of), [Theme::Light, Theme::Dark, Theme::Auto, Theme::Auto]);
    }
}
