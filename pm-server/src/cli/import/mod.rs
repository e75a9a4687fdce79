//! `import`: a Markdown plan becomes a backlog, through the same socket as every other client.
//!
//! Every id is derived, those of the mutations too, so importing again, or after whatever ended an
//! import in the middle, creates what is missing and nothing twice.

mod importer;
mod progress;
mod report;
mod steps;

use std::{
    fs::File,
    io::{Read, Write},
    path::Path,
    pin::pin,
};

use futures_util::future::{Either, select};
use pm_core::Clock;

pub use self::report::Report;
use self::{
    importer::{Importer, Next},
    progress::Progress,
    steps::Steps,
};
use super::{
    Error,
    watch::{seconds, why},
};
use crate::{
    client::{self, Connection, Incoming},
    plan,
};

/// Where to import to, and how to show it.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Which server, and as whom.
    pub server: client::Options,
    /// The name of the project, instead of the plan's title.
    pub project: Option<String>,
    /// Whether a progress bar is drawn on standard error, instead of lines written to `out`; see
    /// [`wants_progress_bar`](super::wants_progress_bar).
    pub bar: bool,
}

/// Reads a file, as far as a plan may be long.
///
/// # Errors
///
/// [`Error::File`].
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let error = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(error)?;
    // One byte more tells a plan that is too long; a device would never end.
    file.take(plan::MAX_FILE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(error)?;
    Ok(bytes)
}

/// Imports the plan in `bytes` and writes to `out` how it goes; the last line is the [`Report`].
///
/// What the server has already, by id, is left as it is there, and what was deleted there stays deleted;
/// see [`Report::deleted`]. A connection that is lost is made
/// again, with backoff, and what was not acknowledged is sent again.
///
/// # Errors
///
/// If the bytes are no plan, if the first connection fails, if the server says not to come back or
/// stays away for more than a minute, or if `out` fails. [`Error::NotImported`] comes after the report.
pub async fn import(
    options: &ImportOptions,
    clock: &Clock,
    bytes: &[u8],
    file_name: &str,
    out: &mut (impl Write + Send),
) -> Result<Report, Error> {
    let plan = plan::read(bytes, file_name).map_err(|source| Error::Plan {
        file: client::Visible(file_name).to_string(),
        source,
    })?;
    let tenant = options.server.tenant();
    let steps = Steps::of(&plan, tenant, file_name, options.project.as_deref());
    let mut importer = Importer::new(&steps);
    let mut progress = Progress::new(steps.items(), options.bar);
    while let Err(error) = transfer(options, clock, &mut importer, &mut progress, out).await {
        let Error::Client(error) = error else {
            return Err(error);
        };
        let wait = error.is_temporary().then(|| importer.disconnected(&error));
        let Some(wait) = wait.flatten() else {
            return Err(error.into());
        };
        let again = format!(
            "connection lost ({}), trying again in {}",
            why(&error),
            seconds(wait)
        );
        progress.say(&again, out)?;
        clock.sleep_until(clock.now() + wait).await;
    }
    progress.finish();
    let report = importer.report(plan.skipped);
    write!(out, "{report}")?;
    out.flush()?;
    match report.refused.len() {
        0 => Ok(report),
        count => Err(Error::NotImported(count)),
    }
}

/// One connection, to the end of the plan or to its own.
async fn transfer(
    options: &ImportOptions,
    clock: &Clock,
    importer: &mut Importer<'_>,
    progress: &mut Progress,
    out: &mut (impl Write + Send),
) -> Result<(), Error> {
    let mut connection = Connection::open(&options.server, clock).await?;
    importer.connected(connection.max_in_flight(), connection.head());
    loop {
        let due = match importer.next(clock.now()) {
            Next::Send(step) => {
                match connection.mutate(importer.mutation(step).clone()) {
                    Ok(id) => importer.sent(step, id),
                    Err(error) => importer.refused(step, error.to_string()),
                }
                continue;
            }
            Next::Finished => {
                connection.close(clock).await;
                return Ok(());
            }
            Next::Answer => None,
            Next::Wait(due) => Some(due),
        };
        let incoming = {
            let answer = pin!(connection.next());
            match due {
                None => answer.await?,
                Some(due) => match select(answer, pin!(clock.sleep_until(due))).await {
                    Either::Left((incoming, _)) => incoming?,
                    Either::Right(_) => continue,
                },
            }
        };
        match incoming {
            Incoming::Answered { id, answer } => importer.answered(id, answer, clock.now())?,
            Incoming::Rejected(rejection) => return Err(client::Error::from(rejection).into()),
            _ => {}
        }
        progress.at(importer.settled(), out)?;
    }
}

#[cfg(test)]
mod tests;
