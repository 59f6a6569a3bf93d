//! Compares the mapping language with Membrane's own evaluator, using generated expressions.
//!
//! Every result prints its seed; `LARDER_TEST_SEED` repeats that run.

mod deviations;
mod expressions;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::env;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use larder_engine::connector::Mapping;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use serde_json::{Value, json};

const CASES: u32 = 20_000;

#[test]
#[ignore = "needs tests/run"]
fn generated_expressions_evaluate_as_in_membranes_evaluator() {
    let seed = env::var("LARDER_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(fresh_seed);
    let config = Config { cases: CASES, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, rng(seed));
    let membrane = RefCell::new(Membrane::start());
    let tally = RefCell::new(BTreeMap::<&str, u32>::new());
    let result = runner.run(&expressions::expression(), |expression| {
        let theirs = membrane.borrow_mut().evaluate(&expression);
        let Ok(mapping) = Mapping::parse(expression.clone()) else {
            *tally.borrow_mut().entry("rejected when loaded").or_default() += 1;
            return Ok(());
        };
        let counted = match difference(&mapping, &theirs) {
            None => "equal",
            Some(ours) => deviations::known(&expression, &theirs).ok_or_else(|| {
                TestCaseError::fail(format!(
                    "ours is {}, theirs is {theirs:?}",
                    ours.map_or_else(|| "undefined".to_owned(), |value| value.to_string())
                ))
            })?,
        };
        *tally.borrow_mut().entry(counted).or_default() += 1;
        Ok(())
    });
    println!("seed {seed}: {:?}", tally.borrow());
    if let Err(TestError::Fail(reason, expression)) = &result {
        panic!("seed {seed}: {expression}\n{reason}");
    }
    result.expect("generated expressions");
}

/// The result of Membrane's evaluator.
#[derive(Debug, PartialEq)]
enum Theirs {
    Value(Value),
    Undefined,
    Error(String),
}

/// Our value, if it differs from theirs.
fn difference(mapping: &Mapping, theirs: &Theirs) -> Option<Option<Value>> {
    let ours = mapping.evaluate(&expressions::variables());
    let is_same = match theirs {
        Theirs::Value(theirs) => ours.as_ref().is_some_and(|ours| same(ours, theirs)),
        Theirs::Undefined => ours.is_none(),
        Theirs::Error(_) => false,
    };
    (!is_same).then_some(ours)
}

/// Whether two values are equal in JavaScript, where all numbers are doubles.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, left)| right.get(key).is_some_and(|right| same(left, right)))
        }
        _ => left == right,
    }
}

fn fresh_seed() -> u64 {
    RandomState::new().hash_one(())
}

fn rng(seed: u64) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

/// A running `mapping.mjs`: the synchronous evaluator, since only that one supports lists of conditions and copies. Dropping
/// this closes its stdin, which ends it.
struct Membrane {
    process: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Membrane {
    fn start() -> Self {
        let folder = env::var_os("LARDER_TEST_SERVERS").expect("LARDER_TEST_SERVERS is not set; run tests/run");
        let mut process = Command::new("node")
            .arg("mapping.mjs")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let stdin = process.stdin.take();
        let stdout = BufReader::new(process.stdout.take().expect("a piped stdout"));
        Self { process, stdin, stdout }
    }

    fn evaluate(&mut self, expression: &Value) -> Theirs {
        let request = json!({"expression": expression, "variables": expressions::variables()});
        writeln!(self.stdin.as_mut().expect("an open stdin"), "{request}").expect("the evaluator reads");
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line of UTF-8");
        let answer: Value = serde_json::from_str(&line).expect("an answer");
        match (answer.get("value"), answer.get("error")) {
            (Some(value), _) => Theirs::Value(value.clone()),
            (_, Some(error)) => Theirs::Error(error.to_string()),
            _ => Theirs::Undefined,
        }
    }
}

impl Drop for Membrane {
    fn drop(&mut self) {
        self.stdin = None;
        self.process.wait().expect("node ends");
    }
}
