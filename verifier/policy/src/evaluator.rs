//! What evaluates Rego: from a [`Request`] to an [`Answer`], both bytes, so that it may live in a
//! process of its own. There is nothing it reads or writes besides.

use crate::rego::{RegoFault, RegoModule};
use nitride_verify::TrustVector;
use regorus::utils::limits::{ExecutionTimerConfig, LimitError, TimeSource, set_time_source};
use regorus::{Engine, Value};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// No request and no answer is longer.
pub const MAX_MESSAGE_LEN: usize = 2 * 1024 * 1024;
/// So many modules are kept read; more are read again when they are asked.
const MAX_PREPARED: usize = 32;
/// Nor more than so much of their text, of which each takes many times its length.
const MAX_PREPARED_LEN: usize = 1024 * 1024;
/// The steps of the interpreter between two looks at the clock.
const STEPS_PER_LOOK: NonZeroU32 = NonZeroU32::new(32).unwrap();
/// An error names its place and reason in less.
const MAX_FAULT_CHARS: usize = 400;
const PACKAGE: &str = "data.policy";
const ALLOW: &str = "data.policy.allow";
const TRUST_CLAIMS: &str = "data.policy.trust_claims";
/// Trustee's own function: a reference value by its name, or null.
const QUERY: &str = "query_reference_value";

/// What is asked of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Is it a resource policy at all?
    Check,
    /// Is it an attestation policy at all?
    CheckAppraisal,
    /// What is `data.policy.trust_claims`?
    Appraise {
        /// JSON: the claims of one TEE, under its name.
        input: String,
        /// JSON: the reference values by their names.
        reference: String,
    },
    /// What is `data.policy.allow`?
    Allow {
        /// JSON: the claims.
        input: String,
        /// JSON: the resource.
        data: String,
        /// Whether to say which lines were evaluated. It costs reading the module again.
        traced: bool,
    },
}

/// A question to one module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`RegoModule::name`].
    pub module: String,
    /// Its file, for errors.
    pub file: String,
    /// Its text; left out where the evaluator should have it already.
    pub text: Option<String>,
    /// The question.
    pub ask: Ask,
}

/// An evaluator's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The evaluator has no module of this name: ask again, with its text.
    UnknownModule,
    /// Yes: it is a policy, or it allows.
    Yes(Option<Trace>),
    /// What an attestation policy claims, by the names of AR4SI.
    Claims(BTreeMap<String, i8>),
    /// Everything else.
    No(RegoFault, Option<Trace>),
}

/// Which lines of a module were evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// Evaluated, counted from 1.
    pub evaluated: BTreeSet<u32>,
    /// Not reached: in a body, what follows a line that does not hold.
    pub not_reached: BTreeSet<u32>,
}

/// Modules that were read, and the interpreter.
pub struct Evaluator {
    limit: Duration,
    prepared: Vec<Prepared>,
}

/// A module that was read.
struct Prepared {
    name: String,
    text_len: usize,
    engine: Engine,
}

impl Request {
    /// A request, with or without the module's text.
    #[must_use]
    pub fn of(module: &RegoModule, ask: Ask, with_text: bool) -> Self {
        Self {
            module: module.name(),
            file: module.file().to_owned(),
            text: with_text.then(|| module.text().to_owned()),
            ask,
        }
    }
}

