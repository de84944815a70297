//! A resident pool of threads for chunks of a step. Workers spin for about 50 µs after a job, then park. Which thread
//! runs a chunk is not determined; results must not depend on it.
//!
//! Protocol: `state` holds (epoch, number of active workers, open). A worker joins an open job of a new epoch by
//! raising the number, takes chunks from a shared counter, and lowers it. The caller works too, closes the job when
//! no chunk is left, and waits for the active workers only: a worker that wakes late finds the job closed.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const OPEN: u64 = 1;
const WORKER: u64 = 2;
const EPOCH: u64 = 1 << 20;
const ACTIVE: u64 = EPOCH - WORKER;
const SPIN: Duration = Duration::from_micros(50);

/// A job: a chunk function whose lifetime the caller guarantees by waiting.
#[derive(Clone, Copy)]
struct Job {
    run: *const (dyn Fn(usize) + Sync),
    chunks: usize,
}

struct Shared {
    state: AtomicU64,
    next: AtomicUsize,
    job: UnsafeCell<Option<Job>>,
    stop: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `job` is written by the caller only while no worker is active and the job is closed, and read by workers
// only between joining and leaving an open job; the function it points to is Sync and outlives the job.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

struct Worker {
    parked: Arc<AtomicBool>,
    handle: JoinHandle<()>,
}

/// Resident threads; dropped, they end.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    /// Held by the caller of a job; a second caller meanwhile runs its chunks itself.
    busy: Mutex<()>,
}

impl Pool {
    /// A pool that runs chunks on `threads` threads, the caller's among them. Where the system refuses a thread the
    /// pool has fewer.
    pub fn new(threads: usize) -> Pool {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            next: AtomicUsize::new(0),
            job: UnsafeCell::new(None),
            stop: AtomicBool::new(false),
            panic: Mutex::new(None),
        });
        let workers = (1..threads)
            .filter_map(|i| {
                let parked = Arc::new(AtomicBool::new(false));
                let (shared, flag) = (shared.clone(), parked.clone());
                let builder = std::thread::Builder::new().name(format!("chunks-{i}"));
                let handle = builder.spawn(move || work(&shared, &flag)).ok()?;
                Some(Worker { parked, handle })
            })
            .collect();
        Pool { shared, workers, busy: Mutex::new(()) }
    }

    /// Threads that take part, the caller's among them.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `run(0)` … `run(chunks - 1)`, each once, and returns when all are done. A panic in one of them is
    /// propagated when all active threads have stopped. Calls from within a job run on the calling thread.
    pub fn run(&self, chunks: usize, run: &(dyn Fn(usize) + Sync)) {
        let guard = if self.workers.is_empty() || chunks < 2 { None } else { self.busy.try_lock().ok() };
        let Some(_guard) = guard else {
            (0..chunks).for_each(run);
            return;
        };
        let shared = &*self.shared;
        // SAFETY: only the lifetime is changed; this function returns after every use of the reference.
        let run_for_ever: *const (dyn Fn(usize) + Sync) =
            unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(run) };
        // SAFETY: the job is closed and no worker is active.
        unsafe { *shared.job.get() = Some(Job { run: run_for_ever, chunks }) };
        shared.next.store(0, Ordering::Relaxed);
        let epoch = (shared.state.load(Ordering::Relaxed) & !(EPOCH - 1)).wrapping_add(EPOCH);
        shared.state.store(epoch | OPEN, Ordering::SeqCst);
        for worker in self.workers.iter().take(chunks - 1) {
            if worker.parked.load(Ordering::SeqCst) && worker.parked.swap(false, Ordering::SeqCst) {
                worker.handle.thread().unpark();
            }
        }
        let own = catch_unwind(AssertUnwindSafe(|| take_chunks(shared, Job { run: run_for_ever, chunks })));
        if own.is_err() {
            shared.next.store(chunks, Ordering::Relaxed);
        }
        shared.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut spins = 0u32;
        while shared.state.load(Ordering::Acquire) & ACTIVE != 0 {
            spins += 1;
            if spins.is_multiple_of(4096) { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
        let theirs = shared.panic.lock().map_or_else(|e| e.into_inner().take(), |mut p| p.take());
        if let Some(payload) = own.err().or(theirs) {
            drop(_guard);
            resume_unwind(payload);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.handle.thread().unpark();
            // A worker catches the panics of jobs; nothing is left to report.
            drop(worker.handle.join());
        }
    }
}

