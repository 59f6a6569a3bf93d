//! The credentials page and the picker in Chromium, statement by statement of their specification.
//!
//! | statement | test |
//! |---|---|
//! | A component may have multiple sets of credentials for different environments | `a_component_may_have_multiple_sets_of_credentials` |
//! | Credentials are only available for flows within the workspace in which they are added | `credentials_are_only_available_within_their_workspace` |
//! | A credential can hold an API key, the tokens of OAuth2, or a database's host, port, name, user and password | `form::a_key_is_entered_wrong_first_and_then_right`, `a_credential_can_be_created_from_the_credentials_page`, `form::a_database_is_connected_through_a_link_by_keyboard_alone` |
//! | A credential does not work with the component of another API | `picker::a_popup_returns_the_choice_to_the_page_that_opened_it` |
//! | You can create a credential for a component from the credentials page | `a_credential_can_be_created_from_the_credentials_page` |
//! | All components that require credentials are displayed | `all_components_that_require_credentials_are_displayed` |
//! | The green number tells how many credentials exist for that component | `the_green_number_tells_how_many_credentials_exist` |
//! | A saved credential is available for selection when you create a flow with that component | `picker::a_popup_returns_the_choice_to_the_page_that_opened_it` |
//! | The same credential can be used multiple times | `the_same_credential_can_be_used_multiple_times` |
//! | Before saving a credential, a verification is performed | `a_credential_is_verified_before_it_is_saved` |
//! | You can click the edit or delete button for an existing credential | `the_edit_and_delete_buttons_edit_and_delete` |
//! | If you try to delete a credential used by an active workflow, an error message prompts you to delete or update the flow | `deleting_a_used_credential_prompts_to_change_the_flow` |
//! | While you create a flow, you select credentials that have been configured, or add new ones | `picker::a_popup_returns_the_choice_to_the_page_that_opened_it`, `picker::a_credential_is_added_and_verified_before_it_can_be_chosen` |
//! | At this stage, you complete the same fields, and the credentials are verified before you can continue | `picker::a_credential_is_added_and_verified_before_it_can_be_chosen` |
//!
//! The rest is context: why flows need credentials, that they are added to components (integrations), how you move a flow from
//! staging to production, and where the menu is.

use std::path::PathBuf;
use std::sync::Arc;

use http::{Method, StatusCode};
use larder::clock::SystemClock;
use larder::secret::Secret;
use larder::secret_store::{SecretFile, WorkspaceSecret, Workspaces};
use larder_local::bundle::DataDir;
use larder_tests::{Chromium, MockProvider, Program, Target, TempConnector};
use serde_json::{Value, json};
use tempfile::TempDir;

const FILES: &[(&str, &str)] = &[
    (
        "spec.yml",
        "name: Mailer
parametersSchema: {type: object, properties: {apiUri: {type: string}}}
auth:
  type: client-credentials
  inputSchema:
    type: object
    properties:
      apiKey: {type: string, title: API key, isSensitive: true}
      region: {type: string, title: Region, default: eu, enum: [eu, us]}
    required: [apiKey]
  makeApiClient: {implementationType: mapping}
  test: {implementationType: rest-api-mapping}
",
    ),
    ("auth/make-api-client.map.yml", "baseUri: {$var: connectorParameters.apiUri}\n"),
    ("auth/test.rest.yml", "path: /me\nmethod: GET\n"),
];

/// A Larder with the integrations `app`, whose users enter a key, and `crm`, whose users approve access; and a browser.
pub(super) struct Setting {
    larder: Program,
    pub(super) target: Target,
    pub(super) provider: MockProvider,
    pub(super) chromium: Chromium,
    _folders: (TempDir, TempConnector),
}

impl Setting {
    pub(super) async fn new() -> Self {
        let it = Self::bare().await;
        let body = json!({"connectorKey": "app", "name": "Acme Mail", "parameters": {"apiUri": it.provider.uri("")}});
        it.target.put("/integrations/app", &it.target.admin(), &body).await.expect(StatusCode::CREATED);
        let body = json!({"connectorKey": "oauth2", "name": "Our CRM", "parameters": it.provider.parameters()});
        it.target.put("/integrations/crm", &it.target.admin(), &body).await.expect(StatusCode::CREATED);
        it
    }

    /// The same without integrations.
    async fn bare() -> Self {
        Self::with_connector(FILES).await
    }

