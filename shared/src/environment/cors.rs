//! Reads the origins whose scripts may call the JSON routes.

use super::{SettingError, optional};
use crate::cors::AllowedOrigins;

impl AllowedOrigins {
    /// Reads `CORS_ORIGINS`. Without it, every origin is allowed.
    ///
    /// # Errors
    /// When it is not a list of origins.
    pub fn from_env() -> Result<Self, SettingError> {
        let expected = "`*`, or origins such as https://app.example, separated by commas";
        let wrong = SettingError::Wrong { name: "CORS_ORIGINS", expected };
        optional("CORS_ORIGINS").map_or(Ok(Self::Any), |text| Self::parse(&text).ok_or(wrong))
    }
}
