//! Signing in with a page link, and signing out.
//!
//! # Decisions
//!
//! A link works once, so only a person may use it: a navigation of the browser's window (`Sec-Fetch-Mode: navigate`). Mail
//! scanners and programs that show previews get a page whose button signs in.
//!
//! Signing in replaces the browser's session. Somebody who is signed in gets the button, too, and its form takes only its own
//! origin, so that no other website can move a visitor into somebody else's session unnoticed.
//!
//! Redirects are relative, since the browser may know us by another name, for which it has the cookie.
//!
//! A page that was opened without a session is shown after signing in: a cookie of the browser's own remembers its path for half an
//! hour. Links carry no path, as a link that leads elsewhere could be anybody's. The path must be that of a page behind sign-in,
//! and follows `./`, so it cannot lead to another origin; and opening a page changes nothing.

use std::time::Duration;

use http::{Method, StatusCode, Uri};
use larder::error::{Error, ErrorClass};
use larder::http::{Parameters, Request, Response, is_form, noted, redirect, status_of};
use larder::routes::path_within;
use larder_engine::manage::SESSION_LIFETIME;
use larder_engine::pages::{self, Language, SignedOut, is_navigation, words};

use crate::visit::{SESSION, WANTED};
use crate::{Pages, ROUTER};

/// The pages behind sign-in.
const PAGES: [&str; 8] = ["/", "/c/{id}", "/add", "/i", "/i/{key}", "/new", "/new/{connector}", "/pick"];
/// How long such a page is remembered.
const WANTED_LIFETIME: Duration = Duration::from_mins(30);
/// The longest address that is remembered. A cookie has at most 4,096 bytes, and encoding triples some characters.
const MAX_WANTED: usize = 1200;

impl Pages {
    /// `GET /sign-in?link=…`
    pub(crate) async fn open_sign_in(&self, request: &Request) -> Result<Response, Error> {
        let query = Parameters::of_query(request);
        let link = query.optional("link")?.unwrap_or_default();
        if link.is_empty() {
            self.visit(request).await?;
            return Ok(redirect("./"));
        }
        // A website could sign its visitors in to a session of its own, so somebody who is signed in is asked.
        if !is_navigation(request.headers()) || self.visit(request).await.is_ok() {
            return Ok(pages::sign_in(Language::of(request.headers()), link));
        }
        self.use_link(request, link).await
    }

    /// `POST /sign-in`
    pub(crate) async fn sign_in(&self, request: &Request) -> Result<Response, Error> {
        let language = Language::of(request.headers());
        let form = if is_form(request.headers()) { Parameters::parse(request.body()) } else { Parameters::default() };
        if !self.is_own_form(request) {
            return Err(Error::access_denied("").for_people(words::OTHER_SITE.say(language)));
        }
        self.use_link(request, form.optional("link")?.unwrap_or_default()).await
    }

    /// `POST /sign-out`
    pub(crate) async fn sign_out(&self, request: &Request) -> Result<Response, Error> {
        let (visit, _) = self.submission(request).await?;
        self.management.sign_out(self.cookie(SESSION, request).unwrap_or_default()).await?;
        let language = visit.language;
        let (title, detail) = (words::SIGNED_OUT.say(language), words::SIGN_IN_AGAIN.say(language));
        let mut response = pages::result(StatusCode::OK, language, title, detail, None, &[]);
        self.set_cookie(&mut response, SESSION, "", Duration::ZERO)?;
        Ok(response)
    }

