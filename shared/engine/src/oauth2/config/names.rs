//! A provider's own names for the standard parameters.
//!
//! # Decisions
//!
//! A renamed parameter is protected under its new name; its old name is free for the connector. Standard names are
//! renamed first, then `extra` is merged by the provider's names. Two parameters that would get the same name are a
//! `ConfigError`, so renaming never loses a value. `state` and the challenge cannot be renamed. `code`,
//! `code_verifier`, `redirect_uri` and `refresh_token` belong to the flow, and no extra can set them.

use std::collections::BTreeMap;

/// The members of a token response that `tokenResponseNames` can rename.
pub(crate) const RESPONSE_NAMES: [&str; 3] = ["access_token", "refresh_token", "expires_in"];

/// A map from standard parameter names to the provider's names. Parameters not in it keep their standard names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParameterNames(BTreeMap<String, Option<String>>);

impl ParameterNames {
    /// Returns the provider's name for a standard parameter, or `None` if the parameter is omitted.
    pub fn of<'a>(&'a self, standard: &'a str) -> Option<&'a str> {
        self.0.get(standard).map_or(Some(standard), Option::as_deref)
    }

    pub(super) fn set(&mut self, standard: &str, name: Option<&str>) {
        self.0.insert(standard.to_owned(), name.map(ToOwned::to_owned));
    }

    /// Returns two of the `sent` parameters that have the same name.
    pub(super) fn collision<'a>(&self, sent: &[&'a str]) -> Option<(&'a str, &'a str)> {
        let same = |one: &str, other: &str| self.of(one).is_some_and(|name| self.of(other) == Some(name));
        sent.iter().enumerate().find_map(|(at, one)| {
            let other = sent[at + 1..].iter().find(|other| same(one, other))?;
            Some((*one, *other))
        })
    }
}
