//! A browser in this process, which keeps cookies and opens each URL as a page. [`Chromium`](crate::Chromium) is a real one.

use std::collections::BTreeMap;

use http::{Method, header};
use url::Url;

use crate::{Answer, World};

/// A browser with its cookies.
#[derive(Debug, Default, Clone)]
pub struct Browser {
    cookies: BTreeMap<String, String>,
    headers: Vec<(String, String)>,
}

impl Browser {
    /// The header by which a browser says that its user opens a page.
    const NAVIGATION: (&str, &str) = ("sec-fetch-mode", "navigate");

    /// Creates a browser that sends these headers with each request.
    pub fn with(headers: &[(&str, &str)]) -> Self {
        let headers = headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { headers, ..Self::default() }
    }

    /// Sends these headers with each request instead of the others.
    #[must_use]
    pub fn with_headers(self, headers: &[(&str, &str)]) -> Self {
        Self { cookies: self.cookies, ..Self::with(headers) }
    }

    /// Creates a browser that shows Larder in a window of its own, and says so as real browsers do.
    pub fn in_window() -> Self {
        Self::with(&[
            ("sec-fetch-dest", "document"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-site", "same-origin"),
            ("origin", World::BASE_URI),
        ])
    }

    /// Changes a header that it sends with each request, or adds one.
    pub fn set_header(&mut self, name: &str, value: &str) {
        self.headers.retain(|(it, _)| it != name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// Opens a path or a URL of Larder, and follows redirects to paths.
    pub async fn visit(&mut self, world: &World, uri: &str) -> Answer {
        let mut answer = self.get(world, uri).await;
        while let Some(path) = answer.header("location").filter(|location| !location.contains("://")) {
            let path = format!("/{path}");
            answer = self.get(world, &path).await;
        }
        answer
    }

    /// Opens a path or a URL of Larder.
    pub async fn get(&mut self, world: &World, uri: &str) -> Answer {
        self.send(world, Method::GET, uri, None, None).await
    }

    /// Opens a path or a URL of Larder with an extra header.
    pub async fn get_with(&mut self, world: &World, uri: &str, header: (&str, &str)) -> Answer {
        self.send(world, Method::GET, uri, Some(header), None).await
    }

    /// Submits a form.
    pub async fn post(&mut self, world: &World, uri: &str, form: &[(&str, &str)]) -> Answer {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.send(world, Method::POST, uri, None, Some(form)).await
    }

    async fn send(
        &mut self,
        world: &World,
        method: Method,
        uri: &str,
        header: Option<(&str, &str)>,
        form: Option<String>,
    ) -> Answer {
        let url = Url::parse(World::BASE_URI).and_then(|base| base.join(uri)).expect("a URL");
        let mut request = http::Request::builder().method(method).uri(url.as_str());
        if !self.cookies.is_empty() {
            let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        let with_headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(header);
        let mut is_navigation = true;
        for (name, value) in with_headers {
            request = request.header(name, value);
            is_navigation = is_navigation && name != Self::NAVIGATION.0;
        }
        if is_navigation {
            request = request.header(Self::NAVIGATION.0, Self::NAVIGATION.1);
        }
        if form.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let request = request.body(form.unwrap_or_default().into()).expect("a request");
        let Answer(response) = world.handle(request).await;
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().expect("UTF-8");
            let (name, rest) = cookie.split_once('=').expect("a cookie");
            let value = rest.split(';').next().unwrap_or_default();
            if cookie.contains("Max-Age=0;") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Answer(response)
    }
}
