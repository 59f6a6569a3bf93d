//! The pages on which admins set up integrations, in Chromium.

use http::StatusCode;
use serde_json::json;

use super::credentials_page::{Setting, screenshots};

const FILES: &[(&str, &str)] = &[
    (
        "spec.yml",
        "name: Acme Mail
categories: [email, marketing]
aliases: [Postbote]
quirks: [A key stops working when the person who created it leaves the team., Sandboxes have keys of their own.]
evidence: 2
apiDocsUri: https://docs.acme-mail.example/
setup:
  registerUri: https://acme-mail.example/settings/keys
  developer: Ask Acme Mail to turn on the API for your account. Then enter the address of your region's API here.
  endUser: In the settings, open API keys, create a key for sending and copy it.
  source: https://help.acme-mail.example/api-keys
  date: 2026-11-29
parametersSchema:
  type: object
  properties:
    apiUri: {type: string, format: uri, title: Address of the API, description: It depends on the region.}
    region: {type: string, title: Region, enum: [eu, us]}
    partnerSecret: {type: string, title: Partner secret, isSensitive: true, description: Only partners of Acme Mail have one.}
  required: [apiUri]
auth:
  type: client-credentials
  inputSchema: {type: object, properties: {apiKey: {type: string, title: API key, isSensitive: true}}, required: [apiKey]}
  makeApiClient: {implementationType: mapping}
  test: {implementationType: rest-api-mapping}
  options:
    key: {title: API key}
    legacy: {title: Key of the old API}
",
    ),
    ("auth/make-api-client.map.yml", "baseUri: {$var: connectorParameters.apiUri}\n"),
    ("auth/test.rest.yml", "path: /me\nmethod: GET\n"),
];

