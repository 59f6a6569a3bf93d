//! The parameters of `GET /connections`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use larder::caller::Caller;
use larder::connection::{Connection, State};
use larder::dynamodb::{Connections, ListError};
use larder::error::Error;
use larder::http::Parameters;
use larder::secret_store::is_key;

use crate::pages::Component;

/// The connections to list, and where the page starts.
#[derive(Debug, Default)]
pub struct Filters {
    pub(super) limit: usize,
    pub(super) cursor: Option<String>,
    pub(super) tenant: Option<String>,
    pub(super) integration: Option<String>,
    pub(super) with_archived: bool,
    connector: Option<String>,
    search: Option<String>,
    /// The names of integrations in lower case, by key, in which to search, too.
    names: BTreeMap<String, String>,
    pub(super) state: Option<State>,
    pub(super) needs_attention: Option<bool>,
    pub(super) key: Option<String>,
    tags: BTreeMap<String, String>,
    /// Nothing matches: `isTest=true`, or filters that contradict each other.
    pub(super) is_empty: bool,
}

impl Filters {
    /// The page size if none is given.
    const PAGE: usize = 50;

    /// Reads the query of a request. Tenants list their own connections only. Unknown parameters are ignored, as the SDKs send
    /// some.
    ///
    /// # Errors
    /// 400 with the name of the parameter.
    pub fn read(parameters: &Parameters, caller: &Caller) -> Result<Self, Error> {
        let text = |name: &'static str| Ok::<_, Error>(parameters.optional(name)?.filter(|value| !value.is_empty()));
        let either = |names: [&'static str; 2]| {
            Ok::<_, Error>(one_of(names, text(names[0])?, text(names[1])?)?.map(ToOwned::to_owned))
        };
        let limit = page_size(parameters, Self::PAGE)?;
        let tenant = either(["tenantId", "userId"])?;
        let (tenant, is_of_another) = match &caller.tenant {
            _ if caller.admin => (tenant, false),
            own => (own.clone(), tenant.is_some() && tenant != *own),
        };
        let mut states = Vec::new();
        if let Some(name) = text("state")? {
            states.push(state_of(name)?);
        }
        for (name, connected) in [("connected", true), ("disconnected", false)] {
            if let Some(value) = flag(parameters, name)? {
                states.push(if value == connected { State::Ready } else { State::ClientActionRequired });
            }
        }
        let contradicts = states.windows(2).any(|pair| pair[0] != pair[1]);
        let mut tags = BTreeMap::new();
        for (name, value) in parameters.iter() {
            let Some(key) = name.strip_prefix("tags[").and_then(|name| name.strip_suffix(']')) else { continue };
            if tags.insert(key.to_owned(), value.to_owned()).is_some_and(|before| before != value) {
                return Err(Error::bad_request(format!("`{name}` is given twice; give each parameter only once")));
            }
        }
        Ok(Self {
            limit,
            cursor: text("cursor")?.map(ToOwned::to_owned),
            tenant,
            integration: either(["integrationKey", "integrationId"])?,
            with_archived: flag(parameters, "includeArchived")?.unwrap_or(false),
            connector: either(["connectorKey", "connectorId"])?,
            search: text("search")?.map(str::to_lowercase),
            names: BTreeMap::new(),
            state: states.first().copied(),
            needs_attention: None,
            key: text("key")?.map(ToOwned::to_owned),
            tags,
            is_empty: is_of_another || contradicts || flag(parameters, "isTest")? == Some(true),
        })
    }

    /// Reads the state as the credentials page means it: `CLIENT_ACTION_REQUIRED` for all that need attention, for instance
    /// because their last test failed, and `READY` for the others.
    #[must_use]
    pub fn by_attention(mut self) -> Self {
        self.needs_attention = self.state.take().map(|state| state != State::Ready);
        self
    }

    /// Searches in the names of these integrations, too, as the titles of credentials on pages have them.
    #[must_use]
    pub fn searching_names(mut self, components: &[Component]) -> Self {
        self.names = components.iter().map(|it| (it.key.clone(), it.name.to_lowercase())).collect();
        self
    }

