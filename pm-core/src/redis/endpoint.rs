use std::fmt;
use std::time::Duration;

use redis::cluster::{ClusterClient, ClusterClientBuilder, ClusterConfig};
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo};

use super::error::Failed;
use super::{Connection, Error};
use crate::Clock;

/// Calls that wait to be written before others have to wait for a place: the client's 50 would make
/// a burst of requests take turns.
const QUEUE: usize = 1_024;

/// Where a Redis is, and how to log in.
#[derive(Clone)]
pub struct Endpoint(Kind);

#[derive(Clone)]
enum Kind {
    Cluster(Box<ClusterClient>),
    Single(Client),
}

impl Endpoint {
    /// A single server: `redis://user:password@host:port/database`, or `unix:///path`.
    ///
    /// # Errors
    ///
    /// [`Error::Endpoint`] if it is not such an address. It says why, without the address.
    pub fn single(url: &str) -> Result<Self, Error> {
        let client = Client::open(connection_info(url)?).map_err(|error| refused(&error))?;
        Ok(Self(Kind::Single(client)))
    }

    /// A cluster, by the addresses of some of its nodes, all with the same credentials. The others
    /// are found through them.
    ///
    /// # Errors
    ///
    /// [`Error::Endpoint`] if there is none, or one is not such an address.
    pub fn cluster<U: AsRef<str>>(urls: impl IntoIterator<Item = U>) -> Result<Self, Error> {
        let nodes: Result<Vec<_>, _> = urls
            .into_iter()
            .map(|url| connection_info(url.as_ref()))
            .collect();
        ClusterClientBuilder::new(nodes?)
            .tcp_settings(at_once())
            .try_into()
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.0, Kind::Cluster(_))
    }

    /// A new connection. To a cluster, one to each node that can be reached.
    pub(super) async fn connect(
        &self,
        clock: &Clock,
        limit: Duration,
    ) -> Result<Connection, Error> {
        let connection = match &self.0 {
            Kind::Single(client) => {
                // Our own deadlines end calls; the client's would be a second opinion.
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(None)
                    .set_response_timeout(None)
                    .set_pipeline_buffer_size(QUEUE);
                let connecting = client.get_multiplexed_async_connection_with_config(&config);
                let connected = clock.within(limit, connecting).await;
                connected.map(|connected| connected.map(Connection::single))
            }
            Kind::Cluster(client) => {
                // These bound each step with one node, of which the client takes several. What it
                // asks on its own account has to fail before a probe does.
                let config = ClusterConfig::new()
                    .set_connection_timeout(limit)
                    .set_response_timeout(limit / 2);
                let connecting = client.get_async_connection_with_config(config);
                let connected = clock.within(limit * 3, connecting).await;
                connected.map(|connected| connected.map(Connection::cluster))
            }
        };
        connection
            .map_err(|elapsed| Error::Unavailable(elapsed.into()))?
            .map_err(Failed::connecting)
    }
}

/// A single server, with the settings that this client was made with.
impl From<Client> for Endpoint {
    fn from(client: Client) -> Self {
        Self(Kind::Single(client))
    }
}

/// A cluster, with these settings, but without the client's own retries, which would send commands
/// twice.
impl TryFrom<ClusterClientBuilder> for Endpoint {
    type Error = Error;

    fn try_from(builder: ClusterClientBuilder) -> Result<Self, Error> {
        let client = builder.retries(0).overall_response_timeout(None).build();
        let client = client.map_err(|error| refused(&error))?;
        Ok(Self(Kind::Cluster(client.into())))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Single(client) => {
                let address = client.get_connection_info().addr();
                write!(f, "Endpoint(single {address})")
            }
            Kind::Cluster(_) => f.write_str("Endpoint(cluster)"),
        }
    }
}

fn connection_info(url: &str) -> Result<ConnectionInfo, Error> {
    let info = url.into_connection_info();
    info.map(|info| info.set_tcp_settings(at_once()))
        .map_err(|error| refused(&error))
}

/// Many calls share a connection: none may wait until what another one sent is acknowledged.
fn at_once() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

/// What the client says of an address is a fixed sentence, which may be followed by a part of it.
fn refused(error: &redis::RedisError) -> Error {
    let sentence = error.to_string();
    let known = [
        ("TLS", "TLS is not compiled in"),
        (
            "database",
            "the database is not a number, or not the same for all nodes",
        ),
        ("ostname", "there is no host"),
        ("empty", "there is none"),
        (
            "different",
            "the nodes do not have the same credentials and settings",
        ),
        ("unix", "a node of a cluster has no socket file"),
    ];
    let found = known.iter().find(|(word, _)| sentence.contains(word));
    Error::Endpoint(found.map_or("redis://host:port/ is one", |(_, reason)| reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_refused_without_being_shown() {
        for url in [
            "",
            "hunter2",
            "http://user:hunter2@host/",
            "redis://:hunter2@host/hunter2",
            "redis://:hunter2@host/?protocol=hunter2",
            "rediss://:hunter2@host/",
        ] {
            let error = Endpoint::single(url).expect_err(url);
            let shown = format!("{error} {error:?}");
            assert!(
                matches!(error, Error::Endpoint(_)) && !shown.contains("hunter2"),
                "{shown}"
            );
            assert!(Endpoint::cluster([url]).is_err(), "{url}");
        }
        assert!(Endpoint::cluster::<&str>([]).is_err());
        assert!(Endpoint::cluster(["redis://:a@h1/", "redis://:b@h2/"]).is_err());
    }

    #[test]
    fn debug_shows_no_credentials() {
        let url = "redis://user:hunter2@host:7/1";
        let single = Endpoint::single(url).expect("an address");
        assert_eq!(format!("{single:?}"), "Endpoint(single host:7)");
        let cluster = Endpoint::cluster(["redis://user:hunter2@host:7/"]).expect("an address");
        assert_eq!(format!("{cluster:?}"), "Endpoint(cluster)");
    }
}
