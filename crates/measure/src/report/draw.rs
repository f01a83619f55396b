//! Pictures of an evaluation as SVG without any text that is not escaped.

use super::html::escape;
use crate::{Bin, Confusion, TaskEvaluation};
use std::fmt::Write;

/// The confusion matrix as a heatmap, coloured by the share of each gold label; hovering names a cell.
///
/// Small matrices show their counts; large ones number their labels like the table below them.
pub(super) fn confusion(task: &TaskEvaluation) -> String {
    let (matrix, classes) = (&task.confusion, task.names.len());
    let cell = match classes {
        0..=8 => 52,
        9..=16 => 34,
        17..=30 => 22,
        _ => 15,
    };
    let names = classes <= 16;
    let longest = task
        .names
        .iter()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0)
        .min(28);
    let left = if names { 30 + 7 * longest } else { 44 };
    let top = if names { 30 + 5 * longest } else { 44 };
    let (width, height) = (
        left + cell * classes + if names { 4 * longest + 10 } else { 10 },
        top + cell * classes + 8,
    );
    let mut svg = format!(
        "<svg class=\"matrix\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" \
         aria-label=\"Confusion matrix, gold labels down, predicted labels across\">"
    );
    let _ = write!(
        svg,
        "<text x=\"{}\" y=\"12\" class=\"axis\">predicted →</text>\
         <text x=\"12\" y=\"{top}\" class=\"axis\" transform=\"rotate(90 12 {top})\" dy=\"4\">gold →</text>",
        left
    );
    for (class, name) in task.names.iter().enumerate() {
        let middle = class * cell + cell / 2;
        let shown = if names {
            shorten(name)
        } else {
            (class + 1).to_string()
        };
        let (shown, title) = (escape(&shown), escape(name));
        let (x, y) = (left + middle, top - 6);
        if names {
            let _ = write!(
                svg,
                "<text x=\"{x}\" y=\"{y}\" transform=\"rotate(-38 {x} {y})\">{shown}<title>{title}</title></text>"
            );
        } else {
            let _ = write!(
                svg,
                "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" class=\"small\">{shown}<title>{title}</title></text>"
            );
        }
        let (x, y) = (left - 6, top + middle);
        let small = if names { "" } else { " small" };
        let _ = write!(
            svg,
            "<text x=\"{x}\" y=\"{y}\" class=\"row{small}\">{shown}<title>{title}</title></text>"
        );
    }
    for gold in 0..classes {
        for predicted in 0..classes {
            cell_of(&mut svg, task, matrix, gold, predicted, (left, top, cell));
        }
    }
    svg.push_str("</svg>");
    svg
}

fn cell_of(
    svg: &mut String,
    task: &TaskEvaluation,
    matrix: &Confusion,
    gold: usize,
    predicted: usize,
    (left, top, cell): (usize, usize, usize),
) {
    let (count, support) = (matrix.get(gold, predicted), matrix.gold(gold));
    let (x, y, side) = (left + predicted * cell, top + gold * cell, cell - 1);
    let kind = if gold == predicted { "hit" } else { "miss" };
    let share = if support == 0 {
        0.0
    } else {
        count as f64 / support as f64
    };
    // A square root keeps single mistakes visible beside a strong diagonal.
    let strength = if count == 0 {
        0.0
    } else {
        0.12 + 0.88 * share.sqrt()
    };
    let _ = write!(
        svg,
        "<g><rect x=\"{x}\" y=\"{y}\" width=\"{side}\" height=\"{side}\" class=\"bed\"/>"
    );
    if count > 0 {
        let _ = write!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{side}\" height=\"{side}\" class=\"{kind}\" fill-opacity=\"{strength:.2}\"/>"
        );
        if cell >= 22 {
            let (x, y) = (x + side / 2, y + side / 2);
            let on = if strength > 0.55 { " on" } else { "" };
            let _ = write!(
                svg,
                "<text x=\"{x}\" y=\"{y}\" class=\"count{on}\">{count}</text>"
            );
        }
    }
    let verdict = if gold == predicted { "right" } else { "taken for" };
    let (gold_name, predicted_name) = (escape(&task.names[gold]), escape(&task.names[predicted]));
    let said = if gold == predicted {
        gold_name
    } else {
        format!("{gold_name} {verdict} {predicted_name}")
    };
    let share = 100.0 * share;
    let _ = write!(
        svg,
        "<title>{said}: {count} of {support} ({share:.0} %)</title></g>"
    );
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= 28 {
        text.to_owned()
    } else {
        text.chars().take(27).chain(['…']).collect()
    }
}

/// The reliability diagram: accuracy over confidence, and how many answers each bar stands for.
pub(super) fn reliability(bins: &[Bin]) -> String {
    const SIDE: f64 = 240.0;
    const LEFT: f64 = 44.0;
    const TOP: f64 = 10.0;
    const COUNTS: f64 = 46.0;
    let x = |share: f64| LEFT + SIDE * share;
    let y = |share: f64| TOP + SIDE * (1.0 - share);
    let base = TOP + SIDE + COUNTS + 26.0;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {:.0} {:.0}\" width=\"{0:.0}\" height=\"{1:.0}\" role=\"img\" \
         aria-label=\"Reliability diagram: accuracy over confidence\">",
        LEFT + SIDE + 16.0,
        base + 34.0
    );
    for tick in [0.0, 0.5, 1.0] {
        let _ = write!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{1:.1}\" y2=\"{1:.1}\" class=\"grid\"/>\
             <text x=\"{2:.1}\" y=\"{1:.1}\" class=\"row\">{tick}</text>\
             <text x=\"{3:.1}\" y=\"{4:.1}\" text-anchor=\"middle\">{tick}</text>",
            LEFT + SIDE,
            y(tick),
            LEFT - 6.0,
            x(tick),
            base + 14.0
        );
    }
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or(0).max(1);
    for bin in bins.iter().filter(|bin| bin.count > 0) {
        let (left, width) = (x(bin.low) + 1.0, SIDE * (bin.high - bin.low) - 2.0);
        let tall = COUNTS * bin.count as f64 / most as f64;
        let _ = write!(
            svg,
            "<g><rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\" class=\"bar\"/>\
             <line x1=\"{left:.1}\" x2=\"{:.1}\" y1=\"{3:.1}\" y2=\"{3:.1}\" class=\"mean\"/>\
             <rect x=\"{left:.1}\" y=\"{4:.1}\" width=\"{width:.1}\" height=\"{tall:.1}\" class=\"tally\"/>\
             <title>confidence {5:.3} on average, {6:.3} right, {7} answers</title></g>",
            y(bin.accuracy),
            SIDE * bin.accuracy,
            left + width,
            y(bin.confidence),
            base - tall,
            bin.confidence,
            bin.accuracy,
            bin.count
        );
    }
    let _ = write!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" class=\"ideal\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" class=\"axis\">confidence</text>\
         <text x=\"12\" y=\"{6:.1}\" class=\"axis\" text-anchor=\"middle\" transform=\"rotate(-90 12 {6:.1})\">accuracy</text>\
         <text x=\"{7:.1}\" y=\"{8:.1}\" class=\"row\">n</text></svg>",
        x(0.0),
        y(0.0),
        x(1.0),
        y(1.0),
        x(0.5),
        base + 30.0,
        y(0.5),
        LEFT - 6.0,
        base - COUNTS / 2.0
    );
    svg
}
