use std::fmt;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::SingleNodeRoutingInfo;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};

use super::error::Failed;
use super::{Command, Error, Invocation, Reply};

/// How often one call follows a slot that has moved. More than one is rare: a node may be asked
/// that has not heard of the move.
const REDIRECTIONS: usize = 3;

/// An open connection, without switch and deadline: what a probe is given, to find out whether it
/// works.
#[derive(Clone)]
pub struct Connection(Kind);

#[derive(Clone)]
enum Kind {
    Cluster(ClusterConnection),
    Single(MultiplexedConnection),
}

impl Connection {
    pub(super) fn single(connection: MultiplexedConnection) -> Self {
        Self(Kind::Single(connection))
    }

    pub(super) fn cluster(connection: ClusterConnection) -> Self {
        Self(Kind::Cluster(connection))
    }

    /// Sends a command and waits for the answer, however long that takes.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn call(&self, command: &Command) -> Result<Reply, Error> {
        let sent = self.send(command.as_cmd()).await;
        sent.map_err(|failed| failed.error)
    }

    /// Runs a script and waits for the answer, however long that takes.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn run(&self, invocation: &Invocation<'_>) -> Result<Reply, Error> {
        let evaluated = self.evaluate(invocation).await;
        evaluated.map_err(|failed| failed.error)
    }

    /// By digest, and where that is not known once more with the text: nothing has been done then.
    pub(super) async fn evaluate(&self, invocation: &Invocation<'_>) -> Result<Reply, Failed> {
        match self.send(invocation.by_digest()).await {
            Err(failed) if failed.is_unknown_script() => self.send(&invocation.in_full()).await,
            done => done,
        }
    }

    pub(super) async fn send(&self, command: &Cmd) -> Result<Reply, Failed> {
        let value = match self.0.clone() {
            Kind::Single(mut connection) => connection
                .send_packed_command(command)
                .await
                .and_then(Value::extract_error),
            Kind::Cluster(connection) => send_to_slot(connection, command).await,
        };
        let value = value.map_err(Failed::in_flight)?;
        Reply::from_value(value).map_err(|error| Failed {
            outcome: crate::degrade::Outcome::Answered,
            error,
        })
    }
}

/// Sends to whoever serves the slot. The client's own following of slots comes only together with
/// its retries, which send again what may have been carried out; a redirection says that it was not.
async fn send_to_slot(mut connection: ClusterConnection, command: &Cmd) -> RedisResult<Value> {
    let mut redirections = 0;
    loop {
        let answer = connection.req_packed_command(command).await;
        let error = match answer.and_then(Value::extract_error) {
            Ok(value) => return Ok(value),
            Err(error) if redirections == REDIRECTIONS => return Err(error),
            Err(error) => error,
        };
        redirections += 1;
        match error.kind() {
            // The client renews its map of the slots before it sends anything else.
            ErrorKind::Server(ServerErrorKind::Moved) => {}
            ErrorKind::Server(ServerErrorKind::Ask) => {
                return send_asking(connection, command, error).await;
            }
            _ => return Err(error),
        }
    }
}

/// A slot on its way to another node: this key is there already, and that node answers if it is
/// told, with the command, that we were sent.
async fn send_asking(
    mut connection: ClusterConnection,
    command: &Cmd,
    redirection: RedisError,
) -> RedisResult<Value> {
    let node = redirection
        .redirect_node()
        .and_then(|(address, _)| address.rsplit_once(':'))
        .and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    let Some((host, port)) = node else {
        return Err(redirection);
    };
    let mut pipeline = redis::pipe();
    pipeline.cmd("ASKING").add_command(command.clone());
    let route = SingleNodeRoutingInfo::ByAddress { host, port };
    let answers = connection.route_pipeline(pipeline, 1, 1, route).await?;
    match answers.into_iter().next() {
        Some(answer) => answer.extract_error(),
        None => Err(redirection),
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Cluster(_) => "Connection(cluster)",
            Kind::Single(_) => "Connection(single)",
        })
    }
}
