//! The outcome of an action on a credential or an integration, which the URL of the next page carries.
//!
//! # Decisions
//!
//! The outcome is signed with the session's form token, so that no link of another website claims that something was done. It
//! counts for a minute, and the pages' script takes it out of the address, so that reloading does not repeat it.

use larder::digest::sha256_base64url;
use larder_engine::pages::Tone;
use larder_engine::pages::words::{self, Words};

use crate::visit::Visit;

/// How long an outcome is shown, in seconds.
const LIFETIME: i64 = 60;

/// The actions that end without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Tested,
    TestFailed,
    Refreshed,
    TooSoon,
    Renamed,
    Deleted,
    Restored,
    Disconnected,
    Deactivated,
    Activated,
}

impl Done {
    const ALL: [Self; 10] = [
        Self::Tested,
        Self::TestFailed,
        Self::Refreshed,
        Self::TooSoon,
        Self::Renamed,
        Self::Deleted,
        Self::Restored,
        Self::Disconnected,
        Self::Deactivated,
        Self::Activated,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Tested => "tested",
            Self::TestFailed => "test-failed",
            Self::Refreshed => "refreshed",
            Self::TooSoon => "too-soon",
            Self::Renamed => "renamed",
            Self::Deleted => "deleted",
            Self::Restored => "restored",
            Self::Disconnected => "disconnected",
            Self::Deactivated => "deactivated",
            Self::Activated => "activated",
        }
    }

    pub(crate) fn words(self) -> Words {
        match self {
            Self::Tested => words::TEST_PASSED,
            Self::TestFailed => words::TEST_FAILED,
            Self::Refreshed => words::WAS_REFRESHED,
            Self::TooSoon => words::TRIED_JUST_NOW,
            Self::Renamed => words::WAS_RENAMED,
            Self::Deleted => words::WAS_DELETED,
            Self::Restored => words::WAS_RESTORED,
            Self::Disconnected => words::WAS_DISCONNECTED,
            Self::Deactivated => words::WAS_DEACTIVATED,
            Self::Activated => words::WAS_ACTIVATED,
        }
    }

    pub(crate) fn tone(self) -> Tone {
        match self {
            Self::TestFailed => Tone::Bad,
            Self::TooSoon => Tone::None,
            _ => Tone::Good,
        }
    }

    /// Returns the value for a URL that says that this was done to a credential.
    pub(crate) fn signed(self, id: &str, visit: &Visit, now: i64) -> String {
        signed(self.name(), &format!("c/{id}"), visit, now)
    }

    /// Reads a value that [`Self::signed`] returned for this visitor, if it is not too old.
    pub(crate) fn read(value: &str, id: &str, visit: &Visit, now: i64) -> Option<Self> {
        let name = verified(value, &format!("c/{id}"), visit, now)?;
        Self::ALL.into_iter().find(|done| done.name() == name)
    }
}

/// Returns the value for a URL: what was done, the time in seconds, and the signature. `subject` is the path of the page of what it
/// was done to.
pub(crate) fn signed(name: &str, subject: &str, visit: &Visit, now: i64) -> String {
    format!("{name}.{now}.{}", signature(name, now, subject, visit))
}

/// Returns what was done, from a value that [`signed`] returned for this visitor, if it is not too old.
pub(crate) fn verified<'a>(value: &'a str, subject: &str, visit: &Visit, now: i64) -> Option<&'a str> {
    let (name, rest) = value.split_once('.')?;
    let (at, given) = rest.split_once('.')?;
    let at = at.parse().ok()?;
    let is_recent = (0..=LIFETIME).contains(&now.saturating_sub(at));
    (is_recent && given == signature(name, at, subject, visit)).then_some(name)
}

fn signature(name: &str, at: i64, subject: &str, visit: &Visit) -> String {
    sha256_base64url(format!("done:{name}:{at}:{subject}:{}", visit.visitor.form_token))
}
