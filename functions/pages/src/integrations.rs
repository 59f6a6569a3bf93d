//! The pages of admins: the list of integrations, and the choice of a connector for a new one.
//!
//! # Decisions
//!
//! For tenants these pages do not exist, so that nothing shows which integrations a workspace has beyond what tenants may connect
//! through.

use std::collections::BTreeMap;

use larder::error::{Error, ErrorClass};
use larder::http::{Parameters, Request, Response};
use larder::scope::Scope;
use larder_engine::manage::{ConnectorFilters, IntegrationFilters};
use larder_engine::pages::words::{self, Words};
use larder_engine::pages::{self, ConnectorsPage, Frame, IntegrationsPage, Language, Notice, Tone};
use serde_json::Value;

use crate::Pages;
use crate::visit::Visit;

/// The most integrations, and the most connectors, on a page.
const INTEGRATIONS: usize = 100;
const CONNECTORS: usize = 60;

impl Pages {
    /// `GET /i`
    pub(crate) async fn open_integrations(&self, request: &Request) -> Result<Response, Error> {
        let visit = self.visit(request).await?.for_admin();
        let page = Box::pin(self.integrations(&visit, request)).await;
        Ok(page.unwrap_or_else(|error| Self::admin_failure(&visit, "./", &error, words::NO_SUCH_INTEGRATION)))
    }

    /// `GET /new`
    pub(crate) async fn open_connectors(&self, request: &Request) -> Result<Response, Error> {
        let visit = self.visit(request).await?.for_admin();
        let page = Box::pin(self.connectors(&visit, request)).await;
        Ok(page.unwrap_or_else(|error| Self::admin_failure(&visit, "./", &error, words::NO_SUCH_INTEGRATION)))
    }

    async fn integrations(&self, visit: &Visit, request: &Request) -> Result<Response, Error> {
        visit.require_admin(Scope::IntegrationsRead)?;
        let caller = &visit.visitor.caller;
        let parameters = Parameters::of_query(request);
        let filters = IntegrationFilters::read(&limited(&parameters, &["search", "cursor"], INTEGRATIONS)?)?;
        let (listed, overview) =
            tokio::try_join!(self.management.list_integrations(caller, &filters), self.overview(visit))?;
        let items = members(&listed, "items");
        let connector = |view: &Value| {
            let connector = self.management.connector_setup.catalog.get(view["connectorKey"].as_str()?)?;
            Some((connector.key.clone(), connector.name.clone()))
        };
        let connectors: BTreeMap<_, _> = items.iter().filter_map(connector).collect();
        let page = IntegrationsPage {
            items,
            connectors: &connectors,
            counts: &overview.by_integration,
            search: parameters.optional("search")?.unwrap_or_default(),
            cursor: listed["cursor"].as_str(),
            is_first: is_first(&parameters)?,
            may_change: visit.may_change_integrations(),
        };
        let done = self.done_to(visit, parameters.optional("on")?.unwrap_or_default(), &parameters)?;
        let notice = (done == Some("deleted")).then(|| Notice::new("The integration was deleted", Tone::Good));
        Ok(pages::integrations(Frame { notice, ..visit.frame("Integrations".to_owned(), "./") }, &page))
    }

    async fn connectors(&self, visit: &Visit, request: &Request) -> Result<Response, Error> {
        visit.require_admin(Scope::IntegrationsRead)?;
        let parameters = Parameters::of_query(request);
        let filters = limited(&parameters, &["search", "category", "cursor"], CONNECTORS)?;
        let filters = ConnectorFilters::read(&filters)?;
        let listed = self.management.list_connectors(&visit.visitor.caller, &filters).await?;
        let guide = self.management.catalog_guide();
        let page = ConnectorsPage {
            items: members(&listed, "items"),
            suggestions: members(&listed, "suggestions"),
            broken: members(&listed, "broken"),
            generic: &guide.generic,
            categories: &guide.categories,
            search: parameters.optional("search")?.unwrap_or_default(),
            category: parameters.optional("category")?.unwrap_or_default(),
            cursor: listed["cursor"].as_str(),
            is_first: is_first(&parameters)?,
        };
        Ok(pages::connectors(visit.frame("Choose a connector".to_owned(), "./"), &page))
    }

    /// Renders an error on a page of admins. `not_found` says to them what is missing.
    pub(crate) fn admin_failure(visit: &Visit, root: &'static str, error: &Error, not_found: Words) -> Response {
        Self::failure_of(visit, root, error, if visit.visitor.caller.admin { not_found } else { words::NO_SUCH_PAGE })
    }
}

impl Visit {
    /// Returns the visit of a page that admins have in English only.
    pub(crate) fn for_admin(self) -> Self {
        let language = if self.visitor.caller.admin { Language::En } else { self.language };
        Self { language, ..self }
    }

    /// Checks that the visitor is an admin whose session allows this.
    ///
    /// # Errors
    /// 404 for tenants, to whom these pages do not exist; 403 without the scope.
    pub(crate) fn require_admin(&self, scope: Scope) -> Result<(), Error> {
        let caller = &self.visitor.caller;
        caller.require_admin().map_err(|error| Error { class: ErrorClass::NotFound, ..error })?;
        caller.require(scope)
    }

    /// Whether the session may change integrations.
    pub(crate) fn may_change_integrations(&self) -> bool {
        let caller = &self.visitor.caller;
        caller.scopes.include(Scope::IntegrationsRead) && caller.scopes.include(Scope::IntegrationsWrite)
    }
}

/// Returns the named parameters of a page, with the size of its list.
fn limited(parameters: &Parameters, names: &[&str], limit: usize) -> Result<Parameters, Error> {
    let mut query = form_urlencoded::Serializer::new(format!("limit={limit}"));
    for name in names {
        query.extend_pairs(parameters.optional(name)?.map(|value| (name, value)));
    }
    Ok(Parameters::parse(query.finish().as_bytes()))
}

fn is_first(parameters: &Parameters) -> Result<bool, Error> {
    Ok(parameters.optional("cursor")?.is_none_or(|cursor| cursor.is_empty() || cursor == "0"))
}

fn members<'a>(listed: &'a Value, name: &str) -> &'a [Value] {
    listed[name].as_array().map(Vec::as_slice).unwrap_or_default()
}
