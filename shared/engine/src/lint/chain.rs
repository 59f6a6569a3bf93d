//! Checks what the requests of a preset's `steps` hand on to each other.

use serde_json::Value;

use super::{Findings, LintedFile, Severity};
use crate::connector::mapping::names_in_locator;
use crate::connector::preset::template::placeholders;
use crate::connector::{pointer, spelling};

/// The variable with the results of earlier requests.
const BEFORE: &str = "before";

/// The member of the last result that requests to the API send.
const TOKEN: &str = "access_token";

/// A member of `before` that is used, and the pointer to it; `None` stands for any of them.
type Use = (Option<String>, String);

pub(super) fn check(file: &LintedFile<'_>, findings: &mut Findings) {
    check_elsewhere(file, findings);
    let steps = file.document.value.get("steps").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let results: Vec<_> = steps.iter().map(result).collect();
    let uses: Vec<_> = steps.iter().enumerate().map(|(index, step)| uses(step, &format!("/steps/{index}"))).collect();
    for (index, used) in uses.iter().enumerate() {
        // A result that is not written out may have any member.
        let known: Option<Vec<_>> = results[..index].iter().cloned().collect();
        let Some(known) = known.map(|results| results.concat()) else { break };
        check_known(used, &known, file, findings);
    }
    if let Some((Some(last), earlier)) = results.split_last() {
        check_last(last, earlier.len(), file, findings);
        check_lost(last, earlier, &uses, file, findings);
    }
}

fn check_elsewhere(file: &LintedFile<'_>, findings: &mut Findings) {
    for key in ["account", "baseUri", "parameters"] {
        let Some(value) = file.document.value.get(key) else { continue };
        for (_, at) in uses(value, &format!("/{key}")) {
            let help = "use what the last request returned, as in `{credentials.access_token}`".to_owned();
            file.report(findings, Severity::Error, &at, "`before` exists only in requests".to_owned(), help);
        }
    }
}

fn check_last(last: &[&str], index: usize, file: &LintedFile<'_>, findings: &mut Findings) {
    if !last.contains(&TOKEN) {
        let message = format!("the last request's result has no `{TOKEN}`");
        let help = format!("add `{TOKEN}: {{ $var: response.data.… }}`; only the last result is kept");
        file.report(findings, Severity::Error, &format!("/steps/{index}/responseMapping"), message, help);
    }
}

fn check_lost(
    last: &[&str],
    earlier: &[Option<Vec<&str>>],
    uses: &[Vec<Use>],
    file: &LintedFile<'_>,
    findings: &mut Findings,
) {
    for (index, result) in earlier.iter().enumerate() {
        let is_used =
            |name: &str| uses[index + 1..].iter().flatten().any(|(it, _)| it.as_deref().is_none_or(|it| it == name));
        for name in result.iter().flatten().filter(|name| !last.contains(name) && !is_used(name)) {
            let at = pointer::child(&format!("/steps/{index}/responseMapping"), name);
            let message = format!("`{name}` is lost, because only the last request's result is kept");
            let help = format!("add `{name}: {{ $var: {BEFORE}.{name} }}` to the last `responseMapping`, or remove it");
            file.report(findings, Severity::Warning, &at, message, help);
        }
    }
}

/// The members of a request's result, if they are written out.
fn result(step: &Value) -> Option<Vec<&str>> {
    let result = step.get("responseMapping")?.as_object()?;
    let is_formula = result.keys().next().is_some_and(|key| key.starts_with('$'));
    (!is_formula).then(|| result.keys().map(String::as_str).collect())
}

fn check_known(used: &[Use], known: &[&str], file: &LintedFile<'_>, findings: &mut Findings) {
    for (name, at) in used {
        let Some(name) = name.as_deref().filter(|name| !known.contains(name)) else { continue };
        let message = format!("no earlier request returns `{name}`");
        let help = match spelling::nearest(name, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if known.is_empty() => "add it to the `responseMapping` of an earlier request".to_owned(),
            None => format!("they return {}", known.join(", ")),
        };
        file.report(findings, Severity::Error, at, message, help);
    }
}

fn uses(value: &Value, at: &str) -> Vec<Use> {
    match value {
        Value::String(text) => {
            let names = placeholders(text).filter_map(|name| name.strip_prefix("before."));
            let name = |path: &str| path.split('.').next().map(str::to_owned);
            names.map(|path| (name(path), at.to_owned())).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(index, item)| uses(item, &format!("{at}/{index}"))).collect()
        }
        Value::Object(object) => match object.iter().next().map(|(key, argument)| (key.as_str(), argument)) {
            Some(("$var", Value::String(locator))) => {
                let names = names_in_locator(locator).unwrap_or_default();
                let is_before = names.first().is_some_and(|name| name == BEFORE);
                if is_before { vec![(names.get(1).cloned(), at.to_owned())] } else { Vec::new() }
            }
            Some(("$jsonata", Value::String(text))) if text.contains(BEFORE) => vec![(None, at.to_owned())],
            Some(("$tpl", argument)) => argument.get("values").map(|values| uses(values, at)).unwrap_or_default(),
            Some(("$plain", _)) => Vec::new(),
            _ => object.iter().flat_map(|(key, value)| uses(value, &pointer::child(at, key))).collect(),
        },
        _ => Vec::new(),
    }
}