    /// A Larder with this connector `app`.
    pub(super) async fn with_connector(files: &[(&str, &str)]) -> Self {
        let (data, connector) = (tempfile::tempdir().expect("a folder"), TempConnector::new(files));
        let path = |path: &std::path::Path| path.to_str().expect("a path in UTF-8").to_owned();
        let (data_path, connectors) = (path(data.path()), path(connector.path()));
        let arguments = ["--data", &data_path, "--listen", "127.0.0.1:0", "--connectors", &connectors];
        let larder = Program::start(&arguments).await;
        let target = Target::local(&larder, data.path()).await;
        target.delete("/integrations/demo", &target.admin()).await.expect(StatusCode::NO_CONTENT);
        let provider = MockProvider::start().await;
        Self { larder, target, provider, chromium: Chromium::start().await, _folders: (data, connector) }
    }

    /// Creates a page link.
    pub(super) async fn page_link(&self, body: Value) -> Value {
        let created = self.target.send(Method::POST, "/page-links", &self.target.admin(), body.to_string()).await;
        created.expect(StatusCode::CREATED).json()
    }

    /// Signs the browser in. Returns the id of its link.
    pub(super) async fn sign_in(&mut self, body: Value) -> String {
        let created = self.page_link(body).await;
        self.open_link(created).await
    }

    /// Opens the link that was made. Returns its id.
    async fn open_link(&mut self, created: Value) -> String {
        self.chromium.goto(created["url"].as_str().expect("a URL")).await;
        self.chromium.shows("Larder").await;
        created["id"].as_str().expect("an id").to_owned()
    }

    /// Creates another workspace.
    async fn other_workspace(&self) -> Target {
        let secrets = DataDir::open(self._folders.0.path()).expect("a data folder").secrets();
        let secret = Secret::new("a-secret-of-another-workspace-in-this-folder");
        let workspaces = Workspaces::new(Arc::new(SecretFile::new(secrets)), Arc::new(SystemClock));
        workspaces.put("elsewhere", &WorkspaceSecret::new(secret.clone())).await.expect("a secret store");
        Target::new("elsewhere", &self.target.uri(""), "elsewhere", secret)
    }

    /// Creates a connection of `app` or `crm` for a tenant, and returns its id.
    pub(super) async fn create(&self, integration: &str, name: &str, tenant: &str) -> String {
        let mut body = json!({"integrationKey": integration, "name": name});
        if integration == "app" {
            body["input"] = json!({"apiKey": "key-right"});
        } else {
            body["credentials"] =
                json!({"access_token": "an-access-token", "refresh_token": "a-refresh-token", "expires_in": 3600});
        }
        let created =
            self.target.send(Method::POST, "/connections", &self.target.tenant(tenant), body.to_string()).await;
        created.expect(StatusCode::OK).json()["id"].as_str().expect("an id").to_owned()
    }

    async fn mark(&self, id: &str, flow: &str, name: &str) {
        let body = json!({"name": name, "uri": format!("https://flows.example/{flow}")});
        let uri = format!("/connections/{id}/flows/{flow}");
        self.target.put(&uri, &self.target.admin(), &body).await.expect(StatusCode::NO_CONTENT);
    }

    pub(super) async fn connections(&self) -> Vec<Value> {
        let listed = self.target.get("/connections", &self.target.admin()).await.expect(StatusCode::OK).json();
        listed["items"].as_array().expect("a list").clone()
    }

    /// The names and green numbers of the navigation.
    async fn numbers(&mut self) -> Value {
        let script = "[...document.querySelectorAll('.side li')].map((it) => \
                      it.querySelector('.name').innerText + ' ' + it.querySelector('.count').innerText)";
        self.chromium.evaluate(script).await
    }

    /// Asserts that no page violated its content security policy, and that no script failed.
    pub(super) async fn finish(mut self) {
        let log = self.chromium.log().await;
        let is_wrong = |line: &&String| line.contains("Content Security Policy") || line.starts_with("error:");
        assert!(!log.iter().any(|line| is_wrong(&line)), "{log:#?}");
        self.larder.kill().await;
    }
}

