//! Programs of others on the other side: a certified authorization server, databases, a browser, and the Node.js libraries that
//! connectors know.

mod axios;
mod chromium;
mod database_login;
mod mapping;
mod odd_answers;
mod oidc;
