/// Bits of one word that say that a hash may be there.
const BITS: u32 = 3;

/// Hashes for each word, at most.
const PER_WORD: usize = 6;

/// Says of most hashes that are not there that they are not, by a look at one word: two bytes of
/// memory for each are a hundredth of mistakes.
///
/// What is taken out stays in until it is made anew.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    /// A power of two of them.
    words: Vec<u64>,
    added: usize,
}

impl Filter {
    /// With room for twice as many.
    pub(super) fn of(count: usize, hashes: impl Iterator<Item = u64>) -> Self {
        let words = (2 * count).div_ceil(PER_WORD).next_power_of_two();
        let mut filter = Self {
            words: vec![0; words],
            added: 0,
        };
        hashes.for_each(|hash| filter.add(hash));
        filter
    }

    #[inline]
    pub(super) fn may_have(&self, hash: u64) -> bool {
        self.words[self.word(hash)] & bits(hash) == bits(hash)
    }

    pub(super) fn add(&mut self, hash: u64) {
        let word = self.word(hash);
        self.words[word] |= bits(hash);
        self.added += 1;
    }

    /// Whether it makes more mistakes than it is worth.
    pub(super) fn is_full(&self) -> bool {
        self.added >= PER_WORD * self.words.len()
    }

    #[inline]
    fn word(&self, hash: u64) -> usize {
        (hash >> 32) as usize & (self.words.len() - 1)
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self::of(0, std::iter::empty())
    }
}

#[inline]
fn bits(hash: u64) -> u64 {
    (0..BITS).fold(0, |bits, number| bits | 1 << (hash >> (6 * number) & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u64) -> u64 {
        let product = u128::from(number + 1) * 0x9e37_79b9_7f4a_7c15;
        let product = u128::from(product as u64 ^ (product >> 64) as u64) * 0xf39c_c060_5ced_c835;
        (product >> 64) as u64 ^ product as u64
    }

    #[test]
    fn it_forgets_nothing_and_is_seldom_mistaken() {
        let mut filter = Filter::of(5_000, (0..5_000).map(hash));
        let mut last = 5_000;
        while !filter.is_full() {
            filter.add(hash(last));
            last += 1;
        }
        assert!(last >= 10_000, "{last}");
        assert!((0..last).all(|number| filter.may_have(hash(number))));
        let others = last..last + 100_000;
        let mistakes = others
            .filter(|number| filter.may_have(hash(*number)))
            .count();
        assert!(mistakes < 4_000, "{mistakes} of 100,000");
        assert!(!Filter::default().may_have(hash(1)));
    }
}