#[tokio::test]
#[ignore = "needs tests/run"]
async fn an_admin_sets_up_tries_edits_and_deletes_an_integration() {
    let mut it = Setting::with_connector(FILES).await;
    let folder = screenshots();
    it.sign_in(json!({})).await;
    it.chromium.goto(&it.target.uri("/")).await;
    it.chromium.click("a[href='./i']").await;
    it.chromium.shows("Choose a connector").await;
    it.chromium.screenshots(&folder, "integrations-empty").await;
    it.chromium.click(".empty .primary").await;
    it.chromium.shows("For any service").await;
    it.chromium.screenshots(&folder, "connectors").await;
    // The cursor is in the search already.
    it.chromium.type_text("postBOTE").await;
    it.chromium.press("Enter").await;
    it.chromium.arrives(&it.target.uri("/new?search=postBOTE")).await;
    it.chromium.shows("Acme Mail").await;
    it.chromium.screenshots(&folder, "connectors-found").await;
    it.chromium.click("a[href='new/app']").await;
    it.chromium.shows("How to set it up").await;
    it.chromium.screenshots(&folder, "integration-new").await;

    it.chromium.fill("[name='details/redirectUris']", "https://*.acme.example/").await;
    it.chromium.fill("[name='input/apiUri']", "nowhere").await;
    it.chromium.fill("[name='input/partnerSecret']", "s3cret").await;
    it.chromium.click("button[value=save]").await;
    it.chromium.shows("Please check your details").await;
    it.chromium.screenshots(&folder, "integration-errors").await;
    let focused = it.chromium.evaluate("document.activeElement.name").await;
    assert_eq!(focused, "input/apiUri");
    let fix = format!("document.activeElement.value = '{}'", it.provider.uri(""));
    it.chromium.evaluate(&fix).await;
    it.chromium.press("Enter").await;
    it.chromium.shows("no wildcards").await;
    let clear = "document.querySelector(\"[name='details/redirectUris']\").value = 'https://app.acme.example/done'";
    it.chromium.evaluate(clear).await;
    it.chromium.fill("[name='details/name']", "Newsletter").await;
    it.chromium.fill("[name='details/description']", "For the marketing team").await;
    it.chromium.fill("[name='input/partnerSecret']", "s3cret").await;
    it.chromium.click("button[value=save]").await;
    let page = it.chromium.shows("The integration was created").await;
    // Reloading does not say it again.
    assert_eq!(it.chromium.url().await, it.target.uri("/i/newsletter"));
    assert!(page.contains("Set. Leave this empty to keep it.") && page.contains("0 credentials"), "{page}");
    it.chromium.screenshots(&folder, "integration").await;

    it.chromium.click("button[value=try]").await;
    it.chromium.click("button[value=key]").await;
    it.chromium.fill("[name='input/apiKey']", "key-right").await;
    it.chromium.click(".primary").await;
    let page = it.chromium.shows("It works: an account was connected").await;
    assert!(page.contains("1 credential"), "{page}");
    it.chromium.screenshots(&folder, "integration-tried").await;
    assert_eq!(it.connections().await.len(), 1);

    it.chromium.click("a.danger").await;
    it.chromium.shows("Delete this integration?").await;
    it.chromium.click("button[value=delete]").await;
    it.chromium.shows("1 credential uses this integration").await;
    it.chromium.screenshots(&folder, "integration-in-use").await;
    it.chromium.click(".banner a").await;
    it.chromium.shows("Newsletter").await;
    let body = json!({"connectorKey": "oauth2", "name": "Our CRM", "parameters": it.provider.parameters()});
    it.target.put("/integrations/crm", &it.target.admin(), &body).await.expect(StatusCode::CREATED);
    it.chromium.goto(&it.target.uri("/i")).await;
    it.chromium.shows("For the marketing team").await;
    it.chromium.screenshots(&folder, "integrations").await;
    it.chromium.click("a[href='i/crm']").await;
    it.chromium.click("a.danger").await;
    it.chromium.click("button[value=delete]").await;
    let page = it.chromium.shows("The integration was deleted").await;
    assert!(!page.contains("Our CRM"), "{page}");
    it.finish().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_callback_uri_is_copied_with_a_button() {
    let mut it = Setting::new().await;
    it.sign_in(json!({})).await;
    it.chromium.goto(&it.target.uri("/new/oauth2")).await;
    it.chromium.shows("Register this address").await;
    it.chromium.screenshots(&screenshots(), "integration-oauth").await;
    it.chromium.click("button[data-copy]").await;
    it.chromium.shows("Copied").await;
    let selected = it.chromium.evaluate("document.activeElement.value.slice(0, 7) + getSelection().toString()").await;
    assert_eq!(selected.as_str().map(|text| text.starts_with("http://")), Some(true), "{selected}");
    it.chromium.click("details.more summary").await;
    it.chromium.shows("The grant type of refreshes").await;
    it.chromium.screenshots(&screenshots(), "integration-oauth-unfolded").await;
    it.finish().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn without_javascript_an_integration_is_set_up_by_keyboard() {
    let mut it = Setting::new().await;
    it.chromium.javascript(false).await;
    it.sign_in(json!({})).await;
    it.chromium.goto(&it.target.uri("/new/app")).await;
    it.chromium.fill("[name='details/name']", "Second").await;
    for expected in ["details/key", "details/description", "details/logoUri", "details/redirectUris"] {
        it.chromium.press("Tab").await;
        assert_eq!(it.chromium.evaluate("document.activeElement.name").await, expected);
    }
    it.chromium.fill("[name='input/apiUri']", &it.provider.uri("")).await;
    it.chromium.press("Enter").await;
    it.chromium.shows("The integration was created").await;
    it.chromium.goto(&it.target.uri("/i/crm")).await;
    let callback =
        "[document.getElementById('callback').value, document.querySelector('[data-copy]').checkVisibility()]";
    assert_eq!(it.chromium.evaluate(callback).await, json!([it.target.uri("/oauth-callback"), false]));
    it.chromium.fill("[name='details/description']", "Edited").await;
    it.chromium.click("button[value=save]").await;
    it.chromium.shows("Saved").await;
    let stored = it.target.get("/integrations/crm", &it.target.admin()).await.expect(StatusCode::OK).json();
    assert_eq!((&stored["description"], &stored["name"]), (&json!("Edited"), &json!("Our CRM")));
    it.finish().await;
}
