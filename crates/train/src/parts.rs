//! How the texts of an update are divided into the parts that are computed at once.

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
}
