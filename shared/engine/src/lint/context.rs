//! One auth option's functions: which secrets they send, and what is known about their values.

use std::rc::Rc;

use larder::credentials::is_secret_name;
use serde_json::{Map, Value, json};

use super::flow::{self, Origin};
use super::sources::{AuthScope, Content, FunctionSource, SourceKind};
use super::{Document, Files, schemas};
use crate::connector::FunctionName;
use crate::connector::secrecy::{is_hidden, uses_secret};

/// The functions and schemas of one auth option.
pub(super) struct OptionContext<'a> {
    /// The authentication type.
    pub(super) kind: Option<&'a str>,
    /// The implementations, including those inherited from `auth`.
    sources: Vec<FunctionSource<'a>>,
    inputs: Vec<&'a Value>,
    parameters: Value,
    credentials: Vec<&'a Value>,
    callback_fields: Vec<String>,
}

impl<'a> OptionContext<'a> {
    pub(super) fn new(
        scope: &'a AuthScope<'a>,
        spec: &'a Value,
        scopes: &'a [AuthScope<'a>],
        document: &Rc<Document>,
        files: &'a Files,
    ) -> Self {
        let mut sources = scope.sources(document, files);
        let parent = scopes.iter().find(|other| scope.option.is_some() && other.option.is_none());
        for inherited in parent.into_iter().flat_map(|parent| parent.sources(document, files)) {
            if !sources.iter().any(|own| own.name == inherited.name) {
                sources.push(inherited);
            }
        }
        let levels = || [Some(scope.value), scope.parent, Some(spec)].into_iter().flatten();
        let properties = |schema: &'static str| {
            levels().filter_map(move |level| level.get(schema)?.get("properties")?.as_object()).flatten()
        };
        let parameters: Map<String, Value> =
            properties("parametersSchema").map(|(name, it)| (name.clone(), it.clone())).collect();
        let credentials = ["credentialsSchema", "customCredentialsSchema"];
        let callback_fields =
            sources.iter().filter(|source| source.name == FunctionName::GetOAuthConfig).flat_map(|source| {
                let members =
                    source.yaml().map(|(value, at)| flow::members(value, at, "callbackFields")).unwrap_or_default();
                members.into_iter().flat_map(|(value, _)| value.as_array().cloned().unwrap_or(vec![value]))
            });
        Self {
            kind: scope.kind,
            inputs: schemas::inputs(scope, spec),
            parameters: json!({ "properties": parameters }),
            credentials: levels().flat_map(|level| credentials.map(|key| level.get(key))).flatten().collect(),
            callback_fields: callback_fields.filter_map(|name| name.as_str().map(str::to_owned)).collect(),
            sources,
        }
    }

    /// The implementation of a function.
    pub(super) fn source(&self, name: FunctionName) -> Option<&FunctionSource<'a>> {
        self.sources.iter().find(|source| source.name == name)
    }

    /// Whether an expression may contain one of the integration's secrets.
    pub(super) fn uses_secret(&self, expression: &Value) -> bool {
        match expression {
            Value::String(text) => uses_secret(text, Some(&self.parameters)),
            Value::Array(items) => items.iter().any(|item| self.uses_secret(item)),
            Value::Object(object) => object.values().any(|value| self.uses_secret(value)),
            _ => false,
        }
    }

    /// Whether one of the integration's secrets may be sent to the API client's host: by the client itself, or by a
    /// function's request to a relative path.
    pub(super) fn leads_secrets(&self) -> bool {
        self.sources.iter().any(|source| match (source.kind, &source.content) {
            (SourceKind::Mapping, _) if source.name == FunctionName::MakeApiClient => {
                source.yaml().is_some_and(|(value, _)| self.uses_secret(value))
            }
            (SourceKind::Rest, _) => source.requests().into_iter().any(|(value, _)| {
                let path = value.get("path").and_then(Value::as_str).unwrap_or_default();
                !path.contains("://") && value.get("requestMapping").is_some_and(|request| self.uses_secret(request))
            }),
            (SourceKind::Script, Content::Text(text, _)) => {
                source.name != FunctionName::GetOAuthConfig && uses_secret(text, Some(&self.parameters))
            }
            _ => false,
        })
    }

    /// The true origin: a credential may really be the end user's input, or come from the browser with the callback.
    pub(super) fn source_of(&self, origin: Origin) -> Origin {
        let is_entered = self.kind == Some("client-credentials")
            && self.source(FunctionName::GetCredentialsFromConnectionParameters).is_none();
        match origin {
            Origin::Credential(name) if is_entered => Origin::Input(name),
            Origin::Credential(name) if self.callback_fields.contains(&name) => Origin::Callback(name),
            origin => origin,
        }
    }

    /// Returns the schema of an input.
    pub(super) fn input(&self, name: &str) -> Option<&Value> {
        property(&self.inputs, name)
    }

    /// Whether the connector marks a credential as one that only the provider sets.
    pub(super) fn is_read_only(&self, credential: &str) -> bool {
        property(&self.credentials, credential)
            .is_some_and(|property| property.get("readOnly") == Some(&Value::Bool(true)))
    }

    /// Whether possession of the value is proof enough, as with a token: decided by its name or schema.
    pub(super) fn is_proof(&self, origin: &Origin) -> bool {
        let (name, schemas) = match origin {
            Origin::Input(name) => (name, &self.inputs),
            Origin::Credential(name) => (name, &self.credentials),
            Origin::Parameter(_) | Origin::Callback(_) => return false,
        };
        is_secret_name(name) || property(schemas, name).is_some_and(is_hidden)
    }
}

fn property<'a>(schemas: &[&'a Value], name: &str) -> Option<&'a Value> {
    schemas
        .iter()
        .find_map(|schema| name.split('.').try_fold(*schema, |schema, name| schema.get("properties")?.get(name)))
}
