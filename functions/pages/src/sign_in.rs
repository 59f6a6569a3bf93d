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

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use larder::error::{Error, ErrorClass};
use larder::http::{Parameters, Request, Response, is_form, redirect};
use larder_engine::manage::SESSION_LIFETIME;
use larder_engine::pages::words::{self, Words};
use larder_engine::pages::{self, Language, is_navigation};

use crate::Pages;

impl Pages {
    /// `GET /sign-in?link=…`
    pub(crate) async fn open_sign_in(&self, request: &Request) -> Result<Response, Error> {
        let query = Parameters::of_query(request);
        let link = query.optional("link")?.unwrap_or_default();
        if link.is_empty() && self.visit(request).await.is_ok() {
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
        self.management.sign_out(self.session_cookie(request).unwrap_or_default()).await?;
        let language = visit.language;
        let (title, detail) = (words::SIGNED_OUT.say(language), words::SIGN_IN_AGAIN.say(language));
        let mut response = pages::result(StatusCode::OK, language, title, detail, None, &[]);
        self.add_cookie(&mut response, "", Duration::ZERO)?;
        Ok(response)
    }

    async fn use_link(&self, request: &Request, link: &str) -> Result<Response, Error> {
        let language = Language::of(request.headers());
        match self.management.sign_in(link).await {
            Ok(cookie) => {
                let mut response = redirect("./");
                self.add_cookie(&mut response, cookie.expose(), SESSION_LIFETIME)?;
                Ok(response)
            }
            Err(error) if error.class == ErrorClass::Unavailable => Err(error),
            // Somebody who is signed in may have followed the link again.
            Err(_) if self.visit(request).await.is_ok() => Ok(redirect("./")),
            Err(error) => {
                let words = match error.class {
                    ErrorClass::Conflict => words::SIGN_IN_LINK_USED,
                    ErrorClass::Invalid => words::SIGN_IN_LINK_EXPIRED,
                    _ => words::SIGN_IN_LINK_UNKNOWN,
                };
                // A tenant's link was made by a server, which can make another.
                let is_of_program = self.is_local && !self.management.is_link_of_tenant(link).await;
                Err(error.for_people(with_advice(words, is_of_program, language)))
            }
        }
    }

    /// 401: the browser has no session.
    pub(crate) fn signed_out(&self, language: Language) -> Error {
        larder::caller::refused("no session").for_people(with_advice(words::SIGN_IN_FIRST, self.is_local, language))
    }

    fn add_cookie(&self, response: &mut Response, value: &str, lifetime: Duration) -> Result<(), Error> {
        let cookie = HeaderValue::try_from(self.set_cookie(value, lifetime)).map_err(Error::internal)?;
        response.headers_mut().append(header::SET_COOKIE, cookie);
        Ok(())
    }
}

/// Adds the way to a new link: the program's, or that of the server that made the last one.
fn with_advice(words: Words, is_of_program: bool, language: Language) -> String {
    let advice = if is_of_program { words::RUN_SIGN_IN } else { words::ASK_FOR_LINK };
    format!("{} {}", words.say(language), advice.say(language))
}
