//! Syncs that nobody waits for one by one run on a thread of their own: a disk that takes a tenth of a
//! second once a second must not keep records from being written, sent and acknowledged meanwhile.
//!
//! Invariant: one sync runs at a time, and its outcome is told to the writer before the next begins.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use trefoil_log::{Disk, SyncDone, SyncTicket};

use super::queue::LogQueue;

/// The log thread's end.
pub struct Syncer<D: Disk> {
    tickets: Sender<SyncTicket<D>>,
    done: Receiver<SyncDone>,
    is_running: bool,
}

/// The other thread's end.
pub struct SyncThread<D: Disk> {
    tickets: Receiver<SyncTicket<D>>,
    done: Sender<SyncDone>,
    queue: Arc<LogQueue>,
}

impl<D: Disk> Syncer<D> {
    /// Both ends; the queue's thread is woken when a sync is done.
    #[must_use]
    pub fn pair(queue: &Arc<LogQueue>) -> (Syncer<D>, SyncThread<D>) {
        let (tickets, to_run) = channel();
        let (outcomes, done) = channel();
        let thread = SyncThread { tickets: to_run, done: outcomes, queue: Arc::clone(queue) };
        (Syncer { tickets, done, is_running: false }, thread)
    }

    /// Whether a sync runs, or ran and has not been asked about.
    pub(super) fn is_running(&self) -> bool {
        self.is_running
    }

    /// Begins a sync.
    pub(super) fn begin(&mut self, ticket: SyncTicket<D>) {
        assert!(!self.is_running, "one sync runs at a time");
        self.tickets.send(ticket).expect("the thread for syncs lives as long as the log's");
        self.is_running = true;
    }

    /// How the sync ended, if it did.
    pub(super) fn ended(&mut self) -> Option<SyncDone> {
        if !self.is_running {
            return None;
        }
        let done = match self.done.try_recv() {
            Ok(done) => Some(done),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => panic!("the thread for syncs has died"),
        };
        self.is_running = done.is_none();
        done
    }

    /// Waits for the sync that runs, if one does.
    pub(super) fn wait(&mut self) -> Option<SyncDone> {
        std::mem::take(&mut self.is_running)
            .then(|| self.done.recv().expect("the thread for syncs lives as long as the log's"))
    }
}

impl<D: Disk> SyncThread<D> {
    /// Syncs until the log thread is gone.
    pub fn run(self) {
        for ticket in self.tickets {
            if self.done.send(ticket.run()).is_err() {
                return;
            }
            self.queue.ring();
        }
    }
}
