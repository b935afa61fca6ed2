//! A running node: recovers, starts the threads, listens, and stops cleanly on a signal.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Result, anyhow};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use trefoil_clock::{Hlc, Lsn};
use trefoil_log::{Allocate, EpochCause, FsDisk, WriterOptions, resume_if_interrupted};
use trefoil_node::applier::Applier;
use trefoil_node::config::take_effect;
use trefoil_node::log::{Fsync, LogDriver, LogLost, LogQueue, Syncer, Turn, carry_out, stream};
use trefoil_node::node::Node;
use trefoil_node::peers::{SavedMembers, SavedRole, save_identity};
use trefoil_node::recovery::{Loaded, Report, StartOptions, load_into};
use trefoil_node::settings::Settings;
use trefoil_node::worker::Worker;
use trefoil_store::{KeyHasher, Keyspace, Sequencer};

use crate::event_loop::{EventLoop, Mailbox, Mailboxes};
use crate::front::{self, Acceptor, Listener};
use crate::http::Http;
use crate::options::ServerOptions;
use crate::peers::{self, PeersMailbox, PeersParts, PeersThread};
use crate::pid_file::PidFile;
use crate::snapshots::Snapshots;
use crate::startup;

/// With so much in the log's queue writes may be waiting for it, bytes.
const CROWDED_BYTES: usize = 16 << 20;

