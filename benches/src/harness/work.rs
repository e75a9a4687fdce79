use std::hint::black_box;
use std::sync::Barrier;

use futures_util::future::join_all;
use pm_core::Clock;
use tokio::runtime::{Builder, Runtime};

/// Calls that allocations are counted over.
const COUNTED: u64 = 1_000;

/// Something to be done over and over.
pub(crate) trait Work {
    /// Does it many times; nanoseconds for one of them.
    fn run(&mut self) -> f64;

    /// Allocations of one of them, on this thread.
    fn allocations(&mut self) -> f64;
}

/// A call, on this thread. It is handed a number that counts up, from run to run.
pub(crate) struct Rounds<F> {
    count: u64,
    next: u64,
    call: F,
}

/// A call on something that is made before, many at a time, and not timed.
pub(crate) struct Batches<M, F> {
    count: u64,
    next: u64,
    make: M,
    call: F,
}

/// A call, on so many threads at once; what one of them takes on each.
pub(crate) struct Threads<F> {
    threads: u64,
    count: u64,
    next: u64,
    call: F,
}

/// A future, so many at a time on this thread. What one of them takes is what the thread is busy for, not
/// what the caller waits.
pub(crate) struct AtOnce<F> {
    runtime: Runtime,
    callers: u64,
    count: u64,
    next: u64,
    call: F,
}

/// Work inside of a tokio runtime, which whoever makes a timer wants.
pub(crate) struct InRuntime<W> {
    runtime: Runtime,
    work: W,
}

impl<T, F: FnMut(u64) -> T> Rounds<F> {
    pub(crate) fn new(count: u64, call: F) -> Self {
        let next = 0;
        Self { count, next, call }
    }

    fn rounds(&mut self, count: u64) -> f64 {
        let from = self.next;
        self.next += count;
        let call = &mut self.call;
        nanos(|| {
            for round in from..from + count {
                black_box(call(black_box(round)));
            }
        }) / count as f64
    }
}

impl<T, F: FnMut(u64) -> T> Work for Rounds<F> {
    fn run(&mut self) -> f64 {
        self.rounds(self.count)
    }

    fn allocations(&mut self) -> f64 {
        let counted = COUNTED.min(self.count);
        let info = allocation_counter::measure(|| {
            self.rounds(counted);
        });
        info.count_total as f64 / counted as f64
    }
}

impl<I, T, M: FnMut(u64) -> I, F: FnMut(I) -> T> Batches<M, F> {
    /// As many as stay in the cache while they wait.
    const AT_ONCE: u64 = 256;

    pub(crate) fn new(count: u64, make: M, call: F) -> Self {
        Self {
            count: count.next_multiple_of(Self::AT_ONCE),
            next: 0,
            make,
            call,
        }
    }

    fn batch(&mut self) -> Vec<I> {
        let from = self.next;
        self.next += Self::AT_ONCE;
        (from..self.next).map(&mut self.make).collect()
    }
}

impl<I, T, M: FnMut(u64) -> I, F: FnMut(I) -> T> Work for Batches<M, F> {
    fn run(&mut self) -> f64 {
        let mut took = 0.0;
        for _ in 0..self.count / Self::AT_ONCE {
            let batch = self.batch();
            let call = &mut self.call;
            took += nanos(|| {
                for input in batch {
                    black_box(call(black_box(input)));
                }
            });
        }
        took / self.count as f64
    }

    fn allocations(&mut self) -> f64 {
        let batch = self.batch();
        let call = &mut self.call;
        let info = allocation_counter::measure(|| {
            for input in batch {
                black_box(call(input));
            }
        });
        info.count_total as f64 / Self::AT_ONCE as f64
    }
}

impl<T, F: Fn(u64) -> T + Sync> Threads<F> {
    pub(crate) fn new(threads: u64, count: u64, call: F) -> Self {
        Self {
            threads,
            count,
            next: 0,
            call,
        }
    }
}

impl<T, F: Fn(u64) -> T + Sync> Work for Threads<F> {
    fn run(&mut self) -> f64 {
        let Self {
            threads,
            count,
            next,
            call,
        } = self;
        let (from, count) = (*next, *count);
        *next += *threads * count;
        let barrier = Barrier::new(*threads as usize);
        let times: Vec<f64> = std::thread::scope(|scope| {
            let (barrier, call) = (&barrier, &*call);
            let running: Vec<_> = (0..*threads)
                .map(|thread| {
                    scope.spawn(move || {
                        let from = from + thread * count;
                        barrier.wait();
                        nanos(|| {
                            for round in from..from + count {
                                black_box(call(black_box(round)));
                            }
                        })
                    })
                })
                .collect();
            let ended = running.into_iter().map(|thread| thread.join());
            ended.map(|took| took.expect("it does not panic")).collect()
        });
        times.iter().sum::<f64>() / (*threads * count) as f64
    }

    fn allocations(&mut self) -> f64 {
        let info = allocation_counter::measure(|| {
            for round in 0..COUNTED {
                black_box((self.call)(round));
            }
        });
        info.count_total as f64 / COUNTED as f64
    }
}

impl<R: Future, F: Fn(u64) -> R> AtOnce<F> {
    pub(crate) fn new(runtime: Runtime, callers: u64, count: u64, call: F) -> Self {
        let next = 0;
        Self {
            runtime,
            callers,
            count,
            next,
            call,
        }
    }

    fn rounds(&mut self, count: u64) -> f64 {
        let (call, callers) = (&self.call, self.callers);
        let rounds = self.next..self.next + count;
        self.next += count;
        let caller = |first: u64| {
            let rounds = rounds
                .clone()
                .skip(first as usize)
                .step_by(callers as usize);
            async move {
                for round in rounds {
                    black_box(call(black_box(round)).await);
                }
            }
        };
        let all = join_all((0..callers).map(caller));
        let runtime = &self.runtime;
        nanos(|| {
            runtime.block_on(all);
        }) / count as f64
    }
}

impl<R: Future, F: Fn(u64) -> R> Work for AtOnce<F> {
    fn run(&mut self) -> f64 {
        self.rounds(self.count)
    }

    fn allocations(&mut self) -> f64 {
        let counted = self.count;
        let info = allocation_counter::measure(|| {
            self.rounds(counted);
        });
        info.count_total as f64 / counted as f64
    }
}

impl<W: Work> InRuntime<W> {
    pub(crate) fn new(work: W) -> Self {
        let runtime = Builder::new_current_thread().enable_time().build();
        Self {
            runtime: runtime.expect("a machine that can have a runtime"),
            work,
        }
    }
}

impl<W: Work> Work for InRuntime<W> {
    fn run(&mut self) -> f64 {
        let _entered = self.runtime.enter();
        self.work.run()
    }

    fn allocations(&mut self) -> f64 {
        let _entered = self.runtime.enter();
        self.work.allocations()
    }
}

fn nanos(work: impl FnOnce()) -> f64 {
    let clock = Clock::system();
    let start = clock.now();
    work();
    clock.now().saturating_duration_since(start).as_nanos() as f64
}
