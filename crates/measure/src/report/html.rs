//! The evaluation as one HTML page: no outside resource, light and dark, readable without its script.

use super::{draw, percent};
use crate::{Evaluation, Interval, Share, TaskEvaluation};
use std::fmt::Write;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const WORST: usize = 12;

/// The page. `title` names the model, `about` says in a line what was evaluated on what; both are escaped.
pub fn html(title: &str, about: &str, evaluation: &Evaluation) -> String {
    let title = escape(title);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body>\
         <h1>{title}</h1><p class=\"soft\">{}</p><p class=\"soft\">{} examples</p><nav>",
        escape(about),
        evaluation.examples
    );
    for (number, (name, _)) in evaluation.tasks.iter().enumerate() {
        let _ = write!(page, "<a href=\"#task-{number}\">{}</a>", escape(name));
    }
    page.push_str("</nav>");
    if evaluation.tasks.is_empty() {
        page.push_str("<p>No example carries a label of this model's tasks.</p>");
    }
    for (number, (name, task)) in evaluation.tasks.iter().enumerate() {
        let _ = write!(page, "<section id=\"task-{number}\"><h2>{}</h2>", escape(name));
        section(&mut page, task);
        page.push_str("</section>");
    }
    let _ = writeln!(page, "<script>{SCRIPT}</script></body></html>");
    page
}

fn section(page: &mut String, task: &TaskEvaluation) {
    let scores = &task.scores;
    let _ = write!(
        page,
        "<p class=\"soft\">{} labelled examples</p><div class=\"tiles\">",
        scores.examples
    );
    tile(page, "macro F1", scores.macro_f1, task.macro_f1_interval);
    tile(page, "accuracy", scores.accuracy, task.accuracy_interval);
    tile(page, "weighted F1", scores.weighted_f1, None);
    tile(page, "calibration error", task.ece, None);
    page.push_str("</div>");
    bands(page, task);
    page.push_str("<div class=\"pair\"><div><h3>Confusion matrix</h3><p class=\"soft\">Gold labels down, predicted across; colour is the share of the gold label");
    page.push_str(if task.names.len() > 16 {
        ", numbers as in the table of labels."
    } else {
        "."
    });
    let _ = write!(
        page,
        "</p><div class=\"wide\">{}</div></div><div>",
        draw::confusion(task)
    );
    mistakes(page, task);
    page.push_str("</div></div><div class=\"pair\"><div><h3>Labels</h3><div class=\"wide\">");
    labels(page, task);
    let _ = write!(
        page,
        "</div></div><div><h3>Reliability</h3><p class=\"soft\">Bars: share right. Lines: mean confidence.<br>\
         Grey: how many answers.</p>{}</div></div>",
        draw::reliability(&task.reliability)
    );
}

fn tile(page: &mut String, name: &str, value: f64, interval: Option<Interval>) {
    let within = interval.map_or_else(String::new, |interval| {
        format!("<span>95 %: {:.3} – {:.3}</span>", interval.low, interval.high)
    });
    let _ = write!(
        page,
        "<div class=\"tile\"><span>{name}</span><b>{value:.3}</b>{within}</div>"
    );
}

fn bands(page: &mut String, task: &TaskEvaluation) {
    let bands = &task.bands;
    let rows: [(&str, Option<f32>, &Share); 3] = [
        ("auto", bands.thresholds.auto, &bands.auto),
        ("suggest", bands.thresholds.suggest, &bands.suggest),
        ("ask", None, &bands.ask),
    ];
    page.push_str("<h3>Decisions</h3><div class=\"bands\">");
    for (band, _, share) in rows {
        let width = 100.0 * share.coverage;
        let _ = write!(
            page,
            "<div class=\"{band}\" style=\"width:{width:.2}%\" title=\"{band}: {}\"></div>",
            share.count
        );
    }
    page.push_str(
        "</div><div class=\"wide\"><table><thead><tr><th class=\"name\">band</th><th>confidence from</th><th>mails</th>\
         <th>share</th><th>right</th><th>right, with 90 % assurance</th></tr></thead><tbody>",
    );
    for (band, threshold, share) in rows {
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "–".into());
        let _ = write!(
            page,
            "<tr><td class=\"name\"><span class=\"key {band}\"></span>{band}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td>{}</td><td>{}</td></tr>",
            or_dash(threshold.map(|from| format!("{from:.3}"))),
            share.count,
            percent(share.coverage),
            or_dash(share.precision.map(|precision| percent(precision).to_string())),
            or_dash(
                share
                    .precision_at_least
                    .map(|bound| format!("at least {}", percent(bound)))
            ),
        );
    }
    page.push_str("</tbody></table></div>");
}

