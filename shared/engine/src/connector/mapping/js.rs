//! JavaScript's coercions of JSON values, as far as they are visible in the mapping language.
//!
//! `undefined` is `None`. There are two deviations: integers keep all 64 bits (JavaScript rounds above 2^53), and two
//! objects or arrays are never identical, so `==` and `===` between them are always false.

use serde_json::{Number, Value};

/// `String(value)`.
pub(crate) fn string(value: Option<&Value>) -> String {
    match value {
        None => "undefined".to_owned(),
        Some(Value::Null) => "null".to_owned(),
        Some(Value::Bool(bool)) => bool.to_string(),
        Some(Value::Number(number)) => number_string(number),
        Some(Value::String(string)) => string.clone(),
        Some(Value::Array(items)) => join(items, ","),
        Some(Value::Object(_)) => "[object Object]".to_owned(),
    }
}

/// `Array.prototype.join`: null items are empty.
pub(crate) fn join(items: &[Value], delimiter: &str) -> String {
    let strings: Vec<String> =
        items.iter().map(|item| if item.is_null() { String::new() } else { string(Some(item)) }).collect();
    strings.join(delimiter)
}

/// `!!value`.
pub(crate) fn truthy(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => false,
        Some(Value::Bool(bool)) => *bool,
        Some(Value::Number(number)) => float(number) != 0.0,
        Some(Value::String(string)) => !string.is_empty(),
        Some(Value::Array(_) | Value::Object(_)) => true,
    }
}

/// `left == right`.
pub(crate) fn loosely_equal(left: Option<&Value>, right: Option<&Value>) -> bool {
    let (Some(left), Some(right)) = (defined(left), defined(right)) else {
        return defined(left).is_none() && defined(right).is_none();
    };
    match (left, right) {
        (Value::Array(_) | Value::Object(_), Value::Array(_) | Value::Object(_)) => false,
        (Value::Number(left), Value::Number(right)) => numbers_equal(left, right),
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Bool(_) | Value::Number(_), _) | (_, Value::Bool(_) | Value::Number(_)) => {
            number(left) == number(right)
        }
        _ => string(Some(left)) == string(Some(right)),
    }
}

/// `left === right`.
pub(crate) fn strictly_equal(left: Option<&Value>, right: Option<&Value>) -> bool {
    match (left, right) {
        (None, None) => true,
        (Some(Value::Number(left)), Some(Value::Number(right))) => numbers_equal(left, right),
        (Some(Value::Array(_) | Value::Object(_)), _) => false,
        _ => left == right,
    }
}

/// Structural equality; the order of keys doesn't matter.
pub(crate) fn deeply_equal(left: Option<&Value>, right: Option<&Value>) -> bool {
    match (left, right) {
        (Some(Value::Array(left)), Some(Value::Array(right))) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| deeply_equal(Some(l), Some(r)))
        }
        (Some(Value::Object(left)), Some(Value::Object(right))) => {
            left.len() == right.len()
                && left.iter().all(|(key, l)| right.get(key).is_some_and(|r| deeply_equal(Some(l), Some(r))))
        }
        _ => strictly_equal(left, right),
    }
}

/// `parseFloat(value)`; NaN is `None`.
pub(crate) fn parse_float(value: Option<&Value>) -> Option<f64> {
    let text = string(value);
    let text = text.trim_start_matches(is_space);
    decimal_prefix(text).map(|(number, _)| number)
}

/// `Number(text)`; NaN is `None`.
pub(crate) fn parse_number(text: &str) -> Option<f64> {
    let text = trim(text);
    if text.is_empty() {
        return Some(0.0);
    }
    for (prefix, radix) in [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            return integer(digits, radix);
        }
    }
    decimal_prefix(text).filter(|&(_, length)| length == text.len()).map(|(number, _)| number)
}

/// `text.trim()`.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `\s` of a regular expression.
pub(crate) fn is_space(char: char) -> bool {
    char.is_whitespace() && char != '\u{85}' || char == '\u{feff}'
}

