use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

/// Below what systems give to outgoing connections: one of those may sit on a port while its
/// server is down, and a client that keeps trying to reach its dead server through such a port
/// may reach itself.
const FIRST: u16 = 11_000;
const LAST: u16 = 21_000;

/// How much higher a node of a Redis Cluster listens for the other nodes.
pub(crate) const BUS: u16 = 10_000;

/// A port of the loopback address that is this test's own until dropped, whether its server runs
/// or not.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    /// Locked; other tests, which are other processes, pass by.
    _claim: File,
}

impl Port {
    /// One on which nobody listens, nor on the one of the cluster bus above it.
    pub(crate) fn claim() -> Self {
        let folder = std::env::temp_dir().join("pm-testing-ports");
        fs::create_dir_all(&folder).expect("the folder for temporary files is writable");
        let span = LAST - FIRST;
        let start = RandomState::new().hash_one(std::process::id()) % u64::from(span);
        let start = u16::try_from(start).expect("less than the span");
        (0..span)
            .map(|step| FIRST + (start + step) % span)
            .find_map(|number| {
                let claim = File::create(folder.join(number.to_string())).ok()?;
                claim.try_lock().ok()?;
                (is_free(number) && is_free(number + BUS)).then_some(Self {
                    number,
                    _claim: claim,
                })
            })
            .expect("one of ten thousand ports is free")
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

fn is_free(number: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_port_is_nobody_elses_until_it_is_given_up() {
        let ports: Vec<Port> = (0..20).map(|_| Port::claim()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 20);
    }
}