    /// Whether [`Self::searching_names`] makes a difference.
    pub fn needs_names(&self) -> bool {
        self.search.is_some()
    }

    /// Whether rows are filtered, beyond what an index finds.
    pub(super) fn filters_rows(&self) -> bool {
        let Self { connector, search, key, tags, .. } = self;
        connector.is_some() || search.is_some() || key.is_some() || !tags.is_empty()
    }

    /// Whether a row matches the filters that no index has.
    pub(super) fn matches(&self, connection: &Connection) -> bool {
        let integration = connection.integration.as_ref();
        let details = &connection.details;
        let contains = |search: &str| {
            let integration = integration.map(|integration| &integration.key);
            let account = connection.account.as_ref();
            let shown = [
                details.name.as_ref(),
                details.key.as_ref(),
                Some(&connection.key.id),
                integration,
                account.map(|account| &account.id),
                account.and_then(|account| account.label.as_ref()),
                // All connections of a tenant's list have the same.
                connection.tenant.as_ref().filter(|_| self.tenant.is_none()),
            ];
            let name = integration.and_then(|key| self.names.get(key));
            let shown = shown.into_iter().flatten().chain(name).chain(details.tags.values());
            shown.into_iter().any(|text| text.to_lowercase().contains(search))
        };
        self.connector.as_ref().is_none_or(|key| integration.is_some_and(|it| it.connector_key == *key))
            && self.state.is_none_or(|state| connection.state == state)
            && self.key.as_ref().is_none_or(|key| details.key.as_ref() == Some(key))
            && self.tags.iter().all(|(key, value)| details.tags.get(key) == Some(value))
            && self.search.as_deref().is_none_or(contains)
    }
}

fn state_of(name: &str) -> Result<State, Error> {
    match name {
        "READY" => Ok(State::Ready),
        "CLIENT_ACTION_REQUIRED" => Ok(State::ClientActionRequired),
        _ => Err(Error::bad_request("`state` must be READY or CLIENT_ACTION_REQUIRED")),
    }
}

/// Reads `limit`, the number of items on a page.
pub(super) fn page_size(parameters: &Parameters, default: usize) -> Result<usize, Error> {
    let Some(text) = parameters.optional("limit")? else { return Ok(default) };
    let limit = text.parse().ok().filter(|limit| (1..=Connections::MAX_PAGE).contains(limit));
    limit.ok_or_else(|| Error::bad_request("`limit` must be a number from 1 to 1000"))
}

/// The cursor of a list in the order of keys: opaque, and of one list only, which `list` names.
pub(super) fn key_cursor(list: &str, key: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list}#{key}"))
}

/// Returns the key that a list continues after; `None` is the first page.
///
/// # Errors
/// 400 for a cursor that is not one of this list.
pub(super) fn key_after(parameters: &Parameters, list: &str) -> Result<Option<String>, Error> {
    match place_after(parameters, list)? {
        Some(key) if !is_key(&key) => Err(ListError::Cursor.into()),
        key => Ok(key),
    }
}

/// Returns the place that a list continues after, as the cursor has it; `None` is the first page.
///
/// # Errors
/// 400 for a cursor that is not one of this list.
pub(super) fn place_after(parameters: &Parameters, list: &str) -> Result<Option<String>, Error> {
    match parameters.optional("cursor")? {
        None | Some("" | "0") => Ok(None),
        Some(cursor) => {
            let decoded = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let place = decoded.as_deref().and_then(|decoded| decoded.strip_prefix(list)?.strip_prefix('#'));
            Ok(Some(place.ok_or(ListError::Cursor)?.to_owned()))
        }
    }
}

/// Returns the value of a parameter or member that has two names.
///
/// # Errors
/// 400 if both are given, and differ.
pub fn one_of<T: PartialEq>(names: [&str; 2], first: Option<T>, second: Option<T>) -> Result<Option<T>, Error> {
    match (first, second) {
        (Some(one), Some(other)) if one != other => {
            Err(Error::bad_request(format!("`{}` and `{}` must be the same; give only one", names[0], names[1])))
        }
        (one, other) => Ok(one.or(other)),
    }
}

