//! Errors in words for the people who see them on a page.
//!
//! # Decisions
//!
//! An error's message is for developers: it names parameters, routes and claims. Pages show a sentence for people instead, and
//! the message is in the log and in the head of the page (`larder-error`), out of sight.

use larder::error::{Error, ErrorClass, ErrorType};

use super::words::{self, Words};
use super::{Language, sentence};
use crate::connector::NOT_ACCEPTED;

/// A sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForPeople {
    /// The sentence.
    pub text: String,
    /// Whether it is in English, whatever the page's language: a provider's words, for example.
    pub is_english: bool,
    /// The address at which the person can try again.
    pub retry: Option<String>,
}

impl ForPeople {
    /// Returns a sentence of ours.
    pub fn own(words: Words, language: Language) -> Self {
        Self { text: sentence(words.say(language)), is_english: false, retry: None }
    }

    /// Returns the words of an error.
    pub fn of(error: &Error, language: Language) -> Self {
        if error.is_for_people {
            return Self { text: sentence(&error.message), is_english: false, retry: None };
        }
        let words = match (error.kind, error.class) {
            (ErrorType::Internal, _) => words::TRY_LATER,
            (ErrorType::Configuration, _) => words::SET_UP_FAULT,
            (ErrorType::BadRequest, ErrorClass::NotFound | ErrorClass::Denied | ErrorClass::MethodNotAllowed) => {
                words::LINK_UNKNOWN
            }
            _ => return Self::of_message(&error.message, language),
        };
        Self::instead_of(error, words, language)
    }

    /// Returns a sentence of ours in place of an error's message, which goes to the log.
    pub fn instead_of(error: &Error, words: Words, language: Language) -> Self {
        tracing::info!(error = error.message, "a page shows this error in other words");
        Self::own(words, language)
    }

    /// Returns the words of a provider, or of Larder about it.
    pub fn of_message(message: &str, language: Language) -> Self {
        match own_sentence(message, language) {
            Some(text) => Self { text, is_english: false, retry: None },
            None => Self { text: sentence(&message.replace('`', "")), is_english: true, retry: None },
        }
    }
}

/// Returns a message that Larder wrote in the visitor's language, if end users meet it often.
fn own_sentence(message: &str, language: Language) -> Option<String> {
    if message == "the provider did not grant access (access_denied)" {
        return Some(words::NOT_GRANTED.say(language).to_owned());
    }
    let (status, reason) = message.strip_prefix("the provider answered ")?.split_once(": ")?;
    (reason == NOT_ACCEPTED).then(|| words::ANSWERED_NOT_ACCEPTED.with(language, status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_no_names_of_parameters_and_routes() {
        let of = |error: Error| ForPeople::of(&error, Language::En);
        for error in [
            Error::not_found("there is no integration `x`; GET /integrations lists those that exist"),
            Error::access_denied("this route requires an admin token: sign it with the claim \"isAdmin\": true"),
            Error::configuration("the connector `x` has no `tokenUri`"),
            Error::internal("a fault"),
        ] {
            let shown = of(error.clone());
            assert!(!shown.text.contains(['`', '/', '"']) && !shown.is_english, "{error}: {shown:?}");
        }
        let shown = of(Error::connection(None, "the provider answered 400: `key` is missing"));
        assert_eq!((shown.text.as_str(), shown.is_english), ("The provider answered 400: key is missing.", true));
        let shown = of(Error::conflict("").for_people("diese Seite war zu lange offen"));
        assert_eq!((shown.text.as_str(), shown.is_english), ("Diese Seite war zu lange offen.", false));
    }

    #[test]
    fn sentences_of_ours_are_in_the_visitors_language() {
        for (message, german) in [
            (
                format!("the provider answered 401: {NOT_ACCEPTED}"),
                "Der Anbieter hat diese Angaben abgelehnt (Antwort 401).",
            ),
            ("the provider did not grant access (access_denied)".to_owned(), "Der Zugriff wurde nicht erlaubt."),
        ] {
            let shown = ForPeople::of_message(&message, Language::De);
            assert_eq!((shown.text.as_str(), shown.is_english), (german, false));
        }
    }
}
