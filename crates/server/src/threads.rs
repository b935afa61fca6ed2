//! The threads of a node: workers, peers, applier, snapshots, log, and the one that syncs.
//!
//! They end in the order of who gives work to whom, so that nothing that was begun is left undone.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use mio::Poll;
use trefoil_log::{EpochCause, FsDisk, Writer};
use trefoil_node::applier::Applier;
use trefoil_node::log::{LogDriver, LogLost, Progress, Syncer, Turn, carry_out};
use trefoil_node::node::Node;
use trefoil_node::peers::{SavedMembers, SavedRole};
use trefoil_node::recovery::{Loaded, Report, StartOptions};
use trefoil_node::worker::Worker;

use crate::control::{ControlMailbox, ControlPlace, ControlThread};
use crate::event_loop::{EventLoop, Mailbox, Mailboxes};
use crate::peers::{PeerDoor, PeersMailbox, PeersParts, PeersThread};
use crate::snapshots::Snapshots;

/// With so much in the log's queue writes may be waiting for it, bytes.
const CROWDED_BYTES: usize = 16 << 20;

/// How long a leader that stops waits for its followers, and how often it looks.
const LAST_RECORDS_MAX: Duration = Duration::from_secs(3);
const LAST_RECORDS_POLL: Duration = Duration::from_millis(5);

/// How threads are woken. There before the node is, which wakes them.
pub(crate) struct Wiring {
    pub(crate) mailboxes: Arc<Mailboxes>,
    polls: Vec<Poll>,
    peers: (Poll, Arc<PeersMailbox>),
    control: (Poll, Arc<ControlMailbox>),
}

impl Wiring {
    /// For so many workers.
    pub(crate) fn new(workers: usize) -> Result<Wiring> {
        let (peers_poll, peers_mailbox) = PeersThread::poll()?;
        let peers_mailbox = Arc::new(peers_mailbox);
        let (control_poll, control_mailbox) = ControlThread::poll()?;
        let control_mailbox = Arc::new(control_mailbox);
        let mut polls = Vec::new();
        let mut mailboxes = Vec::new();
        for _ in 0..workers {
            let (poll, waker) = EventLoop::poll()?;
            mailboxes.push(Arc::new(Mailbox::new(waker)));
            polls.push(poll);
        }
        let others = (Arc::clone(&peers_mailbox), Arc::clone(&control_mailbox));
        let mailboxes = Arc::new(Mailboxes::new(mailboxes, others.0, others.1));
        let peers = (peers_poll, peers_mailbox);
        Ok(Wiring { mailboxes, polls, peers, control: (control_poll, control_mailbox) })
    }
}

/// What the threads are made of, beside the node.
pub(crate) struct Parts {
    pub(crate) loaded: Loaded<FsDisk>,
    pub(crate) place: (SavedRole, SavedMembers),
    pub(crate) options: StartOptions,
    pub(crate) disk: FsDisk,
    /// Where clients reach this node.
    pub(crate) client_port: u16,
    pub(crate) peer_door: PeerDoor,
    pub(crate) control: ControlPlace,
}

/// See the module.
pub(crate) struct Threads {
    mailboxes: Arc<Mailboxes>,
    peers_mailbox: Arc<PeersMailbox>,
    control_mailbox: Arc<ControlMailbox>,
    workers: Vec<JoinHandle<()>>,
    peers: JoinHandle<()>,
    control: [JoinHandle<()>; 2],
    applier: JoinHandle<()>,
    snapshots: JoinHandle<()>,
    log: JoinHandle<()>,
    sync: JoinHandle<()>,
}

impl Threads {
    /// Starts all.
    pub(crate) fn start(node: &Arc<Node>, wiring: Wiring, parts: Parts) -> Result<Threads> {
        let Wiring { mailboxes, polls, peers: (peers_poll, peers_mailbox), control } = wiring;
        let Parts { loaded: Loaded { writer, report }, place, options, disk, .. } = parts;
        let control_mailbox = Arc::clone(&control.1);
        let peers_address = parts.peer_door.address()?;
        let (control, control_log) =
            ControlThread::new(node, parts.control, peers_address, parts.client_port, control)?;
        let (driver, sync) = log_driver(node, writer, &report, &mailboxes)?;
        let snapshots = {
            let (node, disk) = (Arc::clone(node), disk.clone());
            let thread = Snapshots { node, disk, workers: polls.len() };
            spawn("snapshots".into(), move || thread.run(report.snapshot_lsn))?
        };
        let log = {
            let (node, disk) = (Arc::clone(node), disk.clone());
            let mailboxes = Arc::clone(&mailboxes);
            let keeper = LogKeeper { driver, node, disk, options, mailboxes };
            spawn("log".into(), move || keeper.run())?
        };
        let applier = {
            let wake = Arc::clone(&mailboxes);
            let mut applier = Applier::new(Arc::clone(node), Box::new(move || wake.on_applied()));
            spawn("applier".into(), move || or_exit(applier.run().map_err(std::io::Error::other)))?
        };
        let peers = {
            let peers = PeersParts {
                node: Arc::clone(node),
                disk,
                place,
                clean: report.cause == EpochCause::CleanRestart,
                stopped_cleanly: report.log.clean_stop && report.rejected.is_empty(),
                ready_after: report.ready_after,
                client_port: parts.client_port,
            };
            let thread = peers.thread(peers_poll, parts.peer_door, Arc::clone(&peers_mailbox))?;
            spawn("peers".into(), move || or_exit(thread.run()))?
        };
        let control = [spawn("control".into(), move || or_exit(control.run()))?, control_log];
        let mut workers = Vec::new();
        for (index, poll) in polls.into_iter().enumerate() {
            let worker = Worker::new(Arc::clone(node), index, rand::random());
            let event_loop = EventLoop::new(worker, poll, Arc::clone(&mailboxes));
            workers.push(spawn(format!("worker-{index}"), move || or_exit(event_loop.run()))?);
        }
        Ok(Threads {
            mailboxes,
            peers_mailbox,
            control_mailbox,
            workers,
            peers,
            control,
            applier,
            snapshots,
            log,
            sync,
        })
    }

