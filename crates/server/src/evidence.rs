//! Which parts of a text speak for its labels.
//!
//! A part's weight for a label is how far the label's probability falls when the part is left out: it needs nothing of the model but its
//! answers, so it is as true of an encoder as of a linear model.
//!
//! Source: Li, Monroe and Jurafsky 2016, "Understanding Neural Networks through Representation Erasure", arXiv:1612.08220.

use crate::live::Served;
use poststelle_predict::{Content, Mail, Prediction, QueueError};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// Parts a text is divided into, at most: each is one more text to label.
const PARTS: usize = 16;

/// A part of the text, and how much it speaks for the label of each task.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct Evidence {
    /// The part.
    pub text: String,
    /// By task: how far the chosen label's probability falls without this part, -1 to 1.
    pub weights: BTreeMap<String, f32>,
}

/// Weighs the parts of a text that `served` labelled so.
///
/// # Errors
/// [`QueueError`].
pub(crate) async fn weigh(
    served: &Arc<Served>,
    text: &str,
    prediction: &Prediction,
    deadline: Instant,
) -> Result<Vec<Evidence>, QueueError> {
    let parts = parts(text);
    let without = |part: &Range<usize>| Mail {
        content: Content::Clean(format!("{}{}", &text[..part.start], &text[part.end..])),
        broker: None,
    };
    let found = served.ask(parts.iter().map(without).collect(), deadline).await?;
    let tasks = served.predictor.schema().tasks();
    let evidence = parts.iter().zip(&found).map(|(part, without)| {
        let weight = |(task, answer): (usize, &Option<poststelle_predict::Answer>)| {
            let class = answer.as_ref()?.class.position();
            let fall = prediction.probabilities[task][class] - without.probabilities[task][class];
            Some((tasks[task].name().to_string(), fall))
        };
        Evidence {
            text: text[part.clone()].trim().to_owned(),
            weights: prediction.answers.iter().enumerate().filter_map(weight).collect(),
        }
    });
    Ok(evidence.collect())
}

/// Sentences and lines, neighbours joined until there are few enough.
fn parts(text: &str) -> Vec<Range<usize>> {
    let mut ends = Vec::new();
    let mut before = ' ';
    for (at, character) in text.char_indices() {
        let sentence = character.is_whitespace() && matches!(before, '.' | '!' | '?');
        if character == '\n' || sentence {
            ends.push(at + character.len_utf8());
        }
        before = character;
    }
    ends.push(text.len());
    let mut parts: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    for end in ends {
        if !text[start..end].trim().is_empty() {
            parts.push(start..end);
        }
        start = end;
    }
    let together = parts.len().div_ceil(PARTS).max(1);
    parts
        .chunks(together)
        .filter_map(|chunk| Some(chunk.first()?.start..chunk.last()?.end))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_sentences_and_lines_and_few() {
        let text = "Steuer\nGuten Tag. Wo bleibt sie?\n\nDanke";
        let found: Vec<&str> = parts(text).into_iter().map(|part| text[part].trim()).collect();
        assert_eq!(found, ["Steuer", "Guten Tag.", "Wo bleibt sie?", "Danke"]);
        let long = "Satz. ".repeat(1000);
        let parts = parts(&long);
        assert!(
            parts.len() <= PARTS && parts.last().unwrap().end == long.len(),
            "{parts:?}"
        );
        assert!(super::parts("").is_empty() && super::parts(" \n ").is_empty());
    }
}
