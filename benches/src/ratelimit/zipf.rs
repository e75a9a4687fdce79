use std::sync::Arc;

/// Keys that callers come with: a few of them often, most of them seldom.
#[derive(Clone)]
pub(super) struct Zipf(Arc<[u32]>);

/// How many keys there are.
pub(super) const KEYS: u64 = 1_000_000;

/// The length of the sequence, which then starts again.
const DRAWS: u64 = 1 << 22;

/// The n-th most frequent key comes n^-EXPONENT times as often as the first.
const EXPONENT: f64 = 0.99;

impl Zipf {
    pub(super) fn new() -> Self {
        let mut sums: Vec<f64> = Vec::with_capacity(KEYS as usize);
        let mut sum = 0.0;
        for rank in 1..=KEYS {
            sum += (rank as f64).powf(-EXPONENT);
            sums.push(sum);
        }
        let mut state = 1;
        let draw = |_| {
            let drawn = random(&mut state) as f64 / (1u64 << 32) as f64 * sum;
            let rank = sums.partition_point(|reached| *reached < drawn) as u64;
            // What is frequent is not next to each other.
            (rank.min(KEYS - 1) * 611_953 % KEYS) as u32
        };
        Self((0..DRAWS).map(draw).collect())
    }

    pub(super) fn key(&self, round: u64) -> u64 {
        self.0[(round % DRAWS) as usize].into()
    }
}

/// 32 bits; the sequence is the same each time.
fn random(state: &mut u64) -> u32 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_key_comes_as_often_as_it_should() {
        let zipf = Zipf::new();
        let draws = 1_000_000;
        let first = (0..draws).filter(|round| zipf.key(*round) == 0).count();
        // 1 / (1 + 2^-0.99 + … + 1,000,000^-0.99)
        let expected = 0.065 * draws as f64;
        assert!((first as f64 / expected - 1.0).abs() < 0.05, "{first}");
        assert!((0..draws).all(|round| zipf.key(round) < KEYS));
    }
}
