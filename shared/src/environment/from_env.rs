//! Reads the settings of a Lambda function from its environment variables.

use std::env;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use url::Url;

use super::{CredentialsIn, Environment, GIVE_UP, KeysFrom, RefreshesBy, SecretsIn, SettingError, Settings, optional};
use crate::aws::{RefreshFunction, ScheduleTarget};
use crate::aws_http;
use crate::clock::SystemClock;
use crate::cors::AllowedOrigins;
use crate::dynamodb::schema::Tables;
use crate::metrics::Metrics;
use crate::random::SystemRng;
use crate::trust::Trust;

impl Settings {
    /// Reads the environment variables of a Lambda function.
    ///
    /// # Errors
    /// When a setting is missing or invalid.
    pub fn from_env() -> Result<Self, SettingError> {
        let defaults = Tables::default();
        let secrets = match optional("SECRETS_FILE") {
            Some(path) => SecretsIn::File(path.into()),
            None => SecretsIn::SecretsManager(secrets_prefix()),
        };
        let keys = match optional("SEAL_KEY_FILE") {
            Some(path) => KeysFrom::File(path.into()),
            None => KeysFrom::Kms(required("KMS_KEY_ID")?),
        };
        let base_uri = base_uri(&required("BASE_URI")?)?;
        let is_local = optional("LARDER_LOCAL").is_some_and(|value| value == "1");
        Ok(Self {
            credentials: CredentialsIn::from_env(&base_uri, is_local, Some(secrets_prefix()))?,
            base_uri,
            tables: Tables {
                connections: optional("CONNECTIONS_TABLE").unwrap_or(defaults.connections),
                attempts: optional("ATTEMPTS_TABLE").unwrap_or(defaults.attempts),
                sessions: optional("SESSIONS_TABLE").unwrap_or(defaults.sessions),
                workspaces: optional("WORKSPACES_TABLE").unwrap_or(defaults.workspaces),
            },
            cors_origins: AllowedOrigins::from_env()?,
            secrets,
            keys,
            refreshes: refreshes_by()?,
            recovery_queue: optional("RECOVERY_QUEUE_URL"),
            event_bus: optional("EVENT_BUS_NAME"),
            refresh_function: optional("REFRESH_FUNCTION").unwrap_or_else(|| "refresh".into()),
            connectors: env::split_paths(&optional("CONNECTORS_DIR").unwrap_or_else(|| "/opt/connectors".into()))
                .collect(),
            is_local,
            trust: trust(optional)?,
            egress_reroute: None,
            give_up: match optional("REFRESH_GIVE_UP") {
                Some(text) => duration(&text).ok_or(SettingError::Wrong {
                    name: "REFRESH_GIVE_UP",
                    expected: "a duration such as 7d, 12h, 30m, or 45s",
                })?,
                None => GIVE_UP,
            },
            metrics: Metrics::to(Arc::new(Mutex::new(std::io::stdout()))),
        })
    }
}

impl Environment {
    /// Creates the environment of a Lambda function.
    ///
    /// # Errors
    /// When a setting is missing or invalid.
    pub async fn from_env() -> Result<Self, SettingError> {
        let settings = Settings::from_env()?;
        // Lambda passes its credentials in variables. The default provider chain would create HTTP clients for other
        // sources.
        let sdk = aws_config::defaults(BehaviorVersion::latest())
            .credentials_provider(EnvironmentVariableCredentialsProvider::new())
            .timeout_config(aws_http::timeouts())
            .http_client(aws_http::client(settings.trust.clone()));
        let sdk = sdk.load().await;
        Ok(Self::new(settings, sdk, Arc::new(SystemClock), Arc::new(SystemRng)))
    }

    /// Returns a client of the `refresh` function.
    pub fn refresh_function(&self) -> RefreshFunction {
        RefreshFunction::new(self.sdk.clone(), &self.settings.refresh_function)
    }
}

