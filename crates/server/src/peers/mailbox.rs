//! How other threads reach the peers thread.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use mio::Waker;
use trefoil_node::peers::LeaderAddress;

/// What came of dialling a leader.
pub(super) struct Dialled {
    /// Which attempt it was.
    pub(super) attempt: u64,
    pub(super) leader: LeaderAddress,
    pub(super) result: Result<TcpStream, String>,
}

/// See the module.
pub(crate) struct PeersMailbox {
    waker: Waker,
    dialled: Mutex<Vec<Dialled>>,
    /// It was woken and has not looked yet.
    rung: AtomicBool,
    /// Progress of the log and of the applier matters to somebody.
    interested: AtomicBool,
    stop: AtomicBool,
}

impl PeersMailbox {
    pub(super) fn new(waker: Waker) -> PeersMailbox {
        PeersMailbox {
            waker,
            dialled: Mutex::default(),
            rung: AtomicBool::new(false),
            interested: AtomicBool::new(true),
            stop: AtomicBool::new(false),
        }
    }

    /// Makes the thread look at everything. Whoever rang before has woken it already.
    pub(crate) fn wake(&self) {
        if !self.rung.swap(true, Ordering::SeqCst)
            && let Err(error) = self.waker.wake()
        {
            panic!("the peers thread can't be woken: {error}");
        }
    }

    /// The log or the applier has come further.
    pub(crate) fn on_progress(&self) {
        if self.interested.load(Ordering::Relaxed) {
            self.wake();
        }
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.wake();
    }

    pub(super) fn set_interested(&self, interested: bool) {
        self.interested.store(interested, Ordering::Relaxed);
    }

    /// For the thread, before it looks: rings after this wake it anew. Whether it is to end.
    pub(super) fn listen(&self) -> bool {
        self.rung.store(false, Ordering::SeqCst);
        self.stop.load(Ordering::SeqCst)
    }

    pub(super) fn put(&self, dialled: Dialled) {
        self.dialled.lock().unwrap_or_else(PoisonError::into_inner).push(dialled);
        self.wake();
    }

    pub(super) fn take(&self) -> Vec<Dialled> {
        std::mem::take(&mut *self.dialled.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
