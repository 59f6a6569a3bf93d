//! The outcome of an action, which the URL of the next page carries.
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
    Renamed,
    Deleted,
    Restored,
    Disconnected,
    Deactivated,
    Activated,
}

impl Done {
    const ALL: [Self; 9] = [
        Self::Tested,
        Self::TestFailed,
        Self::Refreshed,
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
            Self::Renamed => words::WAS_RENAMED,
            Self::Deleted => words::WAS_DELETED,
            Self::Restored => words::WAS_RESTORED,
            Self::Disconnected => words::WAS_DISCONNECTED,
            Self::Deactivated => words::WAS_DEACTIVATED,
            Self::Activated => words::WAS_ACTIVATED,
        }
    }

    pub(crate) fn tone(self) -> Tone {
        if self == Self::TestFailed { Tone::Bad } else { Tone::Good }
    }

    /// Returns the value for a URL: what was done to this credential, the time in seconds, and the signature.
    pub(crate) fn signed(self, id: &str, visit: &Visit, now: i64) -> String {
        let name = self.name();
        format!("{name}.{now}.{}", signature(name, now, id, visit))
    }

    /// Reads a value that [`Self::signed`] returned for this visitor, if it is not too old.
    pub(crate) fn read(value: &str, id: &str, visit: &Visit, now: i64) -> Option<Self> {
        let (name, rest) = value.split_once('.')?;
        let (at, given) = rest.split_once('.')?;
        let at = at.parse().ok()?;
        let is_recent = (0..=LIFETIME).contains(&now.saturating_sub(at));
        let is_ours = given == signature(name, at, id, visit);
        Self::ALL.into_iter().find(|done| is_recent && is_ours && done.name() == name)
    }
}

fn signature(name: &str, at: i64, id: &str, visit: &Visit) -> String {
    sha256_base64url(format!("done:{name}:{at}:{id}:{}", visit.visitor.form_token))
}