impl Evaluator {
    /// An evaluator that ends each evaluation after `limit`.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        // The interpreter's one clock is the process's; that it is set already is by one of us.
        let _ = set_time_source(&MONOTONIC);
        Self {
            limit,
            prepared: Vec::new(),
        }
    }

    /// Answers one request.
    pub fn answer(&mut self, request: &Request) -> Answer {
        match &request.ask {
            Ask::Check | Ask::CheckAppraisal => match &request.text {
                None => Answer::UnknownModule,
                Some(text) => match self.check(&request.file, text, &request.ask) {
                    Ok(()) => Answer::Yes(None),
                    Err(fault) => Answer::No(fault, None),
                },
            },
            Ask::Allow {
                input,
                data,
                traced: true,
            } => match &request.text {
                None => Answer::UnknownModule,
                Some(text) => self.traced(&request.file, text, input, data),
            },
            Ask::Appraise { input, reference } => match self.engine(request) {
                None => Answer::UnknownModule,
                Some(engine) => {
                    let claimed = engine.and_then(|mut e| trust_claims(&mut e, input, reference));
                    match claimed {
                        Ok(claims) => Answer::Claims(claims),
                        Err(fault) => Answer::No(fault, None),
                    }
                }
            },
            Ask::Allow { input, data, .. } => match self.engine(request) {
                None => Answer::UnknownModule,
                Some(engine) => {
                    let decided = engine.and_then(|mut engine| allow(&mut engine, input, data));
                    match decided {
                        Ok(()) => Answer::Yes(None),
                        Err(fault) => Answer::No(fault, None),
                    }
                }
            },
        }
    }

    /// Reads the module, and asks it about nothing at all: what is wrong with it whatever it is asked
    /// shows.
    fn check(&self, file: &str, text: &str, ask: &Ask) -> Result<(), RegoFault> {
        let mut engine = self.read(file, text)?;
        let decided = match ask {
            Ask::CheckAppraisal => trust_claims(&mut engine, "{}", "{}").map(|_| ()),
            _ => allow(&mut engine, "{}", "{}"),
        };
        match decided {
            Ok(()) | Err(RegoFault::False | RegoFault::Undefined) => Ok(()),
            Err(RegoFault::RunTime(reason)) if !reason.contains("could not find function") => {
                Ok(())
            }
            Err(fault) => Err(fault),
        }
    }

    fn traced(&self, file: &str, text: &str, input: &str, data: &str) -> Answer {
        let mut engine = match self.read(file, text) {
            Ok(engine) => engine,
            Err(fault) => return Answer::No(fault, None),
        };
        engine.set_enable_coverage(true);
        let decided = allow(&mut engine, input, data);
        let report = engine.get_coverage_report().ok();
        let file = report.and_then(|report| report.files.into_iter().next());
        let trace = file.map(|file| Trace {
            evaluated: file.covered,
            not_reached: file.not_covered,
        });
        match decided {
            Ok(()) => Answer::Yes(trace),
            Err(fault) => Answer::No(fault, trace),
        }
    }

    /// A copy of the module's engine, which shares what was read; `None` when its text is wanted.
    fn engine(&mut self, request: &Request) -> Option<Result<Engine, RegoFault>> {
        let known = self
            .prepared
            .iter()
            .position(|prepared| prepared.name == request.module);
        if let Some(index) = known {
            // The one that was asked last is the last to go.
            let prepared = self.prepared.remove(index);
            let engine = prepared.engine.clone();
            self.prepared.push(prepared);
            return Some(Ok(engine));
        }
        let text = request.text.as_ref()?;
        let engine = match self.read(&request.file, text) {
            Ok(engine) => engine,
            Err(fault) => return Some(Err(fault)),
        };
        self.make_room(text.len());
        self.prepared.push(Prepared {
            name: request.module.clone(),
            text_len: text.len(),
            engine: engine.clone(),
        });
        Some(Ok(engine))
    }

    /// Forgets what was not asked for the longest time, until one more is within both bounds.
    fn make_room(&mut self, text_len: usize) {
        let lens = self.prepared.iter().map(|prepared| prepared.text_len);
        let mut total = lens.sum::<usize>() + text_len;
        while self.prepared.len() >= MAX_PREPARED
            || (total > MAX_PREPARED_LEN && !self.prepared.is_empty())
        {
            total -= self.prepared.remove(0).text_len;
        }
    }

    fn read(&self, file: &str, text: &str) -> Result<Engine, RegoFault> {
        if let Some(line) = nesting::line_of_too_many_readings(text) {
            return Err(RegoFault::Malformed(format!(
                "its brackets nest too deep, for so much text, at {file}:{line}"
            )));
        }
        let mut engine = Engine::new();
        engine.set_execution_timer_config(ExecutionTimerConfig {
            limit: self.limit,
            check_interval: STEPS_PER_LOOK,
        });
        let package = engine
            .add_policy(file.to_owned(), text.to_owned())
            .map_err(|error| RegoFault::Malformed(told(&error)))?;
        match package.as_str() {
            PACKAGE => Ok(engine),
            other => Err(RegoFault::WrongPackage(
                other.trim_start_matches("data.").to_owned(),
            )),
        }
    }
}

impl fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evaluator")
            .field("limit", &self.limit)
            .field("prepared", &self.prepared.len())
            .finish()
    }
}

