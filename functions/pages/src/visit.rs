//! A visitor's request: the session behind its cookie, and the checks of its forms.

use std::time::Duration;

use http::header;
use larder::error::Error;
use larder::http::{Parameters, Request, cookie, is_form};
use larder_engine::manage::Visitor;
use larder_engine::pages::{Language, is_own_origin, words};

use crate::Pages;

/// The request of a visitor who is signed in.
pub struct Visit {
    /// The visitor.
    pub visitor: Visitor,
    /// The language of the answer.
    pub language: Language,
}

impl Pages {
    /// Returns the visitor of a request.
    ///
    /// # Errors
    /// 401 without a session, in words for people; 503 when the table or the key service fails.
    pub async fn visit(&self, request: &Request) -> Result<Visit, Error> {
        let language = Language::of(request.headers());
        let visitor = match self.session_cookie(request) {
            Some(cookie) => self.management.visitor(cookie).await?,
            None => None,
        };
        let Some(visitor) = visitor else { return Err(self.signed_out(language)) };
        Ok(Visit { visitor, language })
    }

    /// Returns the visitor who submitted a form, and the form.
    ///
    /// # Errors
    /// As [`Self::visit`]; 403 if another website sent the form.
    pub async fn submission(&self, request: &Request) -> Result<(Visit, Parameters), Error> {
        let visit = self.visit(request).await?;
        let form = if is_form(request.headers()) { Parameters::parse(request.body()) } else { Parameters::default() };
        let token = form.optional("formToken")?;
        if token == Some(&visit.visitor.form_token) && self.is_own_form(request) {
            return Ok((visit, form));
        }
        // A page of ours with the token of an earlier session.
        if token.is_some_and(|token| token.len() == visit.visitor.form_token.len()) && self.is_own_form(request) {
            return Err(Error::access_denied("").for_people(words::SIGNED_IN_SINCE.say(visit.language)));
        }
        Err(Error::access_denied("").for_people(words::OTHER_SITE.say(visit.language)))
    }

    /// Whether a page of ours may have sent the form.
    pub(crate) fn is_own_form(&self, request: &Request) -> bool {
        let site = request.headers().get("sec-fetch-site");
        let has_origin = request.headers().contains_key(header::ORIGIN);
        site.is_none_or(|site| site == "same-origin")
            && (!has_origin || is_own_origin(request, &self.base_uri))
            && (has_origin || site.is_some())
    }

    pub(crate) fn session_cookie<'a>(&self, request: &'a Request) -> Option<&'a str> {
        cookie(request.headers(), self.cookie_name()).filter(|value| !value.is_empty())
    }

    /// Returns the `Set-Cookie` value for a session, or for its end if the lifetime is zero.
    pub(crate) fn set_cookie(&self, value: &str, lifetime: Duration) -> String {
        let secure = if self.is_https() { "; Secure" } else { "" };
        let (name, seconds) = (self.cookie_name(), lifetime.as_secs());
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
    }

    fn cookie_name(&self) -> &'static str {
        if self.is_https() { "__Host-larder-page" } else { "larder-page" }
    }

    fn is_https(&self) -> bool {
        self.base_uri.starts_with("https:")
    }
}