fn mistakes(page: &mut String, task: &TaskEvaluation) {
    let worst = task.confusion.worst(WORST);
    if worst.is_empty() {
        return;
    }
    page.push_str(
        "<h3>Most frequent mistakes</h3><div class=\"wide\"><table><thead><tr><th class=\"name\">gold</th>\
         <th class=\"name\">predicted</th><th>examples</th><th>of the gold label</th></tr></thead><tbody>",
    );
    for (gold, predicted, count) in worst {
        let share = count as f64 / task.confusion.gold(gold) as f64;
        let _ = write!(
            page,
            "<tr><td class=\"name\">{}</td><td class=\"name\">{}</td><td>{count}</td><td>{}</td></tr>",
            escape(&task.names[gold]),
            escape(&task.names[predicted]),
            percent(share)
        );
    }
    page.push_str("</tbody></table></div>");
}

fn labels(page: &mut String, task: &TaskEvaluation) {
    page.push_str("<table><thead><tr>");
    for (column, class) in [
        ("#", ""),
        ("label", " class=\"name\""),
        ("precision", ""),
        ("recall", ""),
        ("F1", ""),
        ("support", ""),
    ] {
        let _ = write!(page, "<th{class}><button type=\"button\">{column}</button></th>");
    }
    page.push_str("</tr></thead><tbody>");
    for (class, row) in task.label_rows().enumerate() {
        let _ = write!(
            page,
            "<tr><td>{}</td><td class=\"name\">{}</td><td>{:.3}</td><td>{:.3}</td>\
             <td class=\"f1\" style=\"--share:{:.1}%\">{:.3}</td><td>{}</td></tr>",
            class + 1,
            escape(row.label),
            row.precision,
            row.recall,
            100.0 * row.f1,
            row.f1,
            row.support
        );
    }
    page.push_str("</tbody><tfoot>");
    let scores = &task.scores;
    for (mean, precision, recall, f1) in [
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
    ] {
        let _ = write!(
            page,
            "<tr><td></td><td class=\"name\">{mean}</td><td>{precision:.3}</td><td>{recall:.3}</td><td>{f1:.3}</td>\
             <td>{}</td></tr>",
            scores.examples
        );
    }
    page.push_str("</tfoot></table>");
}

/// Text as HTML text or a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bands, Seed};

    fn page(names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let gold: Vec<Option<usize>> = (0..names.len()).map(Some).collect();
        let answers = vec![Some((0, 0.8)); names.len()];
        let bands = Bands {
            auto: Some(0.9),
            suggest: None,
        };
        let task = TaskEvaluation::of(&names, &gold, &answers, bands, Seed(1));
        let tasks = vec![("<queue>".to_owned(), task.unwrap().unwrap())];
        html("a & b", "<script>", &Evaluation { examples: 3, tasks })
    }

    #[test]
    fn every_name_is_escaped() {
        let page = page(&["<img src=x>", "a\"onload='x", "c"]);
        assert!(!page.contains("<img") && !page.contains("a\"onload") && !page.contains("<queue>"));
        assert_eq!(page.matches("<script>").count(), 1, "only its own");
        assert!(page.contains("a &amp; b"));
    }

    #[test]
    fn needs_nothing_from_outside() {
        let page = page(&["a", "b"]);
        for outside in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn large_matrices_number_their_labels_and_every_cell_has_a_title() {
        let names: Vec<String> = (0..42).map(|class| format!("label-{class}")).collect();
        let page = page(&names.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(page.contains("numbers as in the table"));
        assert!(page.matches("</title></g>").count() >= 42 * 42);
    }
}
