//! Progress of a fit on a terminal, and Ctrl-C.

use crate::inference::fit::{Control, Observer, Phase, Progress};
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Set by the first Ctrl-C; the second ends the process with status 130.
pub fn interruption() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = flag.clone();
    // Without a handler Ctrl-C simply ends the process.
    let _ = ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(super::Exit::Interrupted.status()));
        }
    });
    flag
}

/// Shows elapsed time, steps per second and the objective with its error; passes Ctrl-C on.
pub struct Bar {
    bar: Option<ProgressBar>,
    interrupted: Arc<AtomicBool>,
    phase: Phase,
    since: Instant,
}

impl Bar {
    pub fn new(shown: bool, interrupted: Arc<AtomicBool>) -> Bar {
        let bar = shown.then(|| {
            let bar = ProgressBar::no_length();
            if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} {spinner} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Bar { bar, interrupted, phase: Phase::Start, since: Instant::now() }
    }

    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Bar {
    fn progress(&mut self, progress: &Progress) -> Control {
        if progress.phase != self.phase {
            self.phase = progress.phase;
            self.since = Instant::now();
        }
        if let Some(bar) = &self.bar {
            let seconds = self.since.elapsed().as_secs_f64().max(1e-3);
            #[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
            let rate = progress.step as f64 / seconds;
            let objective = if progress.objective.mean.is_finite() {
                format!("  objective {}", super::report::with_error(progress.objective))
            } else {
                String::new()
            };
            bar.set_message(match progress.phase {
                Phase::Start => format!("searching for a start{objective}"),
                Phase::Training => format!("step {}  {rate:.0}/s{objective}", progress.step),
                Phase::Drawing => format!("{} draws", progress.step),
            });
            bar.tick();
        }
        if self.interrupted.load(Ordering::SeqCst) { Control::Cancel } else { Control::Continue }
    }
}
