use std::io::{self, Write};

use super::race::{Race, Result};

/// What belongs together: one folder with a list of comparisons.
pub(crate) struct Area {
    pub(crate) name: &'static str,
    pub(crate) comparisons: &'static [Comparison],
}

/// One thing that several can do.
pub(crate) struct Comparison {
    pub(crate) what: &'static str,
    pub(crate) race: fn() -> Race,
}

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Lines,
}

/// An area of whatever kind.
pub(crate) trait Run {
    fn name(&self) -> &'static str;

    /// Whether this is what it is called, or what one of its lines is.
    fn has(&self, name: &str) -> bool;

    /// The lines that are wanted, by their name or by that of the area; without names, all.
    fn run(&self, wanted: &[String], format: Format, out: &mut dyn Write) -> io::Result<()>;
}

impl Run for Area {
    fn name(&self) -> &'static str {
        self.name
    }

    fn has(&self, name: &str) -> bool {
        self.name == name || self.comparisons.iter().any(|one| one.what == name)
    }

    fn run(&self, wanted: &[String], format: Format, out: &mut dyn Write) -> io::Result<()> {
        let names = |name: &str| wanted.iter().any(|wanted| wanted == name);
        let all = wanted.is_empty() || names(self.name);
        for comparison in self.comparisons {
            if !all && !names(comparison.what) {
                continue;
            }
            for result in (comparison.race)().run() {
                match format {
                    Format::Json => self.json(comparison.what, &result, out)?,
                    Format::Lines => self.line(comparison.what, &result, out)?,
                }
            }
            out.flush()?;
        }
        Ok(())
    }
}

impl Area {
    fn line(&self, what: &str, result: &Result, out: &mut dyn Write) -> io::Result<()> {
        let Result {
            peer,
            version,
            ours,
            theirs,
            at_most,
            ours_at_most,
        } = result;
        write!(
            out,
            "{} | {what} | ours {:.1} ns | {peer} {version} {:.1} ns | ratio {:.2}",
            self.name,
            ours.nanos,
            theirs.nanos,
            result.ratio(),
        )?;
        write!(
            out,
            " | allocations {:.1}, {peer} {:.1}",
            ours.allocations, theirs.allocations
        )?;
        if let Some(most) = at_most {
            let verdict = verdict(result.ratio() <= *most);
            write!(out, " | at most {most:.2}: {verdict}")?;
        }
        if let Some(most) = ours_at_most {
            let verdict = verdict(ours.nanos <= *most && ours.allocations == 0.0);
            write!(
                out,
                " | ours at most {most:.0} ns, 0 allocations: {verdict}"
            )?;
        }
        writeln!(out)
    }

    fn json(&self, what: &str, result: &Result, out: &mut dyn Write) -> io::Result<()> {
        let line = serde_json::json!({
            "area": self.name,
            "what": what,
            "ours_ns": tenths(result.ours.nanos),
            "ours_allocs": tenths(result.ours.allocations),
            "peer": result.peer,
            "peer_version": result.version,
            "peer_ns": tenths(result.theirs.nanos),
            "ratio": (result.ratio() * 1_000.0).round() / 1_000.0,
        });
        writeln!(out, "{line}")
    }
}

const fn verdict(holds: bool) -> &'static str {
    if holds { "holds" } else { "FALLS SHORT" }
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
