//! The examples do what they say.

mod programs;

use std::process::Output;

use programs::{example, repository};

fn run(name: &str, arguments: &[&str]) -> Output {
    example(name).args(arguments).output().expect("the example runs")
}

fn printed(done: &Output) -> String {
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn refused(done: &Output) -> String {
    assert_eq!(done.status.code(), Some(1));
    String::from_utf8_lossy(&done.stderr).into_owned()
}

/// A file with this text, for one test.
fn file(name: &str, text: &str) -> String {
    let path = format!("{}/{name}", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&path, text).expect("cargo's folder can be written");
    path
}

fn real() -> String {
    let path = repository("examples/data/olmoe-1b-7b_allenai_L3xE64.csv");
    path.to_string_lossy().into_owned()
}

#[test]
fn info() {
    let text = printed(&run("info", &[]));
    assert!(text.starts_with("libeplb ") && text.contains("\ncpu: ") && text.contains("\ncuda: "), "{text}");
}

#[test]
fn scheduler_prints_moves() {
    // One hot expert of four, then another: the GPU with the second replica of the hot one changes.
    let trace = file("two_windows.csv", "90,10,10,10\n\n10,10,10,90\n");
    let text = printed(&run("scheduler", &["6", "2", &trace]));
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("window 0: imbalance 1.0"), "{text}");
    assert!(lines[1].starts_with("window 1: imbalance ") && lines[1].ends_with(" moves"), "{text}");
    let moves: usize = lines[1].rsplit(' ').nth(1).expect("a count").parse().expect("a count");
    assert_eq!(lines.len(), 2 + moves, "{text}");
    assert!(moves > 0 && lines[2..].iter().all(|line| line.starts_with("  layer 0: expert ")), "{text}");
}

#[test]
fn scheduler_moves_nothing_when_nothing_changes() {
    let text = printed(&run("scheduler", &["80", "16", &real(), &real()]));
    assert!(text.lines().last().is_some_and(|line| line.ends_with("after 0 moves")), "{text}");
}

#[test]
fn scheduler_refuses_what_is_no_trace() {
    assert!(refused(&run("scheduler", &[])).contains("usage"));
    assert!(refused(&run("scheduler", &["6", "x", "y.csv"])).contains("'x' is no count"));
    assert!(refused(&run("scheduler", &["6", "2", "/nowhere.csv"])).contains("/nowhere.csv"));
    let cases = [
        ("empty.csv", "", "no weights"),
        ("word.csv", "1,2\n3,word\n", "line 2: 'word' is no number"),
        ("ragged.csv", "1,2\n3\n", "layer 1"),
        ("shapes.csv", "1,2\n\n1,2\n3,4\n", "a window of 2 x 2, after one of 1 x 2"),
        ("nan.csv", "1,nan\n", "weights[layer 0, expert 1] is NaN"),
    ];
    for (name, text, complaint) in cases {
        let said = refused(&run("scheduler", &["6", "2", &file(name, text)]));
        assert!(said.contains(complaint), "{name}: {said}");
    }
}

#[test]
fn time_call_prints_one_line_of_json() {
    let text = printed(&run("time_call", &[&real(), "--seconds", "0.01"]));
    let line: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(line["language"], "rust");
    assert!(line["microseconds"].as_f64().is_some_and(|time| time > 0.0), "{text}");
    assert!(line["runs"].as_u64().is_some_and(|runs| runs > 0), "{text}");
    assert!(refused(&run("time_call", &[])).contains("usage"));
}
