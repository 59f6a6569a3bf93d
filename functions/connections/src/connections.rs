//! The routes of connections.

use std::collections::BTreeMap;

use http::StatusCode;
use larder::caller::Caller;
use larder::connection::{Connection, DetailsPatch, Flow};
use larder::credentials::Credentials;
use larder::dynamodb::Attempt;
use larder::error::Error;
use larder::http::{Parameters, Request, Response, empty, json, present, read_json};
use larder_engine::manage::{Creation, Deletion, Filters, NewSecrets, flag, one_of};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::Connections;

/// The body of `PATCH` and `PUT /connections/{id}`. Members that are left out stay as they are; `null` removes a value.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PatchBody {
    #[serde(default, deserialize_with = "present")]
    name: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    key: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    tags: Option<Option<BTreeMap<String, String>>>,
    #[serde(default, deserialize_with = "present")]
    meta: Option<Option<Map<String, Value>>>,
    #[serde(default, deserialize_with = "present")]
    is_deactivated: Option<Option<bool>>,
    auth_option_key: Option<String>,
    input: Option<Map<String, Value>>,
    connector_parameters: Option<Map<String, Value>>,
    #[serde(default, deserialize_with = "present")]
    credentials: Option<Credentials>,
}

/// The body of `POST /connections`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateBody {
    integration_key: Option<String>,
    integration_id: Option<String>,
    tenant_key: Option<String>,
    key: Option<String>,
    name: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    meta: Option<Map<String, Value>>,
    auth_option_key: Option<String>,
    input: Option<Map<String, Value>>,
    connector_parameters: Option<Map<String, Value>>,
    #[serde(default, deserialize_with = "present")]
    credentials: Option<Credentials>,
    #[serde(default = "yes")]
    test: bool,
}

impl CreateBody {
    fn into_creation(self) -> Result<Creation, Error> {
        let integration_key = one_of(["integrationKey", "integrationId"], self.integration_key, self.integration_id)?
            .filter(|key| !key.is_empty())
            .ok_or_else(|| Error::bad_request("`integrationKey` is missing; add the key of an integration"))?;
        Ok(Creation {
            integration_key,
            tenant: self.tenant_key,
            details: DetailsPatch {
                name: self.name.map(Some),
                key: self.key.map(Some),
                tags: self.tags,
                meta: self.meta.map(Some),
                is_deactivated: None,
            },
            secrets: NewSecrets {
                option_key: self.auth_option_key,
                input: self.input,
                connector_parameters: self.connector_parameters,
                credentials: self.credentials,
            },
            is_tested: self.test,
        })
    }
}

/// Checks the body of `POST /connections`, as far as that is possible without its integration.
///
/// # Errors
/// Those of the route.
pub fn check_creation(body: Vec<u8>) -> Result<(), Error> {
    read_json::<CreateBody>(&Request::new(body.into()))?.into_creation()?.check()
}

impl PatchBody {
    /// Reads the body. SDKs send the whole connection back as they were shown it, with the changes, so members that callers
    /// cannot change are ignored.
    fn read(request: &Request) -> Result<Self, Error> {
        let mut members: BTreeMap<String, Box<RawValue>> = read_json(request)?;
        let sent = members.len();
        members.retain(|name, _| !Connection::READ_ONLY.contains(&name.as_str()));
        if members.len() == sent {
            // Errors have their position in the body.
            return read_json(request);
        }
        let body = serde_json::to_vec(&members).map_err(Error::internal)?;
        read_json(&Request::new(body.into()))
    }
}

/// The body of `PUT /connections/{id}/flows/{flow}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FlowBody {
    name: Option<String>,
    uri: Option<String>,
    #[serde(default = "yes")]
    active: bool,
}

fn yes() -> bool {
    true
}

impl Connections {
    pub(crate) async fn list_connections(&self, caller: &Caller, request: &Request) -> Result<Response, Error> {
        let filters = Filters::read(&Parameters::of_query(request), caller)?;
        Ok(json(StatusCode::OK, &self.management.list(caller, &filters).await?))
    }

    pub(crate) async fn create_connection(&self, caller: &Caller, request: &Request) -> Result<Response, Error> {
        let creation = read_json::<CreateBody>(request)?.into_creation()?;
        Ok(json(StatusCode::OK, &self.management.create(caller, &creation).await?.view()))
    }

