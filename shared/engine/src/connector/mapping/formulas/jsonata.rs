//! `$jsonata`: a JSONata expression over the variables.

use jsonata_core::evaluator::{Context, Evaluator, EvaluatorOptions};
use jsonata_core::parser;
use jsonata_core::value::JValue;
use serde_json::Value;

use super::{Checked, FormulaCall, is_formula};

/// The time limit of an expression, in milliseconds, checked between steps.
const TIME: u64 = 500;
/// The maximum evaluation depth; a call takes about three levels.
const DEPTH: usize = 3_000;
/// The maximum number of items in a sequence.
const ITEMS: usize = 100_000;
/// The stack size in bytes. Only the time limit bounds how deeply a value is nested, and dropping or printing it recurses,
/// which no limit of the evaluator counts. The stack has room for any such depth; unused pages take no memory.
const STACK: usize = 256 * 1024 * 1024;

/// Guards for two functions that can build a string of any length in a single step, which no limit interrupts.
const GUARDS: &str = "
    $larder_pad := $pad;
    $larder_format := $formatInteger;
    $pad := function($text, $width, $char)<s-ns?:s> {
        $abs($width) > 1000000 ? $error('too wide') : $larder_pad($text, $width, $char)
    };
    $formatInteger := function($number, $picture)<n-s:s> {
        $abs($number) > 1000000 and $contains($picture, /[iI]/) ? $error('too long') : $larder_format($number, $picture)
    };
";

/// Evaluates the expression; an error is undefined.
pub(super) fn jsonata(call: &FormulaCall<'_>) -> Option<Value> {
    let expression = call.value()?;
    stacker::grow(STACK, || evaluate(expression.as_str()?, call.variables))
}

fn evaluate(expression: &str, variables: &Value) -> Option<Value> {
    let mut parsed = parser::parse(expression).ok()?;
    if ["$pad", "$formatInteger", "$eval"].iter().any(|name| expression.contains(name)) {
        parsed = parser::parse(&format!("({GUARDS}{expression}\n)")).ok()?;
    }
    let value = evaluator().evaluate(&parsed, &JValue::from(variables.clone())).ok()?;
    if value.is_undefined() || value.is_function() {
        return None;
    }
    // Converted through a string, which keeps integers intact: JSONata has only doubles.
    serde_json::from_str(&value.to_json_string().ok()?).ok()
}

pub(super) fn check(argument: &Value) -> Checked {
    match argument {
        Value::String(expression) => match parser::parse(expression) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("takes a JSONata expression: {error}").into()),
        },
        formula if is_formula(formula) => Ok(()),
        _ => Err("takes a string, or a formula that returns one".into()),
    }
}

fn evaluator() -> Evaluator {
    let limits = EvaluatorOptions {
        timeout_ms: Some(TIME),
        max_stack_depth: Some(DEPTH),
        max_sequence_length: Some(ITEMS),
        ..EvaluatorOptions::default()
    };
    Evaluator::with_options(Context::new(), limits)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::{Value, json};

    use crate::connector::mapping::evaluate;

    fn value(expression: &str) -> Option<Value> {
        let variables = json!({
            "s": "abc", "n": null, "z": 0,
            "users": [{"name": "ann", "age": 30}, {"name": "bob", "age": 20}],
        });
        evaluate(&json!({"$jsonata": expression}), &variables)
    }

    #[test]
    fn an_expression_reads_the_variables() {
        assert_eq!(value("s"), Some(json!("abc")));
        assert_eq!(value("$.s & z"), Some(json!("abc0")));
        assert_eq!(value("users[age > 25].name"), Some(json!("ann")));
        assert_eq!(value("$sum(users.age)"), Some(json!(50)));
        assert_eq!(value("$merge([{'a': 1}, {'b': 0.5}])"), Some(json!({"a": 1, "b": 0.5})));
        assert_eq!(value("$base64encode('a:b')"), Some(json!("YTpi")));
        assert_eq!(value("n"), Some(json!(null)));
    }

    #[test]
    fn a_formula_may_build_the_expression() {
        assert_eq!(evaluate(&json!({"$jsonata": {"$concat": ["1", "+1"]}}), &json!({})), Some(json!(2)));
    }

    #[test]
    fn a_failed_or_empty_expression_is_undefined() {
        for nothing in ["", "missing", "1 +", "1 + 'a'", "$error('x')", "function($x){$x}", "$sum"] {
            assert_eq!(value(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn no_single_step_builds_a_huge_string() {
        for huge in [
            "$pad('x', 9e15)",
            "$pad('x', -9e15, '#')",
            "$formatInteger(1e15, 'I')",
            "$formatInteger(-9e18, 'i')",
            "$eval('$p' & 'ad(\"x\", 9e15)')",
            "($f := $formatInteger; $f(1e15, 'I'))",
            "9e15 ~> $formatInteger('I')",
        ] {
            assert_eq!(value(huge), None, "{huge}");
        }
        assert_eq!(value("$pad('x', 3) & $pad('x', -3, '#')"), Some(json!("x  ##x")));
        assert_eq!(value("$formatInteger(1999, 'I') & $formatInteger(12, 'w')"), Some(json!("MCMXCIXtwelve")));
        assert_eq!(value("users[0].age.$formatInteger('I')"), Some(json!("XXX")));
        assert_eq!(value("['a', 'b'].$pad(2, '.')"), Some(json!(["a.", "b."])));
    }

    #[test]
    fn deeply_nested_values_do_not_overflow_the_stack() {
        for expression in [
            "($r := $reduce([1..60000], function($a, $b){function($z){$a}}); 1)",
            "($r := $reduce([1..40000], function($a, $b){{'f': function($z){$a}}}); 1)",
            "$reduce([1..60000], function($a, $b){{'f': $a}})",
            "($r := $reduce([1..60000], function($a, $b){[[$a]]}); 1)",
        ] {
            // Too deep for JSON, out of time, or 1, but never a crash.
            let value = value(expression);
            assert!(matches!(&value, None | Some(Value::Number(_))), "{expression}");
        }
    }

    #[test]
    fn endless_expressions_are_stopped() {
        let start = Instant::now();
        for endless in [
            "($f := function(){$f()}; $f())",
            "($f := function($n){1 + $f($n + 1)}; $f(0))",
            "[1..10000000]",
            "$count([1..99999].[1..99999])",
            "$map([1..99999], function($v){$sum([1..$v])})",
        ] {
            assert_eq!(value(endless), None, "{endless}");
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
        let nested = format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000));
        assert_eq!(value(&nested), None);
    }
}
