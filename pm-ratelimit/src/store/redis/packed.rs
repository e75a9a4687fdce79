use pm_core::redis::{Error, Reply};

/// Whole numbers as the scripts are given them and answer them: doubles end to end, little-endian,
/// in a single string. Each on its own, as decimal digits, they cost both sides more time than it takes to decide.
#[derive(Default)]
pub(super) struct Packed(Vec<u8>);

impl Packed {
    /// Adds a number, which is to be exact as a double: less than 2⁵³.
    #[allow(
        clippy::cast_precision_loss,
        reason = "none is as large as what a double can hold"
    )]
    pub(super) fn push(&mut self, number: u64) {
        self.0.extend_from_slice(&(number as f64).to_le_bytes());
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The numbers in a reply, one by one.
pub(super) struct Numbers {
    bytes: Vec<u8>,
    read: usize,
}

impl Numbers {
    pub(super) fn of(reply: Reply) -> Result<Self, Error> {
        let bytes = reply.bytes()?;
        Ok(Self { bytes, read: 0 })
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what is not a whole number is refused before"
    )]
    pub(super) fn next(&mut self) -> Result<u64, Error> {
        let rest = self.bytes.get(self.read..).unwrap_or_default();
        let double = rest.first_chunk().ok_or(Error::Unexpected)?;
        self.read += double.len();
        let number = f64::from_le_bytes(*double);
        if number >= 0.0 && number.fract() == 0.0 {
            Ok(number as u64)
        } else {
            Err(Error::Unexpected)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_read_and_nothing_else() {
        let mut packed = Packed::default();
        let numbers = [0, 1, 999, 1_763_740_800_000_000, (1 << 53) - 1];
        for number in numbers {
            packed.push(number);
        }
        let mut read = Numbers::of(Reply::Bytes(packed.as_bytes().to_vec())).expect("bytes");
        for number in numbers {
            assert_eq!(read.next().ok(), Some(number));
        }
        assert!(read.next().is_err());
        for wrong in [0.5, -1.0, f64::NAN, f64::INFINITY] {
            let bytes = wrong.to_le_bytes().to_vec();
            let mut read = Numbers::of(Reply::Bytes(bytes)).expect("bytes");
            assert!(read.next().is_err(), "{wrong}");
        }
        assert!(Numbers::of(Reply::Nil).is_err());
    }
}
