//! Tests of values that reach a host, and of confused deputies.

use super::*;

/// The findings for an OAuth configuration with this `tokenUri`.
fn found_in_token_uri(uri: &str, spec: &str) -> Vec<String> {
    let config = OAUTH.replace("tokenUri: https://acme.example/token", &format!("tokenUri: {uri}"));
    found(&[("auth/get-oauth-config.map.yml", &config), ("spec.yml", spec)])
}

#[test]
fn an_input_in_a_host_is_found_through_every_formula() {
    let input = "{ $var: connectionParameters.u }";
    for uri in [
        input.to_owned(),
        "{ $var: connectionInput.u }".to_owned(),
        format!("{{ $firstNotEmpty: [{{ $var: connectorParameters.u }}, {input}] }}"),
        format!("{{ $case: [{{ filter: {{}}, value: {input} }}] }}"),
        format!("{{ $case: {{ cases: [], default: {input} }} }}"),
        format!("{{ $map: {{ value: 1, mapping: [{{ from: 1, to: {input} }}] }} }}"),
        format!("{{ $concat: [{input}, /token] }}"),
        format!("{{ $concat: {{ values: ['https:', {input}], delimiter: '//' }} }}"),
        format!("{{ $concat: ['https://acme.example', {{ $firstNotEmpty: ['/a', {input}] }}] }}"),
        format!("{{ $tpl: {{ template: '{{u}}/token', values: {{ u: {input} }} }} }}"),
        format!("{{ $tpl: {{ template: 'https://{{h}}/token', values: {{ h: {{ $concat: [a., {input}] }} }} }} }}"),
        "{ $jsonata: '\"https://\" & connectionParameters.u & \"/token\"' }".to_owned(),
        "{ $jsonata: '$lookup(connectionParameters, \"u\")' }".to_owned(),
        "{ $jsonata: { $plain: 'connectionParameters.u' } }".to_owned(),
        format!("{{ $domainFromEmail: {input} }}"),
        format!("{{ $formula: {input} }}"),
        "{ $copy: elsewhere }\nelsewhere: { $var: connectionParameters.u }".to_owned(),
    ] {
        let findings = found_in_token_uri(&uri, SPEC);
        let is_found = findings
            .iter()
            .any(|it| it.starts_with("error: auth/get-oauth-config.map.yml:3: ") && it.contains("goes into a host"));
        assert!(is_found, "{uri}: {findings:?}");
    }
}

#[test]
fn every_address_is_checked() {
    let input = "{ $var: connectionParameters.u }";
    for key in ["authorizeUri", "tokenUri", "refreshUri", "revocationUri"] {
        let config = format!("$mergeObjects:\n  - clientId: c\n    {key}: {input}\n");
        let findings = found(&[("auth/get-oauth-config.map.yml", &config)]);
        assert!(findings.iter().any(|it| it.contains(":3: the input `u` goes into a host")), "{key}: {findings:?}");
    }
    for client in [format!("baseUri: {input}"), format!("args: {{ baseUrl: {input} }}")] {
        let findings = found(&[("auth/make-api-client.map.yml", &client)]);
        assert!(findings.iter().any(|it| it.contains("the input `u` goes into a host")), "{findings:?}");
    }
    let rest = "path: https://{u}/me\nmethod: get\nrequestMapping: { pathParameters: { u: { $var: connectionParameters.u } } }\n";
    let findings = found(&[("auth/test.rest.yml", rest)]);
    assert!(findings[0].starts_with("error: auth/test.rest.yml:1: the input `u` goes into a host"), "{findings:?}");
    for rest in [
        format!("path: ''\nmethod: get\nrequestMapping: {{ baseUri: {input} }}\n"),
        format!(
            "path: /me\nmethod: get\nbefore: [{{ path: '', method: get, requestMapping: {{ baseUri: {input} }} }}]\n"
        ),
    ] {
        let findings = found(&[("auth/test.rest.yml", &rest)]);
        assert!(findings[0].starts_with("error: auth/test.rest.yml:3: the input `u` goes into a host"), "{findings:?}");
    }
    let options = SPEC.replace("  type: oauth2\n", "  options: { a: { type: oauth1 } }\n");
    let config = format!("consumerKey: k\nrequestTokenUri: {input}\n");
    let findings = found(&[("spec.yml", &options), ("auth/get-oauth-config.map.yml", &config)]);
    assert!(findings.iter().any(|it| it.contains("the input `u` goes into a host")), "{findings:?}");
    let callback_spec = spec_with("  getTokenData: { implementationType: rest-api-mapping }\n");
    let rest = "path: https://{h}/token\nmethod: post\nrequestMapping: { pathParameters: { h: { $var: queryParameters.location } } }\n";
    let findings = found(&[("spec.yml", &callback_spec), ("auth/get-token-data.rest.yml", rest)]);
    assert!(findings.iter().any(|it| it.contains("`location` from the callback goes into a host")), "{findings:?}");
}

