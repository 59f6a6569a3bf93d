//! Files of the repository that tests read: documents with tables, the manifest's routes, the OpenAPI document, and the deployment
//! template.

pub mod document;
pub mod openapi;
pub mod template;
