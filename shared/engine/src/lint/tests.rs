mod addresses;

use super::*;

const SPEC: &str = "\
name: Acme
auth:
  type: oauth2
  getOAuthConfig:
    implementationType: mapping
  makeApiClient:
    implementationType: mapping
  test:
    implementationType: rest-api-mapping
";

const OAUTH: &str = "\
clientId: { $var: connectorParameters.clientId }
authorizeUri: https://acme.example/authorize
tokenUri: https://acme.example/token
";

const CLIENT: &str = "baseUri: https://api.acme.example\n";

const TEST: &str = "path: /me\nmethod: get\n";

/// A valid folder with some files replaced; an empty one is removed.
fn folder(changes: &[(&str, &str)]) -> Files {
    let files = [
        ("spec.yml", SPEC),
        ("auth/get-oauth-config.map.yml", OAUTH),
        ("auth/make-api-client.map.yml", CLIENT),
        ("auth/test.rest.yml", TEST),
    ];
    let all = files.iter().chain(changes).map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    let mut files: Files = all.collect();
    files.retain(|_, text| !text.is_empty());
    files
}

fn found(changes: &[(&str, &str)]) -> Vec<String> {
    let findings = lint("acme", &folder(changes)).findings;
    findings.iter().map(|Finding { problem, severity }| format!("{severity}: {problem}")).collect()
}

#[track_caller]
fn finds(changes: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(found(changes), expected);
}

/// The valid spec with lines added at its end.
fn spec_with(more: &str) -> String {
    format!("{SPEC}{more}")
}

#[test]
fn a_valid_folder_has_no_findings() {
    finds(&[], &[]);
}

#[test]
fn loading_problems_are_errors() {
    finds(
        &[("auth/make-api-client.map.yml", "")],
        &["error: spec.yml:6: the file for `makeApiClient` is missing; add one of auth/make-api-client.map.yml, \
           auth/make-api-client.yml"],
    );
    let findings = found(&[("spec.yml", "name: [")]);
    assert!(findings.len() == 1 && findings[0].starts_with("error: spec.yml:"), "{findings:?}");
}

#[test]
fn a_misspelled_key_is_an_error_and_an_unknown_one_a_warning() {
    let spec = spec_with("  tittle: x\n  retries: 3\nlogoURL: https://acme.example/logo.png\n")
        .replace("  makeApiClient:\n", "  makeApiClient:\n    implementatonType: mapping\n");
    finds(
        &[("spec.yml", &spec)],
        &[
            "error: spec.yml:7: unknown key `implementatonType` in `makeApiClient`; did you mean `implementationType`?",
            "error: spec.yml:11: unknown key `tittle` in `auth`; did you mean `title`?",
            "warning: spec.yml:12: unknown key `retries` in `auth`; it is ignored; remove it",
            "error: spec.yml:13: unknown key `logoURL` in spec.yml; did you mean `logoUri`?",
        ],
    );
}

#[test]
fn a_misspelled_function_is_reported_along_with_the_missing_one() {
    let spec = SPEC.replace("  test:\n", "  tset:\n");
    finds(
        &[("spec.yml", &spec)],
        &[
            "warning: auth/test.rest.yml: no function uses this file; add `test` to `auth` in spec.yml, or remove the file",
            "warning: spec.yml:2: there is no `test`, so any credentials are accepted; add `test: \
             {implementationType: rest-api-mapping}` and auth/test.rest.yml",
            "error: spec.yml:8: unknown key `tset` in `auth`; did you mean `test`?",
        ],
    );
}

#[test]
fn keys_of_the_newer_form_and_of_options_are_known() {
    let inline = "name: Acme\ntype: oauth2\nenabeld: true\ngetOAuthConfig: {mapping: {clientId: x, scope: y}}\n\
                  makeApiClient: {mapping: {baseUri: 'https://a.example', header: {}}}\ntest: {mapping: {path: /, method: get}}\n";
    let none =
        [("auth/get-oauth-config.map.yml", ""), ("auth/make-api-client.map.yml", ""), ("auth/test.rest.yml", "")];
    finds(
        &[&none[..], &[("spec.yml", inline)]].concat(),
        &[
            "error: spec.yml:3: unknown key `enabeld` in spec.yml; did you mean `enabled`?",
            "error: spec.yml:4: unknown key `scope` in the result of `getOAuthConfig`; did you mean `scopes`?",
            "error: spec.yml:5: unknown key `header` in the API client; did you mean `headers`?",
        ],
    );
    let options = found(&[(
        "spec.yml",
        &spec_with("  options:\n    key:\n      type: client-credentials\n      titel: API key\n"),
    )]);
    let expected = "error: spec.yml:13: unknown key `titel` in the option `key`; did you mean `title`?";
    assert!(options.iter().any(|finding| finding == expected), "{options:?}");
}

