//! The cluster under test: real processes, each with its ports, its folder and its links.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::failover::Acks;
use super::proxy::{Link, Weather};
use super::resp::{Connection, Reply};

/// How long an administrative question may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two questions to a node that is not ready.
const PACE: Duration = Duration::from_millis(20);

/// A node.
struct Node {
    client_port: u16,
    peer_port: u16,
    dir: PathBuf,
    process: Mutex<Option<Child>>,
    /// To each node, by number, also to itself: simpler, and never used.
    links: Vec<Link>,
}

/// All nodes, and what the harness knows of them.
pub(super) struct Nodes {
    binary: PathBuf,
    acks: String,
    nodes: Vec<Node>,
    leader: AtomicUsize,
    /// Raised before and after whatever may lose something in `async`: sessions and terms end there.
    term: AtomicU64,
}

impl Nodes {
    /// Chooses ports and opens links; starts nothing.
    pub(super) fn new(binary: &Path, dir: &Path, count: usize, acks: Acks) -> Result<Nodes> {
        let mut ports = free_ports(2 * count)?;
        let peer_ports = ports.split_off(count);
        let mut nodes = Vec::new();
        for (number, (client_port, peer_port)) in
            ports.into_iter().zip(peer_ports.clone()).enumerate()
        {
            let dir = dir.join(format!("node-{number}"));
            fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
            let links =
                peer_ports.iter().map(|port| Link::open(*port)).collect::<Result<_, _>>()?;
            nodes.push(Node { client_port, peer_port, dir, process: Mutex::new(None), links });
        }
        let (leader, term) = (AtomicUsize::new(0), AtomicU64::new(0));
        Ok(Nodes { binary: binary.to_path_buf(), acks: acks.to_string(), nodes, leader, term })
    }

    pub(super) fn count(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn leader(&self) -> usize {
        self.leader.load(Ordering::SeqCst)
    }

    pub(super) fn set_leader(&self, node: usize) {
        self.leader.store(node, Ordering::SeqCst);
    }

    pub(super) fn followers(&self) -> Vec<usize> {
        (0..self.count()).filter(|node| *node != self.leader()).collect()
    }

    pub(super) fn term(&self) -> u64 {
        self.term.load(Ordering::SeqCst)
    }

    pub(super) fn end_term(&self) {
        self.term.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn client_port(&self, node: usize) -> u16 {
        self.nodes[node].client_port
    }

    pub(super) fn dir(&self, node: usize) -> &Path {
        &self.nodes[node].dir
    }

    /// The link over which `follower` was told to reach `leader`.
    pub(super) fn link(&self, follower: usize, leader: usize) -> &Link {
        &self.nodes[follower].links[leader]
    }

    /// All links do nothing to what is sent.
    pub(super) fn clear_links(&self) {
        self.nodes.iter().flat_map(|node| &node.links).for_each(|link| link.set(Weather::Clear));
    }

    fn process(&self, node: usize) -> MutexGuard<'_, Option<Child>> {
        self.nodes[node].process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a node. With `follow` it is told to follow that node, over their link, whatever it was before.
    pub(super) fn start(&self, node: usize, follow: Option<usize>) -> Result<()> {
        let Node { client_port, peer_port, dir, links, .. } = &self.nodes[node];
        let output = File::options().create(true).append(true).open(dir.join("output.log"))?;
        let mut command = Command::new(&self.binary);
        command.arg("server").arg("--data-dir").arg(dir);
        command.args(["--port", &client_port.to_string()]);
        command.args(["--peer", &format!("127.0.0.1:{peer_port}")]);
        command.args(["--http", "off", "--threads", "1", "--acks", &self.acks]);
        if let Some(leader) = follow {
            // REPLICAOF to a port for nodes: only so every link between two nodes is one of ours.
            let role = dir.join("replication.role");
            let port = links[leader].port();
            fs::write(&role, format!("follower 127.0.0.1 {port} peers adopts\n"))
                .with_context(|| format!("cannot write {}", role.display()))?;
        }
        let errors = output.try_clone()?;
        let command = command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command.spawn().with_context(|| format!("cannot start node {node}"))?;
        *self.process(node) = Some(child);
        Ok(())
    }

    /// Kills a node with no warning.
    pub(super) fn kill(&self, node: usize) {
        if let Some(mut child) = self.process(node).take() {
            // It may be dead already, which is found out elsewhere.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks a node to stop and waits for it.
    pub(super) fn stop(&self, node: usize) -> Result<()> {
        let Some(mut child) = self.process(node).take() else { return Ok(()) };
        kill_process(Pid::from_child(&child), Signal::TERM)?;
        let deadline = Instant::now() + 6 * PATIENCE;
        while child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                bail!("node {node} did not stop within {} s of SIGTERM", 6 * PATIENCE.as_secs());
            }
            thread::sleep(PACE);
        }
        Ok(())
    }

    /// SIGSTOP or SIGCONT.
    pub(super) fn signal(&self, node: usize, signal: Signal) {
        if let Some(child) = &*self.process(node) {
            // It may be dead already, which is found out elsewhere.
            let _ = kill_process(Pid::from_child(child), signal);
        }
    }

    /// Nodes that ended although nobody asked them to, with their last lines.
    pub(super) fn deaths(&self) -> Vec<String> {
        let mut deaths = Vec::new();
        for node in 0..self.count() {
            let mut process = self.process(node);
            let Some(status) = process.as_mut().and_then(|child| child.try_wait().ok().flatten())
            else {
                continue;
            };
            *process = None;
            let output = fs::read_to_string(self.dir(node).join("output.log")).unwrap_or_default();
            let lines: Vec<&str> = output.lines().collect();
            let last = lines[lines.len().saturating_sub(8)..].join("\n    ");
            deaths.push(format!("node {node} ended by itself ({status}):\n    {last}"));
        }
        deaths
    }

    /// One question over a connection of its own.
    pub(super) fn ask(&self, node: usize, words: &[&str]) -> Result<Reply> {
        let mut connection = Connection::open(self.client_port(node), PATIENCE)?;
        let reply =
            connection.call(words).with_context(|| format!("node {node}: {}", words.join(" ")))?;
        match reply {
            Reply::Error(text) => bail!("node {node}: {}: {text}", words.join(" ")),
            reply => Ok(reply),
        }
    }

    /// The fields of INFO replication.
    pub(super) fn info(&self, node: usize) -> Result<Vec<(String, String)>> {
        let reply = self.ask(node, &["INFO", "replication"])?;
        let fields = reply.text().unwrap_or("").lines().filter_map(|line| line.split_once(':'));
        Ok(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Waits until a question to a node has the answer that is wanted.
    pub(super) fn wait_until<T>(
        &self,
        what: &str,
        patience: Duration,
        mut look: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let deadline = Instant::now() + patience;
        loop {
            let seen = look();
            match seen {
                Ok(Some(found)) => return Ok(found),
                _ if Instant::now() > deadline => {
                    let last = seen.err().map_or(String::new(), |error| format!(": {error:#}"));
                    bail!("{what}: not within {} s{last}", patience.as_secs());
                }
                _ => thread::sleep(PACE),
            }
        }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        (0..self.count()).for_each(|node| self.kill(node));
    }
}

fn free_ports(count: usize) -> Result<Vec<u16>> {
    // All are held at once, so that no port is given twice.
    let held = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<Vec<_>, _>>()
        .context("no free port")?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}
