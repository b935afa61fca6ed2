//! How other threads reach the control thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use mio::Waker;
use trefoil_cluster::control::Ticket;

/// See the module.
pub(crate) struct ControlMailbox {
    waker: Waker,
    /// Writes of the control log that are on disk.
    persisted: Mutex<Vec<Ticket>>,
    /// It was woken and has not looked yet.
    rung: AtomicBool,
    stop: AtomicBool,
}

impl ControlMailbox {
    pub(super) fn new(waker: Waker) -> ControlMailbox {
        ControlMailbox {
            waker,
            persisted: Mutex::default(),
            rung: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        }
    }

    /// Makes the thread look at everything. Whoever rang before has woken it already.
    pub(crate) fn wake(&self) {
        if !self.rung.swap(true, Ordering::SeqCst)
            && let Err(error) = self.waker.wake()
        {
            panic!("the control thread can't be woken: {error}");
        }
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// For the thread, before it looks: rings after this wake it anew. Whether it is to end.
    pub(super) fn listen(&self) -> bool {
        self.rung.store(false, Ordering::SeqCst);
        self.stop.load(Ordering::SeqCst)
    }

    /// A write is on disk.
    pub(super) fn on_persisted(&self, ticket: Ticket) {
        self.persisted.lock().unwrap_or_else(PoisonError::into_inner).push(ticket);
        self.wake();
    }

    pub(super) fn take_persisted(&self) -> Vec<Ticket> {
        std::mem::take(&mut *self.persisted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