#[test]
fn a_function_must_belong_to_the_auth_type() {
    let spec = SPEC.replace("oauth2", "client-credentials");
    let findings = found(&[("spec.yml", &spec)]);
    let expected = "error: spec.yml:4: the auth type client-credentials has no function `getOAuthConfig`; remove it; it \
                    is only for oauth2, oauth1";
    assert!(findings.iter().any(|finding| finding == expected), "{findings:?}");
    let spec = spec_with("    filePath: test.rest.yml\n").replace("oauth2", "proxy").replace("test:", "disconnect:");
    let findings = found(&[("spec.yml", &spec)]);
    let expected = "error: spec.yml:8: the auth type proxy has no function `disconnect`; remove it; it is only for \
                    oauth2, oauth1, client-credentials";
    assert!(findings.iter().any(|finding| finding == expected), "{findings:?}");
}

#[test]
fn options_may_inherit_functions_and_have_their_own_folders() {
    let spec = "name: Acme\nauth:\n  test: {implementationType: rest-api-mapping}\n  options:\n    key:\n      type: client-credentials\n      \
                makeApiClient: {implementationType: mapping}\n    other:\n      type: oauth2\n      makeApiClient: {}\n      getOAuthConfig: {}\n";
    let files = [("spec.yml", spec), ("auth/key/make-api-client.map.yml", "baseURI: https://a.example\n")];
    let findings = found(&files);
    let expected =
        "error: auth/key/make-api-client.map.yml:1: unknown key `baseURI` in the API client; did you mean `baseUri`?";
    assert!(findings.iter().any(|finding| finding == expected), "{findings:?}");
    assert!(
        findings.iter().all(|finding| !finding.contains("no `test`") && !finding.contains("no function")),
        "{findings:?}"
    );
}

#[test]
fn keys_of_rest_mappings_are_known() {
    let test = "path: /me\nmethod: get\nrequestMaping:\n  query: {}\n";
    finds(
        &[("auth/test.rest.yml", test)],
        &[
            "error: auth/test.rest.yml:3: unknown key `requestMaping` in the REST mapping; did you mean `requestMapping`?",
        ],
    );
    let test = "path: /me\nmethod: get\nrequestMapping:\n  header: {A: b}\n  body: {}\n";
    finds(
        &[("auth/test.rest.yml", test)],
        &[
            "error: auth/test.rest.yml:4: unknown key `header` in the request mapping; did you mean `headers`?",
            "warning: auth/test.rest.yml:5: unknown key `body` in the request mapping; it is ignored; remove it",
        ],
    );
}

#[test]
fn keys_of_the_oauth_config_are_known() {
    let config = format!("{OAUTH}scope: read\naudience: x\n");
    finds(
        &[("auth/get-oauth-config.map.yml", &config)],
        &[
            "error: auth/get-oauth-config.map.yml:4: unknown key `scope` in the result of `getOAuthConfig`; did you mean `scopes`?",
            "warning: auth/get-oauth-config.map.yml:5: unknown key `audience` in the result of `getOAuthConfig`; it is ignored; remove it",
        ],
    );
    finds(&[("auth/get-oauth-config.map.yml", "$mergeObjects: [{ $var: connectorParameters }]\n")], &[]);
}

#[test]
fn unused_files_are_reported() {
    finds(
        &[("auth/make-api-clinet.map.yml", CLIENT), ("auth/refresh-credentials.js", "x"), ("auth/notes.txt", "x")],
        &[
            "warning: auth/make-api-clinet.map.yml: no function uses this file; did you mean auth/make-api-client.map.yml?",
            "warning: auth/notes.txt: no function uses this file; remove it, or set it as the `filePath` of a function",
            "warning: auth/refresh-credentials.js: no function uses this file; add `refreshCredentials` to `auth` in \
             spec.yml, or remove the file",
        ],
    );
}

#[test]
fn imported_files_are_used() {
    let spec = spec_with("  disconnect: {implementationType: javascript}\n");
    let files = [
        ("spec.yml", spec.as_str()),
        ("auth/disconnect.js", "import { sign } from './lib/sign';\nimport data from '../auth/data.json';"),
        ("auth/lib/sign.ts", "export const sign = 1;"),
        ("auth/data.json", "{}"),
    ];
    assert!(found(&files).iter().all(|finding| !finding.contains("no function uses")), "{:?}", found(&files));
}

