//! Database logins: where a `test` logs in, and as whom, described in YAML.

use larder::secret::Secret;
use serde_json::Value;

use super::mapping::{Malformed, Mapping};
use super::{pointer, spelling};

/// A `.db.yml` file: a mapping that gives a [`Login`].
#[derive(Clone, Debug, PartialEq)]
pub struct DatabaseLogin {
    mapping: Mapping,
}

/// Where to log in, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The kind of server.
    pub driver: Driver,
    /// A name, or an IP address without brackets.
    pub host: String,
    /// The driver's usual port, if none was given.
    pub port: u16,
    /// The user.
    pub user: String,
    /// The user's password; may be empty.
    pub password: Secret,
    /// The database.
    pub database: String,
    /// Whether the connection is encrypted; `None` leaves it to whoever connects.
    pub tls: Option<Tls>,
}

/// The kinds of database servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// PostgreSQL, and what speaks its protocol.
    Postgres,
    /// MySQL and MariaDB, and what speaks their protocol.
    MySql,
}

/// Whether a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Always, and the server's certificate must be valid for its host.
    Require,
    /// If the server can, whatever its certificate. Keeps out who listens, not who stands in between.
    Prefer,
    /// Never.
    Disable,
}

/// A field that the mapping did not give, or not as it must be. Carries names, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` of the database login must be {expected}")]
pub struct FieldError {
    /// The field.
    pub field: &'static str,
    /// What it must be.
    pub expected: &'static str,
}

impl DatabaseLogin {
    /// The mapping's expression, for whoever looks for what it uses.
    pub(super) fn expression(&self) -> &Value {
        self.mapping.expression()
    }

    /// Reads `{driver, host, port, user, password, database, tls}`, a mapping over the function's arguments.
    ///
    /// # Errors
    ///
    /// Everything that is malformed. What a formula gives is known only when it is evaluated.
    pub fn check(value: &Value) -> Result<Self, Vec<Malformed>> {
        let Some(fields) = value.as_object() else {
            let message = "a database login must be an object".to_owned();
            return Err(vec![Malformed { pointer: String::new(), message, help: format!("write {}", names()) }]);
        };
        let mut malformed = Vec::new();
        if !fields.keys().next().is_some_and(|key| key.starts_with('$')) {
            for name in fields.keys().filter(|name| FIELDS.iter().all(|field| field.name != *name)) {
                let known = FIELDS.iter().map(|field| field.name);
                let meant = spelling::nearest(name, known).map(|known| format!("did you mean `{known}`?"));
                malformed.push(Malformed {
                    pointer: pointer::child("", name),
                    message: format!("`{name}` is no field of a database login"),
                    help: meant.unwrap_or_else(|| format!("there are {}", names())),
                });
            }
            for field in &FIELDS {
                let is_wrong = match fields.get(field.name) {
                    None | Some(Value::Null) => !field.is_optional,
                    Some(Value::Object(_)) => false,
                    Some(literal) => !(field.fits)(literal),
                };
                if is_wrong {
                    let error = field.error();
                    let help = format!("write `{}:` with a value or a formula", field.name);
                    malformed.push(Malformed {
                        pointer: pointer::child("", field.name),
                        message: error.to_string(),
                        help,
                    });
                }
            }
        }
        match Mapping::parse(value.clone()) {
            Ok(mapping) if malformed.is_empty() => Ok(Self { mapping }),
            Ok(_) => Err(malformed),
            Err(formulas) => Err(malformed.into_iter().chain(formulas).collect()),
        }
    }

    /// Where to log in, by the function's arguments.
    ///
    /// # Errors
    ///
    /// The first field that is missing or wrong.
    pub fn evaluate(&self, variables: &Value) -> Result<Login, FieldError> {
        let fields = self.mapping.evaluate(variables).unwrap_or_default();
        let given = |name: &str| fields.get(name).filter(|value| !value.is_null());
        for field in &FIELDS {
            let fits = given(field.name).map_or(field.is_optional, field.fits);
            if !fits {
                return Err(field.error());
            }
        }
        let text = |name| given(name).and_then(text).unwrap_or_default().to_owned();
        let driver = given("driver").and_then(driver).ok_or_else(|| FIELDS[0].error())?;
        let host = text("host");
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
        Ok(Login {
            driver,
            host: bare.to_owned(),
            port: given("port").and_then(port).unwrap_or(driver.default_port()),
            user: text("user"),
            password: Secret::new(text("password")),
            database: text("database"),
            tls: given("tls").and_then(tls),
        })
    }
}

