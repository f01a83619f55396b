//! The only source of chance here: a seeded SplitMix64, so a seed names a mail set for ever.
//!
//! Source: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators".

/// A stream of pseudorandom numbers.
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    /// The stream a seed names.
    #[cfg(test)]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream of its own for `item`, independent of how far any other stream has been read.
    pub fn for_item(seed: u64, item: u64) -> Self {
        let mut mixed = Self(seed ^ item.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        Self(mixed.next())
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `0..n`; 0 when `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n.saturating_sub(1))
    }

    /// Uniform in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below((high - low + 1) as usize) as u64
    }

    /// True with probability `p`.
    pub fn odds(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// One of `items`, all equally likely.
    ///
    /// # Panics
    /// If `items` is empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// One of `items`, early ones more often: how people choose words, so some phrases stay rare.
    ///
    /// # Panics
    /// If `items` is empty.
    pub fn pick_early<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let weights: Vec<f64> = (0..items.len())
            .map(|rank| 1.0 / (rank as f64 + 3.0).powf(0.6))
            .collect();
        &items[self.weighted(&weights)]
    }

    /// A position drawn in proportion to `weights`.
    pub fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = self.unit() * weights.iter().sum::<f64>();
        for (position, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return position;
            }
        }
        weights.len() - 1
    }

    /// `n` decimal digits, the first not 0.
    pub fn digits(&mut self, n: usize) -> String {
        (0..n)
            .map(|i| char::from(b'0' + self.between(u64::from(i == 0), 9) as u8))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_reference_sequence() {
        let mut chance = Chance::new(1_234_567);
        assert_eq!(chance.next(), 6_457_827_717_110_365_317);
        assert_eq!(chance.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn draws_stay_in_range_and_reach_both_ends() {
        let mut chance = Chance::new(7);
        let drawn: Vec<u64> = (0..2000).map(|_| chance.between(3, 6)).collect();
        assert!(drawn.iter().all(|n| (3..=6).contains(n)));
        assert!((3..=6).all(|n| drawn.contains(&n)));
    }
}
