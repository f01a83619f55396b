//! The evaluation as plain text, at most about 100 columns wide, readable without colour.

use super::percent;
use crate::{Evaluation, Share, TaskEvaluation};
use std::fmt::{self, Write};

/// Confusion matrices up to this many classes are printed whole.
const WHOLE_MATRIX: usize = 12;
const WORST: usize = 8;
const NAME: usize = 34;

/// The report as text.
pub fn terminal(evaluation: &Evaluation) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut out, evaluation);
    out
}

fn write(out: &mut String, evaluation: &Evaluation) -> fmt::Result {
    writeln!(out, "{} examples", evaluation.examples)?;
    for (name, task) in &evaluation.tasks {
        write_task(out, name, task)?;
    }
    Ok(())
}

fn write_task(out: &mut String, name: &str, task: &TaskEvaluation) -> fmt::Result {
    let scores = &task.scores;
    writeln!(out, "\n{name}  ({} labelled)", scores.examples)?;
    writeln!(
        out,
        "  {:<NAME$} {:>9} {:>7} {:>6} {:>8}",
        "label", "precision", "recall", "f1", "support"
    )?;
    for row in task.label_rows() {
        let label = shorten(row.label, NAME);
        writeln!(
            out,
            "  {label:<NAME$} {:>9.3} {:>7.3} {:>6.3} {:>8}",
            row.precision, row.recall, row.f1, row.support
        )?;
    }
    let means = [
        (
            "macro",
            scores.macro_precision,
            scores.macro_recall,
            scores.macro_f1,
        ),
        (
            "weighted",
            scores.weighted_precision,
            scores.weighted_recall,
            scores.weighted_f1,
        ),
    ];
    for (mean, precision, recall, f1) in means {
        writeln!(
            out,
            "  {mean:<NAME$} {precision:>9.3} {recall:>7.3} {f1:>6.3} {:>8}",
            scores.examples
        )?;
    }
    write!(out, "  accuracy {:.3}", scores.accuracy)?;
    if let Some(interval) = task.accuracy_interval {
        write!(out, " [{:.3}, {:.3}]", interval.low, interval.high)?;
    }
    write!(out, "   macro F1 {:.3}", scores.macro_f1)?;
    if let Some(interval) = task.macro_f1_interval {
        write!(out, " [{:.3}, {:.3}]", interval.low, interval.high)?;
    }
    writeln!(out, "   calibration error {:.3}", task.ece)?;

    let bands = &task.bands;
    let named = [
        ("auto", bands.thresholds.auto, &bands.auto),
        ("suggest", bands.thresholds.suggest, &bands.suggest),
        ("ask", None, &bands.ask),
    ];
    for (band, threshold, share) in named {
        let from = threshold.map_or_else(String::new, |from| format!("from {from:.3}"));
        writeln!(out, "  {band:<8} {from:<11} {}", written(share))?;
    }
    write_confusion(out, task)
}

fn written(share: &Share) -> String {
    match (share.precision, share.precision_at_least) {
        (Some(precision), Some(bound)) => {
            let (coverage, right, bound) = (percent(share.coverage), percent(precision), percent(bound));
            format!("{coverage:>8} of mails, {right:>7} right (at least {bound} with 90 % assurance)")
        }
        _ => format!("{:>8} of mails", percent(share.coverage)),
    }
}

fn write_confusion(out: &mut String, task: &TaskEvaluation) -> fmt::Result {
    let classes = task.names.len();
    if classes <= WHOLE_MATRIX {
        let widest = (0..classes).flat_map(|gold| (0..classes).map(move |predicted| (gold, predicted)));
        let widest = widest
            .map(|(gold, predicted)| task.confusion.get(gold, predicted))
            .max()
            .unwrap_or(0);
        let width = widest.to_string().len().max(classes.to_string().len()) + 1;
        write!(out, "  {:<NAME$}", "gold \\ predicted")?;
        for predicted in 1..=classes {
            write!(out, " {predicted:>width$}")?;
        }
        writeln!(out)?;
        for (gold, label) in task.names.iter().enumerate() {
            let label = format!("{:>2} {}", gold + 1, shorten(label, NAME - 3));
            write!(out, "  {label:<NAME$}")?;
            for predicted in 0..classes {
                match task.confusion.get(gold, predicted) {
                    0 => write!(out, " {:>width$}", "·")?,
                    count => write!(out, " {count:>width$}")?,
                }
            }
            writeln!(out)?;
        }
    }
    let unanswered: u64 = (0..classes).map(|gold| task.confusion.unanswered(gold)).sum();
    if unanswered > 0 {
        writeln!(
            out,
            "  {unanswered} without an answer: the predicted parent label has no labels here"
        )?;
    }
    let worst = task.confusion.worst(WORST);
    if !worst.is_empty() {
        writeln!(out, "  most frequent mistakes")?;
    }
    for (gold, predicted, count) in worst {
        let (gold_name, predicted_name) = (&task.names[gold], &task.names[predicted]);
        writeln!(
            out,
            "  {count:>5} × {gold_name} taken for {predicted_name}, of {}",
            task.confusion.gold(gold)
        )?;
    }
    Ok(())
}

/// The text in at most `width` characters.
fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bands, Seed};

    #[test]
    fn prints_table_bands_matrix_and_mistakes() {
        let names = vec![
            "tax".to_owned(),
            "a very long label name that does not fit its column".to_owned(),
        ];
        let gold = [Some(0), Some(0), Some(1), None];
        let bands = Bands {
            auto: Some(0.9),
            suggest: None,
        };
        let task = TaskEvaluation::of(
            &names,
            &gold,
            &[(0, 0.95), (1, 0.6), (1, 0.5), (0, 0.9)].map(Some),
            bands,
            Seed(1),
        );
        let text = terminal(&Evaluation {
            examples: 4,
            tasks: vec![("queue".into(), task.unwrap().unwrap())],
        });
        for part in [
            "4 examples",
            "queue  (3 labelled)",
            "tax                                    1.000   0.500  0.667        2",
            "accuracy 0.667 [",
            "auto     from 0.900    33.3 % of mails, 100.0 % right (at least 10.0 % with 90 % assurance)",
            "suggest                 0.0 % of mails\n",
            " 1 tax                              1  1",
            "    1 × tax taken for a very long label",
        ] {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}