/// The folder for screenshots, which is build output.
pub(super) fn screenshots() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn all_components_that_require_credentials_are_displayed() {
    let mut it = Setting::bare().await;
    let folder = screenshots();
    it.sign_in(json!({"tenantKey": "ada"})).await;
    it.chromium.shows("Nothing to connect yet").await;
    it.chromium.click("form[action$=sign-out] button").await;
    it.chromium.shows("Signed out").await;
    it.sign_in(json!({})).await;
    it.chromium.goto(&it.target.uri("/")).await;
    it.chromium.shows("Set up your first integration").await;
    it.chromium.screenshots(&folder, "credentials-first-integration").await;
    let body = json!({"connectorKey": "app", "name": "Acme Mail"});
    it.target.put("/integrations/app", &it.target.admin(), &body).await.expect(StatusCode::CREATED);
    it.target.put("/integrations/crm", &it.target.admin(), &json!({"connectorKey": "oauth2"})).await;
    it.chromium.reload().await;
    it.chromium.shows("No credentials yet").await;
    assert_eq!(it.numbers().await, json!(["All credentials 0", "Needs attention 0", "Acme Mail 0", "OAuth2 0"]));
    it.chromium.screenshots(&folder, "credentials-empty").await;
    it.chromium.click("a[href='./add']").await;
    it.chromium.shows("Choose the integration").await;
    it.chromium.screenshots(&folder, "credentials-add").await;
    it.finish().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn the_green_number_tells_how_many_credentials_exist() {
    let mut it = Setting::new().await;
    let folder = screenshots();
    let id = it.create("crm", "Demo Company (UK)", "ada").await;
    it.create("crm", "Acme EU sandbox", "grace").await;
    it.create("app", "Newsletter", "ada").await;
    it.mark(&id, "1", "Contact sync").await;
    it.sign_in(json!({})).await;
    it.chromium.shows("Demo Company (UK)").await;
    let expected = json!(["All credentials 3", "Needs attention 0", "Acme Mail 1", "Our CRM 2"]);
    assert_eq!(it.numbers().await, expected);
    it.chromium.screenshots(&folder, "credentials").await;
    // Nothing moves while the page loads and counts down.
    let shift = "new Promise((resolve) => { let sum = 0; new PerformanceObserver((list) => { for (const entry of \
                 list.getEntries()) sum += entry.value; }).observe({ type: 'layout-shift', buffered: true }); \
                 setTimeout(() => resolve(sum), 2500); })";
    it.chromium.reload().await;
    assert_eq!(it.chromium.evaluate(shift).await, json!(0));
    let counted = it.chromium.evaluate("document.querySelector('time[data-until]').innerText").await;
    assert!(counted.as_str().expect("a time").starts_with("54:"), "{counted}");
    it.chromium.click("a[href='./?integrationKey=app']").await;
    let page = it.chromium.shows("Newsletter").await;
    assert!(!page.contains("Demo Company"), "{page}");
    it.chromium.goto(&it.target.uri("/?search=nothing")).await;
    it.chromium.shows("No results").await;
    it.chromium.screenshots(&folder, "credentials-no-results").await;
    it.finish().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_credential_can_be_created_from_the_credentials_page() {
    let mut it = Setting::new().await;
    it.sign_in(json!({"tenantKey": "ada"})).await;
    it.chromium.click("a[href='./add']").await;
    it.provider.script_api("GET /authorize", 200, &json!({}));
    it.chromium.click("button[value=crm]").await;
    let authorize = it.chromium.arrives(&it.provider.uri("/authorize")).await;
    let back = it.provider.approve(&authorize);
    it.chromium.goto(&back).await;
    let page = it.chromium.shows("Connected").await;
    assert!(page.contains("Our CRM") && page.contains("refreshes in"), "{page}");
    assert_eq!(it.connections().await[0]["tenantId"], "ada");
    it.chromium.screenshots(&screenshots(), "credentials-connected").await;
    // Reloading does not say it again.
    assert_eq!(it.chromium.url().await, it.target.uri("/"));
    it.finish().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_credential_is_verified_before_it_is_saved() {
    let mut it = Setting::new().await;
    it.sign_in(json!({"tenantKey": "ada"})).await;
    it.chromium.click("a[href='./add']").await;
    it.chromium.click("button[value=app]").await;
    it.chromium.shows("API key").await;
    it.provider.set_test_status(401);
    it.chromium.fill("[name='input/apiKey']", "key-wrong").await;
    it.chromium.click(".primary").await;
    it.chromium.shows("did not accept these details").await;
    assert_eq!(it.connections().await, Vec::<Value>::new());
    it.provider.set_test_status(200);
    it.chromium.fill("[name='input/apiKey']", "key-right").await;
    it.chromium.click(".primary").await;
    it.chromium.shows("Connected").await;
    it.chromium.shows("Acme Mail").await;
    assert_eq!(it.connections().await.len(), 1);
    it.finish().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn credentials_are_only_available_within_their_workspace() {
    let mut it = Setting::new().await;
    let id = it.create("crm", "Demo Company (UK)", "ada").await;
    let elsewhere = it.other_workspace().await;
    let created = elsewhere.send(Method::POST, "/page-links", &elsewhere.admin(), "{}").await;
    it.open_link(created.expect(StatusCode::CREATED).json()).await;
    it.chromium.shows("Set up your first integration").await;
    it.chromium.goto(&it.target.uri(&format!("/c/{id}"))).await;
    it.chromium.shows("This credential does not exist, or was deleted.").await;
    it.chromium.goto(&it.target.uri("/pick?integrationKey=crm")).await;
    it.chromium.shows("This integration does not exist, or was deleted.").await;
    it.finish().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_component_may_have_multiple_sets_of_credentials() {
    let mut it = Setting::new().await;
    it.sign_in(json!({"tenantKey": "ada"})).await;
    for _ in 0..2 {
        it.chromium.click("a[href='./add']").await;
        it.chromium.click("button[value=app]").await;
        it.chromium.fill("[name='input/apiKey']", "key-right").await;
        it.chromium.click(".primary").await;
        it.chromium.shows("Connected").await;
    }
    assert_eq!(it.numbers().await[2], "Acme Mail 2");
    // Names tell environments apart.
    it.chromium.click(".card .who a").await;
    it.chromium.fill("[name=name]", "Staging").await;
    it.chromium.click("button[value=rename]").await;
    it.chromium.shows("Renamed").await;
    it.chromium.click("a.brand").await;
    it.chromium.shows("Acme Mail · Staging").await;
    it.finish().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn the_same_credential_can_be_used_multiple_times() {
    let mut it = Setting::new().await;
    let id = it.create("crm", "Demo Company (UK)", "ada").await;
    for (flow, name) in [("1", "Invoices"), ("2", "Payroll")] {
        it.mark(&id, flow, name).await;
    }
    it.sign_in(json!({"tenantKey": "ada"})).await;
    it.chromium.shows("used by Invoices, Payroll").await;
    it.chromium.click(".card .who a").await;
    let links = "[...document.querySelectorAll('.tags a')].map((it) => it.href)";
    it.chromium.shows("Used by flows").await;
    assert_eq!(it.chromium.evaluate(links).await, json!(["https://flows.example/1", "https://flows.example/2"]));
    it.chromium.screenshots(&screenshots(), "credential").await;
    it.chromium.language("de").await;
    it.chromium.reload().await;
    it.chromium.shows("Verlauf").await;
    it.chromium.screenshots(&screenshots(), "credential-de").await;
    it.finish().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn the_edit_and_delete_buttons_edit_and_delete() {
    let mut it = Setting::new().await;
    it.create("app", "Newsletter", "ada").await;
    it.chromium.javascript(false).await;
    it.sign_in(json!({"tenantKey": "ada"})).await;
    it.chromium.shows("Newsletter").await;
    // By keyboard: the button's name says which credential it edits.
    it.chromium.evaluate("document.querySelector('.card .who a').focus()").await;
    it.chromium.press("Tab").await;
    let named = it.chromium.evaluate("document.activeElement.textContent").await;
    assert_eq!(named, "Test: Acme Mail · Newsletter");
    it.chromium.press("Tab").await;
    it.chromium.press("Enter").await;
    it.chromium.shows("Reconnect Acme Mail").await;
    it.chromium.fill("[name='input/apiKey']", "key-new").await;
    it.chromium.click(".primary").await;
    it.chromium.shows("Connected").await;
    let id = it.connections().await[0]["id"].as_str().expect("an id").to_owned();
    let uri = format!("/credentials?connectionId={id}");
    let stored = it.target.get(&uri, &it.target.admin()).await.expect(StatusCode::OK).json();
    assert_eq!(stored["credentials"]["apiKey"], "key-new");

    it.chromium.click("a.danger").await;
    it.chromium.shows("Delete this credential?").await;
    it.chromium.screenshots(&screenshots(), "credential-delete").await;
    it.chromium.click("button[value=delete]").await;
    it.chromium.shows("Undo").await;
    assert_eq!(it.connections().await, Vec::<Value>::new());
    it.chromium.click(".banner a").await;
    it.chromium.click("button[value=restore]").await;
    it.chromium.shows("Reconnect needed").await;
    it.finish().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn deleting_a_used_credential_prompts_to_change_the_flow() {
    let mut it = Setting::new().await;
    let id = it.create("crm", "Demo Company (UK)", "ada").await;
    it.mark(&id, "1", "Contact sync").await;
    it.sign_in(json!({"tenantKey": "ada"})).await;
    it.chromium.click(".card .who a").await;
    it.chromium.click("a.danger").await;
    it.chromium.click("button[value=delete]").await;
    it.chromium.shows("First turn off the flows that use it").await;
    let link = it.chromium.evaluate("document.querySelector('.banner a').href").await;
    assert_eq!(link, "https://flows.example/1");
    it.chromium.screenshots(&screenshots(), "credential-in-use").await;
    assert_eq!(it.connections().await.len(), 1);
    it.finish().await;
}

#[tokio::test]
#[ignore = "needs tests/run"]
async fn a_list_shows_failures_as_they_happen_and_why() {
    let mut it = Setting::new().await;
    let folder = screenshots();
    let failing = it.create("crm", "Acme EU sandbox", "ada").await;
    let dead = it.create("crm", "Demo Company (UK)", "grace").await;
    let tested = it.create("app", "Newsletter", "ada").await;
    let link = it.sign_in(json!({})).await;
    it.chromium.shows("Fresh").await;
    it.chromium.evaluate("window.isSame = true").await;
    // A refresh soon after connecting would not ask the provider.
    it.provider.script(503, &json!({"error": "maintenance"}));
    it.provider.script(400, &json!({"error": "invalid_grant", "error_description": "token revoked by the user"}));
    for id in [&failing, &dead] {
        let uri = format!("/connections/{id}/refresh-credentials");
        it.target.post(&uri, &it.target.admin()).await;
    }
    it.chromium.shows("Refresh failing").await;
    let page = it.chromium.shows("Reconnect needed").await;
    assert!(page.contains("503") && page.contains("token revoked by the user"), "{page}");
    assert_eq!(it.numbers().await[1], "Needs attention 1");
    assert_eq!(it.chromium.evaluate("window.isSame").await, true, "the page was not reloaded");
    it.provider.set_test_status(401);
    it.chromium.click(&format!("#c-{tested} button[value=test]")).await;
    it.chromium.shows("The last test failed.").await;
    assert_eq!(it.numbers().await[1], "Needs attention 2");
    it.chromium.screenshots(&folder, "credentials-failing").await;

    // Rows leave a filtered list and come back, and what somebody types meanwhile stays.
    it.chromium.goto(&it.target.uri("/?state=CLIENT_ACTION_REQUIRED&integrationKey=app")).await;
    it.chromium.shows("Newsletter").await;
    it.chromium.fill("#search", "typed").await;
    for (status, shown) in [(200, "No results"), (401, "Newsletter")] {
        it.provider.set_test_status(status);
        it.target.post(&format!("/connections/{tested}/test"), &it.target.admin()).await.expect(StatusCode::OK);
        let page = it.chromium.shows(shown).await;
        assert_ne!(page.contains("No results"), page.contains("Newsletter"), "{page}");
    }
    assert_eq!(it.chromium.evaluate("document.activeElement.value").await, "typed");

    it.chromium.click("a[href='./?state=CLIENT_ACTION_REQUIRED']").await;
    it.chromium.click(&format!("a[href='c/{dead}']")).await;
    it.chromium.click("button[value=link]").await;
    it.chromium.shows("Send this link").await;
    it.chromium.screenshots(&folder, "credential-link").await;

    // A page that is open says that its session is over.
    it.chromium.goto(&it.target.uri("/")).await;
    it.chromium.shows("Newsletter").await;
    let revoked = it.target.delete(&format!("/page-links/{link}"), &it.target.admin()).await;
    revoked.expect(StatusCode::NO_CONTENT);
    it.chromium.shows("your session has ended").await;
    it.chromium.screenshots(&folder, "session-over").await;
    it.larder.kill().await;
}
