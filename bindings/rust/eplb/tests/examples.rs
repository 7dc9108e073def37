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

/// Windows of 3 layers of 8 experts, each time with other experts that are hot.
fn windows(name: &str, count: usize) -> String {
    let row = |window: usize, layer: usize| {
        let load = |expert: usize| if (expert + window + layer).is_multiple_of(4) { 900 } else { 100 + 7 * expert };
        (0..8).map(|expert| load(expert).to_string()).collect::<Vec<_>>().join(",")
    };
    let window = |window| (0..3).map(|layer| row(window, layer) + "\n").collect::<String>();
    file(name, &(0..count).map(window).collect::<Vec<_>>().join("\n"))
}

/// The figures of a line: `window W: imbalance A before, B after M moves, F of them forced, in R rounds`.
fn moves_of(line: &str) -> (usize, usize) {
    let words: Vec<_> = line.split_whitespace().collect();
    let before = |word: &str| {
        let place = words.iter().position(|each| each.trim_end_matches(',') == word).expect("the line has it");
        words[place - 1].parse().expect("a count")
    };
    (before("moves"), before("of"))
}

#[test]
fn scheduler_keeps_its_budget() {
    let text = printed(&run("scheduler", &["--max-moves", "2", "12", "4", &windows("budget.csv", 4)]));
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("window ")).collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].starts_with("window 0: imbalance 1."), "{text}");
    for line in &lines[1..] {
        let (moves, forced) = moves_of(line);
        assert!(moves <= 3 * 2 && forced == 0, "{text}");
    }
    let transfers = text.lines().filter(|line| line.starts_with("  layer ")).count();
    assert!(transfers > 0, "{text}");
}

#[test]
fn scheduler_goes_on_without_gpus() {
    let text = printed(&run("scheduler", &["--kill", "1:0,2", "24", "6", &windows("deaths.csv", 3)]));
    assert!(text.contains("window 1: GPUs [0, 2] are dead"), "{text}");
    let after: String = text.split_once("are dead").expect("they are").1.into();
    assert!(!after.contains("to GPU 0") && !after.contains("to GPU 2"), "{text}");
    assert!(!after.contains("from GPU 0") && !after.contains("from GPU 2"), "{text}");
    assert!(text.contains("\nwindow 2: imbalance 1."), "{text}");
}

#[test]
fn scheduler_moves_nothing_when_nothing_changes() {
    let text = printed(&run("scheduler", &["80", "16", &real(), &real()]));
    assert!(text.lines().last().is_some_and(|line| line.contains("after 0 moves, ")), "{text}");
}

#[test]
fn scheduler_refuses_what_is_no_trace() {
    assert!(refused(&run("scheduler", &[])).contains("usage"));
    assert!(refused(&run("scheduler", &["--kill"])).contains("usage"));
    assert!(refused(&run("scheduler", &["6", "x", "y.csv"])).contains("'x' is no count"));
    assert!(refused(&run("scheduler", &["6", "4", "y.csv"])).contains("6 slots are no multiple of 4 GPUs"));
    assert!(refused(&run("scheduler", &["--kill", "3", "6", "2"])).contains("'3' is no WINDOW:GPU,GPU"));
    assert!(refused(&run("scheduler", &["6", "2", "/nowhere.csv"])).contains("/nowhere.csv"));
    let two = windows("two.csv", 2);
    assert!(refused(&run("scheduler", &["--kill", "1:9", "12", "4", &two])).contains("GPU 9 cannot die: there are 4"));
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