#[test]
fn unknown_formulas_are_reported() {
    let client = "headers:\n  Authorization:\n    $template: Basic x\n  B: { $concta: [a, b] }\n  C: { $switch: 1 }\n  D: { $plain: { $x: 1 } }\n";
    finds(
        &[("auth/make-api-client.map.yml", client)],
        &[
            "error: auth/make-api-client.map.yml:3: unknown formula $template; use $tpl with `template` and \
             `values`, or `auth` for Basic authentication",
            "error: auth/make-api-client.map.yml:4: unknown formula $concta; did you mean $concat?",
            "error: auth/make-api-client.map.yml:5: unknown formula $switch; use $plain to keep the key",
        ],
    );
}

#[test]
fn the_mapping_of_map_is_singular() {
    let client =
        "baseUri:\n  $map:\n    value: { $var: connectorParameters.region }\n    mappings: []\n    mapping: []\n";
    finds(
        &[("auth/make-api-client.map.yml", client)],
        &["error: auth/make-api-client.map.yml:4: `mappings` in $map is ignored; remove it"],
    );
    let findings = found(&[("auth/make-api-client.map.yml", &client.replace("    mapping: []\n", ""))]);
    let expected = "error: auth/make-api-client.map.yml:4: `mappings` in $map is ignored; write `mapping`";
    assert!(findings.iter().any(|finding| finding == expected), "{findings:?}");
}

#[test]
fn an_input_in_a_host_needs_an_anchored_pattern() {
    let tpl = "baseUri:\n  $tpl:\n    template: https://{shop}.acme.example/{path}\n    values:\n      shop: { $var: connectionParameters.shop }\n      \
               path: { $var: connectionParameters.path }\n";
    let concat = "baseUri:\n  $concat: ['https://', { $var: $.connectionInput.shop }, .acme.example/, { $var: connectionParameters.path }]\n";
    let schema =
        |pattern: &str| spec_with(&format!("  inputSchema:\n    properties:\n      shop: {{type: string{pattern}}}\n"));
    let help = "give `shop` a `pattern` in the input schema, such as ^[a-z0-9-]+$ for a single label";
    for client in [tpl, concat] {
        let findings = |spec: &str| found(&[("auth/make-api-client.map.yml", client), ("spec.yml", spec)]);
        let at = "error: auth/make-api-client.map.yml:1:";
        let open = format!("{at} the input `shop` goes into a host and can be anything; {help}");
        assert_eq!(findings(SPEC), std::slice::from_ref(&open));
        assert_eq!(findings(&schema("")), [open]);
        let loose = format!(
            "{at} the `pattern` of the input `shop`, which goes into a host, is not anchored at both ends; {help}"
        );
        assert_eq!(findings(&schema(", pattern: '[a-z]+'")), [loose]);
        assert_eq!(findings(&schema(", pattern: '^[a-z]+$'")), [""; 0]);
        assert_eq!(findings(&schema(", enum: [a, b]")), [""; 0]);
    }
}

#[test]
fn keywords_of_schemas_are_checked_at_every_depth() {
    let schema = "  inputSchema:\n    type: object\n    requierd: [key]\n    properties:\n      key:\n        type: string\n        \
                  minlength: 3\n        placeholder: x\n      pattenr: {type: string}\n      list: {type: array, items: {tpye: string}}\n";
    finds(
        &[("spec.yml", &spec_with(schema))],
        &[
            "error: spec.yml:12: unknown schema keyword `requierd`; did you mean `required`?",
            "error: spec.yml:16: unknown schema keyword `minlength`; did you mean `minLength`?",
            "error: spec.yml:19: unknown schema keyword `tpye`; did you mean `type`?",
        ],
    );
}

#[test]
fn inputs_that_look_like_secrets_must_be_hidden() {
    let schema = "  ui:\n    schema:\n      properties:\n        api_key: {type: string}\n        userPassword: {type: string, format: password}\n        \
                  token: {type: string, isSensitive: true}\n        noRefreshToken: {type: boolean}\n        tokenUri: {type: string}\nparametersSchema:\n  \
                  properties:\n    clientSecret: {type: string}\n";
    let finding = |line: u64, name: &str| {
        format!(
            "warning: spec.yml:{line}: `{name}` looks like a secret, but the form shows it; add `format: \
             password` or `isSensitive: true`"
        )
    };
    assert_eq!(found(&[("spec.yml", &spec_with(schema))]), [finding(13, "api_key"), finding(20, "clientSecret")]);
}

