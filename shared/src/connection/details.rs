//! The attributes of a connection that people own.
//!
//! A refresh owns the credentials, their expiry, the state, the history, and the lease; people own what is here. Each side
//! writes only its own attributes, so neither can undo what the other just did, and a change made by a person needs neither
//! the row's version nor its lease. Archiving and replacing credentials are writes of the refreshing side.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::error::Error;

/// The attributes that people own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Details {
    /// The end user's name for the connection.
    pub name: Option<String>,
    /// A key of the caller's choice, unique per tenant.
    pub key: Option<String>,
    /// Labels to filter by.
    pub tags: BTreeMap<String, String>,
    /// JSON of the caller's own. It is not sealed.
    pub meta: Option<Map<String, Value>>,
    /// The flows that have used the connection, by their ids.
    pub flows: BTreeMap<String, Flow>,
    /// Whether reading its credentials is turned off. Refreshes continue.
    pub is_deactivated: bool,
    /// When its credentials were last read, give or take an hour.
    pub last_used_at: Option<OffsetDateTime>,
    /// When a person last changed any of this.
    pub changed_at: Option<OffsetDateTime>,
}

/// A flow that uses a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    /// Its name, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A link to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Whether it is in use. A connection cannot be deleted while one of its flows is.
    pub active: bool,
}

/// A change to [`Details`] made by a person. Members that are `None` stay as they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DetailsPatch {
    /// The new name; `Some(None)` removes it.
    pub name: Option<Option<String>>,
    /// The new key; `Some(None)` removes it.
    pub key: Option<Option<String>>,
    /// The new tags, all of them.
    pub tags: Option<BTreeMap<String, String>>,
    /// The new JSON; `Some(None)` removes it.
    pub meta: Option<Option<Map<String, Value>>>,
    /// Whether reading the credentials is turned off.
    pub is_deactivated: Option<bool>,
}

impl Details {
    /// The longest name, in bytes. Connect links accept the same.
    pub const MAX_NAME_BYTES: usize = 1024;
    /// The longest key, in characters.
    pub const MAX_KEY: usize = 255;
    /// The largest `meta`, in bytes of JSON.
    pub const MAX_META_BYTES: usize = 16 * 1024;
    /// The most tags.
    pub const MAX_TAGS: usize = 10;
    /// The longest key of a tag, in characters.
    pub const MAX_TAG_KEY: usize = 64;
    /// The longest value of a tag, in characters.
    pub const MAX_TAG_VALUE: usize = 255;
    /// The most flows.
    pub const MAX_FLOWS: usize = 50;
    /// The largest size of all flows together, in bytes. A row has 400 KB, of which credentials may take 350: what people add
    /// must never keep a refresh from saving its result.
    pub const MAX_FLOWS_BYTES: usize = 12 * 1024;

    /// Checks that another flow, or a change of one, fits.
    ///
    /// # Errors
    /// 400 if the connection would have too many flows, or too large ones.
    pub fn check_room_for(&self, id: &str, flow: &Flow) -> Result<(), Error> {
        let most = Self::MAX_FLOWS;
        if self.flows.len() >= most && !self.flows.contains_key(id) {
            let message = format!("the connection already has {most} flows; remove those that no longer use it");
            return Err(Error::bad_request(message));
        }
        let others = self.flows.iter().filter(|(other, _)| *other != id).map(|(id, flow)| flow.size(id)).sum::<usize>();
        if others + flow.size(id) > Self::MAX_FLOWS_BYTES {
            let most = Self::MAX_FLOWS_BYTES / 1024;
            let message = format!(
                "the ids, names and URIs of a connection's flows are limited to {most} KiB in total; remove those that no \
                 longer use it, or shorten them"
            );
            return Err(Error::bad_request(message));
        }
        Ok(())
    }

    /// The flows that are in use.
    pub fn active_flows(&self) -> impl Iterator<Item = (&String, &Flow)> {
        self.flows.iter().filter(|(_, flow)| flow.active)
    }
}

