//! Waking an epoll loop at a time finer than the millisecond that epoll itself offers: a timerfd.
//!
//! The descriptor is registered edge-triggered, so that an expiry is an event and needs no read.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// Deadlines closer than this are moved here: at high rates one wake-up then serves several batches,
/// and a loop does not spend its time on setting timers.
const NEAREST_NS: u64 = 20_000;

/// One timer of one loop.
#[derive(Debug)]
pub(crate) struct Wakeup {
    timer: OwnedFd,
    /// The time it is set to, on the run's clock; 0 if it is not set.
    armed_ns: u64,
}

impl Wakeup {
    pub(crate) fn register(registry: &Registry, token: Token) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { timer, armed_ns: 0 })
    }

    /// Asks for an event at `deadline_ns`, or soon if that is past.
    pub(crate) fn arm(&mut self, now_ns: u64, deadline_ns: u64) -> io::Result<()> {
        let deadline_ns = deadline_ns.max(now_ns + NEAREST_NS);
        if self.armed_ns > now_ns && self.armed_ns <= deadline_ns {
            return Ok(());
        }
        let delay_ns = deadline_ns - now_ns;
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: (delay_ns / 1_000_000_000) as i64,
                tv_nsec: (delay_ns % 1_000_000_000) as i64,
            },
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        self.armed_ns = deadline_ns;
        Ok(())
    }
}