/// Runs a node until it is told to stop.
pub(crate) fn serve(options: &ServerOptions) -> Result<()> {
    let Some(settings) = crate::configuration::settings(options)? else { return Ok(()) };
    startup::make_room_for_clients(&settings);
    let listeners = front::bind(&settings)?;
    let http = Http::start(&settings)?;
    let peer_door = peers::start::bind(&settings)?;
    let dir = data_dir(&settings);
    let disk = FsDisk::open(&dir)?;
    let _pid_file = PidFile::write(&dir)?;
    let resumed = resume_if_interrupted(&disk, |identity| save_identity(&disk, identity))?;
    if resumed.is_some() {
        eprintln!("trefoil: the replacement of the data that a stop had interrupted is completed");
    }
    let identity = crate::identity::load_or_create(&dir)?;
    let threads = match settings.threads.load(Ordering::Relaxed) as usize {
        0 => thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let allocate = match fsync(&settings) {
        Fsync::Always => Allocate::ZeroFill,
        Fsync::Everysec | Fsync::No => Allocate::Fallocate,
    };
    let options = StartOptions {
        identity,
        hasher: KeyHasher::new(rand::random()),
        tallies: threads + 1,
        log: WriterOptions { allocate, ..WriterOptions::default() },
    };
    let place = peers::start::role(&settings, &disk)?;
    let begun = Instant::now();
    let sequencer = Sequencer::starting_after(Lsn::ZERO, Hlc::default());
    let keyspace = Keyspace::new(options.hasher, sequencer, options.tallies);
    let mut loaded = load_into(&keyspace, disk.clone(), &options)?;
    if place.0 == SavedRole::Leader && place.1.nodes.is_empty() {
        loaded.lead()?;
    }
    let took = begun.elapsed();
    let start = Start { keyspace, loaded, place, options, disk, threads };
    run(settings, (listeners, http), peer_door, start, |node, report| {
        startup::report(node, report, &dir, took);
    })
}

/// What a run begins with.
struct Start {
    keyspace: Keyspace,
    loaded: Loaded<FsDisk>,
    place: (SavedRole, SavedMembers),
    options: StartOptions,
    disk: FsDisk,
    threads: usize,
}

fn run(
    settings: Settings,
    (listeners, http): (Vec<Listener>, Http),
    peer_door: Option<TcpListener>,
    start: Start,
    tell: impl FnOnce(&Node, &Report),
) -> Result<()> {
    let Start { keyspace, loaded: Loaded { writer, report }, place, options, disk, threads } =
        start;
    let log = Arc::new(LogQueue::new(fsync(&settings), writer.appended(stream())));
    let (peers_poll, peers_mailbox) = PeersThread::poll()?;
    let peers_mailbox = Arc::new(peers_mailbox);
    let (polls, mailboxes) = loops(threads, &peers_mailbox)?;
    let post = Arc::clone(&mailboxes);
    let identity = (options.identity, report.epochs.clone());
    let node = Arc::new(Node::new(keyspace, Arc::clone(&log), identity, threads, settings, post));
    take_effect(&node);
    tell(&node, &report);
    let wake = Arc::clone(&mailboxes);
    let driver = LogDriver::new(
        Arc::clone(&log),
        writer,
        report.epoch,
        Box::new(move || wake.on_progress()),
    );
    let (syncer, sync_thread) = Syncer::pair(&log);
    let driver = driver.with_syncer(syncer);
    let sync_thread = spawn("sync".into(), move || sync_thread.run())?;
    log.add_bytes_logged(report.log.bytes);
    let snapshots = Snapshots { node: Arc::clone(&node), disk: disk.clone(), workers: threads };
    let snapshot_thread = spawn("snapshots".into(), move || snapshots.run(report.snapshot_lsn))?;
    let log_thread = {
        let keeper = LogKeeper {
            driver,
            node: Arc::clone(&node),
            disk: disk.clone(),
            options,
            mailboxes: Arc::clone(&mailboxes),
        };
        spawn("log".into(), move || keeper.run())?
    };
    let applier_thread = {
        let wake = Arc::clone(&mailboxes);
        let mut applier = Applier::new(Arc::clone(&node), Box::new(move || wake.on_progress()));
        spawn("applier".into(), move || or_exit(applier.run().map_err(std::io::Error::other)))?
    };
    let clean = report.cause == EpochCause::CleanRestart;
    let client_port = match node.settings.replication.announce_port.load(Ordering::Relaxed) {
        0 => listeners.first().map_or(0, |listener| listener.address.port()),
        port => port as u16,
    };
    let peers_thread = {
        let ready_after = report.ready_after;
        let node = Arc::clone(&node);
        let peers = PeersParts { node, disk, place, clean, ready_after, client_port };
        let thread = peers.thread(peers_poll, peer_door, Arc::clone(&peers_mailbox))?;
        spawn("peers".into(), move || or_exit(thread.run()))?
    };
    let mut workers = Vec::new();
    for (index, poll) in polls.into_iter().enumerate() {
        let worker = Worker::new(Arc::clone(&node), index, rand::random());
        let event_loop = EventLoop::new(worker, poll, Arc::clone(&mailboxes));
        workers.push(spawn(format!("worker-{index}"), move || or_exit(event_loop.run()))?);
    }
    let signals = Signals::new([SIGINT, SIGTERM])?;
    let (acceptor, stop_accepting) = open(&node, listeners, &http, &mailboxes)?;
    wait_for_stop(signals)?;
    http.on_stopping();
    stop_accepting.wake()?;
    join(acceptor)?;
    mailboxes.stop_all();
    for worker in workers {
        join(worker)?;
    }
    peers_mailbox.stop();
    join(peers_thread)?;
    node.applier.stop();
    join(applier_thread)?;
    node.snapshots.stop();
    join(snapshot_thread)?;
    log.stop();
    join(log_thread)?;
    join(sync_thread)?;
    eprintln!("trefoil: stopped");
    Ok(())
}

fn data_dir(settings: &Settings) -> PathBuf {
    let bytes = settings.data_dir.read().unwrap_or_else(PoisonError::into_inner);
    PathBuf::from(String::from_utf8_lossy(&bytes).into_owned())
}

fn fsync(settings: &Settings) -> Fsync {
    match settings.fsync.load(Ordering::Relaxed) {
        0 => Fsync::Always,
        1 => Fsync::Everysec,
        _ => Fsync::No,
    }
}

/// Polls for the workers' loops, and the mailboxes that wake them.
fn loops(count: usize, peers: &Arc<PeersMailbox>) -> Result<(Vec<mio::Poll>, Arc<Mailboxes>)> {
    let mut polls = Vec::new();
    let mut mailboxes = Vec::new();
    for _ in 0..count {
        let (poll, waker) = EventLoop::poll()?;
        mailboxes.push(Arc::new(Mailbox::new(waker)));
        polls.push(poll);
    }
    Ok((polls, Arc::new(Mailboxes::new(mailboxes, Arc::clone(peers)))))
}

/// Lets clients in and says so.
fn open(
    node: &Arc<Node>,
    listeners: Vec<Listener>,
    http: &Http,
    mailboxes: &Arc<Mailboxes>,
) -> Result<(JoinHandle<()>, mio::Waker)> {
    let tls = match listeners.iter().any(|listener| listener.tls) {
        true => Some(front::server_config(&node.settings)?),
        false => None,
    };
    let backlog = i32::try_from(node.settings.tcp_backlog.load(Ordering::Relaxed))?;
    let mut ready = String::from("ready");
    let mut doors = Vec::new();
    for listener in listeners {
        let protocol = if listener.tls { "tls://" } else { "" };
        ready.push_str(&format!(" {protocol}{}", listener.address));
        doors.push((listener.listen(backlog)?, tls.clone().filter(|_| listener.tls)));
    }
    let (acceptor, stop) = Acceptor::new(doors, Arc::clone(node), Arc::clone(mailboxes))?;
    let acceptor = spawn("acceptor".into(), move || or_exit(acceptor.run()))?;
    http.on_serving(node);
    if let Some(address) = http.address() {
        ready.push_str(&format!(" http://{address}"));
    }
    let mut stdout = std::io::stdout();
    // Nobody may be there to read it.
    let _ = writeln!(stdout, "{ready}").and_then(|()| stdout.flush());
    Ok((acceptor, stop))
}

/// Returns at the first signal. A second one, while things are put in order, ends the process.
fn wait_for_stop(mut signals: Signals) -> Result<()> {
    let stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stopping))?;
    }
    signals.forever().next();
    stopping.store(true, Ordering::SeqCst);
    eprintln!("trefoil: stopping; a second signal stops at once and leaves the end to recovery");
    Ok(())
}

/// A thread whose panic ends the process: what it held may be half done, and recovery knows what was
/// promised.
fn spawn<T: Send + 'static>(
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
fn or_exit(result: std::io::Result<()>) {
    if let Err(error) = result {
        let name = thread::current().name().unwrap_or_default().to_string();
        eprintln!("trefoil: the thread {name} can't go on: {error}");
        std::process::exit(1);
    }
}

fn join<T>(thread: JoinHandle<T>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a thread panicked"))
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
                Ok(Turn::Continue) if crowded => self.mailboxes.on_progress(),
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