impl Driver {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::MySql => "MySQL",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Postgres => 5432,
            Self::MySql => 3306,
        }
    }
}

/// What a field of the login must be.
struct Field {
    name: &'static str,
    fits: fn(&Value) -> bool,
    expected: &'static str,
    is_optional: bool,
}

const FIELDS: [Field; 7] = [
    Field::required("driver", |value| driver(value).is_some(), "`postgres` or `mysql`"),
    Field::required("host", is_filled, "a text that is not empty"),
    Field::optional("port", |value| port(value).is_some(), "a number from 1 to 65535"),
    Field::required("user", is_filled, "a text that is not empty"),
    Field::required("password", |value| text(value).is_some(), "a text"),
    Field::required("database", is_filled, "a text that is not empty"),
    Field::optional("tls", |value| tls(value).is_some(), "`require`, `prefer` or `disable`"),
];

impl Field {
    const fn required(name: &'static str, fits: fn(&Value) -> bool, expected: &'static str) -> Self {
        Self { name, fits, expected, is_optional: false }
    }

    const fn optional(name: &'static str, fits: fn(&Value) -> bool, expected: &'static str) -> Self {
        Self { name, fits, expected, is_optional: true }
    }

    fn error(&self) -> FieldError {
        FieldError { field: self.name, expected: self.expected }
    }
}

fn names() -> String {
    FIELDS.map(|field| format!("`{}`", field.name)).join(", ")
}

/// The protocols end texts with a NUL.
fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.contains('\0'))
}

fn is_filled(value: &Value) -> bool {
    text(value).is_some_and(|text| !text.is_empty())
}

fn driver(value: &Value) -> Option<Driver> {
    match value.as_str()? {
        "postgres" => Some(Driver::Postgres),
        "mysql" => Some(Driver::MySql),
        _ => None,
    }
}

/// A form gives a port as a text.
fn port(value: &Value) -> Option<u16> {
    let number = match value {
        Value::String(text) => text.parse().ok()?,
        value => u16::try_from(value.as_u64()?).ok()?,
    };
    Some(number).filter(|&port| port > 0)
}