    pub(crate) async fn get_connection(
        &self,
        caller: &Caller,
        selector: &str,
        request: &Request,
    ) -> Result<Response, Error> {
        let parameters = Parameters::of_query(request);
        let tenant = parameters.optional("tenantId")?;
        let connection = match flag(&parameters, "includeArchived")? {
            Some(true) => self.management.find_with_archived(caller, selector, tenant).await?,
            _ => self.management.find(caller, selector, tenant).await?,
        };
        Ok(json(StatusCode::OK, &connection.view()))
    }

    pub(crate) async fn patch_connection(
        &self,
        caller: &Caller,
        selector: &str,
        request: &Request,
    ) -> Result<Response, Error> {
        let body = PatchBody::read(request)?;
        let patch = DetailsPatch {
            name: body.name,
            key: body.key,
            tags: body.tags.map(Option::unwrap_or_default),
            meta: body.meta,
            is_deactivated: body.is_deactivated.map(Option::unwrap_or_default),
        };
        let secrets = NewSecrets {
            option_key: body.auth_option_key,
            input: body.input,
            connector_parameters: body.connector_parameters,
            credentials: body.credentials,
        };
        let tenant = tenant_of(request)?;
        let connection =
            self.management.patch_with_secrets(caller, selector, tenant.as_deref(), &patch, &secrets).await?;
        Ok(json(StatusCode::OK, &connection.view()))
    }

    pub(crate) async fn delete_connection(
        &self,
        caller: &Caller,
        selector: &str,
        request: &Request,
    ) -> Result<Response, Error> {
        let parameters = Parameters::of_query(request);
        let deletion = Deletion {
            force: flag(&parameters, "force")?.unwrap_or(false),
            permanent: flag(&parameters, "permanent")?.unwrap_or(false),
        };
        self.management.delete(caller, selector, parameters.optional("tenantId")?, deletion).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    pub(crate) async fn restore_connection(&self, caller: &Caller, id: &str) -> Result<Response, Error> {
        Ok(json(StatusCode::OK, &self.management.restore(caller, id).await?.view()))
    }

    pub(crate) async fn disconnect_connection(
        &self,
        caller: &Caller,
        selector: &str,
        request: &Request,
    ) -> Result<Response, Error> {
        self.management.disconnect(caller, selector, tenant_of(request)?.as_deref()).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    pub(crate) async fn list_attempts(
        &self,
        caller: &Caller,
        selector: &str,
        request: &Request,
    ) -> Result<Response, Error> {
        let attempts = self.management.attempts(caller, selector, tenant_of(request)?.as_deref()).await?;
        let items: Vec<_> = attempts.iter().map(Attempt::view).collect();
        Ok(json(StatusCode::OK, &json!({ "items": items })))
    }

    pub(crate) async fn list_dependencies(
        &self,
        caller: &Caller,
        selector: &str,
        request: &Request,
    ) -> Result<Response, Error> {
        let connection = self.management.find(caller, selector, tenant_of(request)?.as_deref()).await?;
        let flows = connection.details.flows.iter().map(|(id, flow)| {
            let mut item = json!(flow);
            item["type"] = "flow".into();
            item["id"] = id.as_str().into();
            item
        });
        Ok(json(StatusCode::OK, &flows.collect::<Vec<_>>()))
    }

    pub(crate) async fn put_flow(
        &self,
        caller: &Caller,
        selector: &str,
        flow: &str,
        request: &Request,
    ) -> Result<Response, Error> {
        let FlowBody { name, uri, active } = read_json(request)?;
        let body = Flow { name, uri, active };
        self.management.put_flow(caller, selector, tenant_of(request)?.as_deref(), flow, &body).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    pub(crate) async fn delete_flow(
        &self,
        caller: &Caller,
        selector: &str,
        flow: &str,
        request: &Request,
    ) -> Result<Response, Error> {
        self.management.delete_flow(caller, selector, tenant_of(request)?.as_deref(), flow).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    pub(crate) async fn test_connection(
        &self,
        caller: &Caller,
        selector: &str,
        request: &Request,
    ) -> Result<Response, Error> {
        let result = self.management.test(caller, selector, tenant_of(request)?.as_deref()).await?;
        Ok(json(StatusCode::OK, &result))
    }

    pub(crate) async fn refresh_connection(
        &self,
        caller: &Caller,
        selector: &str,
        request: &Request,
    ) -> Result<Response, Error> {
        let connection = self.management.refresh(caller, selector, tenant_of(request)?.as_deref()).await?;
        Ok(json(StatusCode::OK, &connection.view()))
    }
}

/// The tenant that an admin names in `tenantId`, whose connection a key means.
fn tenant_of(request: &Request) -> Result<Option<String>, Error> {
    Ok(Parameters::of_query(request).optional("tenantId")?.map(ToOwned::to_owned))
}
