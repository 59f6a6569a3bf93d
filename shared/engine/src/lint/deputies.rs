//! Finds confused deputies: requests in which one of the workspace's secrets acts for the account named by an identifier. An
//! end user who chooses the identifier, without a token or password as proof, could act for someone else.

use serde_json::Value;

use super::context::OptionContext;
use super::flow::{self, Origin};
use super::hosts::{READ_ONLY, of};
use super::sources::{Content, FunctionSource, SourceKind};
use super::{Findings, Severity};
use crate::connector::{FunctionName, pointer};

pub(super) fn check(source: &FunctionSource<'_>, context: &OptionContext<'_>, findings: &mut Findings) {
    // The code is proof, and so is the provider's response to it.
    let is_proven =
        matches!(source.name, FunctionName::GetTokenData | FunctionName::GetCredentialsFromAccessTokenResponse);
    if is_proven {
        return;
    }
    match (source.kind, &source.content) {
        (SourceKind::Rest, _) => check_request(source, context, findings),
        (SourceKind::Script, Content::Text(text, _)) if source.name != FunctionName::GetOAuthConfig => {
            let text = Value::String((*text).to_owned());
            // All names in a script count as one request; a bare `credentials` says nothing about its members.
            let named = flow::named_in(text.as_str().unwrap_or_default());
            let named = named
                .into_iter()
                .filter(|origin| !matches!(origin, Origin::Credential(name) | Origin::Input(name) if name.is_empty()));
            let at = (source.file.unwrap_or("spec.yml"), None);
            judge(context, context.uses_secret(&text), named.collect(), at, findings);
        }
        _ => {}
    }
}

/// Checks a REST mapping together with the parts that the API client adds: paths, queries, headers, and bodies.
fn check_request(source: &FunctionSource<'_>, context: &OptionContext<'_>, findings: &mut Findings) {
    for (request, at) in source.requests() {
        check_one(source, context, request, &at, findings);
    }
}

fn check_one(
    source: &FunctionSource<'_>,
    context: &OptionContext<'_>,
    whole: &Value,
    at: &str,
    findings: &mut Findings,
) {
    let Some(file) = source.linted_file() else { return };
    let request = whole.get("requestMapping").cloned().unwrap_or_default();
    let is_bare = source.name == FunctionName::GetCredentialsFromConnectionParameters;
    let client =
        context.source(FunctionName::MakeApiClient).filter(|client| client.kind == SourceKind::Mapping && !is_bare);
    let client = client.and_then(FunctionSource::yaml).map(|(client, _)| sent_by(client, &request)).unwrap_or_default();
    let parts = [&request, &client];
    let origins = parts.into_iter().flat_map(flow::origins).collect();
    let is_secret = parts.into_iter().any(|part| context.uses_secret(part));
    let line = file.document.line(&pointer::child(at, "requestMapping")).or_else(|| file.document.line(at));
    judge(context, is_secret, origins, (file.path, line), findings);
}

/// The parts of an API client that are sent with a request: neither its address nor headers that the request overrides.
fn sent_by(client: &Value, request: &Value) -> Value {
    let mut client = client.get("args").unwrap_or(client).clone();
    let own = request.get("headers").and_then(Value::as_object);
    let is_own = |name: &str| own.is_some_and(|own| own.keys().any(|key| key.eq_ignore_ascii_case(name)));
    if flow::formula(&client).is_none()
        && let Some(client) = client.as_object_mut()
    {
        client.retain(|key, _| matches!(key.as_str(), "headers" | "query" | "defaultQueryParameters" | "auth"));
        if let Some(headers) = client.get_mut("headers").and_then(Value::as_object_mut) {
            headers.retain(|name, _| !is_own(name));
        }
    }
    client
}

fn judge(
    context: &OptionContext<'_>,
    is_secret: bool,
    origins: Vec<Origin>,
    at: (&str, Option<u64>),
    findings: &mut Findings,
) {
    let origins: Vec<Origin> = origins.into_iter().map(|origin| context.source_of(origin)).collect();
    if !is_secret || origins.iter().any(|origin| context.is_proof(origin)) {
        return;
    }
    let mut seen = Vec::new();
    for origin in origins {
        if seen.contains(&origin) {
            continue;
        }
        seen.push(origin.clone());
        let (what, help) = match &origin {
            Origin::Parameter(_) => continue,
            Origin::Credential(name) if context.is_read_only(name) => continue,
            Origin::Credential(name) => (of("`credentials.", name, "`"), READ_ONLY),
            Origin::Input(name) => (of("the input `", name, "`"), "ask for proof, such as a token"),
            Origin::Callback(name) => {
                (of("`", name, "` from the callback"), "take it from the provider's token response instead")
            }
        };
        let message = format!(
            "{what} decides for whom an integration's secret acts: anyone who changes it could act for someone else"
        );
        findings.add(Severity::Warning, at.0, at.1, message, help.to_owned());
    }
}
