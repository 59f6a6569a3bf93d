use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::connector::folder::{self, parse_preset};
use crate::connector::{Connector, Function};
use crate::lint::{Severity, lint_preset};

/// A bundled generic connector.
fn generic(key: &str) -> GenericConnector {
    find(key).map(|generic| Arc::into_inner(generic).expect("the only one")).expect("it can be extended")
}

fn find(key: &str) -> Result<Arc<GenericConnector>, String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../connectors").join(key);
    let files = folder::read(&dir).map_err(|_| format!("there is no generic connector `{key}`"))?;
    GenericConnector::read(key, &files).map(Arc::new)
}

#[track_caller]
fn parse(text: &str) -> Connector {
    parse_preset("acme", "acme.yml", text, &find).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// The problems of a preset, without their help.
fn problems(text: &str) -> Vec<String> {
    let problems = parse_preset("acme", "acme.yml", text, &find).expect_err("a problem");
    let line = |problem: &FolderProblem| problem.line.map_or_else(|| "?".to_owned(), |line| line.to_string());
    problems.iter().map(|problem| format!("{}: {}", line(problem), problem.message)).collect()
}

fn findings(text: &str) -> Vec<String> {
    let findings = lint_preset("acme", "acme.yml", text, &find).findings.into_iter();
    let errors = findings.map(|it| {
        assert_eq!(it.problem.file, "acme.yml");
        let mark = if it.severity == Severity::Error { "!" } else { "?" };
        format!("{}{mark} {}; {}", it.problem.line.unwrap_or_default(), it.problem.message, it.problem.help)
    });
    errors.collect()
}

fn evaluate(connector: &Connector, name: FunctionName, variables: Value) -> Value {
    match connector.options[0].function(name) {
        Some(Function::Mapping(mapping)) => mapping.evaluate(&variables).unwrap_or_default(),
        Some(Function::Rest(rest)) => {
            rest.request_mapping.as_ref().and_then(|mapping| mapping.evaluate(&variables)).unwrap_or_default()
        }
        other => panic!("{other:?}"),
    }
}

const ACME: &str = "\
extends: oauth2
name: Acme
inputs:
  shop: { title: Shop, example: acme, pattern: \"^[a-z0-9-]+$\" }
openParameters:
  region: { title: Region, enum: [eu, us] }
defaults: { region: eu }
scopes: [read, write]
parameters:
  authorizeUri: https://{shop}.acme.com/{region}/authorize
  tokenUri: https://{shop}.acme.com/token
  headers: { X-Shop: \"{shop}\", X-Token: \"Acme {credentials.access_token}\" }
baseUri: https://{shop}.acme.com/api
test: /shops/{shop}
account: { id: response.data.id, label: [response.data.email, response.data.name] }
";

#[test]
fn a_preset_fixes_parameters_and_inherits_everything_else() {
    let connector = parse(ACME);
    assert_eq!((connector.key.as_str(), connector.name.as_str()), ("acme", "Acme"));
    let option = &connector.options[0];
    assert_eq!(option.title.as_deref(), Some("Acme account"));
    let variables = json!({
        "connectorParameters": {"clientId": "id"}, "connectionParameters": {"shop": "s1"},
        "credentials": {"access_token": "T"}, "response": {"data": {"id": 7, "name": "N"}}
    });
    let config = evaluate(&connector, FunctionName::GetOAuthConfig, variables.clone());
    let expected = json!({
        "clientId": "id", "scopes": ["read", "write"],
        "authorizeUri": "https://s1.acme.com/eu/authorize", "tokenUri": "https://s1.acme.com/token",
    });
    assert_eq!(config, expected);
    let client = evaluate(&connector, FunctionName::MakeApiClient, variables.clone());
    let headers = json!({"Authorization": "Bearer T", "X-Shop": "s1", "X-Token": "Acme T"});
    assert_eq!(client, json!({"baseUri": "https://s1.acme.com/api", "headers": headers}));
    assert_eq!(evaluate(&connector, FunctionName::GetAccount, variables.clone()), json!({"id": 7, "label": "N"}));
    let request = evaluate(&connector, FunctionName::Test, variables);
    assert_eq!(request, json!({"pathParameters": {"shop": "s1"}}));
}

#[test]
fn the_schemas_show_only_what_is_open() {
    let connector = parse(ACME);
    let schema = connector.parameters_schema.clone().expect("a schema");
    let names: Vec<&str> = schema["properties"].as_object().expect("properties").keys().map(String::as_str).collect();
    assert_eq!(names, ["clientId", "clientSecret", "scopes", "region"]);
    assert_eq!(schema["required"], json!(["clientId", "clientSecret"]));
    assert_eq!(schema["properties"]["scopes"]["description"], "Replaces the defaults, read and write.");
    assert!(connector.fixed.contains("tokenUri") && connector.fixed.contains("skipPkce"));
    assert!(!connector.fixed.contains("clientId") && !connector.fixed.contains("region"));
    let input = connector.options[0].input_schema.clone().expect("a schema");
    let shop = json!({"type": "string", "title": "Shop", "pattern": "^[a-z0-9-]+$", "examples": ["acme"]});
    assert_eq!(input["properties"], json!({ "shop": shop }));
    assert_eq!(input["required"], json!(["shop"]));
}

#[test]
fn parameters_that_are_null_are_closed() {
    let connector =
        parse(&ACME.replace("scopes: [read, write]\n", "").replace("parameters:\n", "parameters:\n  scopes: null\n"));
    assert!(connector.fixed.contains("scopes"));
    assert!(connector.parameters_schema.expect("a schema")["properties"].get("scopes").is_none());
}

#[test]
fn optional_inputs_leave_their_headers_out() {
    let connector = parse(
        "extends: api-key\nname: A\ninputs: {org: {isOptional: true}}\nbaseUri: https://a.example\ntest: /\nparameters:\n  \
         headers: {X-Key: \"{apiKey}\", X-Org: \"{org}\"}\n",
    );
    let client = |credentials: Value| {
        let variables = json!({"credentials": credentials, "connectorParameters": {}});
        evaluate(&connector, FunctionName::MakeApiClient, variables)["headers"].clone()
    };
    assert_eq!(client(json!({"apiKey": "k"})), json!({"X-Key": "k"}));
    assert_eq!(client(json!({"apiKey": "k", "org": "o"})), json!({"X-Key": "k", "X-Org": "o"}));
    assert_eq!(connector.parameters_schema, None);
}

#[test]
fn problems_have_the_presets_lines() {
    for (from, to, expected) in [
        (
            "tokenUri:",
            "tokenUrl:",
            vec!["9: `tokenUri` is missing; `oauth2` requires it", "11: `oauth2` has no parameter `tokenUrl`"],
        ),
        (
            "{shop}.acme.com/token",
            "{shpo}.acme.com/token",
            vec!["11: `{shpo}` is neither an input nor an open parameter (did you mean `{shop}`?)"],
        ),
        ("test: /shops/{shop}", "test: /shops/{name}", vec!["14: `{name}` is neither an input nor an open parameter"]),
        ("test: /shops/{shop}", "test: 7", vec!["14: `test` must be a path or a request"]),
        ("baseUri: https://{shop}.acme.com/api\n", "", vec!["9: `baseUri` is missing"]),
        ("  authorizeUri:", "  region: us\n  authorizeUri:", vec!["10: `oauth2` has no parameter `region`"]),
        ("  authorizeUri:", "  clientId: x\n  authorizeUri:", vec![]),
        ("defaults: {", "defaults: { other: 1, ", vec!["7: `other` has a default, but is not a parameter"]),
        ("inputs:\n", "inputs: [\n]\nx:\n", vec!["3: `inputs` must be an object"]),
        ("test: /shops/{shop}", "test: {path: /, method: gett}", vec!["14: `method` must be an HTTP method"]),
        ("account: {", "steps: []\naccount: {", vec!["15: `oauth2` makes no requests for credentials"]),
    ] {
        let text = ACME.replacen(from, to, 1);
        assert_ne!(text, ACME);
        if expected.is_empty() {
            assert!(parse(&text).fixed.contains("clientId"), "{to}");
            continue;
        }
        let found = problems(&text);
        // Without its inputs, a preset has names that it doesn't know.
        let is_only = found.len() == expected.len() || to.starts_with("inputs: [");
        assert!(is_only && expected.iter().all(|it| found.contains(&(*it).to_owned())), "{to}: {found:?}");
    }
}

#[test]
fn mistakes_are_found_by_line() {
    assert_eq!(findings(ACME), [""; 0]);
    for (from, to, expected) in [
        ("inputs:", "input:", "3! unknown key `input` in the preset; did you mean `inputs`?"),
        (", pattern: \"^[a-z0-9-]+$\"", "", "10! the input `shop` goes into a host and can be anything"),
        ("^[a-z0-9-]+$", ".*", "is not anchored at both ends"),
        ("title: Shop,", "title: Shop, patern: x,", "4! unknown schema keyword `patern`; did you mean `pattern`?"),
        (
            "test: /shops/{shop}",
            "test: none",
            "14! there is no `test`, so any credentials are accepted; say why in `testReason`",
        ),
        ("  headers:", "  skipPkce: 'yes'\n  headers:", "12! `skipPkce`"),
        ("name: Acme\n", "name: Acme\napiDocsUri: http://docs.acme.com\n", "3! `apiDocsUri` cannot be opened"),
        ("name: Acme\n", "name: Acme\nhelpUri: https://acme.example/\n", "`helpUri` cannot be opened"),
        ("name: Acme\n", "name: Acme\ncategories: [cmr]\n", "3? unknown category `cmr`; did you mean `crm`?"),
        ("name: Acme\n", "name: Acme\nevidence: many\n", "3! `evidence` must be the number of sources"),
        (
            "name: Acme\n",
            "name: Acme\nlifetimes: { accessToken: 1h }\n",
            "3! `accessToken` must be a number of seconds",
        ),
        (
            "name: Acme\n",
            "name: Acme\nsetup: { developer: Register. }\n",
            "3? `setup` has instructions, but not their `source`",
        ),
        ("account: { id:", "account: { idd:", "15! unknown key `idd` in `account`; did you mean `id`?"),
        ("account: {", "account: response.data.id\n# {", "15! `account` must be an object; write `account: {"),
        ("response.data.id", "data.id", "15! there is no variable `data`; did you mean `response.data.id`?"),
        ("response.data.id", "respons.data.id", "15! there is no variable `respons`; did you mean `response`?"),
        ("response.data.id", "user.id", "15? there is no variable `user`; the variables are before, codeVerifier,"),
        ("test: /shops/{shop}\n", "", "1! `test` is missing, so `baseUri` itself is requested"),
        ("acme.com/api", "acme.example/api", "13? {shop}.acme.example is a placeholder; write the provider's address"),
        (
            "X-Token: \"",
            "X-Token: \"{before.token} ",
            "12! `before` exists only in requests; use what the last request returned",
        ),
        (
            "test: /shops/{shop}",
            "test: { path: /, requestMaping: {} }",
            "14! unknown key `requestMaping` in the REST mapping",
        ),
    ] {
        let text = ACME.replacen(from, to, 1);
        let found = findings(&text);
        assert!(found.iter().any(|it| it.contains(expected)), "{to}: {expected}: {found:?}");
    }
    let reasoned = ACME.replace("test: /shops/{shop}", "test: none\ntestReason: Every request costs a credit.");
    assert_eq!(findings(&reasoned), [""; 0]);
}

#[test]
fn plain_values_reach_jsonata_and_closed_parameters_are_no_secrets() {
    let preset = "extends: two-step\nname: A\nbaseUri: https://a.acme.com\ntest: /me\nparameters:\n  tokenUri: https://a.acme.com/login\n  \
                  name: X-Token\n  prefix: ''\n  usernameField: email\n";
    let connector = parse(preset);
    let variables = json!({
        "connectorParameters": {}, "connectionParameters": {"username": "u", "password": "p"},
        "credentials": {"access_token": "T"}
    });
    let client = evaluate(&connector, FunctionName::MakeApiClient, variables.clone());
    assert_eq!(client["headers"], json!({"X-Token": "T"}));
    let login = evaluate(&connector, FunctionName::GetCredentialsFromConnectionParameters, variables);
    assert_eq!(login["data"], json!({"email": "u", "password": "p"}));
    assert!(!connector.options[0].uses_secrets(FunctionName::Test));
    let problem = ["7: `name` cannot be a formula or a template"];
    assert_eq!(problems(&preset.replace("X-Token", "'{username}'")), problem);
}

#[test]
fn a_chain_hands_its_results_on() {
    let connector = parse(
        "extends: two-step\nname: A\nbaseUri: https://a.example\ntest: /me\nlifetimes: { accessToken: 600 }\nsteps:\n  \
         - path: https://a.example/login\n    method: post\n    requestMapping: { data: { user: \"{username}\" } }\n    \
         responseMapping: { session: { $var: response.data.id } }\n  \
         - path: https://a.example/token/{before.session}\n    responseMapping: { access_token: { $var: response.data.t } }\n",
    );
    for name in [FunctionName::GetCredentialsFromConnectionParameters, FunctionName::RefreshCredentials] {
        let Some(Function::Rest(rest)) = connector.options[0].function(name) else { panic!("{name:?}") };
        assert_eq!((rest.before.len(), rest.path.as_str()), (1, "https://a.example/token/{before.session}"));
        let login = rest.before[0].request(&json!({"connectionParameters": {"username": "u"}})).expect("a request");
        assert_eq!(login.path, "https://a.example/login");
        let last = rest.request(&json!({"before": {"session": "a/b"}})).expect("a request");
        assert_eq!(last.path, "https://a.example/token/a%2Fb");
    }
    assert_eq!(connector.options[0].refresh_rules.default_expires_in.map(|it| it.as_secs()), Some(600));
}

/// A login in two requests.
const CHAIN: &str = "\
extends: two-step
name: Acme
steps:
  - path: https://api.acme.com/session
    method: post
    requestMapping: { data: { user: \"{username}\", password: \"{password}\" } }
    responseMapping: { session: { $var: response.data.id } }
  - path: https://api.acme.com/token/{before.session}
    requestMapping: { headers: { X-Session: \"{before.session}\" } }
    responseMapping: { access_token: { $var: response.data.token } }
baseUri: https://api.acme.com
test: /me
";

#[test]
fn broken_chains_are_found_by_line() {
    assert_eq!(findings(CHAIN), [""; 0]);
    for (from, to, expected) in [
        ("access_token:", "token:", "10! the last request's result has no `access_token`; add"),
        (
            "Session: \"{before.session}",
            "Session: \"{before.sesion}",
            "9! no earlier request returns `sesion`; did you",
        ),
        ("response.data.token }", "before.token }", "10! no earlier request returns `token`; they return session"),
        (
            "user: \"{",
            "user: \"{before.user}{",
            "6! no earlier request returns `user`; add it to the `responseMapping`",
        ),
        (
            "responseMapping: { session:",
            "responseMapping: { expires_in: { $var: response.data.ttl }, session:",
            "7? `expires_in` is lost, because only the last request's result is kept; add `expires_in: { $var: before",
        ),
    ] {
        let text = CHAIN.replacen(from, to, 1);
        let found = findings(&text);
        assert!(matches!(found.as_slice(), [only] if only.starts_with(expected)), "{to}: {expected}: {found:?}");
    }
    // Results that are not written out may have any member.
    for (from, to) in [
        ("responseMapping: { session: { $var: response.data.id } }", "responseMapping: { $var: response.data }"),
        ("    responseMapping: { access_token: { $var: response.data.token } }\n", ""),
    ] {
        assert_eq!(findings(&CHAIN.replacen(from, to, 1)), [""; 0]);
    }
}

#[test]
fn input_that_is_sent_nowhere_is_found() {
    const KEYED: &str = "extends: api-key\nname: A\nbaseUri: https://a.acme.com\ntest: /me\n";
    let with = |more: &str| findings(&format!("{KEYED}{more}"));
    for more in [
        "",
        "parameters: { headers: { X-Key: apiKey } }\n",
        "inputs: { org: {} }\nparameters: { query: { org: \"{org}\" } }\n",
    ] {
        let found = with(more);
        let is_found =
            matches!(found.as_slice(), [only] if only.contains("! the end user's input is not sent to the API"));
        assert!(is_found, "{more}: {found:?}");
    }
    for more in [
        "parameters: { name: X-Key }\n",
        "openParameters: { name: { title: Name } }\n",
        "parameters: { query: { key: \"{apiKey}\" } }\n",
        "parameters: { headers: { Authorization: { $jsonata: \"'Basic ' & $base64encode(credentials.apiKey)\" } } }\n",
    ] {
        assert_eq!(with(more), [""; 0], "{more}");
    }
    assert_eq!(findings(&KEYED.replace("test: /me", "test: \"/me?key={apiKey}\"")), [""; 0]);
}

#[test]
fn generic_connectors_pass_every_documented_key() {
    for (key, known) in [("oauth2", crate::oauth2::OAuthConfig::KEYS), ("oauth1", crate::oauth1::OAuth1Config::KEYS)] {
        let generic = generic(key);
        let config = &generic.spec["auth"]["getOAuthConfig"]["mapping"];
        for (name, meaning) in known.iter().filter(|(_, meaning)| !meaning.starts_with("an older form")) {
            assert_eq!(config[name]["$var"], format!("connectorParameters.{name}"), "{key}: {meaning}");
            assert!(generic.parameter(name).is_some(), "{key}: {name}");
        }
    }
}

/// [`ACME`], whose API takes keys and logins, too.
const WAYS: &str = "\
options:
  token:
    extends: api-key
    title: Personal token
    inputs: { apiKey: { title: Token } }
    parameters: { headers: { X-Token: \"Key {apiKey}\" } }
  sandbox:
    openParameters: { mode: { enum: [test, live] } }
    parameters: { scopes: null, authorizeUri: \"https://{shop}.acme.com/{mode}/authorize\" }
    account: null
";

fn ways() -> Connector {
    parse(&format!("{ACME}{WAYS}"))
}

#[test]
fn options_become_further_ways_to_connect() {
    let connector = ways();
    let keys: Vec<_> = connector.options.iter().map(|it| (it.key.as_str(), it.extends.as_deref())).collect();
    assert_eq!(keys, [("oauth2", Some("oauth2")), ("token", Some("api-key")), ("sandbox", Some("oauth2"))]);
    // The first is the connector without options.
    let (first, alone) = (&connector.options[0], &parse(ACME).options[0]);
    assert_eq!((&first.functions, &first.input_schema), (&alone.functions, &alone.input_schema));
    assert_eq!((&first.title, &first.description), (&alone.title, &alone.description));
    assert_eq!(connector.option("").map(|it| &it.key), Some(&first.key));
}

#[test]
fn an_option_of_another_kind_inherits_what_is_about_the_api() {
    let connector = ways();
    let token = connector.option("token").expect("it is there");
    assert_eq!((token.kind.spec_name(), token.title.as_deref()), ("client-credentials", Some("Personal token")));
    assert_eq!(token.description.as_deref(), Some("Enter an API key from your Acme account."));
    let input = token.input_schema.as_ref().expect("a schema");
    assert_eq!(input["required"], json!(["shop", "apiKey"]));
    assert_eq!(input["properties"]["apiKey"]["title"], "Token");
    let client = match token.function(FunctionName::MakeApiClient) {
        Some(Function::Mapping(mapping)) => mapping.evaluate(&json!({"credentials": {"apiKey": "k", "shop": "s1"}})),
        other => panic!("{other:?}"),
    };
    let expected = json!({"baseUri": "https://s1.acme.com/api", "headers": {"X-Shop": "s1", "X-Token": "Key k"}});
    assert_eq!(client, Some(expected));
    assert!(token.function(FunctionName::Test).is_some() && token.function(FunctionName::GetAccount).is_some());
    assert!(token.function(FunctionName::GetOAuthConfig).is_none());
}

#[test]
fn an_option_without_extends_inherits_everything() {
    let connector = ways();
    let sandbox = connector.option("sandbox").expect("it is there");
    assert_eq!(sandbox.description, connector.options[0].description);
    assert!(sandbox.function(FunctionName::GetAccount).is_none());
    let Some(Function::Mapping(config)) = sandbox.function(FunctionName::GetOAuthConfig) else { panic!() };
    let variables = json!({
        "connectorParameters": {"clientId": "id", "mode": "test"}, "connectionParameters": {"shop": "s1"}
    });
    let expected = json!({
        "clientId": "id", "authorizeUri": "https://s1.acme.com/test/authorize",
        "tokenUri": "https://s1.acme.com/token",
    });
    assert_eq!(config.evaluate(&variables), Some(expected));
}

#[test]
fn integrations_choose_ways_by_their_parameters() {
    let connector = ways();
    let schema = connector.parameters_schema.clone();
    let errors = |parameters: Value| {
        let errors = crate::connector::schema::validate(schema.as_ref(), parameters.as_object().expect("an object"));
        errors.expect("a usable schema").into_iter().map(|error| error.field).collect::<Vec<_>>()
    };
    let enabled = |parameters: &Value| {
        let options = connector.options.iter().filter(|it| it.is_enabled(parameters.as_object().expect("an object")));
        options.map(|it| it.key.as_str()).collect::<Vec<_>>()
    };
    for (parameters, missing, open) in [
        (json!({}), vec![], vec!["token"]),
        (json!({"region": "us"}), vec![], vec!["token"]),
        (json!({"clientId": "a"}), vec!["clientSecret"], vec!["token"]),
        (json!({"clientId": "a", "clientSecret": "b"}), vec![], vec!["oauth2", "token"]),
        (json!({"clientId": "a", "clientSecret": "b", "mode": "test"}), vec![], vec!["oauth2", "token", "sandbox"]),
        (json!({"mode": "test"}), vec!["clientId", "clientSecret"], vec!["token"]),
    ] {
        assert_eq!(enabled(&parameters), open, "{parameters}");
        assert_eq!(errors(parameters), missing);
    }
    let alternatives: Vec<_> = connector.options.iter().map(|it| it.is_alternative).collect();
    assert_eq!(alternatives, [false, true, false]);
    assert!(connector.fixed.contains("name") && connector.fixed.contains("tokenUri"));
    assert!(!connector.fixed.contains("scopes") && !connector.fixed.contains("clientId"));
}

#[test]
fn problems_of_options_have_their_lines() {
    for (from, to, expected) in [
        ("  token:\n", "  oauth2:\n", "17: `oauth2` is the key of the way to connect that the top level describes"),
        ("  token:\n", "  a token:\n", "17: `a token` cannot be the key of an option"),
        ("api-key\n", "api-keys\n", "18: there is no generic connector `api-keys`"),
        ("Key {apiKey}", "Key {apiKye}", "21: `{apiKye}` is neither an input nor an open parameter"),
        ("    parameters: { headers", "    parameters: { headrs", "21: `api-key` has no parameter `headrs`"),
        ("mode: { enum", "mod: { enum", "24: `{mode}` is neither an input nor an open parameter"),
        ("account: null", "steps: []", "25: `oauth2` makes no requests for credentials"),
        ("    account: null", "  other: 1", "25: the option `other` must be an object"),
    ] {
        let text = format!("{ACME}{}", WAYS.replacen(from, to, 1));
        let found = problems(&text);
        assert!(found.iter().any(|it| it.starts_with(expected)), "{to}: {expected}: {found:?}");
    }
    for options in ["options: []\n", "options: {}\n", "options:\n"] {
        assert_eq!(problems(&format!("{ACME}{options}")), ["16: `options` must be an object"]);
    }
    assert_eq!(findings(&format!("{ACME}{WAYS}")), [""; 0]);
    for (from, to, expected) in [
        ("    inputs:", "    input:", "20! unknown key `input` in the option `token`; did you mean `inputs`?"),
        ("title: Personal", "helpUri: http://a.example\n    title: Personal", "19! `helpUri` cannot be opened"),
        ("scopes: null", "skipPkce: 'yes'", "24! `skipPkce`"),
        ("account: null", "test: none", "25! there is no `test`, so any credentials are accepted; say why"),
    ] {
        let found = findings(&format!("{ACME}{}", WAYS.replacen(from, to, 1)));
        assert!(found.iter().any(|it| it.contains(expected)), "{to}: {expected}: {found:?}");
    }
}

/// Inputs as users may write them, and as attackers would.
fn inputs() -> impl Strategy<Value = String> {
    let tricks = [
        "evil.example/",
        "a@evil.example",
        "evil.example#",
        "a\n",
        "..",
        "%2e%2e",
        "a/../..",
        "a:b@c",
        "\\evil.example",
    ];
    prop_oneof!["[a-z0-9-]{1,20}", "\\PC{0,20}", prop::sample::select(tricks.to_vec()).prop_map(str::to_owned)]
}

const SITE: &str = "\
extends: api-key
name: Acme
inputs:
  site: { pattern: \"^[a-z0-9-]+$\" }
  id: {}
baseUri: https://{site}.acme.com/v1
parameters: { headers: { X-Key: \"{apiKey}\" } }
test: /items/{id}/x
";

#[test]
fn a_site_in_a_host_passes_the_check() {
    assert_eq!(findings(SITE), [""; 0]);
}

static SITES: std::sync::LazyLock<Connector> = std::sync::LazyLock::new(|| parse(SITE));

/// The address of the test, if the inputs are valid.
fn address(site: &str, id: &str) -> Option<http::Uri> {
    let credentials = json!({"apiKey": "k", "site": site, "id": id});
    let option = &SITES.options[0];
    let errors = crate::connector::schema::validate(option.input_schema.as_ref(), credentials.as_object()?);
    if !errors.expect("a usable schema").is_empty() {
        return None;
    }
    let variables = json!({"credentials": credentials, "connectorParameters": {}});
    let client = evaluate(&SITES, FunctionName::MakeApiClient, variables.clone());
    let client = crate::connector::ApiClient::from_value(&client).expect("a client");
    let Some(Function::Rest(test)) = option.function(FunctionName::Test) else { panic!("a test") };
    Some(test.request(&variables).ok()?.build(&client).ok()?.uri().clone())
}

#[test]
fn a_plain_site_and_id_make_an_address() {
    let address = address("eu-1", "a b/c").expect("an address");
    assert_eq!(address.to_string(), "https://eu-1.acme.com/v1/items/a%20b%2Fc/x");
}

proptest! {
    #[test]
    fn inputs_change_neither_the_host_nor_the_segments_of_a_path(site in inputs(), id in inputs()) {
        if let Some(address) = address(&site, &id) {
            prop_assert_eq!(address.host().unwrap_or_default(), format!("{site}.acme.com"));
            let segments: Vec<&str> = address.path().split('/').collect();
            prop_assert_eq!(segments.len(), 5, "{}", address);
            prop_assert_eq!((segments[1], segments[2], segments[4]), ("v1", "items", "x"));
        }
    }
}
