//! Page links, and the sessions that begin with them.

use aws_sdk_dynamodb::types::AttributeValue;
use http::{Method, StatusCode};
use larder_tests::{Answer, Browser, World};
use serde_json::{Value, json};

/// Twelve hours, in seconds.
const SESSION: u64 = 43_200;

/// Creates a link. Returns its id and its path with the query.
async fn link(world: &World, body: Value) -> (String, String) {
    let created = world.send(Method::POST, "/page-links", &world.admin, Some(&body)).await;
    let created = created.expect(StatusCode::CREATED).json();
    let url = created["url"].as_str().unwrap();
    let path = url.strip_prefix(World::BASE_URI).unwrap().to_owned();
    (created["id"].as_str().unwrap().to_owned(), path)
}

/// The secret of a link.
fn secret(path: &str) -> &str {
    path.split_once("link=").unwrap().1
}

async fn home(world: &World, browser: &mut Browser) -> Answer {
    browser.get_with(world, "/", ("accept", "text/html,application/xhtml+xml")).await
}

/// A browser that is signed in, and the id of its session.
async fn signed_in(world: &World) -> (Browser, String) {
    let (id, path) = link(world, json!({})).await;
    let mut browser = Browser::in_window();
    browser.get(world, &path).await.expect(StatusCode::FOUND);
    home(world, &mut browser).await.expect(StatusCode::OK);
    (browser, id)
}

/// The value of a hidden field of a page.
fn hidden(page: &Answer, name: &str) -> String {
    let (_, rest) = page.text().split_once(&format!("name=\"{name}\" value=\"")).expect("the field");
    rest.split_once('"').unwrap().0.to_owned()
}

