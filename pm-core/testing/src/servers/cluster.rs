use std::time::Duration;

use super::port::BUS;
use super::resp::Answer;
use super::{RedisServer, wait};

const PRIMARIES: usize = 3;
const NODES: usize = 2 * PRIMARIES;
const SLOTS: usize = 16_384;
const LIMIT: Duration = Duration::from_secs(30);

/// A Redis Cluster of three primaries with a replica each, whose nodes take each other for dead
/// after one second.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts one and waits until it is whole: every slot served, every replica in step.
    ///
    /// # Panics
    ///
    /// If Redis is not installed, or the cluster does not form.
    #[must_use]
    pub fn start() -> Self {
        let arguments = [
            ["--cluster-enabled", "yes"],
            ["--cluster-node-timeout", "1000"],
            ["--cluster-replica-validity-factor", "0"],
            ["--repl-diskless-sync-delay", "0"],
        ];
        let nodes = (0..NODES)
            .map(|_| RedisServer::start_with(arguments.into_iter().flatten()))
            .collect();
        let cluster = Self { nodes };
        cluster.introduce();
        cluster.give_out_slots();
        cluster.wait_until_ok();
        cluster
    }

    /// The addresses of all nodes, for a client.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// The nodes, whatever their part.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// The primary that serves `key`, as far as the other nodes know.
    ///
    /// # Panics
    ///
    /// If nobody serves it.
    pub fn primary_of(&mut self, key: &str) -> &mut RedisServer {
        let slot = self.slot_of(key);
        let port = self
            .slots()
            .into_iter()
            .find(|range| (range.first..=range.last).contains(&slot))
            .map(|range| range.primary)
            .expect("every slot is served");
        self.node_mut(port)
    }

    /// Kills the primary that serves `key`, as a crash would, and returns its port. Its replica
    /// takes over after more than a second: [`wait_until_ok`](Self::wait_until_ok).
    ///
    /// # Panics
    ///
    /// If nobody serves it.
    pub fn kill_primary_of(&mut self, key: &str) -> u16 {
        let primary = self.primary_of(key);
        primary.kill();
        primary.port()
    }

    /// Starts the node on `port` again, with what it knew of the cluster.
    ///
    /// # Panics
    ///
    /// If it does not start, or never was.
    pub fn restart(&mut self, port: u16) {
        self.node_mut(port).restart();
    }

    /// Waits until all nodes that were not killed agree that every slot is served by one of them.
    ///
    /// # Panics
    ///
    /// If they do not within half a minute.
    pub fn wait_until_ok(&self) {
        wait::until(LIMIT, "a cluster that is whole", || {
            let ok = self.alive().all(|node| {
                let info = node.ask(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok") && self.in_step(node)
            });
            ok.then_some(())
        });
    }

    fn in_step(&self, node: &RedisServer) -> bool {
        let slots = slots(node);
        let served: usize = slots.iter().map(|range| range.last + 1 - range.first).sum();
        let alive = |port| self.alive().any(|node| node.port() == port);
        let linked = !node
            .ask(&["INFO", "replication"])
            .contains("master_link_status:down");
        served == SLOTS && linked && slots.iter().all(|range| alive(range.primary))
    }

    /// Which slot `key` is in.
    ///
    /// # Panics
    ///
    /// If no node is left to ask.
    #[must_use]
    pub fn slot_of(&self, key: &str) -> usize {
        let slot = self.anyone().ask(&["CLUSTER", "KEYSLOT", key]);
        slot.parse().expect("the number of a slot")
    }

    /// Everybody to everybody: gossip alone would take seconds.
    fn introduce(&self) {
        for (epoch, node) in self.nodes.iter().enumerate() {
            let epoch = (epoch + 1).to_string();
            let _ = node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
        }
        for node in &self.nodes {
            for other in &self.nodes {
                let (port, bus) = (other.port(), other.port() + BUS);
                let (port, bus) = (port.to_string(), bus.to_string());
                let _ = node.ask(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
            }
        }
        wait::until(LIMIT, "six nodes that know each other", || {
            let all = format!("cluster_known_nodes:{NODES}");
            let mut infos = self.nodes.iter().map(|node| node.ask(&["CLUSTER", "INFO"]));
            infos.all(|info| info.contains(&all)).then_some(())
        });
    }

    fn give_out_slots(&self) {
        let (primaries, replicas) = self.nodes.split_at(PRIMARIES);
        for (index, primary) in primaries.iter().enumerate() {
            // One by one, as ranges are new in Redis 7.
            let slots: Vec<String> = (0..SLOTS)
                .filter(|slot| slot * PRIMARIES / SLOTS == index)
                .map(|slot| slot.to_string())
                .collect();
            let mut question = vec!["CLUSTER", "ADDSLOTS"];
            question.extend(slots.iter().map(String::as_str));
            let _ = primary.ask(&question);
        }
        for (primary, replica) in primaries.iter().zip(replicas) {
            let id = primary.ask(&["CLUSTER", "MYID"]);
            wait::until(
                LIMIT,
                "a replica that knows its primary",
                || match replica.answer(&["CLUSTER", "REPLICATE", &id]) {
                    Answer::Error(_) => None,
                    _ => Some(()),
                },
            );
        }
        // A primary may not have heard of its replica yet when all else is well.
        wait::until(LIMIT, "replicas that are in step", || {
            let mut primaries = primaries.iter();
            let in_step = primaries.all(|primary| {
                let replication = primary.ask(&["INFO", "replication"]);
                replication.contains("state=online")
            });
            in_step.then_some(())
        });
    }

    fn slots(&self) -> Vec<SlotRange> {
        slots(self.anyone())
    }

    fn anyone(&self) -> &RedisServer {
        self.alive().next().expect("a node is left")
    }

    fn alive(&self) -> impl Iterator<Item = &RedisServer> {
        self.nodes.iter().filter(|node| node.is_running())
    }

    fn node_mut(&mut self, port: u16) -> &mut RedisServer {
        let mut nodes = self.nodes.iter_mut();
        nodes
            .find(|node| node.port() == port)
            .expect("a node of this cluster")
    }
}

struct SlotRange {
    first: usize,
    last: usize,
    primary: u16,
}

fn slots(node: &RedisServer) -> Vec<SlotRange> {
    let Answer::List(ranges) = node.answer(&["CLUSTER", "SLOTS"]) else {
        panic!("CLUSTER SLOTS is a list");
    };
    ranges
        .iter()
        .map(|range| match range {
            // first, last, then a list of address, port, … for the primary and each replica
            Answer::List(range) => match &range[..] {
                [
                    Answer::Number(first),
                    Answer::Number(last),
                    Answer::List(primary),
                    ..,
                ] => SlotRange {
                    first: usize::try_from(*first).expect("a slot"),
                    last: usize::try_from(*last).expect("a slot"),
                    primary: primary[1].to_string().parse().expect("a port"),
                },
                other => panic!("not a range of slots: {other:?}"),
            },
            other => panic!("not a range of slots: {other:?}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_takes_over_from_a_primary_that_is_killed() {
        let mut cluster = RedisCluster::start();
        assert_eq!(cluster.urls().len(), NODES);
        assert_eq!(cluster.primary_of("key").ask(&["SET", "key", "1"]), "OK");
        let killed = cluster.kill_primary_of("key");
        cluster.wait_until_ok();
        let successor = cluster.primary_of("key");
        assert_ne!(successor.port(), killed);
        assert_eq!(successor.ask(&["SET", "key", "2"]), "OK");
        cluster.restart(killed);
        cluster.wait_until_ok();
    }
}