#[test]
fn values_limited_to_known_hosts_are_accepted() {
    let schema = |property: &str| spec_with(&format!("  inputSchema:\n    properties:\n      u: {property}\n"));
    let input = "{ $var: connectionParameters.u }";
    for property in [
        "{ enum: [a] }",
        "{ oneOf: [{ const: a, title: A }] }",
        "{ type: integer }",
        "{ pattern: '^[a-z]+$' }",
        r"{ pattern: '^https://[a-z]+\.acme\.example/?$' }",
    ] {
        assert_eq!(found_in_token_uri(input, &schema(property)), [""; 0], "{property}");
    }
    for property in [
        "{ pattern: '^https://.+$' }",
        "{ pattern: '^.*$' }",
        "{ pattern: '[a-z]' }",
        "{ type: string }",
        "{ oneOf: [{ const: a }, {}] }",
    ] {
        assert_eq!(found_in_token_uri(input, &schema(property)).len(), 1, "{property}");
    }
    for uri in [
        "{ $var: connectorParameters.u }",
        "{ $concat: ['https://acme.example/', { $var: connectionParameters.u }] }",
        "{ $concat: ['https://acme.example', { $map: { value: { $var: connectionParameters.u }, mapping: [], default: .eu } }] }",
        "{ $jsonata: '\"https://acme.example/\" & connectionParameters.u' }",
        "{ $plain: '{ $var: connectionParameters.u }' }",
    ] {
        assert_eq!(found_in_token_uri(uri, SPEC), [""; 0], "{uri}");
    }
    let key = SPEC
        .replace("oauth2", "client-credentials")
        .replace("  getOAuthConfig:\n    implementationType: mapping\n", "");
    let files = [
        ("spec.yml", key.as_str()),
        ("auth/get-oauth-config.map.yml", ""),
        ("auth/make-api-client.map.yml", "baseUri: { $var: credentials.u }\n"),
    ];
    assert_eq!(found(&files), [""; 0], "everything belongs to the end user");
}

const PARAMETERS: &str =
    "parametersSchema: { properties: { platformKey: { type: string, isSensitive: true }, app: { type: string } } }\n";

#[test]
fn a_credential_in_a_host_that_receives_a_secret_is_reported() {
    let spec = spec_with(PARAMETERS);
    let client = |key: &str| {
        format!("baseUri: {{ $var: credentials.url }}\nheaders: {{ X-Key: {{ $var: connectorParameters.{key} }} }}\n")
    };
    let findings = |spec: &str, key: &str| found(&[("spec.yml", spec), ("auth/make-api-client.map.yml", &client(key))]);
    let expected = "warning: auth/make-api-client.map.yml:1: `credentials.url` goes into a host that an integration's secret \
                    is sent to; if the provider itself returns it, mark it `readOnly: true` in `customCredentialsSchema`; \
                    otherwise don't use it here";
    assert!(findings(&spec, "platformKey").contains(&expected.to_owned()), "{:?}", findings(&spec, "platformKey"));
    assert_eq!(findings(&spec, "app"), [""; 0]);
    let own = spec.replace(
        "parametersSchema",
        "  customCredentialsSchema: { properties: { url: { readOnly: true } } }\nparametersSchema",
    );
    assert!(!findings(&own, "platformKey").iter().any(|it| it.contains("goes into a host")));
    // A request to a relative path goes there too.
    let rest = "path: /end\nmethod: post\nrequestMapping: { data: { key: { $var: connectorParameters.platformKey }, token: { $var: credentials.access_token } } }\n";
    let spec = format!("{SPEC}  disconnect: {{ implementationType: rest-api-mapping }}\n{PARAMETERS}");
    let files = [
        ("spec.yml", spec.as_str()),
        ("auth/make-api-client.map.yml", "baseUri: { $var: credentials.url }\n"),
        ("auth/disconnect.rest.yml", rest),
    ];
    assert!(found(&files).iter().any(|it| it.contains("`credentials.url` goes into a host")), "{:?}", found(&files));
}

