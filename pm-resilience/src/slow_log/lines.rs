use std::sync::atomic::{AtomicU64, Ordering};

/// The second that lines were last written in, and how many: half a word each.
#[derive(Debug, Default)]
pub(super) struct Lines(AtomicU64);

impl Lines {
    /// Whether one of `most` lines of this second is left; it is taken then.
    ///
    /// Another thread may have read its clock later: then it is one of that second, so that nothing
    /// that was counted is forgotten.
    pub(super) fn take(&self, second: u64, most: u32) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
                let (last, count) = (word >> 32, word & 0xffff_ffff);
                let (second, count) = if second > last {
                    (second, 0)
                } else {
                    (last, count)
                };
                (count < u64::from(most)).then_some(second << 32 | (count + 1))
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(lines: &Lines, seconds: impl IntoIterator<Item = u64>) -> usize {
        seconds
            .into_iter()
            .filter(|&second| lines.take(second, 3))
            .count()
    }

    #[test]
    fn threads_on_both_sides_of_a_second_have_the_lines_of_one() {
        let lines = Lines::default();
        assert_eq!(taken(&lines, [7, 6].into_iter().cycle().take(100)), 3);
        assert_eq!(taken(&lines, [8, 7].into_iter().cycle().take(100)), 3);
    }

    #[test]
    fn each_second_has_its_lines() {
        let lines = Lines::default();
        for second in [0, 1, 2, 60] {
            assert_eq!(taken(&lines, [second; 10]), 3);
        }
    }
}
