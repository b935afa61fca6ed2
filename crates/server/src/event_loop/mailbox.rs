//! How other threads reach a worker's loop.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};

use mio::Waker;
use trefoil_node::log::Progress;
use trefoil_node::mail::{Mail, Post};

use super::Transport;
use crate::control::ControlMailbox;
use crate::peers::PeersMailbox;

/// What a loop is told.
pub(crate) enum Message {
    /// A new connection is yours; it is counted already.
    Accepted(Transport),
    /// From another worker.
    Mail(Mail),
    /// The address of the leader's host was looked up; None: nobody knows it.
    Resolved(String, Option<IpAddr>),
    /// Stop.
    Stop,
}

/// The mailbox of one loop.
pub(crate) struct Mailbox {
    messages: Mutex<Vec<Message>>,
    waker: Waker,
    /// Replies wait until more of the log is durable.
    expects_durable: AtomicBool,
}

impl Mailbox {
    pub(crate) fn new(waker: Waker) -> Mailbox {
        Mailbox { messages: Mutex::default(), waker, expects_durable: AtomicBool::new(false) }
    }

    /// Puts a message in and wakes the loop. Whoever put one in before has woken it already, and it
    /// takes all at once.
    pub(crate) fn send(&self, message: Message) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.push(message);
        let is_first = messages.len() == 1;
        drop(messages);
        if is_first {
            self.wake();
        }
    }

    /// Makes the loop take a turn.
    pub(crate) fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            // A loop that can't be woken would hang its clients: better to be restarted.
            panic!("a worker's loop can't be woken: {error}");
        }
    }

    pub(super) fn take(&self) -> Vec<Message> {
        std::mem::take(&mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn expect_durable(&self) {
        self.expects_durable.store(true, Ordering::Relaxed);
        // Before it is looked at the log once more: one of the two sees the other.
        fence(Ordering::SeqCst);
    }
}

/// The mailboxes of all loops.
pub(crate) struct Mailboxes {
    workers: Vec<Arc<Mailbox>>,
    peers: Arc<PeersMailbox>,
    control: Arc<ControlMailbox>,
}

impl Mailboxes {
    pub(crate) fn new(
        workers: Vec<Arc<Mailbox>>,
        peers: Arc<PeersMailbox>,
        control: Arc<ControlMailbox>,
    ) -> Mailboxes {
        Mailboxes { workers, peers, control }
    }

    pub(crate) fn of(&self, worker: usize) -> &Arc<Mailbox> {
        &self.workers[worker]
    }

    pub(crate) fn wake_all_but(&self, worker: usize) {
        for (index, mailbox) in self.workers.iter().enumerate() {
            if index != worker {
                mailbox.wake();
            }
        }
    }

    /// The log has come further. While replies wait for followers, the peers thread says when they may
    /// leave: nobody else is woken for what is only written.
    pub(crate) fn on_log(&self, progress: Progress, waits_for_followers: bool) {
        if progress != Progress::Written || !waits_for_followers {
            self.wake_waiting();
        }
        if progress != Progress::Room {
            self.peers.on_progress();
        }
    }

    /// More is applied.
    pub(crate) fn on_applied(&self) {
        self.wake_waiting();
        self.peers.on_progress();
    }

    /// Replies may leave, or records are visible, that somebody waits for.
    fn wake_waiting(&self) {
        fence(Ordering::SeqCst);
        for mailbox in &self.workers {
            if mailbox.expects_durable.swap(false, Ordering::Relaxed) {
                mailbox.wake();
            }
        }
    }

    pub(crate) fn stop_all(&self) {
        for mailbox in &self.workers {
            mailbox.send(Message::Stop);
        }
    }
}

impl Post for Mailboxes {
    fn post(&self, worker: u32, mail: Mail) {
        self.of(worker as usize).send(Message::Mail(mail));
    }

    fn wake_peers(&self) {
        self.peers.wake();
    }

    fn wake_waiting(&self) {
        Mailboxes::wake_waiting(self);
    }

    fn wake_control(&self) {
        self.control.wake();
    }

    fn stop_process(&self) {
        let this = rustix::process::getpid();
        if let Err(error) = rustix::process::kill_process(this, rustix::process::Signal::TERM) {
            eprintln!("trefoil: SHUTDOWN can't signal its own process: {error}");
        }
    }
}