#[test]
fn a_secret_next_to_an_unproven_identifier_is_reported() {
    let spec = format!("{SPEC}  disconnect: {{}}\n{PARAMETERS}");
    let rest = |data: &str| {
        format!(
            "path: /end\nmethod: post\nrequestMapping:\n  data: {{ key: {{ $var: connectorParameters.platformKey }}, {data} }}\n"
        )
    };
    let findings = |spec: &str, data: &str| found(&[("spec.yml", spec), ("auth/disconnect.rest.yml", &rest(data))]);
    let account = "account: { $var: credentials.account }";
    assert_eq!(
        findings(&spec, account),
        [
            "warning: auth/disconnect.rest.yml:3: `credentials.account` decides for whom an integration's secret acts: anyone who \
          changes it could act for someone else; if the provider itself returns it, mark it `readOnly: true` in \
          `customCredentialsSchema`; otherwise don't use it here"
        ]
    );
    assert_eq!(
        findings(&spec, "token: { $var: credentials.access_token }, account: { $var: credentials.account }"),
        [""; 0]
    );
    let own = spec.replace(
        "parametersSchema",
        "  customCredentialsSchema: { properties: { account: { readOnly: true } } }\nparametersSchema",
    );
    assert_eq!(findings(&own, account), [""; 0]);
    let config = format!("{OAUTH}callbackFields: [account]\n");
    let files = [
        ("spec.yml", own.as_str()),
        ("auth/get-oauth-config.map.yml", &config),
        ("auth/disconnect.rest.yml", &rest(account)),
    ];
    assert!(found(&files)[0].contains("`account` from the callback decides for whom"), "{:?}", found(&files));
    assert!(
        findings(&spec, "shop: { $var: connectionParameters.shop }")[0].contains("the input `shop` decides for whom")
    );
    // The API client's token is proof, unless the request's own header overrides it.
    let client = "baseUri: https://a.example\nheaders: { Authorization: { $var: credentials.access_token } }\n";
    let with_client = |headers: &str| {
        let rest = format!("{}  headers: {{ {headers} }}\n", rest(account));
        found(&[
            ("spec.yml", spec.as_str()),
            ("auth/make-api-client.map.yml", client),
            ("auth/disconnect.rest.yml", &rest),
        ])
        .len()
    };
    assert_eq!((with_client("X-A: b"), with_client("authorization: b")), (0, 1));
    let script = |text: &str| {
        found(&[("spec.yml", spec.as_str()), ("auth/disconnect.js", &format!("export default (args) => {text}"))])
    };
    let finding = script(
        "args.apiClient.post('/end', { key: args.connectorParameters.platformKey, a: args.credentials.account })",
    );
    assert!(
        finding.iter().any(|it| it.starts_with("warning: auth/disconnect.js: `credentials.account` decides")),
        "{finding:?}"
    );
    assert_eq!(
        script("args.apiClient.post('/end', { app: args.connectorParameters.app, a: args.credentials.account })"),
        [""; 0]
    );
}

#[test]
fn a_database_host_is_checked_if_an_integration_secret_logs_in() {
    let spec = |more: &str| format!("name: Acme\nauth:\n  type: client-credentials\n  test: {{}}\n{more}");
    let login = |password: &str| {
        format!(
            "driver: mysql\nhost: {{ $var: credentials.host }}\nuser: u\npassword: {{ $var: {password} }}\ndatabase: d\n"
        )
    };
    let findings = |password: &str| {
        let files = [
            ("spec.yml", spec(PARAMETERS)),
            ("auth/test.rest.yml", String::new()),
            ("auth/get-oauth-config.map.yml", String::new()),
            ("auth/make-api-client.map.yml", String::new()),
            ("auth/test.db.yml", login(password)),
        ];
        found(&files.each_ref().map(|(path, text)| (*path, text.as_str())))
    };
    assert_eq!(findings("credentials.password"), [""; 0]);
    let found = findings("connectorParameters.platformKey");
    assert!(
        found.len() == 1 && found[0].starts_with("error: auth/test.db.yml:2: the input `host` goes into a host"),
        "{found:?}"
    );
}
