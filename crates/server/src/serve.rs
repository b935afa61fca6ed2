//! A running node: recovers, starts the threads, listens, and stops cleanly on a signal.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use trefoil_log::{Allocate, FsDisk, WriterOptions};
use trefoil_node::log::{Fsync, LogDriver, LogQueue, Turn, stream};
use trefoil_node::node::Node;
use trefoil_node::recovery::{StartOptions, Started, start};
use trefoil_node::settings::Settings;
use trefoil_node::worker::Worker;
use trefoil_store::KeyHasher;

use crate::event_loop::{EventLoop, Mailbox, Mailboxes, Message};
use crate::options::ServerOptions;

/// Runs a node until it is told to stop.
pub(crate) fn serve(options: &ServerOptions) -> Result<()> {
    let threads = match options.threads {
        0 => thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let disk = FsDisk::open(&options.data_dir)?;
    let identity = crate::identity::load_or_create(&options.data_dir)?;
    let allocate = match options.fsync {
        Fsync::Always => Allocate::ZeroFill,
        Fsync::Everysec | Fsync::No => Allocate::Fallocate,
    };
    let started = start(
        disk,
        StartOptions {
            identity,
            hasher: KeyHasher::new(rand::random()),
            tallies: threads + 1,
            log: WriterOptions { allocate, ..WriterOptions::default() },
        },
    )?;
    run(options, threads, started)
}

fn run(options: &ServerOptions, threads: usize, started: Started<FsDisk>) -> Result<()> {
    let Started { keyspace, writer, report } = started;
    let log = Arc::new(LogQueue::new(options.fsync, writer.appended(stream())));
    let mut polls = Vec::new();
    let mut mailboxes = Vec::new();
    for _ in 0..threads {
        let (poll, waker) = EventLoop::poll()?;
        mailboxes.push(Arc::new(Mailbox::new(waker)));
        polls.push(poll);
    }
    let mailboxes = Arc::new(Mailboxes::new(mailboxes));
    let settings = Settings { maxmemory: AtomicU64::new(options.maxmemory), ..Settings::default() };
    let post = Arc::clone(&mailboxes);
    let node =
        Arc::new(Node::new(keyspace, Arc::clone(&log), report.epoch, threads, settings, post));
    let wake = Arc::clone(&mailboxes);
    let driver =
        LogDriver::new(Arc::clone(&log), writer, report.epoch, Box::new(move || wake.on_durable()));
    let log_thread = thread::Builder::new().name("log".into()).spawn(move || drive(driver))?;
    let mut workers = Vec::new();
    for (index, poll) in polls.into_iter().enumerate() {
        let worker = Worker::new(Arc::clone(&node), index, rand::random());
        let event_loop = EventLoop::new(worker, poll, Arc::clone(&mailboxes));
        let name = format!("worker-{index}");
        workers.push(thread::Builder::new().name(name).spawn(move || event_loop.run())?);
    }
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    for &address in &options.bind {
        let address = SocketAddr::new(address, options.port);
        let listener = TcpListener::bind(address).with_context(|| {
            format!("can't listen on {address}; is another server running there?")
        })?;
        let mailboxes = Arc::clone(&mailboxes);
        thread::Builder::new()
            .name("acceptor".into())
            .spawn(move || accept(&listener, &mailboxes, threads))?;
        println!("ready {address}");
    }
    std::io::stdout().flush()?;
    signals.forever().next();
    mailboxes.stop_all();
    for worker in workers {
        worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))??;
    }
    log.stop();
    log_thread.join().map_err(|_| anyhow::anyhow!("the log thread panicked"))?;
    Ok(())
}

/// The log thread. A log that can't be written any more ends the process.
fn drive(mut driver: LogDriver<FsDisk>) {
    loop {
        match driver.turn() {
            Ok(Turn::Continue) => {}
            Ok(Turn::Stopped) => return,
            Err(error) => {
                eprintln!("trefoil: {error}");
                std::process::exit(1);
            }
        }
    }
}

fn accept(listener: &TcpListener, mailboxes: &Mailboxes, threads: usize) {
    let mut next = 0;
    loop {
        let Ok((stream, _)) = listener.accept() else { continue };
        if stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).is_err() {
            continue;
        }
        let stream = mio::net::TcpStream::from_std(stream);
        mailboxes.of(next).send(Message::Accepted(stream));
        next = (next + 1) % threads;
    }
}
