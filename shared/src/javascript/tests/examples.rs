//! The examples of the format's own documentation, as they stand there.

use super::requests::Server;
use super::*;

const GET_TOKEN_DATA: &str = r#"export default async function ({
  connectorParameters,
  connectionParameters,
  codeVerifier,
  queryParameters,
  redirectUri,
}) {
  const response = await fetch(connectorParameters.tokenUri, {
    method: "POST",
    headers: {
      "Content-Type": "application/x-www-form-urlencoded",
    },
    body: new URLSearchParams({
      grant_type: "authorization_code",
      code: queryParameters.code,
      redirect_uri: redirectUri,
      client_id: connectorParameters.clientId,
      client_secret: connectorParameters.clientSecret,
      code_verifier: codeVerifier,
      // Add custom parameters
      resource: "https://api.example.com",
    }),
  })

  return await response.json()
}"#;

const FROM_ACCESS_TOKEN_RESPONSE: &str = r#"export default async function ({
  connectorParameters,
  connectionParameters,
  queryParameters,
  tokenResponse,
}) {
  // Make additional API calls if needed
  const userInfoResponse = await fetch("https://api.example.com/userinfo", {
    headers: {
      Authorization: `Bearer ${tokenResponse.access_token}`,
    },
  })

  const userInfo = await userInfoResponse.json()

  // Return transformed credentials
  return {
    access_token: tokenResponse.access_token,
    refresh_token: tokenResponse.refresh_token,
    // Add custom fields
    userId: userInfo.id,
    userName: userInfo.name,
    expires_at: Date.now() + tokenResponse.expires_in * 1000,
  }
}"#;

const REFRESH_CREDENTIALS: &str = r#"export default async function ({
  connectorParameters,
  connectionParameters,
  credentials,
}) {
  const response = await fetch(connectorParameters.tokenUri, {
    method: "POST",
    headers: {
      "Content-Type": "application/x-www-form-urlencoded",
      Authorization: `Basic ${btoa(
        `${connectorParameters.clientId}:${connectorParameters.clientSecret}`
      )}`,
    },
    body: new URLSearchParams({
      grant_type: "refresh_token",
      refresh_token: credentials.refresh_token,
      // Add custom parameters
      scope: "read write",
    }),
  })

  const refreshResponse = await response.json()

  // Return updated credentials (merged with existing)
  return {
    access_token: refreshResponse.access_token,
    refresh_token: refreshResponse.refresh_token || credentials.refresh_token,
    expires_at: Date.now() + refreshResponse.expires_in * 1000,
  }
}"#;

async fn token_server() -> (Server, Value) {
    let server = Server::start(|_| "200 OK\n\n{\"access_token\":\"a2\",\"expires_in\":60}".to_owned()).await;
    let parameters = json!({"tokenUri": format!("{}/token", server.base), "clientId": "id", "clientSecret": "secret"});
    (server, parameters)
}

#[tokio::test]
async fn get_token_data() {
    let (server, parameters) = token_server().await;
    let arguments = json!({
        "connectorParameters": parameters, "connectionParameters": {}, "codeVerifier": "v",
        "queryParameters": {"code": "c"}, "redirectUri": "https://l.example/oauth-callback"
    });
    let returned = call(&script(GET_TOKEN_DATA), arguments).await.unwrap();
    assert_eq!(returned.value, Some(json!({"access_token": "a2", "expires_in": 60})));
    let body = "grant_type=authorization_code&code=c&redirect_uri=https%3A%2F%2Fl.example%2Foauth-callback&client_id=id\
                &client_secret=secret&code_verifier=v&resource=https%3A%2F%2Fapi.example.com";
    assert!(server.seen()[0].ends_with(body), "{}", server.seen()[0]);
}

#[tokio::test]
async fn get_credentials_from_access_token_response() {
    let entry = "globalThis.fetch = async (url, { headers }) =>
        new Response(JSON.stringify({ id: url, name: headers.Authorization }))
    export { default } from './example.js'";
    let script = folder(&[("auth/test.js", entry), ("auth/example.js", FROM_ACCESS_TOKEN_RESPONSE)]);
    let arguments = json!({"tokenResponse": {"access_token": "a", "refresh_token": "r", "expires_in": 60}});
    let value = call(&script, arguments).await.unwrap().value.unwrap();
    assert_eq!(
        (&value["userId"], &value["userName"]),
        (&json!("https://api.example.com/userinfo"), &json!("Bearer a"))
    );
    assert!(value["expires_at"].as_f64().unwrap() > 1e12);
}

#[tokio::test]
async fn refresh_credentials() {
    let (server, parameters) = token_server().await;
    let arguments = json!({"connectorParameters": parameters, "credentials": {"refresh_token": "r1"}});
    let value = call(&script(REFRESH_CREDENTIALS), arguments).await.unwrap().value.unwrap();
    assert_eq!((&value["access_token"], &value["refresh_token"]), (&json!("a2"), &json!("r1")));
    assert!(server.seen()[0].contains("authorization: Basic aWQ6c2VjcmV0"), "{}", server.seen()[0]);
    assert!(server.seen()[0].ends_with("grant_type=refresh_token&refresh_token=r1&scope=read+write"));
}
