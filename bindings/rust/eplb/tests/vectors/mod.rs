//! The golden vectors as this repository has them.

use eplb::{Policy, Strategy};
use serde_json::Value;

use crate::input::{Input, Weights};

/// One case.
pub struct Vector {
    pub name: String,
    pub shape: [usize; 3],
    pub weights: Weights,
    problem: Value,
    options: Value,
    answers: Value,
    error: Value,
    pub policy_used: Option<Policy>,
}

/// What the library must say instead of an answer.
pub struct Expected {
    pub status: String,
    pub text: String,
    pub strategy: Option<Strategy>,
}

/// What a strategy must answer.
pub struct Answer {
    pub physical_to_logical: Vec<i64>,
    pub replica_count: Vec<i64>,
    pub replica_slots: Vec<i64>,
    pub duplicates: Vec<i64>,
    pub imbalance: Vec<f64>,
}

pub const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/golden/vectors.json");

/// All of them, or why there are none.
pub fn read() -> Result<Vec<Vector>, String> {
    let text = std::fs::read_to_string(PATH).map_err(|error| format!("{PATH}: {error}"))?;
    let file: Value = serde_json::from_str(&text).map_err(|error| format!("{PATH}: {error}"))?;
    let cases = file["cases"].as_array().ok_or_else(|| format!("{PATH} has no cases"))?;
    Ok(cases.iter().map(Vector::of).collect())
}

/// Numbers come as strings where JSON has none (nan, inf) or a double would not hold them.
fn float(value: &Value) -> f64 {
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{value} is no number"))
}

fn int(value: &Value) -> i64 {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{value} is no whole number"))
}

fn each<T>(list: &Value, convert: impl Fn(&Value) -> T) -> Vec<T> {
    list.as_array().unwrap_or_else(|| panic!("{list} is no list")).iter().map(convert).collect()
}

fn parsed<T: std::str::FromStr<Err = eplb::Error>>(name: &Value) -> Option<T> {
    name.as_str().map(|name| name.parse().unwrap_or_else(|error| panic!("{error}")))
}

impl Vector {
    fn of(case: &Value) -> Self {
        let weights = &case["weights"];
        Self {
            name: case["name"].as_str().unwrap_or_default().into(),
            shape: each(&case["shape"], |size| usize::try_from(int(size)).expect("sizes of weights are counts"))
                .try_into()
                .expect("a shape is windows, layers, experts"),
            weights: match case["dtype"].as_str() {
                Some("float32") => Weights::F32(each(weights, |value| float(value) as f32)),
                Some("float64") => Weights::F64(each(weights, float)),
                Some("int32") => Weights::I32(each(weights, |value| int(value) as i32)),
                Some("int64") => Weights::I64(each(weights, int)),
                dtype => panic!("no weights are of type {dtype:?}"),
            },
            problem: case["problem"].clone(),
            options: case["options"].clone(),
            answers: case["answers"].clone(),
            error: case["error"].clone(),
            policy_used: parsed(&case["policy_used"]),
        }
    }

    pub fn expected_error(&self) -> Option<Expected> {
        let text = |name: &str| self.error[name].as_str().map(str::to_owned).unwrap_or_default();
        self.error.is_object().then(|| Expected {
            status: text("status"),
            text: text("text"),
            strategy: parsed(&self.error["strategy"]),
        })
    }

    pub fn answer(&self, strategy: Strategy) -> Option<Answer> {
        let answer = self.answers.get(strategy.to_string())?;
        Some(Answer {
            physical_to_logical: each(&answer["physical_to_logical"], int),
            replica_count: each(&answer["replica_count"], int),
            replica_slots: each(&answer["replica_slots"], int),
            duplicates: each(&answer["duplicates"], int),
            imbalance: each(&answer["imbalance"], float),
        })
    }

    /// A number of the problem or the options, as the vector has it, or else 1 and 0 as the library's defaults are.
    pub fn number(&self, name: &str) -> i64 {
        let found = self.problem.get(name).or_else(|| self.options.get(name)).filter(|value| !value.is_null());
        found.map_or(i64::from(matches!(name, "num_nodes" | "num_groups")), int)
    }

    pub fn policy(&self) -> Policy {
        parsed(&self.problem["policy"]).unwrap_or(Policy::Auto)
    }

    fn seed(&self) -> u64 {
        let seed = &self.options["seed"];
        seed.as_u64().or_else(|| seed.as_str()?.parse().ok()).unwrap_or(0)
    }

    /// The vector as an input of this crate; None if it has a negative count, which no program can express here.
    pub fn input(&self) -> Option<Input> {
        let count = |name| usize::try_from(self.number(name)).ok();
        Some(Input {
            num_nodes: count("num_nodes")?,
            num_groups: count("num_groups")?,
            policy: self.policy(),
            seed: self.seed(),
            max_replicas: count("max_replicas")?,
            ..Input::new(self.weights.clone(), self.shape, count("num_slots")?, count("num_gpus")?)
        })
    }
}
