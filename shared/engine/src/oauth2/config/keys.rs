//! Keys documented once: a struct whose field docs are also data.

/// Declares a configuration whose field docs have the form "`key`: meaning", and collects them as `KEYS`.
macro_rules! documented {
    (
        $(#[$about:meta])*
        pub struct $name:ident { $( $(#[doc = $doc:literal])+ pub $field:ident: $type:ty, )+ }
        also { $( $key:literal: $meaning:literal, )* }
    ) => {
        $(#[$about])*
        pub struct $name { $( $(#[doc = $doc])+ pub $field: $type, )+ }

        impl $name {
            /// The keys and their meanings in Markdown, for the linter and for the table in `shared/connectors/FORMAT.md`.
            pub const KEYS: &'static [(&'static str, &'static str)] =
                &[$( $crate::oauth2::entry(concat!($($doc),+)), )+ $( ($key, $meaning), )*];
        }
    };
}
pub(crate) use documented;

/// Splits " `key`: meaning" into the key and the meaning.
pub(crate) const fn entry(doc: &'static str) -> (&'static str, &'static str) {
    let (_, doc) = doc.split_at(2);
    let mut end = 0;
    while doc.as_bytes()[end] != b'`' {
        end += 1;
    }
    (doc.split_at(end).0, doc.split_at(end + 3).1)
}

#[cfg(test)]
mod tests {
    use crate::connector::RefreshRules;
    use crate::oauth1::OAuth1Config;
    use crate::oauth2::OAuthConfig;

    const README: &str = include_str!("../../../../connectors/FORMAT.md");

    fn table(keys: &[(&str, &str)]) -> String {
        let rows = keys.iter().map(|(key, meaning)| format!("| `{key}` | {meaning} |\n"));
        format!("| key | meaning |\n|---|---|\n{}", rows.collect::<String>())
    }

    fn check(marker: &str, keys: &[(&str, &str)]) {
        let (start, end) = (format!("<!-- {marker} -->\n"), format!("<!-- /{marker} -->"));
        let section = README.split_once(&start).and_then(|(_, rest)| rest.split_once(&end)).map(|(section, _)| section);
        let table = table(keys);
        assert!(
            section.map(str::trim) == Some(table.trim()),
            "shared/connectors/FORMAT.md should have this between the markers of {marker}:\n\n{table}"
        );
    }

    #[test]
    fn the_readme_has_the_table_of_get_oauth_config() {
        check("getOAuthConfig", OAuthConfig::KEYS);
    }

    #[test]
    fn the_readme_has_the_table_of_oauth1() {
        check("getOAuthConfig: oauth1", OAuth1Config::KEYS);
    }

    #[test]
    fn the_readme_has_the_table_of_refresh_credentials() {
        check("refreshCredentials", RefreshRules::KEYS);
    }

    #[test]
    fn keys_are_unique_and_fit_into_a_table() {
        for keys in [OAuthConfig::KEYS, OAuth1Config::KEYS, RefreshRules::KEYS] {
            for (at, (key, meaning)) in keys.iter().enumerate() {
                assert!(keys[..at].iter().all(|(other, _)| other != key), "{key}");
                assert!(key.bytes().all(|b| b.is_ascii_alphanumeric()), "{key}");
                assert!(!meaning.contains(['|', '\n']) && meaning.len() > 10, "{key}");
            }
        }
    }
}
