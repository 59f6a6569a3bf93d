//! A browser on the network, which opens pages and keeps cookies, but does not follow redirects by itself.

use http::{Method, header};
use larder::http::Response;
use url::Url;

use super::target::respond;
use crate::Answer;

/// An HTTP client that does not follow redirects.
#[expect(clippy::disallowed_methods, reason = "this is a test's own client")]
pub(crate) fn http_client() -> reqwest::Client {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build();
    client.expect("an HTTP client")
}

/// Reads a whole response.
pub(crate) async fn answer(response: reqwest::Response) -> Answer {
    let (status, headers) = (response.status(), response.headers().clone());
    let mut answer = Response::new(response.text().await.expect("a whole response"));
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    Answer(answer)
}

/// A browser with one host's cookies.
#[derive(Debug, Clone)]
pub struct Visitor {
    client: reqwest::Client,
    cookies: Vec<Cookie>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Cookie {
    name: String,
    path: String,
    value: String,
}

impl Default for Visitor {
    fn default() -> Self {
        Self { client: http_client(), cookies: Vec::new() }
    }
}

impl Visitor {
    /// Opens a page.
    pub async fn get(&mut self, url: &str) -> Answer {
        self.send(Method::GET, url, &[]).await
    }

    /// Submits a form.
    pub async fn post(&mut self, url: &str, form: &[(&str, &str)]) -> Answer {
        self.send(Method::POST, url, form).await
    }

    /// Opens a page and follows redirects within `origin`. Returns the first URL outside it.
    pub async fn follow_out_of(&mut self, origin: &str, url: &str) -> String {
        let mut at = Url::parse(url).expect("a URL");
        for _ in 0..10 {
            let location = self.get(at.as_str()).await.location();
            at = at.join(&location).expect("a URL");
            if !at.as_str().starts_with(origin) {
                return at.into();
            }
        }
        panic!("too many redirects at {origin}");
    }

    async fn send(&mut self, method: Method, url: &str, form: &[(&str, &str)]) -> Answer {
        let url = Url::parse(url).expect("a URL");
        let cookies = self.cookies.iter().filter(|cookie| url.path().starts_with(&cookie.path));
        let cookies: Vec<_> = cookies.map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        let mut request = self.client.request(method.clone(), url).header("sec-fetch-mode", "navigate");
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        if method == Method::POST {
            request = request.form(form);
        }
        let answer = respond(request).await;
        for line in answer.0.headers().get_all(header::SET_COOKIE) {
            self.keep(line.to_str().expect("UTF-8"));
        }
        answer
    }

    fn keep(&mut self, line: &str) {
        let mut parts = line.split(';').map(str::trim);
        let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).expect("a cookie");
        let (mut path, mut is_gone) = ("/", false);
        for (attribute, value) in parts.filter_map(|part| part.split_once('=')) {
            match attribute.to_ascii_lowercase().as_str() {
                "path" => path = value,
                "max-age" => is_gone |= value == "0",
                "expires" => is_gone |= value.contains(" 1970 "),
                _ => {}
            }
        }
        self.cookies.retain(|cookie| (cookie.name.as_str(), cookie.path.as_str()) != (name, path));
        if !is_gone {
            self.cookies.push(Cookie { name: name.to_owned(), path: path.to_owned(), value: value.to_owned() });
        }
    }
}