/// Returns the compiled-in authorities, unless a variable of OpenSSL or the AWS SDKs names others.
fn trust(get: impl Fn(&str) -> Option<String>) -> Result<Trust, SettingError> {
    if let Some(path) = get("AWS_CA_BUNDLE") {
        let pem = fs::read(path).ok().filter(|pem| pem.windows(PEM.len()).any(|window| window == PEM));
        let expected = "the path of a file of PEM certificates";
        return pem.map(|pem| Trust::Bundle(pem.into())).ok_or(SettingError::Wrong { name: "AWS_CA_BUNDLE", expected });
    }
    let names_others = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().any(|name| get(name).is_some());
    Ok(if names_others { Trust::Machine } else { Trust::CompiledIn })
}

const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";

fn refreshes_by() -> Result<RefreshesBy, SettingError> {
    match optional("REFRESH_SCHEDULER").as_deref() {
        None | Some("none") => Ok(RefreshesBy::Sweeper),
        Some("sweep") => Ok(RefreshesBy::Queue(required("REFRESH_QUEUE_URL")?)),
        Some("eventbridge") => Ok(RefreshesBy::Schedules(ScheduleTarget {
            group: required("SCHEDULE_GROUP")?,
            function_arn: required("REFRESH_FUNCTION_ARN")?,
            role_arn: required("SCHEDULE_ROLE_ARN")?,
            dead_letter_arn: optional("SCHEDULE_DEAD_LETTER_ARN"),
        })),
        Some(_) => Err(SettingError::Wrong { name: "REFRESH_SCHEDULER", expected: "eventbridge, sweep, or none" }),
    }
}

fn base_uri(text: &str) -> Result<String, SettingError> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.query().is_none());
    url.map(|url| url.as_str().trim_end_matches('/').to_owned())
        .ok_or(SettingError::Wrong { name: "BASE_URI", expected: "an http(s) URL without a query" })
}

/// Parses `7d`, `12h`, `30m`, `45s`, or plain seconds. The crate `humantime` reads `30M` as thirty months and rejects plain
/// seconds.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?))
}

fn secrets_prefix() -> String {
    optional("SECRETS_PREFIX").unwrap_or_else(|| "larder/".into())
}

fn required(name: &'static str) -> Result<String, SettingError> {
    optional(name).ok_or(SettingError::Missing(name))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{PEM, base_uri, duration, trust};
    use crate::trust::Trust;

    #[test]
    fn a_duration_has_a_unit_or_is_in_seconds() {
        assert_eq!(duration("7d"), Some(Duration::from_hours(168)));
        assert_eq!(duration("90"), Some(Duration::from_secs(90)));
        for wrong in ["", "d", "1w", "-1s", "1.5h", "99999999999999999999d"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_base_uri_has_no_trailing_slash_and_no_query() {
        assert_eq!(base_uri("https://larder.example/prod/").expect("fine"), "https://larder.example/prod");
        assert!(base_uri("larder.example").is_err());
        assert!(base_uri("https://larder.example/?a=b").is_err());
    }

    #[test]
    fn authorities_are_compiled_in_unless_a_variable_names_others() {
        let only = |name: &'static str, path: String| move |asked: &str| (asked == name).then(|| path.clone());
        assert_eq!(trust(|_| None).expect("fine"), Trust::CompiledIn);
        assert_eq!(trust(only("SSL_CERT_FILE", "/ca.pem".into())).expect("fine"), Trust::Machine);
        assert_eq!(trust(only("SSL_CERT_DIR", "/certs".into())).expect("fine"), Trust::Machine);

        let file = tempfile::NamedTempFile::new().expect("a file");
        let path = file.path().display().to_string();
        assert!(trust(only("AWS_CA_BUNDLE", path.clone())).is_err(), "the file is empty");
        assert!(trust(only("AWS_CA_BUNDLE", "/nowhere.pem".into())).is_err());
        std::fs::write(&path, PEM).expect("a file");
        assert_eq!(trust(only("AWS_CA_BUNDLE", path)).expect("fine"), Trust::Bundle(PEM.into()));
    }
}