/// `Ok` for true alone.
fn allow(engine: &mut Engine, input: &str, data: &str) -> Result<(), RegoFault> {
    let question = |error: &dyn fmt::Display| RegoFault::Question(short(&error.to_string()));
    let input = Value::from_json_str(input).map_err(|error| question(&error))?;
    let data = Value::from_json_str(data).map_err(|error| question(&error))?;
    engine.set_input(input);
    engine.add_data(data).map_err(|error| question(&error))?;
    match evaluated(engine, ALLOW)? {
        Value::Bool(true) => Ok(()),
        Value::Bool(false) => Err(RegoFault::False),
        Value::Undefined => Err(RegoFault::Undefined),
        other => Err(RegoFault::NotBoolean(short(&other.to_string()))),
    }
}

/// The claims of an attestation policy, each of which has a name of AR4SI and a byte's value.
fn trust_claims(
    engine: &mut Engine,
    input: &str,
    reference: &str,
) -> Result<BTreeMap<String, i8>, RegoFault> {
    let question = |error: &dyn fmt::Display| RegoFault::Question(short(&error.to_string()));
    let input = Value::from_json_str(input).map_err(|error| question(&error))?;
    let reference = Value::from_json_str(reference).map_err(|error| question(&error))?;
    engine.set_input(input);
    let query = move |names: Vec<Value>| {
        let name = names.first().cloned().unwrap_or(Value::Undefined);
        let found = reference.as_object()?.get(&name).cloned();
        Ok(found.unwrap_or(Value::Null))
    };
    engine
        .add_extension(QUERY.to_owned(), 1, Box::new(query))
        .map_err(|error| question(&error))?;
    let claims = evaluated(engine, TRUST_CLAIMS)?;
    if claims == Value::Undefined {
        return Err(RegoFault::Answer("trust_claims is undefined".to_owned()));
    }
    let wrong = |error: &dyn fmt::Display| RegoFault::Answer(short(&error.to_string()));
    let text = claims.to_json_str().map_err(|error| wrong(&error))?;
    let claims: BTreeMap<String, i8> =
        serde_json::from_str(&text).map_err(|error| wrong(&error))?;
    TrustVector::of_named(&claims).map_err(|error| wrong(&error))?;
    if claims.is_empty() {
        return Err(RegoFault::Answer("trust_claims is empty".to_owned()));
    }
    Ok(claims)
}

fn evaluated(engine: &mut Engine, rule: &str) -> Result<Value, RegoFault> {
    match engine.eval_rule(rule.to_owned()) {
        Ok(value) => Ok(value),
        Err(error) => {
            let limit = error.downcast_ref::<LimitError>();
            let is_late = matches!(limit, Some(LimitError::TimeLimitExceeded { .. }));
            Err(fault(told(&error), is_late, rule))
        }
    }
}

fn fault(text: String, is_late: bool, rule: &str) -> RegoFault {
    if is_late {
        RegoFault::OutOfTime(text)
    } else if text == "not a valid rule path" {
        RegoFault::NoRule(rule.rsplit('.').next().unwrap_or(rule).to_owned())
    } else {
        RegoFault::RunTime(text)
    }
}

/// The interpreter's errors are drawings of a place in the text: one line of them.
fn told(error: &impl fmt::Display) -> String {
    let text = error.to_string();
    let lines = text.lines().map(str::trim);
    let telling = lines.filter(|line| !line.is_empty() && !line.starts_with(['|', '^']));
    // The text of the line itself is drawn as `3 | allow = false`.
    let telling = telling.filter(|line| {
        let drawn = line.split_once('|').is_some_and(|(number, _)| {
            let number = number.trim();
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        });
        !drawn
    });
    let telling: Vec<&str> = telling
        .map(|line| line.trim_start_matches("--> "))
        .collect();
    short(&telling.join(" "))
}

fn short(text: &str) -> String {
    text.chars().take(MAX_FAULT_CHARS).collect()
}

/// The interpreter's clock: time since it was first asked.
struct Monotonic;

static MONOTONIC: Monotonic = Monotonic;

impl TimeSource for Monotonic {
    fn now(&self) -> Option<Duration> {
        static START: OnceLock<Instant> = OnceLock::new();
        Some(START.get_or_init(Instant::now).elapsed())
    }
}

mod nesting;
#[cfg(test)]
mod tests;