impl Flow {
    /// The longest id, in characters.
    pub const MAX_ID: usize = 255;
    /// The longest name, in characters.
    pub const MAX_NAME: usize = 255;
    /// The longest link, in characters.
    pub const MAX_URI: usize = 2048;

    /// About how many bytes of the row it takes. The id of a flow that is in use is stored twice.
    fn size(&self, id: &str) -> usize {
        const AROUND: usize = 50;
        let texts = self.name.iter().chain(&self.uri).map(String::len).sum::<usize>();
        2 * id.len() + texts + AROUND
    }

    /// Checks a flow and its id against the limits.
    ///
    /// # Errors
    /// 400 with the name of the parameter.
    pub fn check(&self, id: &str) -> Result<(), Error> {
        let length = id.chars().count();
        if length == 0 || length > Self::MAX_ID {
            return Err(Error::bad_request(format!("a flow's id must have 1 to {} characters", Self::MAX_ID)));
        }
        at_most("`name`", self.name.as_deref(), Self::MAX_NAME)?;
        at_most("`uri`", self.uri.as_deref(), Self::MAX_URI)?;
        let is_web = |uri: &str| uri.starts_with("https://") || uri.starts_with("http://");
        let is_uri = |uri: &str| uri.bytes().all(|byte| byte.is_ascii_graphic());
        match self.uri.as_deref() {
            Some(uri) if !is_web(uri) => Err(Error::bad_request("`uri` must be an http(s) URL")),
            Some(uri) if !is_uri(uri) => {
                Err(Error::bad_request("`uri` has characters that a URL must percent-encode (RFC 3986)"))
            }
            _ => Ok(()),
        }
    }
}

