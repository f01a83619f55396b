//! A run as a picture: in the terminal, and as SVG.

use poststelle_store::{Step, StepState};
use std::fmt::Write;

fn mark(state: StepState) -> (&'static str, &'static str) {
    match state {
        StepState::Done => ("●", "#2e7d32"),
        StepState::Cached => ("○", "#78909c"),
        StepState::Running => ("…", "#ef6c00"),
        StepState::Failed => ("×", "#c62828"),
    }
}

fn seconds(step: &Step) -> Option<f64> {
    Some(step.ended?.duration_since(step.started).as_secs_f64())
}

fn took(step: &Step) -> String {
    match (step.state, seconds(step)) {
        (StepState::Cached, _) => "done before".to_owned(),
        (_, Some(seconds)) => format!("{seconds:.1} s"),
        (_, None) => "running, or killed".to_owned(),
    }
}

fn outputs(step: &Step) -> String {
    let outputs: Vec<String> = step
        .outputs
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    step.error.clone().unwrap_or_else(|| outputs.join(", "))
}

/// One line per step.
pub fn text(steps: &[Step]) -> String {
    let mut text = String::new();
    for (n, step) in steps.iter().enumerate() {
        let rail = if n + 1 == steps.len() { "└" } else { "├" };
        let (mark, _) = mark(step.state);
        let _ = writeln!(
            text,
            "{rail}─ {mark} {:<9} {:>12}  {}",
            step.name,
            took(step),
            outputs(step)
        );
    }
    text
}

/// Size of a step's box, and of the space between two, in pixels.
const BOX: (usize, usize) = (150, 52);
const SPACE: usize = 26;

/// Boxes from left to right.
pub fn svg(steps: &[Step]) -> String {
    let (width, height) = (steps.len() * (BOX.0 + SPACE) + SPACE, BOX.1 + 2 * SPACE);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n"
    );
    for (n, step) in steps.iter().enumerate() {
        let (x, y) = (SPACE + n * (BOX.0 + SPACE), SPACE);
        let (_, colour) = mark(step.state);
        if n > 0 {
            let (from, to, middle) = (x - SPACE, x, y + BOX.1 / 2);
            let _ = writeln!(
                svg,
                "<line x1=\"{from}\" y1=\"{middle}\" x2=\"{to}\" y2=\"{middle}\" stroke=\"#90a4ae\"/>"
            );
        }
        let title = escape(&outputs(step));
        let _ = writeln!(
            svg,
            "<g><title>{title}</title><rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" rx=\"6\" fill=\"white\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"{}\" y=\"{}\" font-weight=\"bold\">{}</text><text x=\"{}\" y=\"{}\" fill=\"{colour}\">{}</text></g>",
            BOX.0,
            BOX.1,
            x + 10,
            y + 21,
            escape(&step.name),
            x + 10,
            y + 40,
            escape(&took(step)),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
