//! Ours, and what a user would pick instead, in one process and in turn. See the README.

mod breaker_traps;
mod harness;
mod ratelimit;
mod resilience;

use std::io::{self, Write};
use std::process::ExitCode;

use crate::harness::{Format, Run};

/// All there is, in the order in which it is run.
const AREAS: &[&dyn Run] = &[&ratelimit::AREA, &resilience::AREA, &breaker_traps::AREA];

fn main() -> ExitCode {
    let mut format = Format::Lines;
    let mut wanted = Vec::new();
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--json" => format = Format::Json,
            name if AREAS.iter().any(|area| area.has(name)) => wanted.push(argument),
            _ => {
                let names: Vec<_> = AREAS.iter().map(|area| area.name()).collect();
                let mut err = io::stderr().lock();
                // If this cannot be written, the exit code still says it.
                let _ = writeln!(
                    err,
                    "usage: benches [--json] [{}|<what>]...",
                    names.join("|")
                );
                return ExitCode::from(2);
            }
        }
    }
    let wanted_of =
        |area: &&&dyn Run| wanted.is_empty() || wanted.iter().any(|name| area.has(name));
    for area in AREAS.iter().filter(wanted_of) {
        if let Err(error) = area.run(&wanted, format, &mut io::stdout().lock()) {
            let _ = writeln!(io::stderr().lock(), "{}: {error}", area.name());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
