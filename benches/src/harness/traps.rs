use std::io::{self, Write};

use super::area::{Format, Run};
use super::lock;

/// Scenarios that are not about speed: who gets them right.
pub(crate) struct Traps {
    pub(crate) name: &'static str,
    pub(crate) traps: &'static [Trap],
}

/// One scenario, and everybody who goes through it.
pub(crate) struct Trap {
    pub(crate) letter: &'static str,
    pub(crate) what: &'static str,
    pub(crate) ours: fn() -> bool,
    pub(crate) peers: &'static [Peer],
}

/// Somebody else.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Whose version is printed.
    pub(crate) package: &'static str,
    /// Nothing, if it has nothing that could go through this.
    pub(crate) passes: Option<fn() -> bool>,
}

impl Run for Traps {
    fn name(&self) -> &'static str {
        self.name
    }

    fn has(&self, name: &str) -> bool {
        self.name == name
    }

    /// All of them: the last line is about all.
    fn run(&self, _: &[String], format: Format, out: &mut dyn Write) -> io::Result<()> {
        let mut passed = 0;
        for trap in self.traps {
            let ours = (trap.ours)();
            passed += usize::from(ours);
            let verdicts = trap.peers.iter().map(|peer| {
                let verdict = peer.passes.map_or("n/a", |passes| verdict(passes()));
                (peer, verdict)
            });
            let (letter, ours) = (trap.letter, verdict(ours));
            if format == Format::Json {
                let peers: serde_json::Map<_, _> = verdicts
                    .map(|(peer, verdict)| (peer.name.to_owned(), verdict.into()))
                    .collect();
                let area = self.name;
                let line =
                    serde_json::json!({"area": area, "what": letter, "ours": ours, "peers": peers});
                writeln!(out, "{line}")?;
            } else {
                write!(out, "{} | {letter} {} | ours {ours}", self.name, trap.what)?;
                for (peer, verdict) in verdicts {
                    let version = lock::version(peer.package);
                    write!(out, " | {} {version} {verdict}", peer.name)?;
                }
                writeln!(out)?;
            }
            out.flush()?;
        }
        if format == Format::Lines {
            let all = self.traps.len();
            let holds = if passed == all {
                "holds"
            } else {
                "FALLS SHORT"
            };
            writeln!(
                out,
                "{} | ours: {passed} of {all} pass | all: {holds}",
                self.name
            )?;
        }
        Ok(())
    }
}

const fn verdict(passes: bool) -> &'static str {
    if passes { "pass" } else { "fail" }
}
