//! Chunks of a nest on the pool. Each running chunk has a scratch area to itself; which one does not matter.

use super::{Context, Function, Words};
use crate::runtime::pool::Pool;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The pool and as many scratch areas as it has threads.
pub(super) struct Threads {
    pool: Arc<Pool>,
    areas: Vec<Area>,
}

struct Area {
    taken: AtomicBool,
    pointer: *mut u64,
    /// Kept for its address.
    _words: Words,
}

// SAFETY: an area's memory is used by whoever has set `taken`.
unsafe impl Sync for Area {}
// SAFETY: as above.
unsafe impl Send for Area {}

impl Threads {
    pub(super) fn new(pool: Arc<Pool>, scratch: usize) -> Threads {
        let areas = (0..pool.threads())
            .map(|_| {
                let mut words = Words::new(scratch);
                Area { taken: AtomicBool::new(false), pointer: words.pointer(), _words: words }
            })
            .collect();
        Threads { pool, areas }
    }

    /// A free area: there are as many as threads.
    fn take(&self) -> &Area {
        loop {
            for area in &self.areas {
                if !area.taken.swap(true, Ordering::Acquire) {
                    return area;
                }
            }
            std::hint::spin_loop();
        }
    }
}

/// (context, task, chunks).
pub(super) fn entry() -> usize {
    unsafe extern "C" fn run(context: *mut Context, task: usize, chunks: usize) {
        // SAFETY: generated code gives its context and a task's address; the context's threads outlive the step.
        let (outer, threads, task) = unsafe {
            let outer = &mut *context;
            (outer, &*(*context).threads, std::mem::transmute::<usize, Function>(task))
        };
        let (check, domain) = (AtomicU64::new(u64::MAX), AtomicU64::new(0));
        let (frame, seed, step) = (outer.frame as usize, outer.seed, outer.step);
        threads.pool.run(chunks, &|chunk| {
            let area = threads.take();
            let mut own = Context {
                frame: frame as *mut u64,
                scratch: area.pointer,
                seed,
                step,
                check: u64::MAX,
                domain: 0,
                threads: std::ptr::null(),
            };
            // SAFETY: chunks write to parts of the frame of their own and to their scratch area.
            unsafe { task(&raw mut own, i64::try_from(chunk).unwrap_or(0)) };
            area.taken.store(false, Ordering::Release);
            check.fetch_min(own.check, Ordering::Relaxed);
            domain.fetch_max(own.domain, Ordering::Relaxed);
        });
        outer.check = outer.check.min(check.into_inner());
        outer.domain = outer.domain.max(domain.into_inner());
    }
    run as *const () as usize
}
