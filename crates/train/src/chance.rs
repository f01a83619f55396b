//! Chance that is named by a seed: orders of examples, keys of dropout, first weights of heads.

/// A stream of pseudo-random numbers.
///
/// Source: Steele, Lea & Flood 2014, "Fast Splittable Pseudorandom Number Generators" (SplitMix64).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The stream of a seed and a place, so that each use has its own.
    pub fn new(seed: u64, place: u64) -> Self {
        let mut stream = Self(seed ^ place.wrapping_mul(0xd1b5_4a32_d192_ed03));
        stream.next();
        stream
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0 .. bound`; the bias of the modulus is below 2⁻³² for any dataset.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// A normal number of mean 0 and deviation 1 (Box–Muller).
    pub fn normal(&mut self) -> f32 {
        let uniform = |bits: u64| ((bits >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        let (a, b) = (uniform(self.next()), uniform(self.next()));
        ((-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()) as f32
    }

    /// `0 .. n` in random order (Fisher–Yates).
    pub fn order(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i + 1));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_holds_everything_once_and_follows_its_seed() {
        let order = |seed| Chance::new(seed, 0).order(1000);
        let mut sorted = order(1);
        assert_eq!(order(1), sorted);
        assert_ne!(order(1), order(2));
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn normal_numbers_have_mean_0_and_deviation_1() {
        let mut chance = Chance::new(3, 0);
        let all: Vec<f64> = (0..20_000).map(|_| f64::from(chance.normal())).collect();
        let mean = all.iter().sum::<f64>() / 20_000.0;
        let deviation = (all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0).sqrt();
        assert!(
            mean.abs() < 0.03 && (deviation - 1.0).abs() < 0.03,
            "{mean} {deviation}"
        );
    }
}
