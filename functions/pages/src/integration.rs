//! The page of an integration, which is also the one that creates it.
//!
//! # Decisions
//!
//! A try is an ordinary connection of the admin's own, so it shows exactly what end users will see. It stays, with a link to it.

use http::StatusCode;
use larder::error::Error;
use larder::http::{Parameters, Request, Response, noted, redirect, status_of};
use larder::scope::Scope;
use larder_engine::connect::{RequestedConnection, integration_page};
use larder_engine::connector::schema::FieldError;
use larder_engine::manage::IntegrationBody;
use larder_engine::pages::{
    self, EditorPage, Frame, IntegrationDetails, IntegrationForm, IntegrationPage, Notice, Submitted, Tone, words,
};
use serde_json::Value;

use crate::Pages;
use crate::credential::refused;
use crate::done::{signed, verified};
use crate::visit::Visit;

/// The way to the first page.
const ROOT: &str = "../";

/// How a submitted form ended.
enum Saved {
    Done(Value),
    /// The wrong details, the wrong parameters, and an error that belongs to no field.
    NotSaved(Vec<FieldError>, Vec<FieldError>, Option<Error>),
}

impl Pages {
    /// `GET /i/{key}`
    pub(crate) async fn open_integration(&self, key: &str, request: &Request) -> Result<Response, Error> {
        let visit = self.visit(request).await?.for_admin();
        let showing = async {
            let parameters = Parameters::of_query(request);
            let notice = match (parameters.optional("requestId")?, self.done_to(&visit, key, &parameters)?) {
                (Some(id), _) => self.tried(&visit, id).await,
                (None, Some("created")) => {
                    let notice = Notice::new("The integration was created", Tone::Good);
                    Some(Notice { detail: Some("Try it, to see what end users will see.".to_owned().into()), ..notice })
                }
                (None, Some("saved")) => Some(Notice::new("Saved", Tone::Good)),
                _ => None,
            };
            let asks_deletion = parameters.optional("ask")? == Some("delete");
            let page = IntegrationPage { asks_deletion, ..IntegrationPage::default() };
            self.editor(&visit, key, StatusCode::OK, notice, page).await
        };
        let page = Box::pin(showing).await;
        Ok(page.unwrap_or_else(|error| Self::admin_failure(&visit, ROOT, &error, words::NO_SUCH_INTEGRATION)))
    }

    /// `POST /i/{key}`
    pub(crate) async fn change_integration(&self, key: &str, request: &Request) -> Result<Response, Error> {
        let (visit, form) = self.submission(request).await?;
        let visit = visit.for_admin();
        let page = Box::pin(self.act_on_integration(&visit, key, &form)).await;
        Ok(page.unwrap_or_else(|error| Self::admin_failure(&visit, ROOT, &error, words::NO_SUCH_INTEGRATION)))
    }

    /// `GET /new/{connector}`
    pub(crate) async fn open_new_integration(&self, connector: &str, request: &Request) -> Result<Response, Error> {
        let visit = self.visit(request).await?.for_admin();
        let page = self.new_editor(&visit, connector, StatusCode::OK, IntegrationPage::default());
        Ok(page.unwrap_or_else(|error| Self::admin_failure(&visit, ROOT, &error, words::NO_SUCH_CONNECTOR)))
    }

    /// `POST /new/{connector}`
    pub(crate) async fn create_integration(&self, connector: &str, request: &Request) -> Result<Response, Error> {
        let (visit, form) = self.submission(request).await?;
        let visit = visit.for_admin();
        let creating = async {
            visit.require_admin(Scope::IntegrationsWrite)?;
            Ok(match self.save(&visit, None, connector, &form).await? {
                Saved::Done(view) => {
                    let key = view["key"].as_str().unwrap_or_default();
                    redirect(&format!("../i/{key}?done={}", self.signed_done("created", key, &visit)))
                }
                Saved::NotSaved(details, parameters, error) => {
                    let status = error.as_ref().map_or(StatusCode::BAD_REQUEST, status_of);
                    let submitted = submitted(&form, details, parameters, error);
                    let page = IntegrationPage { submitted: Some(submitted), ..IntegrationPage::default() };
                    self.new_editor(&visit, connector, status, page)?
                }
            })
        };
        let page: Result<Response, Error> = Box::pin(creating).await;
        Ok(page.unwrap_or_else(|error| Self::admin_failure(&visit, ROOT, &error, words::NO_SUCH_CONNECTOR)))
    }

