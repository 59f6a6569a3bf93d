//! Checks the keys that describe a connector for the catalog.

use serde_json::{Map, Value};
use url::Url;

use super::{Findings, LintedFile, Severity};
use crate::connector::{pointer, spelling};

/// The categories of the bundled connectors. Others are allowed, but may be misspelled.
const CATEGORIES: [&str; 27] = [
    "accounting",
    "ai",
    "analytics",
    "crm",
    "database",
    "dev",
    "documents",
    "ecommerce",
    "education",
    "finance",
    "forms",
    "games",
    "health",
    "hr",
    "iot",
    "it",
    "marketing",
    "media",
    "messaging",
    "payments",
    "productivity",
    "security",
    "social",
    "storage",
    "support",
    "travel",
    "website",
];

const LIFETIMES: [&str; 2] = ["accessToken", "refreshToken"];

const SETUP: [&str; 5] = ["date", "developer", "endUser", "registerUri", "source"];

pub(super) fn check(file: &LintedFile<'_>, findings: &mut Findings) {
    let spec = &file.document.value;
    for key in ["categories", "aliases", "quirks"] {
        let is_list = |value: &Value| value.as_array().is_some_and(|items| items.iter().all(Value::is_string));
        if spec.get(key).is_some_and(|value| !is_list(value)) {
            let help = format!("write `{key}: [one, another]`");
            file.report(
                findings,
                Severity::Error,
                &format!("/{key}"),
                format!("`{key}` must be a list of strings"),
                help,
            );
        }
    }
    for (index, category) in spec.get("categories").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let Some(category) = category.as_str().filter(|category| !CATEGORIES.contains(category)) else { continue };
        let help = match spelling::nearest(category, CATEGORIES) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("the bundled connectors use {}", CATEGORIES.join(", ")),
        };
        let message = format!("unknown category `{category}`");
        file.report(findings, Severity::Warning, &format!("/categories/{index}"), message, help);
    }
    if let Some(evidence) = spec.get("evidence")
        && evidence != "docs"
        && evidence.as_u64().is_none_or(|sources| sources == 0)
    {
        let message = "`evidence` must be the number of sources that agree, or `docs`".to_owned();
        let help = "count independent sources, or read the provider's documentation".to_owned();
        file.report(findings, Severity::Error, "/evidence", message, help);
    }
    findings.check_keys(file, "/lifetimes", &LIFETIMES, "`lifetimes`");
    findings.check_keys(file, "/setup", &SETUP, "`setup`");
    check_lifetimes(file, findings);
    check_setup(file, findings);
    let options = spec.pointer("/auth/options").and_then(Value::as_object).into_iter().flat_map(Map::keys);
    let ways = options.map(|key| pointer::child("/auth/options", key)).chain(["/auth".to_owned()]);
    let help = ways.flat_map(|at| [format!("{at}/ui/helpUri"), format!("{at}/helpUri")]);
    let links = ["/apiDocsUri", "/logoUri", "/setup/registerUri", "/setup/source"].map(str::to_owned);
    for at in help.chain(links) {
        check_link(file, &at, findings);
    }
}

fn check_lifetimes(file: &LintedFile<'_>, findings: &mut Findings) {
    for (name, lifetime) in file.document.value.get("lifetimes").and_then(Value::as_object).into_iter().flatten() {
        if lifetime.as_u64().is_none_or(|seconds| seconds == 0) {
            let at = pointer::child("/lifetimes", name);
            let message = format!("`{name}` must be a number of seconds");
            file.report(findings, Severity::Error, &at, message, "remove it if the lifetime is unknown".to_owned());
        }
    }
}

/// Help that was read somewhere says where and when, so that it can be checked again.
fn check_setup(file: &LintedFile<'_>, findings: &mut Findings) {
    let Some(setup) = file.document.value.get("setup") else { return };
    let has = |key: &str| setup.get(key).is_some();
    if (has("developer") || has("endUser")) && !(has("source") && has("date")) {
        let message = "`setup` has instructions, but not their `source` and `date`".to_owned();
        let help = "add the page that they are from, and the day you read it".to_owned();
        file.report(findings, Severity::Warning, "/setup", message, help);
    }
}

/// Reports links that cannot work, by their form.
fn check_link(file: &LintedFile<'_>, at: &str, findings: &mut Findings) {
    let Some(link) = file.document.value.pointer(at).filter(|link| !link.is_null()) else { return };
    let is_usable = link.as_str().and_then(|link| Url::parse(link).ok()).is_some_and(|url| {
        let host = url.host_str().unwrap_or_default();
        let is_placeholder = is_within(host, &["example", "example.com", "test", "localhost", "invalid"]);
        let written = link.as_str().unwrap_or_default();
        url.scheme() == "https"
            && host.contains('.')
            && !is_placeholder
            && url.username().is_empty()
            && !written.contains(|char: char| char.is_whitespace() || "{}<>".contains(char))
    });
    if !is_usable {
        let name = at.rsplit('/').next().unwrap_or_default();
        let message = format!("`{name}` cannot be opened");
        file.report(findings, Severity::Error, at, message, "write a complete https address".to_owned());
    }
}

/// Whether a host is one of these domains, or under one.
pub(super) fn is_within(host: &str, domains: &[&str]) -> bool {
    domains.iter().any(|it| host == *it || host.strip_suffix(it).is_some_and(|before| before.ends_with('.')))
}