fn defined(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

/// `Number(value)`.
fn number(value: &Value) -> f64 {
    let parsed = match value {
        Value::Null => Some(0.0),
        Value::Bool(bool) => Some(f64::from(u8::from(*bool))),
        Value::Number(number) => Some(float(number)),
        Value::String(_) | Value::Array(_) | Value::Object(_) => parse_number(&string(Some(value))),
    };
    parsed.unwrap_or(f64::NAN)
}

fn float(number: &Number) -> f64 {
    number.as_f64().unwrap_or(f64::NAN)
}

fn numbers_equal(left: &Number, right: &Number) -> bool {
    left == right || float(left) == float(right) && (left.is_f64() || right.is_f64())
}

fn integer(digits: &str, radix: u32) -> Option<f64> {
    if digits.is_empty() {
        return None;
    }
    digits.chars().try_fold(0.0, |sum, digit| Some(sum * f64::from(radix) + f64::from(digit.to_digit(radix)?)))
}

/// The longest decimal literal at the start of `text`, and its length in bytes.
fn decimal_prefix(text: &str) -> Option<(f64, usize)> {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let sign = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    if text[sign..].starts_with("Infinity") {
        let infinity = if bytes[0] == b'-' { f64::NEG_INFINITY } else { f64::INFINITY };
        return Some((infinity, sign + "Infinity".len()));
    }
    let whole = digits(sign);
    let mut end = sign + whole;
    if bytes.get(end) == Some(&b'.') {
        let fraction = digits(end + 1);
        if whole + fraction == 0 {
            return None;
        }
        end += 1 + fraction;
    } else if whole == 0 {
        return None;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let exponent = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if exponent < bytes.len() && digits(exponent) > 0 {
            end = exponent + digits(exponent);
        }
    }
    text[..end].parse().ok().map(|number| (number, end))
}

/// ECMA-262 `Number::toString`; integers keep all their digits.
fn number_string(number: &Number) -> String {
    match number.as_f64().filter(|_| number.is_f64()) {
        Some(float) => ryu_js::Buffer::new().format(float).to_owned(),
        None => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn prints(value: Value, expected: &str) {
        assert_eq!(string(Some(&value)), expected, "{value}");
    }

    #[test]
    fn numbers_print_as_javascript_prints_them() {
        prints(json!(1.0), "1");
        prints(json!(-0.0), "0");
        prints(json!(0.1), "0.1");
        prints(json!(-12.5), "-12.5");
        prints(json!(1e21), "1e+21");
        prints(json!(1.5e300), "1.5e+300");
        prints(json!(123_456_789_012_345_680_000.0), "123456789012345680000");
        prints(json!(0.000_001), "0.000001");
        prints(json!(1e-7), "1e-7");
        prints(json!(5e-324), "5e-324");
        prints(json!(8_185_131_439_381_497.0 / 4.0), "2046282859845374.2");
        prints(json!(100.0), "100");
        prints(json!(0.001), "0.001");
        prints(json!(f64::MAX), "1.7976931348623157e+308");
    }

    #[test]
    fn integers_keep_all_their_digits() {
        prints(json!(9_007_199_254_740_993_u64), "9007199254740993");
        prints(json!(u64::MAX), "18446744073709551615");
    }

    #[test]
    fn arrays_and_objects_print_as_javascript_prints_them() {
        prints(json!([1, [2, null], "x", {}]), "1,2,,x,[object Object]");
        prints(json!({"a": 1}), "[object Object]");
    }

    #[test]
    fn loose_equality_follows_javascript() {
        let equal = |left: Value, right: Value| loosely_equal(Some(&left), Some(&right));
        assert!(equal(json!(0), json!("0")));
        assert!(equal(json!("1.0"), json!(1)));
        assert!(equal(json!(true), json!("1")));
        assert!(equal(json!(0), json!("")));
        assert!(equal(json!([5]), json!(5)));
        assert!(equal(json!({}), json!("[object Object]")));
        assert!(equal(json!(1.0), json!(1)));
        assert!(!equal(json!(null), json!(0)));
        assert!(!equal(json!("1"), json!("1.0")));
        assert!(!equal(json!("abc"), json!(false)));
        assert!(!equal(json!([]), json!([])));
        assert!(loosely_equal(None, Some(&Value::Null)));
        assert!(!loosely_equal(None, Some(&json!(""))));
    }

    #[test]
    fn adjacent_large_integers_differ() {
        assert!(!loosely_equal(Some(&json!(u64::MAX)), Some(&json!(u64::MAX - 1))));
    }

    #[test]
    fn parse_float_reads_the_longest_number_at_the_start() {
        let parse = |value: Value| parse_float(Some(&value));
        assert_eq!(parse(json!(" 3.5kg")), Some(3.5));
        assert_eq!(parse(json!("1e3x")), Some(1000.0));
        assert_eq!(parse(json!("1e")), Some(1.0));
        assert_eq!(parse(json!(".5")), Some(0.5));
        assert_eq!(parse(json!("-Infinity")), Some(f64::NEG_INFINITY));
        assert_eq!(parse(json!([7, 8])), Some(7.0));
        for nothing in [json!("."), json!("x1"), json!(""), json!(null), json!(true), json!("inf"), json!("nan")] {
            assert_eq!(parse(nothing), None);
        }
    }

    #[test]
    fn parse_number_rejects_trailing_characters() {
        assert_eq!(parse_number("  "), Some(0.0));
        assert_eq!(parse_number("0x1F"), Some(31.0));
        assert_eq!(parse_number("12x"), None);
        assert_eq!(parse_number("0x"), None);
        assert_eq!(parse_number("NaN"), None);
    }
}
