//! Authentication and authorization of callers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, StatusCode};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use larder::caller::Claims;
use larder::secret::Secret;
use serde_json::{Value, json};

use super::account::Account;
use crate::processes::target::{now, respond};
use crate::{Answer, Target};

const GUARDED: &str = "/credentials?connectionId=guarded";

async fn put(target: &Target, token: &str, id: &str) {
    let body = json!({"credentials": {"of": id}});
    target.put(&format!("/credentials?connectionId={id}"), token, &body).await.expect(StatusCode::CREATED);
}

async fn ids(target: &Target, token: &str) -> Vec<String> {
    let list = target.get("/connections?limit=100", token).await.expect(StatusCode::OK).json();
    let items = list["items"].as_array().expect("a list");
    items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

/// Checks that a token was rejected, and returns the response's body and `WWW-Authenticate` header.
fn rejection(answer: Answer) -> (Value, Option<String>) {
    let answer = answer.expect(StatusCode::UNAUTHORIZED);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    (answer.json(), answer.header("www-authenticate").map(ToOwned::to_owned))
}

pub(super) async fn every_bad_token_gets_the_same_answer(target: &Target) {
    put(target, &target.admin(), "guarded").await;
    let expected = rejection(respond(target.request(Method::GET, GUARDED)).await);
    assert_eq!((&expected.0["key"], expected.1.as_deref()), (&json!("not_authenticated"), Some("Bearer")));

    let admin = || Claims { is_admin: true, ..Claims::default() };
    let stranger = Target::new("", "", &target.workspace, Secret::new("another secret"));
    let good = target.admin();
    let (unsigned, _) = good.rsplit_once('.').expect("a signature");
    let (_, claims) = unsigned.split_once('.').expect("claims");
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    for (name, token) in [
        ("garbage", "garbage".to_owned()),
        ("another secret", stranger.admin()),
        ("an unknown workspace", target.sign(Claims { workspace_key: Some("unknown".into()), ..admin() })),
        ("expired", target.sign(Claims { exp: Some(now() - 1), ..admin() })),
        ("not valid yet", target.sign(Claims { nbf: Some(now() + 600), ..admin() })),
        ("no tenant and no admin", target.sign(Claims::default())),
        ("for the application", target.sign(Claims { for_application: true, ..admin() })),
        ("alg none", format!("{none}.{claims}.")),
        ("no signature", format!("{unsigned}.")),
    ] {
        for (method, path) in [
            (Method::GET, GUARDED),
            (Method::PUT, GUARDED),
            (Method::DELETE, GUARDED),
            (Method::GET, "/connections"),
            (Method::GET, "/integrations/guarded"),
            (Method::GET, "/connectors"),
        ] {
            let answer = target.send(method.clone(), path, &token, r#"{"credentials":0}"#).await;
            assert_eq!(rejection(answer), expected, "{name}: {method} {path}");
        }
    }
    assert_eq!(target.get(GUARDED, &good).await.json(), json!({"credentials": {"of": "guarded"}}));
}

pub(super) async fn both_headers_and_all_three_algorithms_are_accepted(target: &Target) {
    put(target, &target.admin(), "algorithms").await;
    let key = EncodingKey::from_secret(target.secret.expose().as_bytes());
    let claims = json!({"iss": target.workspace, "isAdmin": true, "exp": now() + 60, "aud": "whoever"});
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let token = jsonwebtoken::encode(&Header::new(algorithm), &claims, &key).expect("a token");
        for (name, value) in [
            ("authorization", format!("Bearer {token}")),
            ("authorization", format!("bearer {token}")),
            ("x-membrane-token", token.clone()),
        ] {
            let request = target.request(Method::GET, "/credentials?connectionId=algorithms");
            respond(request.header(name, value)).await.expect(StatusCode::OK);
        }
    }
}

pub(super) async fn a_token_does_only_what_its_claims_allow(target: &Target) {
    let account = Account::open(target, "limited").await;
    let connected = account.connect().await;
    put(target, &account.token(), "hidden").await;
    let own = Claims { tenant_key: Some(account.key.to_owned()), ..Claims::default() };
    let scoped = |scope: &str| target.sign(Claims { scope: Some(scope.to_owned()), ..own.clone() });
    let limited = target.sign(Claims { connection_ids: Some([connected.clone()].into()), ..own.clone() });
    let uri = format!("/credentials?connectionId={connected}");

    let credentials = target.get(&uri, &scoped("credentials:read")).await.expect(StatusCode::OK).json();
    let members = &credentials["credentials"];
    assert_eq!((members["access_token"].is_string(), members.get("refresh_token")), (true, None));
    let whole = scoped("credentials:read credentials:refresh-token");
    let credentials = target.get(&uri, &whole).await.expect(StatusCode::OK).json();
    assert!(credentials["credentials"]["refresh_token"].is_string());
    for (method, path) in [
        (Method::GET, &*uri),
        (Method::PUT, &uri),
        (Method::GET, "/connections"),
        (Method::GET, "/integrations"),
        (Method::GET, &format!("/connect?integrationKey={}", account.key)),
    ] {
        let answer = target.send(method.clone(), path, &scoped("proxy"), r#"{"credentials":0}"#).await;
        assert_eq!(answer.0.status(), StatusCode::FORBIDDEN, "{method} {path}");
    }

    assert_eq!(ids(target, &limited).await, [connected]);
    target.get("/credentials?connectionId=hidden", &limited).await.expect(StatusCode::NOT_FOUND);
    target.get(&uri, &limited).await.expect(StatusCode::OK);
}

pub(super) async fn a_tenant_cannot_reach_another_tenants_connections(target: &Target) {
    let account = Account::open(target, "owner").await;
    let connected = account.connect().await;
    put(target, &account.token(), "owned").await;
    let other = target.tenant("another");
    for id in [&connected, "owned"] {
        for (method, path) in [
            (Method::GET, format!("/credentials?connectionId={id}")),
            (Method::PUT, format!("/credentials?connectionId={id}")),
            (Method::GET, format!("/connections/{id}")),
            (Method::DELETE, format!("/connections/{id}")),
            (Method::POST, format!("/connections/{id}/test")),
            (Method::POST, format!("/connections/{id}/refresh-credentials")),
        ] {
            let answer = target.send(method.clone(), &path, &other, r#"{"credentials":0}"#).await;
            let error = answer.expect(StatusCode::NOT_FOUND).json();
            assert_eq!(error["key"], "not_found", "{method} {path}: {error}");
        }
        let uri = format!("/credentials?connectionId={id}");
        target.delete(&uri, &other).await.expect(StatusCode::NO_CONTENT);
    }
    assert_eq!(ids(target, &other).await, Vec::<String>::new());
    let mut own = ids(target, &account.token()).await;
    own.sort_by_key(|id| *id == "owned");
    assert_eq!(own, [&connected, "owned"]);
    assert_eq!(account.access_token(&connected).await, "access-1");
    assert_eq!(account.read("owned").await.json(), json!({"credentials": {"of": "owned"}}));
}

pub(super) async fn admins_see_all_connections_without_taking_them_over(target: &Target) {
    let (admin, tenant) = (target.admin(), target.tenant("overseen"));
    put(target, &tenant, "seen").await;
    target.get("/connections/seen", &admin).await.expect(StatusCode::OK);
    put(target, &admin, "seen").await;
    let view = target.get("/connections/seen", &tenant).await.expect(StatusCode::OK).json();
    assert_eq!(view["tenantId"], "overseen");
    // Credentials stored by an admin without a tenant do not belong to any tenant.
    put(target, &admin, "the-workspaces").await;
    target.get("/credentials?connectionId=the-workspaces", &tenant).await.expect(StatusCode::NOT_FOUND);
}

pub(super) async fn only_admins_manage_integrations(target: &Target) {
    let account = Account::open(target, "managed").await;
    let tenant = account.token();
    for (method, path) in [
        (Method::POST, "/integrations"),
        (Method::PATCH, "/integrations/managed"),
        (Method::PUT, "/integrations/managed"),
        (Method::DELETE, "/integrations/managed"),
        (Method::GET, "/connectors"),
    ] {
        let answer = target.send(method, path, &tenant, account.integration().to_string()).await;
        assert_eq!(answer.expect(StatusCode::FORBIDDEN).json()["key"], "access_denied", "{path}");
    }
    target.get("/integrations/managed", &target.admin()).await.expect(StatusCode::OK);
}

pub(super) async fn tenants_see_how_to_connect(target: &Target) {
    let account = Account::open(target, "offered").await;
    let shown = target.get("/integrations/offered", &account.token()).await.expect(StatusCode::OK);
    for (name, value) in [("id", "offered"), ("connectorId", "oauth2"), ("authType", "oauth2"), ("state", "READY")] {
        assert_eq!(shown.json()[name], value, "{}", shown.text());
    }
    assert!(shown.json().get("redirectUris").is_none(), "{}", shown.text());
    let body = r#"{"integrationKey":"offered"}"#;
    let options = target.send(Method::POST, "/connection-options", &account.token(), body).await;
    assert_eq!(options.expect(StatusCode::OK).json()[0]["type"], "oauth2");
    let id = account.connect().await;
    let shown = target.get("/integrations/offered", &account.token()).await.expect(StatusCode::OK);
    assert_eq!(shown.json()["connection"]["id"], id);
    let caller = target.get("/self", &account.token()).await.expect(StatusCode::OK).json();
    assert_eq!((&caller["id"], &caller["workspaceKey"]), (&json!("offered"), &json!(target.workspace)));
    assert!(!shown.text().contains("the-client"), "{}", shown.text());
}

pub(super) async fn scripts_of_other_origins_can_call_json_routes(target: &Target) {
    let send = async |method: Method, path: &str| {
        let request = target.request(method, path).header("origin", "https://app.example");
        respond(request.header("access-control-request-method", "GET")).await
    };
    for path in ["/connections", GUARDED, "/integrations/guarded"] {
        let answer = send(Method::GET, path).await.expect(StatusCode::UNAUTHORIZED);
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{path}");
        // The emulator of AWS answers preflight requests itself, unlike AWS.
        if target.name != "the deployed stack" {
            let answer = send(Method::OPTIONS, path).await.expect(StatusCode::NO_CONTENT);
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{path}");
            let allowed = answer.header("access-control-allow-headers");
            assert!(allowed.is_some_and(|names| names.contains("authorization")), "{path}: {allowed:?}");
        }
    }
    let page = send(Method::GET, "/connect").await.expect(StatusCode::UNAUTHORIZED);
    assert_eq!(page.header("access-control-allow-origin"), None);
}
