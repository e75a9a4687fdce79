use std::io::{self, Write};

use indicatif::{ProgressBar, ProgressStyle};

/// Shows how far it is: a bar for people, a line every tenth for a log.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    total: usize,
    tenth: usize,
}

impl Progress {
    pub(super) fn new(total: usize, bar: bool) -> Self {
        let drawn = || {
            let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {per_sec}");
            ProgressBar::new(total as u64).with_style(style.expect("the template is valid"))
        };
        Self {
            bar: bar.then(drawn),
            total,
            tenth: 0,
        }
    }

    /// So many are done.
    pub(super) fn at(&mut self, done: usize, out: &mut impl Write) -> io::Result<()> {
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
            return Ok(());
        }
        let tenth = done * 10 / self.total.max(1);
        // The end is said by the report.
        if tenth > self.tenth && done < self.total {
            self.tenth = tenth;
            writeln!(out, "{done} of {}", self.total)?;
            out.flush()?;
        }
        Ok(())
    }

    /// Says something in between.
    pub(super) fn say(&self, line: &str, out: &mut impl Write) -> io::Result<()> {
        let mut say = || {
            writeln!(out, "{line}")?;
            out.flush()
        };
        match &self.bar {
            Some(bar) => bar.suspend(say),
            None => say(),
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    /// An error is not written over a bar that stands still.
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_gets_a_line_every_tenth() {
        let mut progress = Progress::new(25, false);
        let mut out = Vec::new();
        for done in 0..=25 {
            progress.at(done, &mut out).unwrap();
        }
        let lines = String::from_utf8(out).unwrap();
        assert_eq!(
            lines.lines().collect::<Vec<_>>(),
            [
                "3 of 25", "5 of 25", "8 of 25", "10 of 25", "13 of 25", "15 of 25", "18 of 25",
                "20 of 25", "23 of 25"
            ]
        );
    }

    #[test]
    fn a_plan_may_come_at_once() {
        let mut progress = Progress::new(3, false);
        let mut out = Vec::new();
        progress.at(2, &mut out).unwrap();
        progress.at(3, &mut out).unwrap();
        progress.say("connection lost", &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "2 of 3\nconnection lost\n");
    }
}
