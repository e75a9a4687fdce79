//! Ours, and what a user would pick instead, in one process and in turn. See the README.

mod harness;
mod ratelimit;

use std::io::{self, Write};
use std::process::ExitCode;

use crate::harness::{Area, Format};

/// All there is, in the order in which it is run.
const AREAS: &[Area] = &[ratelimit::AREA];

fn main() -> ExitCode {
    let mut format = Format::Lines;
    let mut wanted = Vec::new();
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--json" => format = Format::Json,
            name if AREAS.iter().any(|area| area.has(name)) => wanted.push(argument),
            _ => {
                let names: Vec<_> = AREAS.iter().map(|area| area.name).collect();
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
    for area in AREAS {
        if let Err(error) = area.run(&wanted, format, &mut io::stdout().lock()) {
            let _ = writeln!(io::stderr().lock(), "{}: {error}", area.name);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
