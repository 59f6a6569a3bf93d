//! Parsing for `URL` and `URLSearchParams`: the `url` crate, with the standard's names.
//!
//! <https://url.spec.whatwg.org/#api>

use rquickjs::{Array, Ctx, Result};
use url::{Url, form_urlencoded, quirks};

use super::Functions;
use super::bytes::{Text, each_pair};
use crate::javascript::limits::{NATIVE_BYTES, URL_BYTES};

/// Adds `parseUrl(input, base?)` and `setUrl(href, part, value)`, which return the parts of a URL in the order of
/// [`parts`] or `undefined` if it is invalid, and `parseForm(text)` and `printForm(pairs)` for
/// `application/x-www-form-urlencoded`.
pub(super) fn add<'js>(functions: &Functions<'_, 'js>) -> Result<()> {
    functions.add("parseUrl", |input: Text<URL_BYTES>, base: Option<Text<URL_BYTES>>| {
        parse(&input.0, base.as_ref().map(|base| base.0.as_str()))
    })?;
    functions.add("setUrl", |href: String, part: String, value: Text<URL_BYTES>| set(&href, &part, &value.0))?;
    functions.add("parseForm", |ctx: Ctx<'js>, text: Text| {
        // Copy them into the engine's memory one by one: a pair may be as short as two bytes.
        let pairs = Array::new(ctx)?;
        for (index, (name, value)) in form_urlencoded::parse(text.0.as_bytes()).enumerate() {
            pairs.set(index, vec![&*name, &*value])?;
        }
        Ok::<_, rquickjs::Error>(pairs)
    })?;
    functions.add("printForm", |ctx: Ctx<'js>, pairs: Array<'js>| {
        let mut form = form_urlencoded::Serializer::new(String::new());
        each_pair(&ctx, pairs, NATIVE_BYTES, |name, value| {
            form.append_pair(&name, &value);
            Ok(())
        })?;
        Ok::<_, rquickjs::Error>(form.finish())
    })
}

fn parse(input: &str, base: Option<&str>) -> Option<Vec<String>> {
    let base = base.map(Url::parse).transpose().ok()?;
    Url::options().base_url(base.as_ref()).parse(input).ok().as_ref().map(parts)
}

/// Sets a part of a URL. As in the standard, an invalid part is ignored; only an invalid `href` is an error.
fn set(href: &str, part: &str, value: &str) -> Option<Vec<String>> {
    let mut url = Url::parse(href).ok()?;
    match part {
        "href" => return parse(value, None),
        "protocol" => quirks::set_protocol(&mut url, value).unwrap_or_default(),
        "username" => quirks::set_username(&mut url, value).unwrap_or_default(),
        "password" => quirks::set_password(&mut url, value).unwrap_or_default(),
        "host" => quirks::set_host(&mut url, value).unwrap_or_default(),
        "hostname" => quirks::set_hostname(&mut url, value).unwrap_or_default(),
        "port" => quirks::set_port(&mut url, value).unwrap_or_default(),
        "pathname" => quirks::set_pathname(&mut url, value),
        "search" => quirks::set_search(&mut url, value),
        "hash" => quirks::set_hash(&mut url, value),
        _ => {}
    }
    Some(parts(&url))
}

fn parts(url: &Url) -> Vec<String> {
    vec![
        quirks::href(url).to_owned(),
        quirks::origin(url),
        quirks::protocol(url).to_owned(),
        quirks::username(url).to_owned(),
        quirks::password(url).to_owned(),
        quirks::host(url).to_owned(),
        quirks::hostname(url).to_owned(),
        quirks::port(url).to_owned(),
        quirks::pathname(url).to_owned(),
        quirks::search(url).to_owned(),
        quirks::hash(url).to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_input_makes_the_parser_panic(input in "(https?|file|data|a)?:?/{0,3}.{0,20}", base in ".{0,9}", value in ".{0,12}") {
            let parsed = parse(&input, Some(&base)).or_else(|| parse(&input, None));
            for part in ["href", "protocol", "username", "password", "host", "hostname", "port", "pathname", "search", "hash"] {
                let href = parsed.as_ref().map_or("https://example.com/", |parts| &parts[0]);
                set(href, part, &value);
            }
        }
    }
}
