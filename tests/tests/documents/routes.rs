//! `cargo lambda watch`, the local server and `functions/README.md` have the same routes.

use std::collections::BTreeSet;

use larder::routes::{Audience, Function, ROUTES};
use larder::scope::Scope;
use larder_local::route::function_of;
use larder_tests::document::{quoted, read, routes, rows};

#[test]
fn cargo_lambda_has_every_route() {
    // The emulator writes the rest of a path in another way, and needs the method at each path that scripts may call.
    const REST: [&str; 2] = ["{*path}", "{path+}"];
    let manifest: toml::Value = toml::from_str(&read("Cargo.toml")).unwrap();
    let router = manifest["workspace"]["metadata"]["lambda"]["watch"]["router"].as_array().unwrap();
    let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
    let routed = router.iter().flat_map(|route| {
        let methods = route["methods"].as_array().unwrap().iter();
        methods.map(|method| (text(method), text(&route["path"]).replace(REST[0], REST[1]), text(&route["function"])))
    });
    let preflight = |path: &str| ("OPTIONS".to_owned(), path.to_owned(), "connections".to_owned());
    let pages = ["connect", "oauth-callback", "pages"];
    let scripted = routes().into_iter().filter(|(_, _, function)| !pages.contains(&function.as_str()));
    let expected = scripted.map(|(_, path, _)| preflight(&path)).chain(routes());
    assert_eq!(routed.collect::<BTreeSet<_>>(), expected.collect());
}

#[test]
fn cargo_lambda_and_the_local_server_route_alike() {
    for (method, path, function) in routes() {
        let local = function_of(&method.parse().unwrap(), &path).map(Function::name);
        assert_eq!(local, Some(function.as_str()), "{method} {path}");
    }
}

#[test]
fn the_readme_lists_the_routes_of_every_scope() {
    let readme = read("functions/README.md");
    let mut documented = BTreeSet::new();
    let mut scopes = BTreeSet::new();
    for row in rows(&readme, "\n### Scopes\n") {
        let [scope, listed] = row[..] else { panic!("{row:?}") };
        let scope = quoted(scope)[0];
        scopes.insert(scope);
        let listed = if listed.starts_with("none") { Vec::new() } else { quoted(listed) };
        documented.extend(listed.into_iter().map(|route| (scope, route.to_owned())));
    }
    let named = ROUTES.iter().filter_map(|it| Some((it.scope?.name(), format!("{} {}", it.method, it.path))));
    assert_eq!(documented, named.collect());
    assert_eq!(scopes, Scope::ALL.into_iter().map(Scope::name).chain(["proxy"]).collect());
}

#[test]
fn the_readme_lists_every_route_and_its_audience() {
    let readme = read("functions/README.md");
    let mut documented = BTreeSet::new();
    for row in rows(&readme, "\n## Routes\n") {
        let [route, audience, _] = row[..] else { panic!("{row:?}") };
        // The path follows the last method.
        let methods = quoted(route);
        let (_, path) = methods.last().unwrap().split_once(' ').unwrap();
        let path = path.split('?').next().unwrap();
        documented.extend(methods.iter().map(|it| (it.split(' ').next().unwrap().to_owned(), path, audience)));
    }
    let audience = |audience| match audience {
        Audience::Browser => "the browser",
        Audience::Anyone => "anyone",
        Audience::All => "all",
        Audience::Admins => "admin",
    };
    let routes = ROUTES.iter().map(|it| (it.method.to_string(), it.path, audience(it.audience)));
    assert_eq!(documented, routes.collect());
}
