//! A visitor's request: the session behind its cookie, and the checks of its forms.

use std::time::Duration;

use http::{HeaderValue, header};
use larder::caller::refused;
use larder::error::Error;
use larder::http::{Parameters, Request, Response, cookie, is_form};
use larder_engine::manage::Visitor;
use larder_engine::pages::{Language, is_own_origin, words};

use crate::Pages;

/// The cookie of the session.
pub(crate) const SESSION: &str = "larder-page";
/// The cookie with the page to open after signing in.
pub(crate) const WANTED: &str = "larder-wanted-page";

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
    /// 401 without a session; 503 when the table or the key service fails.
    pub async fn visit(&self, request: &Request) -> Result<Visit, Error> {
        let visitor = match self.cookie(SESSION, request) {
            Some(cookie) => self.management.visitor(cookie).await?,
            None => None,
        };
        let visitor = visitor.ok_or_else(|| refused("no session"))?;
        Ok(Visit { visitor, language: Language::of(request.headers()) })
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
            return Err(Error::access_denied("").for_people(words::SIGNED_IN_SINCE.with(visit.language, &visit.name())));
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

    /// Returns the value of a cookie of ours.
    pub(crate) fn cookie<'a>(&self, name: &str, request: &'a Request) -> Option<&'a str> {
        cookie(request.headers(), &format!("{}{name}", self.cookie_prefix())).filter(|value| !value.is_empty())
    }

    /// Sets a cookie of ours, or ends it if the lifetime is zero.
    ///
    /// # Errors
    /// 500 for a value that no header can have.
    pub(crate) fn set_cookie(
        &self,
        response: &mut Response,
        name: &str,
        value: &str,
        lifetime: Duration,
    ) -> Result<(), Error> {
        let (prefix, seconds) = (self.cookie_prefix(), lifetime.as_secs());
        let secure = if prefix.is_empty() { "" } else { "; Secure" };
        let cookie = format!("{prefix}{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        response.headers_mut().append(header::SET_COOKIE, HeaderValue::try_from(cookie).map_err(Error::internal)?);
        Ok(())
    }

    /// Browsers accept names with this prefix only from us, and only with `Secure`.
    fn cookie_prefix(&self) -> &'static str {
        if self.base_uri.starts_with("https:") { "__Host-" } else { "" }
    }
}

impl Visit {
    /// The visitor's name: the tenant, or an admin of the workspace.
    fn name(&self) -> String {
        let caller = &self.visitor.caller;
        match &caller.tenant {
            Some(tenant) if !caller.admin => tenant.clone(),
            _ => words::ADMIN_OF.with(self.language, &caller.workspace),
        }
    }
}
