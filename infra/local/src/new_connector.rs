//! `larder connector new`: writes a preset to start from.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use larder_engine::connector::folder::is_key;

use crate::bundle::bundled_connectors;

/// The generic connectors to start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Generic {
    /// OAuth 2.0 with a browser
    Oauth2,
    /// OAuth 1.0a
    Oauth1,
    /// One or more keys
    ApiKey,
    /// HTTP Basic authentication
    Basic,
    /// OAuth 2.0 with a client's ID and secret
    ClientCredentials,
    /// A login for a token, with one request or several
    TwoStep,
}

impl Generic {
    fn template(self) -> &'static str {
        match self {
            Self::Oauth2 => include_str!("../templates/connector/oauth2.yml"),
            Self::Oauth1 => include_str!("../templates/connector/oauth1.yml"),
            Self::ApiKey => include_str!("../templates/connector/api-key.yml"),
            Self::Basic => include_str!("../templates/connector/basic.yml"),
            Self::ClientCredentials => include_str!("../templates/connector/client-credentials.yml"),
            Self::TwoStep => include_str!("../templates/connector/two-step.yml"),
        }
    }
}

/// Writes the preset `KEY.yml` to a directory, which is created if necessary, and returns its path.
///
/// # Errors
/// When the key is not one, or the file exists or cannot be written.
pub fn write(key: &str, generic: Generic, dir: &Path) -> io::Result<PathBuf> {
    if !is_key(key) {
        let message = "a key is 1 to 100 characters of A-Z, a-z, 0-9, `_`, `.` and `-`";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    if dir.join(key).exists() {
        return Err(taken(&dir.join(key)));
    }
    std::fs::create_dir_all(dir)?;
    let path = dir.join(format!("{key}.yml"));
    let text = generic.template().replace("NAME", &name_of(key)).replace("KEY", key);
    let mut file = File::create_new(&path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => taken(&path),
        kind => io::Error::new(kind, format!("{} cannot be written: {error}", path.display())),
    })?;
    file.write_all(text.as_bytes())?;
    Ok(path)
}

fn taken(path: &Path) -> io::Error {
    let message = format!("{} exists already; delete it, or choose another key", path.display());
    io::Error::new(io::ErrorKind::AlreadyExists, message)
}

/// The commands that lead from a new preset to a connection. `program` is how this one was started.
pub fn next_steps(key: &str, generic: Generic, path: &Path, dir: &Path, program: &str) -> String {
    let (path, dir) = (path.display(), dir.display());
    let replaced = bundled_connectors().entries().iter().any(|entry| entry.key == key);
    let warning = if replaced { format!("It replaces the bundled connector `{key}`. ") } else { String::new() };
    let parameters = match generic {
        Generic::Oauth2 => r#", "parameters": {"clientId": "…", "clientSecret": "…"}"#,
        Generic::Oauth1 => r#", "parameters": {"consumerKey": "…", "consumerSecret": "…"}"#,
        _ => "",
    };
    format!(
        "{path} is written. {warning}Fill it in, and then:\n\n\
         {program} check {path}\n\
         {program} --connectors {dir}\n\n\
         While that is running, in another terminal:\n\n\
         ADMIN=$({program} token --admin)\n\
         curl -X PUT http://127.0.0.1:9000/integrations/{key} -H \"Authorization: Bearer $ADMIN\" \\\n  \
           -d '{{\"connectorKey\": \"{key}\"{parameters}}}'\n\
         {program} connect {key} --tenant alice"
    )
}

/// A name to start with: the words of the key, capitalized.
fn name_of(key: &str) -> String {
    let words = key.split(['-', '_', '.']).filter(|word| !word.is_empty());
    let capitalized = words.map(|word| format!("{}{}", word[..1].to_ascii_uppercase(), &word[1..]));
    capitalized.collect::<Vec<_>>().join(" ")
}