    async fn use_link(&self, request: &Request, link: &str) -> Result<Response, Error> {
        let language = Language::of(request.headers());
        match self.management.sign_in(link).await {
            Ok(cookie) => {
                let wanted = self.cookie(WANTED, request);
                let mut response = redirect(&wanted.and_then(remembered).unwrap_or_else(|| "./".to_owned()));
                self.set_cookie(&mut response, SESSION, cookie.expose(), SESSION_LIFETIME)?;
                if wanted.is_some() {
                    self.set_cookie(&mut response, WANTED, "", Duration::ZERO)?;
                }
                Ok(response)
            }
            Err(error) if error.class == ErrorClass::Unavailable => Err(error),
            // Somebody who is signed in may have followed the link again.
            Err(_) if self.visit(request).await.is_ok() => Ok(redirect("./")),
            Err(error) => {
                let reason = match error.class {
                    ErrorClass::Conflict => words::SIGN_IN_LINK_USED,
                    ErrorClass::Invalid => words::SIGN_IN_LINK_EXPIRED,
                    _ => words::SIGN_IN_LINK_UNKNOWN,
                };
                // A tenant's link was made by a server, which can make another.
                let names_command = self.is_local && !self.management.is_link_of_tenant(link).await;
                let page = SignedOut { reason, advice: words::ASK_FOR_LINK, names_command, waits: false };
                Ok(noted(pages::signed_out(status_of(&error), language, page), &error))
            }
        }
    }

    /// Asks somebody without a session to sign in, and remembers the page that was to be opened.
    pub(crate) fn ask_to_sign_in(&self, request: &Request) -> Result<Response, Error> {
        let language = Language::of(request.headers());
        let (reason, advice) = (words::SIGN_IN_FIRST, words::OPEN_YOUR_LINK);
        let path = path_within(&self.base_uri, request.uri().path());
        // Some forms are sent to addresses without a page.
        let waits = is_page(path) || (*request.method() == Method::GET && path != "/sign-in");
        let page = SignedOut { reason, advice, names_command: self.is_local, waits };
        let mut response = pages::signed_out(StatusCode::UNAUTHORIZED, language, page);
        if let Some(wanted) = self.wanted(request) {
            self.set_cookie(&mut response, WANTED, &wanted, WANTED_LIFETIME)?;
        }
        Ok(response)
    }

    /// Returns the value of the cookie that remembers a page, if the request opens one.
    fn wanted(&self, request: &Request) -> Option<String> {
        let path = path_within(&self.base_uri, request.uri().path());
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        let address = format!("{path}{query}");
        let is_kept = is_navigation(request.headers()) && is_page(path) && address.len() <= MAX_WANTED;
        is_kept.then(|| form_urlencoded::byte_serialize(address.as_bytes()).collect())
    }
}

/// Returns the address of a remembered page, relative to the first one.
fn remembered(cookie: &str) -> Option<String> {
    let (address, _) = form_urlencoded::parse(cookie.as_bytes()).next()?;
    let uri: Uri = address.parse().ok()?;
    let is_ours = uri.authority().is_none() && is_page(uri.path());
    let address = uri.path_and_query().filter(|_| is_ours)?.as_str();
    Some(format!("./{}", address.trim_start_matches('/')))
}

/// Whether a path within Larder is that of a page behind sign-in.
pub(crate) fn is_page(path: &str) -> bool {
    ROUTER.find(&Method::GET, path).is_ok_and(|found| PAGES.contains(&found.route.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_behind_sign_in_are_returned_to() {
        for (address, expected) in [
            (
                "/pick?integrationKey=crm&flowUri=https%3A%2F%2Fa.example%2F",
                Some("./pick?integrationKey=crm&flowUri=https%3A%2F%2Fa.example%2F"),
            ),
            ("/c/a%2Fb", Some("./c/a%2Fb")),
            ("/?search=a", Some("./?search=a")),
            ("/i", Some("./i")),
            ("//evil.example/", None),
            ("//i", Some("./i")),
            ("https://evil.example/i", None),
            ("/\\evil.example", None),
            ("/i\r\nset-cookie: a=b", None),
            ("/sign-in?link=a", None),
            ("/connect?token=a", None),
            ("i", None),
            ("", None),
        ] {
            let cookie: String = form_urlencoded::byte_serialize(address.as_bytes()).collect();
            assert_eq!(remembered(&cookie).as_deref(), expected, "{address}");
        }
    }
}
