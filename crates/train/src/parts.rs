//! How the texts of an update are divided into the parts that are computed at once, and the largest there will be.

use crate::chance::Chance;
use crate::recipe::Train;

/// Evaluation computes at least this many tokens at once, however small the batches are that are learned from.
const EVALUATED_TOKENS: usize = 2048;

/// The largest sizes of a run; its memory is planned from them before the first update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Largest {
    /// Tokens computed at once.
    pub tokens: usize,
    /// Texts computed at once.
    pub texts: usize,
    /// Tokens of an update.
    pub update: usize,
    /// Tokens an evaluation computes at once, if its texts allow: as many as learning does, for which there is room.
    pub evaluated: usize,
}

impl Largest {
    /// Walks through every update of every epoch and through one evaluation.
    ///
    /// `lengths` and `validation`: tokens of each text; `labelled`: those that are learned from.
    pub fn of(train: &Train, lengths: &[usize], labelled: &[usize], validation: &[usize]) -> Self {
        let mut largest = Self::default();
        for epoch in 0..train.epochs {
            let order = order(train.seed, epoch, labelled);
            for update in order.chunks(train.batch * train.accumulation) {
                let update: Vec<usize> = update.iter().map(|text| lengths[*text]).collect();
                largest.update = largest.update.max(update.iter().sum());
                largest.take(&update, train.batch, train.micro_batch_tokens);
            }
        }
        largest.evaluated = largest.tokens.max(EVALUATED_TOKENS.min(train.micro_batch_tokens));
        largest.take(validation, usize::MAX, largest.evaluated);
        largest
    }

    fn take(&mut self, lengths: &[usize], most: usize, tokens: usize) {
        let mut first = 0;
        for count in micro_batches(lengths, most, tokens) {
            let part = &lengths[first..first + count];
            first += count;
            self.tokens = self.tokens.max(part.iter().sum());
            self.texts = self.texts.max(count);
        }
    }
}

/// The order in which an epoch uses its examples.
pub(crate) fn order(seed: u64, epoch: usize, labelled: &[usize]) -> Vec<usize> {
    let order = Chance::new(seed, 1 + epoch as u64).order(labelled.len());
    order.into_iter().map(|i| labelled[i]).collect()
}

/// Splits consecutive texts into parts of at most `most` texts and about `tokens` tokens; yields their sizes.
pub(crate) fn micro_batches(
    lengths: &[usize],
    most: usize,
    tokens: usize,
) -> impl Iterator<Item = usize> + '_ {
    let mut rest = lengths;
    std::iter::from_fn(move || {
        let mut sum = 0;
        let fits = |length: &&usize| {
            sum += **length;
            sum <= tokens
        };
        let count = rest
            .iter()
            .take(most)
            .take_while(fits)
            .count()
            .max(1)
            .min(rest.len());
        rest = &rest[count..];
        (count > 0).then_some(count)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_every_text_once_within_their_budget() {
        let sizes: Vec<usize> = micro_batches(&[5, 5, 20, 3, 3, 3], 2, 10).collect();
        assert_eq!(sizes, [2, 1, 2, 1]);
        assert_eq!(micro_batches(&[], 2, 10).count(), 0);
    }

    #[test]
    fn the_largest_part_is_that_of_any_epoch_or_of_validation() {
        let train = Train {
            batch: 2,
            epochs: 40,
            micro_batch_tokens: 12,
            ..Train::default()
        };
        // 20 is not learned from; the two longest of the others meet in one of 40 epochs.
        let largest = Largest::of(&train, &[5, 20, 7, 1, 1], &[0, 2, 3, 4], &[4, 4]);
        let expected = Largest {
            tokens: 12,
            texts: 2,
            update: 12,
            evaluated: 12,
        };
        assert_eq!(largest, expected);
        assert_eq!(Largest::of(&train, &[5, 7], &[0, 1], &[30]).tokens, 30);
    }
}
