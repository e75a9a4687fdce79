use super::lock;
use super::work::Work;

/// Runs of each contender; the median counts.
const RUNS: usize = 11;

/// Ours and its peers, which take turns, so that whatever else the machine does hits all of them.
pub(crate) struct Race {
    ours: Box<dyn Work>,
    ours_at_most: Option<f64>,
    peers: Vec<Peer>,
}

struct Peer {
    package: &'static str,
    work: Box<dyn Work>,
    at_most: Option<f64>,
}

/// What one call costs.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) nanos: f64,
    pub(crate) allocations: f64,
}

/// Ours beside one peer.
pub(crate) struct Result {
    pub(crate) peer: &'static str,
    pub(crate) version: &'static str,
    pub(crate) ours: Cost,
    pub(crate) theirs: Cost,
    /// The ratio that we want to stay under.
    pub(crate) at_most: Option<f64>,
    /// The nanoseconds that we want to stay under, without allocating anything.
    pub(crate) ours_at_most: Option<f64>,
}

impl Race {
    pub(crate) fn new(ours: impl Work + 'static) -> Self {
        Self {
            ours: Box::new(ours),
            ours_at_most: None,
            peers: Vec::new(),
        }
    }

    /// Against the package of this name, whose version the lock file tells.
    pub(crate) fn against(mut self, package: &'static str, work: impl Work + 'static) -> Self {
        self.peers.push(Peer {
            package,
            work: Box::new(work),
            at_most: None,
        });
        self
    }

    /// Ours is to take at most this part of what the last peer takes.
    pub(crate) fn at_most(mut self, ratio: f64) -> Self {
        if let Some(peer) = self.peers.last_mut() {
            peer.at_most = Some(ratio);
        }
        self
    }

    /// Ours is to take at most so many nanoseconds, and to allocate nothing.
    pub(crate) const fn ours_at_most(mut self, nanos: f64) -> Self {
        self.ours_at_most = Some(nanos);
        self
    }

    pub(crate) fn run(mut self) -> Vec<Result> {
        // The first run of each is not counted: it fills caches and makes what is made only once.
        self.ours.run();
        self.peers.iter_mut().for_each(|peer| {
            peer.work.run();
        });
        let mut ours = Vec::with_capacity(RUNS);
        let mut theirs = vec![Vec::with_capacity(RUNS); self.peers.len()];
        for _ in 0..RUNS {
            ours.push(self.ours.run());
            for (peer, runs) in self.peers.iter_mut().zip(&mut theirs) {
                runs.push(peer.work.run());
            }
        }
        let ours = Cost {
            nanos: median(ours),
            allocations: self.ours.allocations(),
        };
        let peers = self.peers.iter_mut().zip(theirs);
        peers
            .map(|(peer, runs)| Result {
                peer: peer.package,
                version: lock::version(peer.package),
                ours,
                theirs: Cost {
                    nanos: median(runs),
                    allocations: peer.work.allocations(),
                },
                at_most: peer.at_most,
                ours_at_most: self.ours_at_most,
            })
            .collect()
    }
}

impl Result {
    pub(crate) fn ratio(&self) -> f64 {
        self.ours.nanos / self.theirs.nanos
    }
}

fn median(mut runs: Vec<f64>) -> f64 {
    runs.sort_unstable_by(f64::total_cmp);
    runs[runs.len() / 2]
}