    async fn act_on_integration(&self, visit: &Visit, key: &str, form: &Parameters) -> Result<Response, Error> {
        let caller = &visit.visitor.caller;
        let action = form.optional("do")?.unwrap_or_default();
        visit.require_admin(if action == "try" { Scope::ConnectionsConnect } else { Scope::IntegrationsWrite })?;
        match action {
            "save" => {
                let form_shown = self.management.integration_form(caller, key).await?;
                let connector = form_shown.view["connectorKey"].as_str().unwrap_or_default();
                match self.save(visit, Some(key), connector, form).await? {
                    Saved::Done(_) => Ok(redirect(&format!("{key}?done={}", self.signed_done("saved", key, visit)))),
                    Saved::NotSaved(details, parameters, error) => {
                        let status = error.as_ref().map_or(StatusCode::BAD_REQUEST, status_of);
                        let submitted = Some(submitted(form, details, parameters, error));
                        let page = IntegrationPage { submitted, ..IntegrationPage::default() };
                        self.editor(visit, key, status, None, page).await
                    }
                }
            }
            "try" => {
                let wanted = RequestedConnection {
                    integration_keys: vec![key.to_owned()],
                    allow_multiple_connections: true,
                    redirect_uri: Some(integration_page(&self.management.connector_setup.base_uri, key)),
                    ..RequestedConnection::default()
                };
                self.overviews.clear();
                self.lead_to_form(visit, ROOT, wanted).await
            }
            "delete" => {
                self.management.integration_form(caller, key).await?;
                match self.management.delete_integration(caller, key).await {
                    Ok(()) => {
                        let done = self.signed_done("deleted", key, visit);
                        Ok(redirect(&format!("../i?done={done}&on={key}")))
                    }
                    Err(error) => {
                        let notice = match error.data.as_ref().and_then(|data| data["connections"].as_u64()) {
                            Some(connections) => in_use(key, connections),
                            None => refused(&error, visit),
                        };
                        let page = IntegrationPage::default();
                        let page = self.editor(visit, key, status_of(&error), Some(notice), page).await?;
                        Ok(noted(page, &error))
                    }
                }
            }
            _ => Err(Error::bad_request("`do` must be one of the page's actions")),
        }
    }

    /// Creates or changes an integration with a submitted form.
    ///
    /// # Errors
    /// Those that have nothing to do with what was entered.
    async fn save(&self, visit: &Visit, key: Option<&str>, connector: &str, form: &Parameters) -> Result<Saved, Error> {
        let caller = &visit.visitor.caller;
        let fields = IntegrationDetails::new(key.is_none());
        let mut details = fields.read(form);
        let wrong_details = fields.check(&details);
        let wrong = match self.management.check_integration_form(caller, key, connector, form).await {
            Ok(wrong) => wrong,
            // Its page shows the rest.
            Err(error) if key.is_some() => return Ok(Saved::NotSaved(wrong_details, Vec::new(), Some(error))),
            Err(error) => return Err(error),
        };
        if !wrong_details.is_empty() || !wrong.is_empty() {
            return Ok(Saved::NotSaved(wrong_details, wrong, None));
        }
        details.insert("connectorKey".to_owned(), connector.into());
        let body = IntegrationBody::of_form(details, form)?;
        let saved = match key {
            None => self.management.create_integration(caller, body).await,
            Some(key) => self.management.patch_integration(caller, key, body).await,
        };
        Ok(match saved {
            Ok(view) => Saved::Done(view),
            Err(error) => match fields.error(&error.message) {
                Some(wrong) => Saved::NotSaved(vec![wrong], Vec::new(), None),
                None => Saved::NotSaved(Vec::new(), Vec::new(), Some(error)),
            },
        })
    }

