use std::{io, path::PathBuf};

use crate::{auth::KeyError, client, plan::PlanError};

/// Why a command ended without having done what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server, or the way there.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// There is no token, and one that is made here is not sent to another machine.
    #[error(
        "{host} is not this machine: give a token with --token; `pm-server token` makes one where \
         the server's data folder is"
    )]
    Elsewhere {
        /// Where the server is.
        host: String,
    },
    /// There is no token, and none can be made.
    #[error("{0}; or give a token with --token")]
    Key(#[from] KeyError),
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is no plan.
    #[error("{file}: {source}")]
    Plan {
        /// Which one.
        file: String,
        /// What is wrong with it.
        source: PlanError,
    },
    /// The server refused some of the plan for good. The others are imported.
    #[error("{0} of the plan's items were refused; the lines above say why")]
    NotImported(usize),
    /// What there was to say could not be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl Error {
    /// Whether nobody reads any more what a command writes: no failure, `watch | head` is allowed.
    #[must_use]
    pub fn is_closed_output(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
