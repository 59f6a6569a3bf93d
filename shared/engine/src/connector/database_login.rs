//! Database logins described in YAML: the server and the user that a `test` logs in with.

use larder::secret::Secret;
use serde_json::Value;

use super::mapping::{MalformedValue, Mapping};
use super::{pointer, spelling};

/// A `.db.yml` file: a mapping that returns a [`Login`].
#[derive(Clone, Debug, PartialEq)]
pub struct DatabaseLogin {
    mapping: Mapping,
}

/// The server, user, and password of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The kind of server.
    pub driver: Driver,
    /// The host: a name, or an IP address without brackets.
    pub host: String,
    /// The port; defaults to the driver's usual one.
    pub port: u16,
    /// The user name.
    pub user: String,
    /// The password; may be empty.
    pub password: Secret,
    /// The database name.
    pub database: String,
    /// Whether the connection is encrypted; `None` leaves the choice to the caller.
    pub tls: Option<Tls>,
}

/// The kinds of database servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// PostgreSQL and compatible servers.
    Postgres,
    /// MySQL, MariaDB, and compatible servers.
    MySql,
}

/// Whether a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Always, and the server's certificate must be valid for its host.
    Require,
    /// If the server supports it, with any certificate. Protects against eavesdropping, but not against a man in the middle.
    Prefer,
    /// Never.
    Disable,
}

/// A missing or invalid field. Contains names, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` of the database login must be {expected}")]
pub struct LoginFieldError {
    /// The field.
    pub field: &'static str,
    /// The expected value.
    pub expected: &'static str,
}

impl DatabaseLogin {
    /// The mapping's expression, for checks of the variables it uses.
    pub(super) fn expression(&self) -> &Value {
        self.mapping.expression()
    }