    async fn editor(
        &self,
        visit: &Visit,
        key: &str,
        status: StatusCode,
        notice: Option<Notice>,
        page: IntegrationPage<'_>,
    ) -> Result<Response, Error> {
        visit.require_admin(Scope::IntegrationsRead)?;
        let caller = &visit.visitor.caller;
        let form = self.management.integration_form(caller, key).await?;
        let overview = self.overview(visit).await?;
        let page = IntegrationPage {
            connections: Some(overview.by_integration.0.get(key).copied().unwrap_or_default()),
            may_change: visit.may_change_integrations(),
            may_try: caller.scopes.include(Scope::ConnectionsConnect),
            ..page
        };
        let title = form.view["name"].as_str().unwrap_or_default().to_owned();
        Ok(pages::integration(status, Frame { notice, ..visit.frame(title, ROOT) }, EditorPage { form: &form, page }))
    }

    fn new_editor(
        &self,
        visit: &Visit,
        connector: &str,
        status: StatusCode,
        page: IntegrationPage<'_>,
    ) -> Result<Response, Error> {
        visit.require_admin(Scope::IntegrationsRead)?;
        let form: IntegrationForm = self.management.new_integration_form(&visit.visitor.caller, connector)?;
        let page = IntegrationPage { may_change: visit.may_change_integrations(), ..page };
        let frame = visit.frame("New integration".to_owned(), ROOT);
        Ok(pages::integration(status, frame, EditorPage { form: &form, page }))
    }

    /// Returns what a form of ours has just done to an integration.
    pub(crate) fn done_to<'a>(
        &self,
        visit: &Visit,
        key: &str,
        parameters: &'a Parameters,
    ) -> Result<Option<&'a str>, Error> {
        let now = self.management.clock.now().unix_timestamp();
        Ok(parameters.optional("done")?.and_then(|done| verified(done, &format!("i/{key}"), visit, now)))
    }

    fn signed_done(&self, name: &str, key: &str, visit: &Visit) -> String {
        signed(name, &format!("i/{key}"), visit, self.management.clock.now().unix_timestamp())
    }

    /// Says how a try ended, with a link to the connection.
    async fn tried(&self, visit: &Visit, request: &str) -> Option<Notice> {
        let (mut notice, connection) = self.connected(visit, request).await?;
        if let Some(id) = connection {
            notice.title = "It works: an account was connected".to_owned();
            notice.links.push(("The new credential".to_owned(), Some(format!("{ROOT}c/{}", pages::path_segment(&id)))));
        }
        Some(notice)
    }
}

fn submitted<'a>(
    fields: &'a Parameters,
    details: Vec<FieldError>,
    parameters: Vec<FieldError>,
    error: Option<Error>,
) -> Submitted<'a> {
    Submitted { fields, details, parameters, error: error.map(|error| error.message) }
}

/// Says how many connections keep an integration from being deleted, and links to them.
fn in_use(key: &str, connections: u64) -> Notice {
    let (number, use_it, the, them) = match connections {
        1 => ("1 credential".to_owned(), "uses", "the credential", "it"),
        many => (format!("{many} credentials"), "use", "the credentials", "them"),
    };
    Notice {
        detail: Some(format!("Without the integration, Larder could not refresh {the}. Delete {them} first.").into()),
        links: vec![(number.clone(), Some(format!("{ROOT}?integrationKey={key}")))],
        ..Notice::new(&format!("{number} {use_it} this integration, so it was not deleted"), Tone::Bad)
    }
}