    /// Ends all, once nobody is let in any more.
    pub(crate) fn stop(self, node: &Node) -> Result<()> {
        self.mailboxes.stop_all();
        for worker in self.workers {
            join(worker)?;
        }
        wait_for_followers(node);
        self.peers_mailbox.stop();
        join(self.peers)?;
        self.control_mailbox.stop();
        for control in self.control {
            join(control)?;
        }
        node.applier.stop();
        join(self.applier)?;
        node.snapshots.stop();
        join(self.snapshots)?;
        node.log.stop(node.replication.role().stop());
        join(self.log)?;
        join(self.sync)
    }
}

/// What was acknowledged by this node alone is given to the followers that are there: one of them may
/// lead next.
fn wait_for_followers(node: &Node) {
    let begun = Instant::now();
    let end = node.keyspace.sequencer().last_lsn();
    while begun.elapsed() < LAST_RECORDS_MAX && node.is_awaited_by_followers(end) {
        thread::sleep(LAST_RECORDS_POLL);
    }
}

/// The log's driver, and the thread that syncs for it.
fn log_driver(
    node: &Arc<Node>,
    writer: Writer<FsDisk>,
    report: &Report,
    mailboxes: &Arc<Mailboxes>,
) -> Result<(LogDriver<FsDisk>, JoinHandle<()>)> {
    let wake = Arc::clone(mailboxes);
    let log = &node.log;
    let watched = Arc::clone(node);
    let tell = move |progress| wake.on_log(progress, watched.replication.gates());
    let driver = LogDriver::new(Arc::clone(log), writer, report.epoch, Box::new(tell));
    let (syncer, sync) = Syncer::pair(log);
    let sync = spawn("sync".into(), move || sync.run())?;
    Ok((driver.with_syncer(syncer), sync))
}

/// The log thread.
struct LogKeeper {
    driver: LogDriver<FsDisk>,
    node: Arc<Node>,
    disk: FsDisk,
    options: StartOptions,
    mailboxes: Arc<Mailboxes>,
}

impl LogKeeper {
    /// A log that can't be written any more ends the process.
    fn run(mut self) {
        loop {
            let crowded = self.node.log.bytes() > CROWDED_BYTES;
            match self.driver.turn() {
                // Writes may have waited until less is queued.
                Ok(Turn::Continue) if crowded => self.mailboxes.on_log(Progress::Room, false),
                Ok(Turn::Continue) => {}
                Ok(Turn::Asked(task, ticket)) => {
                    let place = (&*self.node, &self.disk);
                    match carry_out(task, &mut self.driver, place, &mut self.options) {
                        Ok(outcome) => ticket.tell(outcome),
                        Err(error) => give_up(&error),
                    }
                    self.node.post.wake_peers();
                }
                Ok(Turn::Stopped) => return,
                Err(error) => give_up(&error),
            }
        }
    }
}

fn give_up(error: &LogLost) -> ! {
    eprintln!("trefoil: {error}");
    std::process::exit(1);
}

/// A thread whose panic ends the process: what it held may be half done, and recovery knows what was
/// promised.
pub(crate) fn spawn<T: Send + 'static>(
    name: String,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    struct AbortOnPanic;
    impl Drop for AbortOnPanic {
        fn drop(&mut self) {
            if thread::panicking() {
                std::process::abort();
            }
        }
    }
    let guarded = move || {
        let _guard = AbortOnPanic;
        body()
    };
    Ok(thread::Builder::new().name(name).spawn(guarded)?)
}

/// Without one of its threads a node is better restarted.
pub(crate) fn or_exit(result: std::io::Result<()>) {
    if let Err(error) = result {
        let name = thread::current().name().unwrap_or_default().to_string();
        eprintln!("trefoil: the thread {name} can't go on: {error}");
        std::process::exit(1);
    }
}

/// Waits for its end.
pub(crate) fn join<T>(thread: JoinHandle<T>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a thread panicked"))
}
