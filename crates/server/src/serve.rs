//! A running node: recovers, starts the threads, listens, and stops cleanly on a signal.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use trefoil_clock::{Hlc, Lsn};
use trefoil_cluster::control::{Force, Request};
use trefoil_log::{Allocate, EpochCause, FsDisk, WriterOptions, resume_if_interrupted};
use trefoil_node::config::take_effect;
use trefoil_node::log::{Fsync, LogQueue, stream};
use trefoil_node::node::Node;
use trefoil_node::peers::{SavedMembers, SavedRole, save_identity};
use trefoil_node::recovery::{Loaded, Report, StartOptions, load_into};
use trefoil_node::settings::Settings;
use trefoil_store::{KeyHasher, Keyspace, Sequencer};

use crate::control::ControlPlace;
use crate::control::clock::uptime_ms;
use crate::event_loop::Mailboxes;
use crate::front::{self, Acceptor, Listener};
use crate::http::Http;
use crate::options::ServerOptions;
use crate::peers::{self, PeerDoor};
use crate::pid_file::PidFile;
use crate::startup;
use crate::threads::{Parts, Threads, Wiring, join, or_exit, spawn};

/// How long a leader that stops waits for another one to lead, and how often it looks.
const HAND_OVER_MAX: Duration = Duration::from_secs(3);
const HAND_OVER_POLL: Duration = Duration::from_millis(5);

/// Runs a node until it is told to stop.
pub(crate) fn serve(options: &ServerOptions) -> Result<()> {
    let Some(settings) = crate::configuration::settings(options)? else { return Ok(()) };
    startup::make_room_for_clients(&settings);
    let listeners = front::bind(&settings)?;
    let http = Http::start(&settings)?;
    let peers = peers::start::door(&settings)?;
    let doors = Doors { clients: listeners, http, peers };
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
    peers::start::restore_policy(&settings, &disk)?;
    let control = ControlPlace::open(&settings, &disk, identity, doors.peers.address()?)?;
    let managed = control.is_managed();
    let place = peers::start::role(&settings, &disk, managed)?;
    let begun = Instant::now();
    let sequencer = Sequencer::starting_after(Lsn::ZERO, Hlc::default());
    let keyspace = Keyspace::new(options.hasher, sequencer, options.tallies);
    let mut loaded = load_into(&keyspace, disk.clone(), &options)?;
    // Otherwise members are asked first, or another node leads.
    let goes_on = place.1.nodes.is_empty() || loaded.report.cause == EpochCause::CleanRestart;
    if place.0 == SavedRole::Leader && goes_on && !managed {
        loaded.lead()?;
    }
    let took = begun.elapsed();
    let start = Start { keyspace, loaded, place, options, disk, threads, control };
    run(settings, doors, start, |node, report| {
        startup::report(node, report, &dir, took);
    })
}

/// Where the world comes in.
struct Doors {
    clients: Vec<Listener>,
    http: Http,
    peers: PeerDoor,
}

/// What a run begins with.
struct Start {
    keyspace: Keyspace,
    loaded: Loaded<FsDisk>,
    place: (SavedRole, SavedMembers),
    options: StartOptions,
    disk: FsDisk,
    threads: usize,
    control: ControlPlace,
}

fn run(
    settings: Settings,
    doors: Doors,
    start: Start,
    tell: impl FnOnce(&Node, &Report),
) -> Result<()> {
    let Start { keyspace, loaded, place, options, disk, threads, control } = start;
    let log = Arc::new(LogQueue::new(fsync(&settings), loaded.writer.appended(stream())));
    let wiring = Wiring::new(threads)?;
    let post = Arc::clone(&wiring.mailboxes);
    let identity = (options.identity, loaded.report.epochs.clone());
    let node = Arc::new(Node::new(keyspace, Arc::clone(&log), identity, threads, settings, post));
    take_effect(&node);
    node.agreement.lease.set_clock(uptime_ms);
    node.agreement.set_managed(control.is_managed());
    tell(&node, &loaded.report);
    log.add_bytes_logged(loaded.report.log.bytes);
    let client_port = match node.settings.replication.announce_port.load(Ordering::Relaxed) {
        0 => doors.clients.first().map_or(0, |listener| listener.address.port()),
        port => port as u16,
    };
    let mailboxes = Arc::clone(&wiring.mailboxes);
    let peer_door = doors.peers;
    let parts = Parts { loaded, place, options, disk, client_port, peer_door, control };
    let threads = Threads::start(&node, wiring, parts)?;
    let signals = Signals::new([SIGINT, SIGTERM])?;
    let (acceptor, stop_accepting) = open(&node, doors.clients, &doors.http, &mailboxes)?;
    wait_for_stop(signals)?;
    hand_over(&node);
    doors.http.on_stopping();
    stop_accepting.wake()?;
    join(acceptor)?;
    threads.stop(&node)?;
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

/// A leader that stops lets another one lead first, if one can: clients wait, and lose nothing.
fn hand_over(node: &Node) {
    if !node.agreement.is_managed() || !node.replication.is_leading() {
        return;
    }
    let ask = || {
        let asked = node.agreement.requests.ask(Request::Failover { to: None, force: Force::No });
        node.post.wake_control();
        asked
    };
    let begun = Instant::now();
    let mut asked = ask();
    while node.replication.is_leading() && begun.elapsed() < HAND_OVER_MAX {
        thread::sleep(HAND_OVER_POLL);
        if let Some(Err(error)) = asked.and_then(|id| node.agreement.requests.fetch(id)) {
            // Whoever decides may have just begun to, and not have heard of those who follow yet.
            if !node.replication.followers().iter().any(|row| row.state.is_online()) {
                eprintln!("trefoil: nobody takes over before this node stops: {error}");
                return;
            }
            asked = ask();
        }
    }
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
