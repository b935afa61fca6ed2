//! Waiting: for a while, or for something to come true. Ctrl-C and SIGTERM end either, so that what a
//! run has made is unmade; a second one ends the run at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Between two looks.
const PACE: Duration = Duration::from_millis(10);

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on signals end waits instead of the process.
pub(crate) fn heed_signals() -> Result<()> {
    let interrupted = Arc::clone(INTERRUPTED.get_or_init(Arc::default));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 130, Arc::clone(&interrupted))?;
        flag::register(signal, Arc::clone(&interrupted))?;
    }
    Ok(())
}

fn check() -> Result<()> {
    if INTERRUPTED.get().is_some_and(|interrupted| interrupted.load(Ordering::SeqCst)) {
        bail!("interrupted");
    }
    Ok(())
}

/// Waits so long.
pub(crate) fn rest(time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    loop {
        check()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(PACE));
    }
}

/// Waits until a look finds something; tells what the last look saw instead when patience ends.
pub(crate) fn wait_until<T>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + patience;
    loop {
        let seen = look();
        check()?;
        match seen {
            Ok(Some(found)) => return Ok(found),
            _ if Instant::now() > end => {
                let last = seen.err().map_or(String::new(), |error| format!(": {error:#}"));
                bail!("not within {} s: {what}{last}", patience.as_secs());
            }
            _ => thread::sleep(PACE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_look_is_told_when_patience_ends() {
        let mut looks = 0;
        let found = wait_until("a third look", Duration::from_secs(60), || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(found.ok(), Some(3));
        let none: Result<()> = wait_until("it", Duration::ZERO, || bail!("nobody answers"));
        let told = format!("{:#}", none.expect_err("it never is"));
        assert_eq!(told, "not within 0 s: it: nobody answers");
    }
}
