//! The recipe's section `[distil]`: how an encoder learns from a trained bundle.

use super::RecipeError;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How a student learns from its teacher.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Distil {
    /// The teacher's bundle, a directory or a model.tar.gz, relative to the recipe; `train --teacher` names it, too.
    pub teacher: PathBuf,
    /// What the student begins with: layers of the `teacher` (default), with its tokenizer, pooling, prefix and sharing, or
    /// of the `base` model.
    pub start: Start,
    /// Layers that are kept: a number, spread evenly with the deepest among them, or a list, counted from 0 at the bottom.
    /// Default: half of the teacher's, all of the base model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<Layers>,
    /// What both sides' logits are divided by before they are compared. Default 2.
    pub temperature: f32,
    /// Share of the loss that is the distance to the teacher; the rest is that to the labels. Default 0.7.
    pub share: f32,
    /// Files of mails that only the teacher labels, relative to the recipe. Their own labels are not read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unlabelled: Vec<PathBuf>,
}

impl Default for Distil {
    fn default() -> Self {
        Self {
            teacher: PathBuf::new(),
            start: Start::default(),
            layers: None,
            temperature: 2.0,
            share: 0.7,
            unlabelled: Vec::new(),
        }
    }
}

/// Where a student's first weights come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// The teacher's encoder and heads.
    #[default]
    Teacher,
    /// The base model, with new heads.
    Base,
}

/// Which layers a student keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a number of layers or a list of them, counted from 0"
)]
pub enum Layers {
    /// So many, spread evenly, the deepest among them.
    Count(usize),
    /// These, from the bottom up.
    List(Vec<usize>),
}

impl Layers {
    /// The layers kept of `of`, ascending and counted from 0; none where they are not all there, or out of order.
    ///
    /// A head was fitted to what the deepest layer says, and layers side by side do much alike: so every `of / n`-th is
    /// kept, counted from the top.
    ///
    /// Source: Sanh et al. 2019, arXiv:1910.01108, §3; Sun et al. 2019, arXiv:1908.09355, "PKD-Skip".
    pub fn kept(&self, of: usize) -> Option<Vec<usize>> {
        match self {
            Self::Count(count) if (1..=of).contains(count) => {
                Some((1..=*count).map(|n| n * of / count - 1).collect())
            }
            Self::List(list) if !list.is_empty() && list.is_sorted_by(|a, b| a < b) => {
                list.last().filter(|last| **last < of).map(|_| list.clone())
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Layers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::List(list) => write!(f, "{list:?}"),
        }
    }
}

impl Distil {
    /// Refuses values out of range.
    pub(super) fn check(&self) -> Result<(), RecipeError> {
        let wrong = |key, found: String, expected| RecipeError::Value { key, found, expected };
        if self.teacher.as_os_str().is_empty() {
            let expected = "a bundle's directory or model.tar.gz";
            return Err(wrong("distil.teacher", "nothing".to_owned(), expected));
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            let found = self.temperature.to_string();
            return Err(wrong("distil.temperature", found, "a positive number"));
        }
        if !(0.0..=1.0).contains(&self.share) {
            let found = self.share.to_string();
            return Err(wrong("distil.share", found, "a number in [0, 1]"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_layers_are_spread_evenly_and_the_deepest_is_among_them() {
        let kept = |count, of| Layers::Count(count).kept(of);
        assert_eq!(kept(6, 12), Some(vec![1, 3, 5, 7, 9, 11]));
        assert_eq!(kept(4, 6), Some(vec![0, 2, 3, 5]));
        assert_eq!(kept(2, 5), Some(vec![1, 4]));
        assert_eq!(kept(3, 3), Some(vec![0, 1, 2]));
        assert_eq!((kept(0, 3), kept(4, 3)), (None, None));
        for of in 1..25 {
            for count in 1..=of {
                let kept = kept(count, of).unwrap();
                assert!(kept.len() == count && kept.is_sorted_by(|a, b| a < b));
                assert_eq!(kept.last(), Some(&(of - 1)));
            }
        }
    }

    #[test]
    fn a_list_has_to_ascend_and_be_there() {
        let kept = |list: &[usize]| Layers::List(list.to_vec()).kept(6);
        assert_eq!(kept(&[0, 1, 4]), Some(vec![0, 1, 4]));
        for wrong in [&[][..], &[6], &[1, 1], &[3, 2]] {
            assert_eq!(kept(wrong), None, "{wrong:?}");
        }
    }
}
