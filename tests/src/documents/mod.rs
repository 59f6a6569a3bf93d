//! The files of the repository that tests read: documents with their tables, the manifest's routes, the deployment template.

pub mod document;
pub mod template;
