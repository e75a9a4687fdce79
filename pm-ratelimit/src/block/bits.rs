/// An address, or the half of one, as a number.
pub(super) trait Bits: Copy + Default + Eq {
    /// How many of the highest bits are the same.
    fn in_common(self, other: Self) -> u32;

    /// Without the bits behind the first so many.
    fn network(self, length: u32) -> Self;

    /// Mixed with what nobody outside knows.
    fn hash(self, seeds: [u64; 2]) -> u64;
}

impl Bits for u64 {
    #[inline]
    fn in_common(self, other: Self) -> u32 {
        (self ^ other).leading_zeros()
    }

    #[inline]
    fn network(self, length: u32) -> Self {
        self & !Self::MAX.checked_shr(length).unwrap_or(0)
    }

    #[inline]
    fn hash(self, [first, second]: [u64; 2]) -> u64 {
        let product = u128::from(self ^ first) * u128::from(second);
        (product >> 64) as u64 ^ product as u64
    }
}

impl Bits for u128 {
    #[inline]
    fn in_common(self, other: Self) -> u32 {
        (self ^ other).leading_zeros()
    }

    #[inline]
    fn network(self, length: u32) -> Self {
        self & !Self::MAX.checked_shr(length).unwrap_or(0)
    }

    #[inline]
    fn hash(self, [first, second]: [u64; 2]) -> u64 {
        let high = ((self >> 64) as u64).hash([first, second]);
        (self as u64).hash([high, second])
    }
}
