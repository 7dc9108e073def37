//! Expert weights from CSV files: a layer per line, windows apart by an empty line.

use std::error::Error;
use std::fs;

/// Windows of `[layers, experts]`, all of one shape.
pub struct Trace {
    pub layers: usize,
    pub experts: usize,
    /// Each `layers * experts` long, in C order.
    pub windows: Vec<Vec<f32>>,
}

impl Trace {
    /// Reads windows from files, in their order.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, a word that is no number, lines or windows of unequal length.
    pub fn read(files: &[String]) -> Result<Self, Box<dyn Error>> {
        let mut trace = Self { layers: 0, experts: 0, windows: Vec::new() };
        for file in files {
            let text = fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
            let mut window = Vec::new();
            // The empty line at the end closes the last window.
            for (number, line) in text.lines().chain([""]).enumerate() {
                if line.trim().is_empty() {
                    trace.push(&window).map_err(|error| format!("{file}: {error}"))?;
                    window.clear();
                } else {
                    let row = parse(line).map_err(|error| format!("{file}, line {}: {error}", number + 1))?;
                    window.push(row);
                }
            }
        }
        if trace.windows.is_empty() {
            return Err("there are no weights in these files".into());
        }
        Ok(trace)
    }

    fn push(&mut self, rows: &[Vec<f32>]) -> Result<(), String> {
        let Some(experts) = rows.first().map(Vec::len) else { return Ok(()) };
        if let Some(layer) = rows.iter().position(|row| row.len() != experts) {
            return Err(format!("layer {layer} has another number of experts than layer 0, which has {experts}"));
        }
        let (layers, shape) = (rows.len(), (self.layers, self.experts));
        if !self.windows.is_empty() && shape != (layers, experts) {
            return Err(format!("a window of {layers} x {experts}, after one of {} x {}", shape.0, shape.1));
        }
        (self.layers, self.experts) = (layers, experts);
        self.windows.push(rows.concat());
        Ok(())
    }
}

fn parse(line: &str) -> Result<Vec<f32>, String> {
    let number = |word: &str| word.trim().parse().map_err(|_| format!("'{}' is no number", word.trim()));
    line.split(',').map(number).collect()
}
