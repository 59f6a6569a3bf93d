//! The routes of page links.

use http::StatusCode;
use larder::caller::Caller;
use larder::error::Error;
use larder::http::{Request, Response, empty, json, read_json};
use serde::Deserialize;

use crate::Connections;

/// The body of `POST /page-links`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PageLinkBody {
    tenant_key: Option<String>,
    expires_in: Option<u64>,
}

impl Connections {
    pub(crate) async fn create_page_link(&self, caller: &Caller, request: &Request) -> Result<Response, Error> {
        let body: PageLinkBody = read_json(request)?;
        let created = self.management.create_page_link(caller, body.tenant_key, body.expires_in).await?;
        Ok(json(StatusCode::CREATED, &created))
    }

    pub(crate) async fn revoke_page_link(&self, caller: &Caller, id: &str) -> Result<Response, Error> {
        self.management.revoke_page_link(caller, id).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }
}