/// The warnings for a `test` in JavaScript.
fn found_in_test(script: &str) -> Vec<String> {
    let spec = SPEC.replace("rest-api-mapping", "javascript");
    let files = [("spec.yml", spec.as_str()), ("auth/test.rest.yml", ""), ("auth/test.js", script)];
    // Some of the scripts are incomplete and don't load.
    found(&files).into_iter().filter(|finding| finding.starts_with("warning: auth/test.js")).collect()
}

#[test]
fn a_test_that_reads_the_status_from_a_body_is_reported() {
    let finding = |line: u64, what: &str| {
        vec![format!(
            "warning: auth/test.js:{line}: `{what}` is read from a body: the API client returns only the body; return \
             true, since an error status throws; or pass `{{ returnFullResponse: true }}` as options"
        )]
    };
    let script = "export default async function test({ apiClient }) {\n  // apiClient\n  const response = await apiClient.get('/me');\n  \
                  return response.status === 200;\n}\n";
    assert_eq!(found_in_test(script), finding(4, "response.status"));
    let script = "module.exports = async (args) => {\n  let res\n  res = await args.externalApiClient.post<Me>(`/me`, {})\n  return res?.statusCode == 200\n}";
    assert_eq!(found_in_test(script), finding(4, "res.statusCode"));
    assert_eq!(found_in_test("const ok = (await apiClient.get('/me')).status < 300"), finding(1, "status"));
    assert_eq!(found_in_test("const { status: code } = await apiClient.get('/me')"), finding(1, "status"));
}

#[test]
fn any_other_status_is_fine() {
    for script in [
        "const r = await fetch('/me'); return r.status === 200",
        "const r = await apiClient.get('/me', {}, { returnFullResponse: true }); return r.status === 200",
        "let r = await apiClient.get('/me'); r = await fetch('/me'); return r.status",
        "const r = await apiClient.get('/me'); return r.status === 'active'",
        "const r = await apiClient.get('/me'); return other.r.status === 200",
        "const r = await apiClient.get('/me'); return r.user.status",
        "const s = \"const r = await apiClient.get('/me')\"; return r.status",
        "/* r = apiClient.get( */ return r.status",
        "const x = /r = apiClient.get(\\//; return r.status",
        "const r = await axios.get('/me'); return r.status === 200",
        "const r = apiClient.get; return r.status",
        "if (r === apiClient.get('/me')) return r.status",
    ] {
        assert_eq!(found_in_test(script), [""; 0], "{script}");
    }
}

#[test]
fn findings_in_inline_scripts_have_the_specs_lines() {
    let spec = SPEC.replace(
        "    implementationType: rest-api-mapping\n",
        "    implementationType: javascript\n    code: |\n      export default async ({ apiClient }) => {\n        const me = await apiClient.get('/me')\n        \
         return me.status == 200\n      }\n",
    );
    let findings = found(&[("spec.yml", &spec), ("auth/test.rest.yml", "")]);
    assert!(findings.iter().any(|finding| finding.starts_with("warning: spec.yml:13: `me.status`")), "{findings:?}");
}

#[test]
fn the_script_tokenizer_never_panics() {
    for text in
        ["'", "`", "/", "/*", "//", "(", ")", ").status", "}=", "x=", "await", "x = apiClient.", "é.status", "/[/"]
    {
        found_in_test(text);
    }
}

#[test]
fn refresh_rules_are_known_keys_and_validated() {
    let refresh = |keys: &str| {
        let more =
            "  refreshCredentials:\n    implementationType: rest-api-mapping\n    mapping: {path: /t, method: post}\n";
        let spec = spec_with(&format!("{more}{keys}"));
        found(&[("spec.yml", spec.as_str())])
    };
    let all = "    permanentErrors: [190, gone]\n    transientErrors: [is being processed]\n    refreshMargin: 25\n    \
               defaultExpiresIn: 600\n";
    assert_eq!(refresh(all), Vec::<String>::new());
    assert_eq!(
        refresh("    refreshMargins: 25\n"),
        ["error: spec.yml:13: unknown key `refreshMargins` in `refreshCredentials`; did you mean `refreshMargin`?"]
    );
    assert_eq!(
        refresh("    refreshMargin: soon\n"),
        ["error: spec.yml:13: `refreshMargin` must be a number of seconds; write a whole number above 0"]
    );
    let elsewhere = SPEC.replace("  test:\n", "  test:\n    permanentErrors: [gone]\n");
    assert_eq!(found(&[("spec.yml", elsewhere.as_str())]).len(), 1, "other functions don't have these keys");
}
