//! Files of the repository that tests read: documents with tables, the manifest's routes, and the deployment template.

pub mod document;
pub mod template;
