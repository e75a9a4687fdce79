//! `watch`: everything that happens in a tenant, live, with proof that nothing is missing.

mod follower;
mod tally;

use std::{future::Future, io::Write, pin::pin, time::Duration};

use futures_util::future::{Either, select};
use pm_core::Clock;

use self::follower::{Follower, Next};
use super::Error;
use crate::{
    client::{self, Backoff, Connection},
    store::Scope,
};

/// What to watch, and how to show it.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// Which server, and as whom.
    pub server: client::Options,
    /// Begin with the first event of the tenant instead of with a snapshot.
    pub since_start: bool,
    /// Whether lines may be coloured; see [`wants_colour`](super::wants_colour).
    pub colour: bool,
}

/// Writes a line to `out` for every event of the tenant until `stop` is ready, and then what was
/// seen in all.
///
/// A connection that is lost is made again, with backoff, and what happened meanwhile is asked for.
///
/// # Errors
///
/// If the first connection fails, if the server says not to come back, or if `out` fails.
pub async fn watch(
    options: &WatchOptions,
    clock: &Clock,
    out: &mut (impl Write + Send),
    stop: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let mut stop = pin!(stop);
    let mut follower = Follower::new(options.since_start, options.colour);
    let mut backoff = Backoff::default();
    loop {
        let lost = {
            let following = pin!(follow(options, clock, &mut follower, &mut backoff, out));
            match select(following, stop.as_mut()).await {
                Either::Left((Err(error), _)) => error,
                Either::Right(_) => break,
            }
        };
        let Error::Client(error) = lost else {
            return Err(lost);
        };
        if !follower.has_begun() || !error.is_temporary() {
            if follower.has_begun() {
                follower.end(out)?;
            }
            return Err(error.into());
        }
        let wait = backoff.next_wait(error.retry_after());
        writeln!(
            out,
            "connection lost ({}), trying again in {}",
            why(&error),
            seconds(wait)
        )?;
        let waiting = pin!(clock.sleep_until(clock.now() + wait));
        if let Either::Right(_) = select(waiting, stop.as_mut()).await {
            break;
        }
    }
    follower.end(out)
}

/// One connection, to its end.
async fn follow(
    options: &WatchOptions,
    clock: &Clock,
    follower: &mut Follower,
    backoff: &mut Backoff,
    out: &mut (impl Write + Send),
) -> Result<std::convert::Infallible, Error> {
    let mut connection = Connection::open(&options.server, clock).await?;
    let since = follower.connected(connection.welcome(), connection.head());
    connection.subscribe(Scope::Tenant, since)?;
    loop {
        let incoming = connection.next().await?;
        match follower.take(incoming, out)? {
            Next::Wait => {}
            Next::Going => backoff.reset(),
            Next::Snapshot => drop(connection.subscribe(Scope::Tenant, None)?),
        }
    }
}

/// Without the advice that is good only the first time.
pub(super) fn why(error: &client::Error) -> String {
    match error {
        client::Error::NotRunning { .. } => "no server answers".to_owned(),
        other => other.to_string(),
    }
}

pub(super) fn seconds(wait: Duration) -> String {
    format!("{:.1} s", wait.as_secs_f64())
}

#[cfg(test)]
mod tests;