    /// Parses `{driver, host, port, user, password, database, tls}`, a mapping over the function's arguments.
    ///
    /// # Errors
    ///
    /// Everything malformed. Values of formulas are checked only when they are evaluated.
    pub fn check(value: &Value) -> Result<Self, Vec<MalformedValue>> {
        let Some(fields) = value.as_object() else {
            let message = "a database login must be an object".to_owned();
            return Err(vec![MalformedValue { pointer: String::new(), message, help: format!("write {}", names()) }]);
        };
        let mut malformed = Vec::new();
        if !fields.keys().next().is_some_and(|key| key.starts_with('$')) {
            for name in fields.keys().filter(|name| FIELDS.iter().all(|field| field.name != *name)) {
                let known = FIELDS.iter().map(|field| field.name);
                let meant = spelling::nearest(name, known).map(|known| format!("did you mean `{known}`?"));
                malformed.push(MalformedValue {
                    pointer: pointer::child("", name),
                    message: format!("unknown field `{name}` in the database login"),
                    help: meant.unwrap_or_else(|| format!("use {}", names())),
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
                    malformed.push(MalformedValue {
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

    /// Evaluates the login with the function's arguments.
    ///
    /// # Errors
    ///
    /// The first field that is missing or invalid.
    pub fn evaluate(&self, variables: &Value) -> Result<Login, LoginFieldError> {
        let fields = self.mapping.evaluate(variables).unwrap_or_default();
        let given = |name: &str| fields.get(name).filter(|value| !value.is_null());
        for field in &FIELDS {
            let fits = given(field.name).map_or(field.is_optional, field.fits);
            if !fits {
                return Err(field.error());
            }
        }
        let string = |name| given(name).and_then(string).unwrap_or_default().to_owned();
        let driver = given("driver").and_then(driver).ok_or_else(|| FIELDS[0].error())?;
        let host = string("host");
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
        Ok(Login {
            driver,
            host: bare.to_owned(),
            port: given("port").and_then(port).unwrap_or(driver.default_port()),
            user: string("user"),
            password: Secret::new(string("password")),
            database: string("database"),
            tls: given("tls").and_then(tls),
        })
    }
}

impl Driver {
    /// The display name.
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

/// A field of the login, and its valid values.
struct Field {
    name: &'static str,
    fits: fn(&Value) -> bool,
    expected: &'static str,
    is_optional: bool,
}

const FIELDS: [Field; 7] = [
    Field::required("driver", |value| driver(value).is_some(), "`postgres` or `mysql`"),
    Field::required("host", is_non_empty_string, "a non-empty string"),
    Field::optional("port", |value| port(value).is_some(), "a number from 1 to 65535"),
    Field::required("user", is_non_empty_string, "a non-empty string"),
    Field::required("password", |value| string(value).is_some(), "a string"),
    Field::required("database", is_non_empty_string, "a non-empty string"),
    Field::optional("tls", |value| tls(value).is_some(), "`require`, `prefer` or `disable`"),
];

impl Field {
    const fn required(name: &'static str, fits: fn(&Value) -> bool, expected: &'static str) -> Self {
        Self { name, fits, expected, is_optional: false }
    }

    const fn optional(name: &'static str, fits: fn(&Value) -> bool, expected: &'static str) -> Self {
        Self { name, fits, expected, is_optional: true }
    }

    fn error(&self) -> LoginFieldError {
        LoginFieldError { field: self.name, expected: self.expected }
    }
}

fn names() -> String {
    FIELDS.map(|field| format!("`{}`", field.name)).join(", ")
}

/// The string, unless it contains a NUL, which ends strings in both protocols.
fn string(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.contains('\0'))
}

fn is_non_empty_string(value: &Value) -> bool {
    string(value).is_some_and(|text| !text.is_empty())
}

fn driver(value: &Value) -> Option<Driver> {
    match value.as_str()? {
        "postgres" => Some(Driver::Postgres),
        "mysql" => Some(Driver::MySql),
        _ => None,
    }
}

/// Forms submit ports as strings.
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
    fn malformed(value: &Value) -> Vec<(String, String)> {
        let malformed = DatabaseLogin::check(value).unwrap_err();
        malformed.into_iter().map(|each| (each.pointer, format!("{}; {}", each.message, each.help))).collect()
    }

    #[test]
    fn the_arguments_fill_in_the_login() {
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
    fn a_port_may_be_a_number_or_a_string() {
        for port in [json!(6543), json!("6543")] {
            assert_eq!(evaluated(&json!({"connectionParameters": {"port": port}})).unwrap().port, 6543);
        }
        for port in [json!(0), json!(65536), json!("x"), json!(-1), json!(5432.5), json!([])] {
            let error = evaluated(&json!({"connectionParameters": {"port": port}})).unwrap_err();
            assert_eq!(error, "`port` of the database login must be a number from 1 to 65535");
        }
    }

    #[test]
    fn each_driver_has_a_default_port() {
        let login =
            json!({"driver": "mysql", "host": "h", "user": "u", "password": "", "database": "d", "tls": "prefer"});
        let login = DatabaseLogin::check(&login).unwrap().evaluate(&json!({})).unwrap();
        assert_eq!((login.port, login.tls, login.password.expose()), (3306, Some(Tls::Prefer), ""));
    }

    #[test]
    fn an_ip_address_may_be_in_brackets() {
        assert_eq!(evaluated(&json!({"connectionParameters": {"host": "[2001:db8::1]"}})).unwrap().host, "2001:db8::1");
    }

    #[test]
    fn errors_name_the_field_but_not_the_value() {
        for (given, expected) in [
            (json!({"connectionParameters": {"host": ""}}), "`host` of the database login must be a non-empty string"),
            (
                json!({"connectionParameters": {"database": null}}),
                "`database` of the database login must be a non-empty string",
            ),
            (json!({"credentials": {"user": 1}}), "`user` of the database login must be a non-empty string"),
            (json!({"credentials": {"password": ["hunter2"]}}), "`password` of the database login must be a string"),
            (json!({"credentials": {"password": "hunter2\0"}}), "`password` of the database login must be a string"),
        ] {
            assert_eq!(evaluated(&given).unwrap_err(), expected);
        }
    }

    #[test]
    fn mistakes_are_found_on_load() {
        let login = json!({
            "driver": "oracle", "hosts": "h", "user": {"$var": "u"}, "password": {"$concat": 1}, "database": "d",
            "tls": "maybe", "schema": "s",
        });
        let expected = [
            ("/hosts", "unknown field `hosts` in the database login; did you mean `host`?"),
            (
                "/schema",
                "unknown field `schema` in the database login; use `driver`, `host`, `port`, `user`, `password`, \
                 `database`, `tls`",
            ),
            (
                "/driver",
                "`driver` of the database login must be `postgres` or `mysql`; write `driver:` with a value or a formula",
            ),
            (
                "/host",
                "`host` of the database login must be a non-empty string; write `host:` with a value or a formula",
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
        assert_eq!(malformed(&login), expected.map(|(at, text)| (at.to_owned(), text.to_owned())));
        assert_eq!(malformed(&json!("x"))[0].0, "");
    }

    #[test]
    fn a_formula_may_return_the_whole_login() {
        let whole =
            json!({"$mergeObjects": [{"$var": "credentials"}, {"driver": "mysql", "host": "h", "database": "d"}]});
        assert_eq!(DatabaseLogin::check(&whole).unwrap().evaluate(&arguments(&json!({}))).unwrap().user, "larder");
    }

    #[test]
    fn debug_output_contains_no_password() {
        let login = evaluated(&json!({})).unwrap();
        assert!(!format!("{login:?} {:?}", DatabaseLogin::check(&of_input())).contains("hunter2"));
    }
}
