//! The commands of `pm-server`, as a person meets them.
//!
//! `watch` and `import` are clients like any other, with a terminal. They write to what they are
//! handed and read neither the environment nor the clock of the machine.

mod error;
mod greeting;
mod hangups;
pub mod import;
mod line;
mod serve;
mod target;
mod token;
pub mod watch;

use std::{io, path::PathBuf};

use anstream::{AutoStream, ColorChoice};
use clap::Args;

pub use self::{
    error::Error,
    serve::{ServeError, serve},
    target::Target,
    token::token,
};

/// Arguments of `watch`.
#[derive(Args, Clone, Debug)]
pub struct WatchArgs {
    /// Which server, and as whom.
    #[command(flatten)]
    pub target: Target,
    /// Show what happened so far first, from the first event on; if that is more than 10,000 events
    /// ago, which a server does not resume, begin with a snapshot
    #[arg(long)]
    pub since_start: bool,
}

/// Arguments of `import`.
#[derive(Args, Clone, Debug)]
pub struct ImportArgs {
    /// Which server, and as whom.
    #[command(flatten)]
    pub target: Target,
    /// The plan: a Markdown file with headings and checkboxes
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Import into the project with this name, a project of its own; else one is named after the
    /// plan's title
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
}

/// Whether standard output is a terminal whose user wants colours.
#[must_use]
pub fn wants_colour() -> bool {
    AutoStream::choice(&io::stdout()) != ColorChoice::Never
}

/// Whether somebody watches standard error.
#[must_use]
pub fn wants_progress_bar() -> bool {
    io::IsTerminal::is_terminal(&io::stderr())
}