impl DetailsPatch {
    /// Checks the new values against the limits.
    ///
    /// # Errors
    /// 400 with the name of the parameter.
    pub fn check(&self) -> Result<(), Error> {
        let name_bytes = self.name.iter().flatten().map(String::len).sum::<usize>();
        if name_bytes > Details::MAX_NAME_BYTES {
            let most = Details::MAX_NAME_BYTES;
            return Err(Error::bad_request(format!("`name` has {name_bytes} bytes; the limit is {most}")));
        }
        at_most("`key`", self.key.iter().flatten().map(String::as_str).next(), Details::MAX_KEY)?;
        if self.key.iter().flatten().any(String::is_empty) {
            return Err(Error::bad_request("`key` must not be empty; use null to remove it"));
        }
        if let Some(meta) = self.meta.iter().flatten().next() {
            let size = serde_json::to_vec(meta).map_or(usize::MAX, |json| json.len());
            if size > Details::MAX_META_BYTES {
                let most = Details::MAX_META_BYTES / 1024;
                return Err(Error::bad_request(format!("`meta` is {size} bytes of JSON; the limit is {most} KiB")));
            }
        }
        let Some(tags) = &self.tags else { return Ok(()) };
        if tags.len() > Details::MAX_TAGS {
            let (count, most) = (tags.len(), Details::MAX_TAGS);
            return Err(Error::bad_request(format!("`tags` has {count} members; the limit is {most}")));
        }
        for (key, value) in tags {
            if key.is_empty() {
                return Err(Error::bad_request("a key in `tags` must not be empty"));
            }
            at_most("a key in `tags`", Some(key), Details::MAX_TAG_KEY)?;
            at_most(&format!("`tags.{key}`"), Some(value), Details::MAX_TAG_VALUE)?;
        }
        Ok(())
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Applies the change.
    pub fn apply(&self, details: &mut Details, now: OffsetDateTime) {
        let Self { name, key, tags, meta, is_deactivated } = self.clone();
        if let Some(name) = name {
            // An empty name is none: the default is shown.
            details.name = name.filter(|name| !name.is_empty());
        }
        if let Some(key) = key {
            details.key = key;
        }
        if let Some(tags) = tags {
            details.tags = tags;
        }
        if let Some(meta) = meta {
            details.meta = meta;
        }
        if let Some(is_deactivated) = is_deactivated {
            details.is_deactivated = is_deactivated;
        }
        details.changed_at = Some(now);
    }
}

fn at_most(what: &str, value: Option<&str>, most: usize) -> Result<(), Error> {
    match value.map(|value| value.chars().count()) {
        Some(length) if length > most => {
            Err(Error::bad_request(format!("{what} has {length} characters; the limit is {most}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tags(count: usize, key: usize, value: usize) -> DetailsPatch {
        let tags = (0..count).map(|i| (format!("{i:0>key$}"), "v".repeat(value))).collect();
        DetailsPatch { tags: Some(tags), ..DetailsPatch::default() }
    }

    #[test]
    fn the_limits_of_details_are_these() {
        let named = |length: usize| DetailsPatch { name: Some(Some("n".repeat(length))), ..DetailsPatch::default() };
        let keyed = |length: usize| DetailsPatch { key: Some(Some("k".repeat(length))), ..DetailsPatch::default() };
        // {"a":"…"} is eight bytes around the value.
        let meta = |length: usize| {
            let meta = json!({ "a": "m".repeat(length - 8) }).as_object().cloned();
            DetailsPatch { meta: Some(meta), ..DetailsPatch::default() }
        };
        for fine in [named(1024), keyed(255), keyed(1), meta(16_384), tags(10, 64, 255), DetailsPatch::default()] {
            assert!(fine.check().is_ok(), "{fine:?}");
        }
        for (wrong, parameter) in [
            (named(1025), "`name`"),
            (keyed(256), "`key`"),
            (keyed(0), "`key`"),
            (meta(16_385), "`meta`"),
            (tags(11, 2, 1), "`tags`"),
            (tags(1, 65, 1), "`tags`"),
            (tags(1, 1, 256), "`tags.0`"),
        ] {
            let error = wrong.check().expect_err("too long");
            assert!(error.message.contains(parameter), "{error}");
        }
    }

    #[test]
    fn a_flow_links_to_a_web_page_only() {
        let flow = |uri: &str| Flow { name: None, uri: Some(uri.into()), active: true };
        assert!(flow("https://app.example/flows/7").check("7").is_ok());
        assert!(flow("javascript:alert(1)").check("7").is_err());
        assert!(flow("https://app.example/flüge").check("7").is_err());
        assert!(flow("https://app.example/a b").check("7").is_err());
        assert!(flow("https://app.example/flows/7").check("").is_err());
        assert!(flow("https://app.example/flows/7").check(&"f".repeat(256)).is_err());
    }

    #[test]
    fn flows_leave_room_for_the_credentials() {
        let flow = |length: usize| Flow { name: Some("n".repeat(length)), uri: None, active: true };
        let of = |count: usize, length: usize| Details {
            flows: (0..count).map(|id| (format!("{id:02}"), flow(length))).collect(),
            ..Details::default()
        };
        assert!(of(49, 100).check_room_for("new", &flow(100)).is_ok());
        assert!(of(50, 100).check_room_for("new", &flow(100)).is_err());
        assert!(of(50, 100).check_room_for("07", &flow(200)).is_ok());
        // Each of these takes 1,024 bytes of the 12 KiB.
        assert!(of(11, 970).check_room_for("12", &flow(970)).is_ok());
        assert!(of(11, 970).check_room_for("12", &flow(971)).is_err());
    }

    #[test]
    fn a_patch_changes_only_what_it_names() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let mut details = Details { name: Some("old".into()), key: Some("crm".into()), ..Details::default() };
        let patch = DetailsPatch { name: Some(None), is_deactivated: Some(true), ..DetailsPatch::default() };
        patch.apply(&mut details, now);
        let expected =
            Details { key: Some("crm".into()), is_deactivated: true, changed_at: Some(now), ..Details::default() };
        assert_eq!(details, expected);
    }
}