#[tokio::test]
async fn a_page_link_signs_in_one_browser_once() {
    let world = World::new().await;
    let (_, path) = link(&world, json!({})).await;
    let mut first = Browser::in_window();
    let answer = first.get(&world, &path).await.expect(StatusCode::FOUND);
    // Relative, since the browser may know us by another name.
    assert_eq!(answer.header("location"), Some("./"));
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-larder-page="), "{cookie}");
    assert!(cookie.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
    home(&world, &mut first).await.expect(StatusCode::OK);

    let second = Browser::in_window().get(&world, &path).await.expect(StatusCode::CONFLICT);
    assert!(second.text().contains("This link was already used"), "{}", second.text());
    // The local program names the command that prints another.
    assert!(second.text().contains("larder sign-in</code> prints a new link."), "{}", second.text());
    // The browser that used it is still signed in, even if it follows the link again.
    let page = first.get(&world, &path).await.expect(StatusCode::OK);
    first.post(&world, "/sign-in", &[("link", &hidden(&page, "link"))]).await.expect(StatusCode::FOUND);
    home(&world, &mut first).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn mail_scanners_and_previews_use_no_page_link_up() {
    let world = World::new().await;
    let (_, path) = link(&world, json!({})).await;
    for headers in [&[("sec-fetch-mode", "cors")][..], &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")]]
    {
        let answer = Browser::with(headers).get(&world, &path).await.expect(StatusCode::OK);
        assert!(answer.header("set-cookie").is_none() && answer.text().contains("Press Continue"), "{headers:?}");
    }
    let prefetch = Browser::in_window().get_with(&world, &path, ("sec-purpose", "prefetch")).await;
    prefetch.expect(StatusCode::NO_CONTENT);
    let mut browser = Browser::in_window();
    browser.post(&world, "/sign-in", &[("link", secret(&path))]).await.expect(StatusCode::FOUND);
    home(&world, &mut browser).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn other_websites_sign_nobody_in_or_out() {
    let world = World::new().await;
    let (mut browser, _) = signed_in(&world).await;
    let page = home(&world, &mut browser).await;
    let form_token = hidden(&page, "formToken");
    let (_, path) = link(&world, json!({})).await;
    // Following a link of somebody else takes a click, as somebody is signed in.
    browser.get(&world, &path).await.expect(StatusCode::OK);
    for (site, origin) in [
        ("cross-site", "https://evil.example"),
        ("same-site", "https://evil.example"),
        ("cross-site", World::BASE_URI),
        ("same-origin", "https://evil.example"),
        ("same-origin", "null"),
    ] {
        let mut foreign = Browser::with(&[("sec-fetch-site", site), ("origin", origin)]);
        foreign.post(&world, "/sign-in", &[("link", secret(&path))]).await.expect(StatusCode::FORBIDDEN);
    }
    let wrong = [&[][..], &[("formToken", "")], &[("formToken", "x")]];
    for form in wrong {
        browser.post(&world, "/sign-out", form).await.expect(StatusCode::FORBIDDEN);
    }
    home(&world, &mut browser).await.expect(StatusCode::OK);
    browser.post(&world, "/sign-out", &[("formToken", &form_token)]).await.expect(StatusCode::OK);
    // The link was not used up.
    Browser::in_window().get(&world, &path).await.expect(StatusCode::FOUND);
}

#[tokio::test]
async fn a_session_ends_after_twelve_hours_or_by_signing_out() {
    let world = World::new().await;
    let (mut browser, _) = signed_in(&world).await;
    let mut stolen = browser.clone();
    world.advance(SESSION - 1);
    let page = home(&world, &mut browser).await.expect(StatusCode::OK);
    world.advance(1);
    let over = home(&world, &mut browser).await.expect(StatusCode::UNAUTHORIZED);
    assert!(over.text().contains("You are not signed in, or your session has ended"), "{}", over.text());
    browser
        .post(&world, "/sign-out", &[("formToken", &hidden(&page, "formToken"))])
        .await
        .expect(StatusCode::UNAUTHORIZED);

    let (mut browser, _) = signed_in(&world).await;
    stolen.clone_from(&browser);
    let page = home(&world, &mut browser).await;
    let answer = browser.post(&world, "/sign-out", &[("formToken", &hidden(&page, "formToken"))]).await;
    assert!(answer.expect(StatusCode::OK).header("set-cookie").unwrap().starts_with("__Host-larder-page=; "));
    home(&world, &mut stolen).await.expect(StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_admin_revokes_a_link_or_the_session_it_became() {
    let world = World::new().await;
    let revoke = async |id: &str| world.send(Method::DELETE, &format!("/page-links/{id}"), &world.admin, None).await;
    let (mut browser, id) = signed_in(&world).await;
    revoke(&id).await.expect(StatusCode::NO_CONTENT);
    home(&world, &mut browser).await.expect(StatusCode::UNAUTHORIZED);
    revoke(&id).await.expect(StatusCode::NOT_FOUND);

    let (id, path) = link(&world, json!({"tenantKey": "alice"})).await;
    revoke(&id).await.expect(StatusCode::NO_CONTENT);
    let answer = Browser::in_window().get(&world, &path).await.expect(StatusCode::NOT_FOUND);
    assert!(answer.text().contains("This link is not valid"), "{}", answer.text());
}

#[tokio::test]
async fn signing_in_leads_back_to_the_page_that_was_opened() {
    let world = World::new().await;
    let links = async || link(&world, json!({})).await.1;
    let picker = "/pick?integrationKey=crm&requestId=1&flowUri=https%3A%2F%2Fapp.example%2F7";
    for page in [picker, "/c/an%20id", "/i", "/?search=a%26b"] {
        let mut browser = Browser::in_window();
        browser.set_header("accept", "text/html");
        let asked = browser.get(&world, page).await.expect(StatusCode::UNAUTHORIZED);
        for words in ["<h1>Please sign in</h1>", "Open the link that you were sent", "larder sign-in</code>"] {
            assert!(asked.text().contains(words), "{words}: {}", asked.text());
        }
        let cookie = asked.header("set-cookie").unwrap();
        assert!(cookie.starts_with("__Host-larder-wanted-page="), "{cookie}");
        assert!(cookie.ends_with("; Path=/; Max-Age=1800; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
        let signed_in = browser.get(&world, &links().await).await.expect(StatusCode::FOUND);
        assert_eq!(signed_in.location(), format!(".{page}"));
        // Once only.
        let again = browser.get(&world, &links().await).await.expect(StatusCode::OK);
        let again = browser.post(&world, "/sign-in", &[("link", &hidden(&again, "link"))]).await;
        assert_eq!(again.expect(StatusCode::FOUND).location(), "./");
    }
    let mut browser = Browser::in_window();
    browser.get(&world, "/sign-in").await.expect(StatusCode::UNAUTHORIZED);
    for page in ["/sign-out", "/sign-in?link=x.y", "/elsewhere", "/pick%3F", &format!("/c/{}", "a".repeat(1200))] {
        assert_eq!(browser.get(&world, page).await.header("set-cookie"), None, "{page}");
    }
    // Another website's frames, images and forms are remembered by nobody.
    let mut embedded = Browser::with(&[("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")]);
    assert_eq!(embedded.get(&world, picker).await.expect(StatusCode::UNAUTHORIZED).header("set-cookie"), None);
}

#[tokio::test]
async fn a_page_link_expires() {
    let world = World::new().await;
    let (_, path) = link(&world, json!({"expiresIn": 60})).await;
    world.advance(60);
    let answer = Browser::in_window().get(&world, &path).await.expect(StatusCode::BAD_REQUEST);
    assert!(answer.text().contains("This link has expired"), "{}", answer.text());
    for body in
        [json!({"expiresIn": 0}), json!({"expiresIn": 86_401}), json!({"tenantKey": ""}), json!({"isAdmin": true})]
    {
        let answer = world.send(Method::POST, "/page-links", &world.admin, Some(&body)).await;
        answer.expect(StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn only_digests_of_links_and_cookies_are_stored_and_callers_are_sealed() {
    let world = World::new().await;
    let (_, path) = link(&world, json!({"tenantKey": "alice"})).await;
    let (_, cookie) = {
        let answer = Browser::in_window().get(&world, &path).await;
        let (name, rest) = answer.header("set-cookie").unwrap().split_once('=').unwrap();
        (name.to_owned(), rest.split(';').next().unwrap().to_owned())
    };
    let (id, browser_secret) = cookie.split_once('.').unwrap();
    let table = &world.bundle.environment().settings.tables.sessions;
    let items = world.dynamodb().scan().table_name(table).send().await.unwrap().items.unwrap();
    let stored = format!("{items:?}");
    for hidden in [browser_secret, secret(&path).split_once('.').unwrap().1] {
        assert!(hidden.len() == 43 && !stored.contains(hidden), "{stored}");
    }
    // The rights of one session are worth nothing in another.
    let (mut other, other_id) = signed_in(&world).await;
    let key = |id: &str| AttributeValue::S(format!("page#{id}"));
    let sealed = items[0]["sealed"].clone();
    assert_eq!(items[0]["id"], key(id));
    let update = world.dynamodb().update_item().table_name(table).key("id", key(&other_id));
    update
        .update_expression("SET sealed = :sealed")
        .expression_attribute_values(":sealed", sealed)
        .send()
        .await
        .unwrap();
    home(&world, &mut other).await.expect(StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn programs_get_a_health_check_instead_of_a_page() {
    let world = World::new().await;
    for accept in ["*/*", "application/json", ""] {
        let answer = Browser::default().get_with(&world, "/", ("accept", accept)).await.expect(StatusCode::OK);
        assert_eq!(answer.json(), json!({"status": "ok"}));
    }
    let answer = home(&world, &mut Browser::in_window()).await.expect(StatusCode::UNAUTHORIZED);
    assert!(answer.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
    // The same goes for paths that do not exist.
    for (path, root) in [("/nope", "./"), ("/nope/a/b", "./../../"), ("/c", "./"), ("/sign-out", "./")] {
        let get = async |accept| Browser::default().get_with(&world, path, ("accept", accept)).await;
        let page = get("text/html,application/xhtml+xml").await;
        let link = format!("href=\"{root}\">All credentials</a>");
        assert!(page.text().contains("<h1>Page not found</h1>") && page.text().contains(&link), "{}", page.text());
        for accept in ["*/*", "application/json", "text/html;q=0"] {
            assert_eq!(get(accept).await.json()["type"], "bad_request", "{path} {accept}");
        }
    }
}