fn take_chunks(shared: &Shared, job: Job) {
    loop {
        let i = shared.next.fetch_add(1, Ordering::Relaxed);
        if i >= job.chunks {
            return;
        }
        // SAFETY: the caller of the job waits until this thread has left it.
        unsafe { (*job.run)(i) };
    }
}

fn work(shared: &Shared, parked: &AtomicBool) {
    let mut seen = 0;
    let mut since = Instant::now();
    let mut spins = 0u32;
    while !shared.stop.load(Ordering::Relaxed) {
        let state = shared.state.load(Ordering::Acquire);
        if state & OPEN != 0 && state & !(EPOCH - 1) != seen {
            if shared.state.compare_exchange(state, state + WORKER, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue;
            }
            seen = state & !(EPOCH - 1);
            // SAFETY: this thread is active in an open job.
            if let Some(job) = unsafe { *shared.job.get() }
                && let Err(payload) = catch_unwind(AssertUnwindSafe(|| take_chunks(shared, job)))
            {
                shared.next.store(job.chunks, Ordering::Relaxed);
                if let Ok(mut slot) = shared.panic.lock() {
                    slot.get_or_insert(payload);
                }
            }
            shared.state.fetch_sub(WORKER, Ordering::AcqRel);
            since = Instant::now();
            spins = 0;
            continue;
        }
        spins += 1;
        if !spins.is_multiple_of(256) || since.elapsed() < SPIN {
            std::hint::spin_loop();
            continue;
        }
        parked.store(true, Ordering::SeqCst);
        // A job opened in between is seen here, or its caller sees the flag.
        let now = shared.state.load(Ordering::SeqCst);
        let wanted = (now & OPEN != 0 && now & !(EPOCH - 1) != seen) || shared.stop.load(Ordering::SeqCst);
        if !wanted {
            std::thread::park();
        }
        parked.store(false, Ordering::SeqCst);
        since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_runs_once() {
        for threads in [1, 2, 3, 5] {
            let pool = Pool::new(threads);
            for chunks in [0, 1, 2, 3, 17, 200] {
                for _ in 0..50 {
                    let counts: Vec<AtomicUsize> = (0..chunks).map(|_| AtomicUsize::new(0)).collect();
                    pool.run(chunks, &|i| {
                        counts[i].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
                }
            }
        }
    }

    #[test]
    fn parked_workers_wake() {
        let pool = Pool::new(3);
        for _ in 0..5 {
            std::thread::sleep(Duration::from_millis(2));
            let sum = AtomicUsize::new(0);
            pool.run(100, &|i| {
                sum.fetch_add(i, Ordering::Relaxed);
            });
            assert_eq!(sum.load(Ordering::Relaxed), 4950);
        }
    }

    #[test]
    fn panics_are_propagated_and_the_pool_lives() {
        let pool = Pool::new(2);
        for bad in [0, 5, 19] {
            let result = catch_unwind(AssertUnwindSafe(|| {
                pool.run(20, &|i| assert_ne!(i, bad, "chunk"));
            }));
            assert!(result.is_err());
            let done = AtomicUsize::new(0);
            pool.run(20, &|_| {
                done.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(done.load(Ordering::Relaxed), 20);
        }
    }

    #[test]
    fn nested_calls_run() {
        let pool = Pool::new(2);
        let sum = AtomicUsize::new(0);
        pool.run(4, &|_| {
            pool.run(3, &|i| {
                sum.fetch_add(i, Ordering::Relaxed);
            });
        });
        assert_eq!(sum.load(Ordering::Relaxed), 12);
    }
}
