//! The picker in Chromium: an application on another origin opens it, and gets the credential that its user chooses.

use http::StatusCode;
use serde_json::json;

use super::chromium::{page, site};
use super::credentials_page::{Setting, screenshots};

/// An application that opens the picker in a popup and shows the message that it receives. Returns its base URL.
async fn application(it: &Setting, integration: &str) -> String {
    let larder = it.target.uri("");
    let query = format!("integrationKey={integration}&requestId=9&flow=7&flowName=Contact+sync");
    let body = format!(
        "<button onclick=\"window.open('{larder}/pick?{query}&flowUri=' + encodeURIComponent(location.origin + '/flows/7'), \
         'pick', 'width=480,height=720')\">Pick</button><p id=got></p><script>addEventListener('message', (event) => {{ \
         if (event.origin === '{larder}') got.textContent = 'Got ' + event.data.type + ' ' + event.data.requestId + ' ' + \
         event.data.connection.name; }});</script>"
    );
    site(move |_| page(&body)).await.0
}

/// Lists a URL of the application in an integration.
async fn list(it: &Setting, integration: &str, uri: &str) {
    let body = json!({ "redirectUris": [uri] });
    let path = format!("/integrations/{integration}");
    let answer = it.target.send(http::Method::PATCH, &path, &it.target.admin(), body.to_string()).await;
    answer.expect(StatusCode::OK);
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_popup_returns_the_choice_to_the_page_that_opened_it() {
    let mut it = Setting::new().await;
    let folder = screenshots();
    let application = application(&it, "crm").await;
    list(&it, "crm", &format!("{application}/done")).await;
    let id = it.create("crm", "Demo Company (UK)", "ada").await;
    it.create("crm", "Acme EU sandbox", "ada").await;
    it.create("crm", "Grace's account", "grace").await;
    it.create("app", "Newsletter", "ada").await;

    it.chromium.goto(&application).await;
    it.chromium.click("button").await;
    it.chromium.page(1).await;
    it.chromium.shows("You are not signed in").await;
    it.chromium.screenshots(&folder, "pick-signed-out").await;
    // A link in another tab leads to the same page, and the popup continues by itself.
    let link = it.page_link(json!({"tenantKey": "ada"})).await["url"].clone();
    let link = format!("<a id=link target=_blank rel=noopener href={link}>Sign in</a>");
    it.chromium.evaluate(&format!("void document.body.insertAdjacentHTML('beforeend', '{link}')")).await;
    it.chromium.click("#link").await;
    it.chromium.page(2).await;
    it.chromium.shows("Choose a credential for Our CRM").await;
    it.chromium.page(1).await;
    let shown = it.chromium.shows("Choose a credential for Our CRM").await;
    assert!(shown.contains("For the flow Contact sync (localhost)"), "{shown}");
    assert!(!shown.contains("Grace") && !shown.contains("Newsletter"), "{shown}");
    it.chromium.screenshots(&folder, "pick").await;
    // A credential that is added elsewhere appears by itself.
    it.create("crm", "Acme US", "ada").await;
    it.chromium.shows("Acme US").await;
    it.chromium.fill("[name=search]", "demo").await;
    it.chromium.press("Enter").await;
    it.chromium.arrives(&it.target.uri("/pick?integrationKey=crm&requestId=9")).await;
    it.chromium.click("button[name=choose]").await;
    it.chromium.page(0).await;
    it.chromium.shows("Got newConnectionCreated 9 Demo Company (UK)").await;
    let uri = format!("/connections/{id}/dependencies");
    let flows = it.target.get(&uri, &it.target.admin()).await.expect(StatusCode::OK).json();
    assert_eq!(
        (&flows[0]["name"], &flows[0]["uri"]),
        (&json!("Contact sync"), &json!(format!("{application}/flows/7")))
    );
    it.finish().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_credential_is_added_and_verified_before_it_can_be_chosen() {
    let mut it = Setting::new().await;
    let folder = screenshots();
    let application = application(&it, "app").await;
    list(&it, "app", &format!("{application}/done")).await;
    it.sign_in(json!({"tenantKey": "ada"})).await;
    it.chromium.goto(&application).await;
    it.chromium.click("button").await;
    it.chromium.page(1).await;
    it.chromium.shows("No credentials yet").await;
    it.chromium.screenshots(&folder, "pick-empty").await;
    it.chromium.click("button[value=add]").await;
    it.chromium.shows("API key").await;
    it.provider.set_test_status(401);
    it.chromium.fill("[name='input/apiKey']", "key-wrong").await;
    it.chromium.click(".primary").await;
    it.chromium.shows("did not accept these details").await;
    assert!(it.connections().await.is_empty());
    it.provider.set_test_status(200);
    it.chromium.fill("[name='input/apiKey']", "key-right").await;
    it.chromium.click(".primary").await;
    it.chromium.arrives(&it.target.uri("/pick?for=")).await;
    it.chromium.shows("It was tested and stored. You can use it now.").await;
    it.chromium.screenshots(&folder, "pick-new").await;
    // The button has the focus.
    it.chromium.press("Enter").await;
    it.chromium.page(0).await;
    it.chromium.shows("Got newConnectionCreated 9 Acme Mail").await;
    assert_eq!(it.connections().await.len(), 1);
    it.finish().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn without_javascript_the_choice_is_returned_by_redirect() {
    let mut it = Setting::new().await;
    let (application, _) = site(|_| page("<h1>Your flow</h1>")).await;
    let done = format!("{application}/done?from=larder");
    list(&it, "crm", &done).await;
    let id = it.create("crm", "Demo Company (UK)", "ada").await;
    it.create("crm", "Acme EU sandbox", "ada").await;
    it.chromium.javascript(false).await;
    it.sign_in(json!({"tenantKey": "ada"})).await;
    let redirect = form_urlencoded::byte_serialize(done.as_bytes()).collect::<String>();
    let picker = it.target.uri(&format!("/pick?integrationKey=crm&redirectUri={redirect}"));
    it.chromium.goto(&picker).await;
    it.chromium.evaluate("document.querySelector('[name=search]').focus()").await;
    // By keyboard: the button's name says which credential it chooses.
    for expected in ["Filter", "Use this: Our CRM · "] {
        it.chromium.press("Tab").await;
        let focused = it.chromium.evaluate("document.activeElement.textContent").await;
        assert!(focused.as_str().is_some_and(|text| text.starts_with(expected)), "{focused}");
    }
    it.chromium.click(&format!("button[value='{id}']")).await;
    let arrived = it.chromium.arrives(&done).await;
    assert_eq!(arrived, format!("{done}&connectionId={id}"));
    it.chromium.language("de").await;
    it.chromium.goto(&picker).await;
    it.chromium.shows("Zugangsdaten für Our CRM wählen").await;
    it.chromium.screenshots(&screenshots(), "pick-de").await;
    it.chromium.click("button[value=cancel]").await;
    it.chromium.arrives(&format!("{done}&error=")).await;
    it.finish().await;
}