/// Reads a parameter that is true or false, in any spelling that the SDKs use.
///
/// # Errors
/// 400 for anything else.
pub fn flag(parameters: &Parameters, name: &str) -> Result<Option<bool>, Error> {
    match parameters.optional(name)? {
        None | Some("") => Ok(None),
        Some("1" | "true") => Ok(Some(true)),
        Some("0" | "false") => Ok(Some(false)),
        Some(_) => Err(Error::bad_request(format!("`{name}` must be true or false"))),
    }
}

#[cfg(test)]
mod tests {
    use larder::connection::{Account, ConnectionKey, Details, IntegrationRef};
    use larder::scope::Scopes;
    use time::OffsetDateTime;

    use super::*;

    fn caller(tenant: Option<&str>) -> Caller {
        Caller {
            workspace: "acme".into(),
            tenant: tenant.map(Into::into),
            admin: tenant.is_none(),
            keeps_credentials: false,
            scopes: Scopes::EVERY,
            connection_ids: None,
            integration_keys: None,
        }
    }

    fn read(query: &str, tenant: Option<&str>) -> Result<Filters, Error> {
        Filters::read(&Parameters::parse(query.as_bytes()), &caller(tenant))
    }

    fn connection() -> Connection {
        let details = Details {
            name: Some("Our Shop".into()),
            key: Some("main".into()),
            tags: [("team".to_owned(), "red".to_owned())].into(),
            ..Details::default()
        };
        let integration =
            IntegrationRef { key: "crm".into(), connector_key: "oauth2".into(), option_key: String::new() };
        let key = ConnectionKey::new("acme", "c-1");
        Connection {
            details,
            integration: Some(integration),
            tenant: Some("bob".into()),
            account: Account::new("u-7", Some("ada@acme.example")),
            ..Connection::new(key, OffsetDateTime::UNIX_EPOCH)
        }
    }

    #[test]
    fn rows_match_by_what_the_query_names() {
        for (query, matches) in [
            ("", true),
            ("search=sHoP", true),
            ("search=MAIN", true),
            ("search=c-1", true),
            ("search=ADA%40acme", true),
            ("search=u-7", true),
            ("search=red", true),
            ("search=team", false),
            ("search=bob", true),
            ("search=bob&tenantId=bob", false),
            ("search=else", false),
            ("connectorId=oauth2", true),
            ("connectorKey=hubspot", false),
            ("state=READY", true),
            ("disconnected=1", false),
            ("connected=true&disconnected=0", true),
            ("key=main", true),
            ("key=mai", false),
            ("tags[team]=red", true),
            ("tags%5Bteam%5D=blue", false),
            ("hash=1&includeSecrets=true", true),
        ] {
            let filters = read(query, None).expect("it is valid");
            assert_eq!(filters.matches(&connection()) && !filters.is_empty, matches, "{query}");
        }
    }

    #[test]
    fn tenants_never_list_others() {
        assert_eq!(read("tenantId=bob", None).expect("it is valid").tenant.as_deref(), Some("bob"));
        let filters = read("tenantId=bob", Some("alice")).expect("it is valid");
        assert_eq!((filters.tenant.as_deref(), filters.is_empty), (Some("alice"), true));
        assert!(!read("userId=alice", Some("alice")).expect("it is valid").is_empty);
    }

    #[test]
    fn wrong_filters_are_named() {
        for (query, name) in [
            ("limit=0", "`limit`"),
            ("limit=1001", "`limit`"),
            ("state=ready", "`state`"),
            ("connected=yes", "`connected`"),
            ("tenantId=a&userId=b", "`userId`"),
            ("integrationKey=a&integrationId=b", "`integrationId`"),
            ("tags[team]=a&tags[team]=b", "`tags[team]`"),
        ] {
            let error = read(query, None).expect_err("it is wrong");
            assert!(error.message.contains(name), "{query}: {error}");
        }
        assert!(read("isTest=true", None).expect("it is valid").is_empty);
        assert!(read("connected=1&state=CLIENT_ACTION_REQUIRED", None).expect("it is valid").is_empty);
    }
}
