//! Checks the keys of `spec.yml`, and which functions each auth type has.

use super::sources::{AuthScope, is_inline};
use super::{Findings, LintedFile, Severity};
use crate::connector::{AuthType, FunctionName, RefreshRules, pointer};

const TOP: [&str; 28] = [
    "aliases",
    "api",
    "apiDocsUri",
    "appUuid",
    "auth",
    "categories",
    "data",
    "description",
    "evidence",
    "externalAppId",
    "hasReadme",
    "inputSchema",
    "key",
    "knowledgeBaseUuid",
    "lifetimes",
    "logoUri",
    "name",
    "operations",
    "parametersSchema",
    "presets",
    "quirks",
    "setup",
    "test",
    "testReason",
    "udm",
    "udms",
    "ui",
    "workspaceId",
];

const UI: [&str; 4] = ["description", "helpUri", "schema", "test"];

/// The keys of `auth` and of each option, without the functions.
const AUTH: [&str; 12] = [
    "credentialsSchema",
    "customCredentialsSchema",
    "description",
    "enabled",
    "helpUri",
    "inputSchema",
    "isAlternative",
    "parametersSchema",
    "proxyKey",
    "title",
    "type",
    "ui",
];

const FUNCTION: [&str; 8] = [
    "code",
    "filePath",
    "implementationType",
    "inheritedFromPath",
    "isIncomplete",
    "mapping",
    "parametersSchema",
    "type",
];

pub(super) fn check_spec(file: &LintedFile<'_>, scopes: &[AuthScope<'_>], findings: &mut Findings) {
    let functions = FunctionName::ALL.into_iter().flat_map(|name| [Some(name.spec_key()), name.old_spec_key()]);
    let of_option: Vec<&str> = AUTH.into_iter().chain(functions.flatten()).collect();
    let of_auth: Vec<&str> = of_option.iter().copied().chain(["options"]).collect();
    if is_inline(&file.document.value) {
        let of_both: Vec<&str> = TOP.iter().chain(&of_auth).copied().collect();
        findings.check_keys(file, "", &of_both, "spec.yml");
    } else {
        findings.check_keys(file, "", &TOP, "spec.yml");
        findings.check_keys(file, "/auth", &of_auth, "`auth`");
        findings.check_keys(file, "/ui", &UI, "`ui`");
    }
    for scope in scopes {
        if let Some(option) = scope.option {
            findings.check_keys(file, &scope.at, &of_option, &format!("the option `{option}`"));
        }
        findings.check_keys(file, &format!("{}/ui", scope.at), &UI, "`ui`");
        for name in FunctionName::ALL {
            if let Some((key, _)) = scope.entry(name) {
                let at = pointer::child(&scope.at, key);
                let rules = RefreshRules::KEYS.iter().filter(|_| name == FunctionName::RefreshCredentials);
                let known: Vec<&str> = FUNCTION.into_iter().chain(rules.map(|(key, _)| *key)).collect();
                findings.check_keys(file, &at, &known, &format!("`{key}`"));
                check_type(file, scope, name, &at, findings);
            }
        }
        if file.document.value.get("testReason").is_none() {
            check_test(file, scope, findings);
        }
    }
}

fn check_type(file: &LintedFile<'_>, scope: &AuthScope<'_>, name: FunctionName, at: &str, findings: &mut Findings) {
    let Some(kind) = scope.kind.filter(|kind| AuthType::NAMES.contains(kind)) else { return };
    // With options, a function in `auth` applies only to options whose type has it.
    if !scope.has_options && !name.types().contains(&kind) {
        let message = format!("the auth type {kind} has no function `{}`", name.spec_key());
        let help = format!("remove it; it is only for {}", name.types().join(", "));
        file.report(findings, Severity::Error, at, message, help);
    }
}

fn check_test(file: &LintedFile<'_>, scope: &AuthScope<'_>, findings: &mut Findings) {
    if scope.has_options || scope.has(FunctionName::Test) || is_minted(scope) {
        return;
    }
    let message = match scope.option {
        Some(option) => format!("the option `{option}` has no `test`, so any credentials are accepted"),
        None => "there is no `test`, so any credentials are accepted".to_owned(),
    };
    let help = "add `test: {implementationType: rest-api-mapping}` and auth/test.rest.yml".to_owned();
    file.report(findings, Severity::Warning, &scope.at, message, help);
}

/// Whether the provider itself issues credentials for the input, which already tests them.
fn is_minted(scope: &AuthScope<'_>) -> bool {
    let entry = scope.entry(FunctionName::GetCredentialsFromConnectionParameters);
    let kind = entry.and_then(|(_, entry)| entry.get("implementationType").or(entry.get("type")));
    kind.is_some_and(|kind| kind != "mapping")
}
