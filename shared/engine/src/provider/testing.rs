//! Connectors for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use larder::clock::ManualClock;
use larder::random::SystemRng;
use serde_json::Map;

use super::{ConnectorContext, Provider};
use crate::connector::{About, AuthOption, AuthType, Connector, Files, Function, FunctionName, RefreshRules, Script};
use crate::egress::{AddressPolicy, Egress};
use crate::javascript::{JavaScript, Limits};

/// Creates a client that reaches public addresses and this machine.
pub(super) fn provider(limits: Limits) -> Provider {
    let egress = Egress::new(AddressPolicy::PublicAndLoopback).expect("a client");
    let javascript = JavaScript::new(egress.clone(), Arc::new(SystemRng), limits);
    Provider::new(egress, javascript, Arc::new(ManualClock::at(1_700_000_000)), Arc::new(SystemRng))
}

/// Returns a function that is a script, in this file.
pub(super) fn script(file: &str, text: &str) -> Function {
    let files = Files::from_iter([(file.to_owned(), text.to_owned())]);
    Function::JavaScript(Script::new(Arc::new(files), file, "run"))
}

/// Returns a connection whose credentials were entered, with a connector that has these functions.
pub(super) fn context<const N: usize>(functions: [(FunctionName, Function); N]) -> ConnectorContext {
    let option = Arc::new(AuthOption {
        key: String::new(),
        kind: AuthType::ClientCredentials,
        title: None,
        description: None,
        help_uri: None,
        enabled: None,
        is_alternative: false,
        extends: None,
        input_schema: None,
        parameters_schema: None,
        credentials_schema: None,
        functions: BTreeMap::from(functions),
        refresh_rules: RefreshRules::default(),
    });
    let connector = Connector {
        key: "crm".into(),
        name: "CRM".into(),
        logo_uri: None,
        parameters_schema: None,
        options: vec![Arc::clone(&option)],
        about: About::default(),
        fixed: BTreeSet::new(),
    };
    ConnectorContext {
        connector: Arc::new(connector),
        option,
        connector_parameters: Map::new(),
        connection_parameters: Map::new(),
        callback_uri: String::new(),
        lender: None,
        given: None,
        token: None,
    }
}
