//! Larder against third-party software: a certified authorization server, databases, a browser, Membrane's SDKs, a generated client,
//! and the Node.js libraries that connectors can import.

mod axios;
mod chromium;
mod connect_js;
mod credentials_page;
mod database_login;
mod form;
mod integrations_page;
mod mapping;
mod minute;
mod odd_answers;
mod oidc;
mod openapi;
mod picker;
mod sdk;