fn tls(value: &Value) -> Option<Tls> {
    match value.as_str()? {
        "require" => Some(Tls::Require),
        "prefer" => Some(Tls::Prefer),
        "disable" => Some(Tls::Disable),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of_input() -> Value {
        json!({
            "driver": "postgres",
            "host": {"$var": "connectionParameters.host"},
            "port": {"$var": "connectionParameters.port"},
            "user": {"$var": "credentials.user"},
            "password": {"$var": "credentials.password"},
            "database": {"$var": "connectionParameters.database"},
        })
    }

    fn arguments(more: &Value) -> Value {
        let mut arguments = json!({
            "connectionParameters": {"host": "db.example.com", "database": "crm"},
            "credentials": {"user": "larder", "password": "hunter2"},
        });
        for (group, members) in more.as_object().unwrap() {
            for (name, value) in members.as_object().unwrap() {
                arguments[group][name] = value.clone();
            }
        }
        arguments
    }

    fn evaluated(more: &Value) -> Result<Login, String> {
        DatabaseLogin::check(&of_input()).unwrap().evaluate(&arguments(more)).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn refused(value: &Value) -> Vec<(String, String)> {
        let malformed = DatabaseLogin::check(value).unwrap_err();
        malformed.into_iter().map(|each| (each.pointer, format!("{}; {}", each.message, each.help))).collect()
    }

    #[test]
    fn the_arguments_fill_the_login() {
        let expected = Login {
            driver: Driver::Postgres,
            host: "db.example.com".into(),
            port: 5432,
            user: "larder".into(),
            password: Secret::new("hunter2"),
            database: "crm".into(),
            tls: None,
        };
        assert_eq!(evaluated(&json!({})).unwrap(), expected);
    }

    #[test]
    fn a_port_may_be_a_number_or_a_text() {
        for port in [json!(6543), json!("6543")] {
            assert_eq!(evaluated(&json!({"connectionParameters": {"port": port}})).unwrap().port, 6543);
        }
        for port in [json!(0), json!(65536), json!("x"), json!(-1), json!(5432.5), json!([])] {
            let error = evaluated(&json!({"connectionParameters": {"port": port}})).unwrap_err();
            assert_eq!(error, "`port` of the database login must be a number from 1 to 65535");
        }
    }

    #[test]
    fn each_driver_has_its_port() {
        let login =
            json!({"driver": "mysql", "host": "h", "user": "u", "password": "", "database": "d", "tls": "prefer"});
        let login = DatabaseLogin::check(&login).unwrap().evaluate(&json!({})).unwrap();
        assert_eq!((login.port, login.tls, login.password.expose()), (3306, Some(Tls::Prefer), ""));
    }

    #[test]
    fn an_address_may_stand_in_brackets() {
        assert_eq!(evaluated(&json!({"connectionParameters": {"host": "[2001:db8::1]"}})).unwrap().host, "2001:db8::1");
    }

    #[test]
    fn the_field_that_is_missing_or_wrong_is_named_without_its_value() {
        for (given, expected) in [
            (
                json!({"connectionParameters": {"host": ""}}),
                "`host` of the database login must be a text that is not empty",
            ),
            (
                json!({"connectionParameters": {"database": null}}),
                "`database` of the database login must be a text that is not empty",
            ),
            (json!({"credentials": {"user": 1}}), "`user` of the database login must be a text that is not empty"),
            (json!({"credentials": {"password": ["hunter2"]}}), "`password` of the database login must be a text"),
            (json!({"credentials": {"password": "hunter2\0"}}), "`password` of the database login must be a text"),
        ] {
            assert_eq!(evaluated(&given).unwrap_err(), expected);
        }
    }

    #[test]
    fn mistakes_are_found_when_it_is_loaded() {
        let login = json!({
            "driver": "oracle", "hosts": "h", "user": {"$var": "u"}, "password": {"$concat": 1}, "database": "d",
            "tls": "maybe", "schema": "s",
        });
        let expected = [
            ("/hosts", "`hosts` is no field of a database login; did you mean `host`?"),
            (
                "/schema",
                "`schema` is no field of a database login; there are `driver`, `host`, `port`, `user`, `password`, \
                 `database`, `tls`",
            ),
            (
                "/driver",
                "`driver` of the database login must be `postgres` or `mysql`; write `driver:` with a value or a formula",
            ),
            (
                "/host",
                "`host` of the database login must be a text that is not empty; write `host:` with a value or a formula",
            ),
            (
                "/tls",
                "`tls` of the database login must be `require`, `prefer` or `disable`; write `tls:` with a value or a \
                 formula",
            ),
            (
                "/password/$concat",
                "the argument of $concat is malformed; $concat takes a list, or `values` (a list) and `delimiter`",
            ),
        ];
        assert_eq!(refused(&login), expected.map(|(at, text)| (at.to_owned(), text.to_owned())));
        assert_eq!(refused(&json!("x"))[0].0, "");
    }

    #[test]
    fn a_formula_may_give_the_whole_login() {
        let whole =
            json!({"$mergeObjects": [{"$var": "credentials"}, {"driver": "mysql", "host": "h", "database": "d"}]});
        assert_eq!(DatabaseLogin::check(&whole).unwrap().evaluate(&arguments(&json!({}))).unwrap().user, "larder");
    }

    #[test]
    fn debug_prints_no_password() {
        let login = evaluated(&json!({})).unwrap();
        assert!(!format!("{login:?} {:?}", DatabaseLogin::check(&of_input())).contains("hunter2"));
    }
}
