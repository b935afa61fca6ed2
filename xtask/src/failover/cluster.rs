//! The cluster under test: real processes, each with its place and its folder.
//!
//! The first node founds the cluster, the others join it when they start for the first time; later
//! starts go on with what a node remembers.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::patience::wait_until;
use crate::hosts::Hosts;

/// A clean stop may take so long.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// Ports on hosts of their own.
const CLIENT_PORT: u16 = 6379;
const PEER_PORT: u16 = 7379;
/// Between hosts nodes prove to each other that they know this.
const SECRET: &str = "three leaves, one stem";
/// Ports are looked for so often before it is given up.
const PORT_TRIES: usize = 1_000;

/// How all nodes are started.
pub(crate) struct Recipe {
    pub(crate) binary: PathBuf,
    pub(crate) acks: String,
    /// More options for each node, as `trefoil server` takes them.
    pub(crate) parameters: Vec<String>,
}

/// Where a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    ip: Ipv4Addr,
    client_port: u16,
    peer_port: u16,
    region: Option<&'static str>,
}

/// All nodes, by number. Those that run are killed when it is dropped.
pub(crate) struct Cluster {
    recipe: Recipe,
    places: Vec<Place>,
    dir: PathBuf,
    processes: Vec<Option<Child>>,
    /// If each node has one of its own.
    hosts: Option<Hosts>,
}

impl Cluster {
    /// Nodes on this host, with free ports; starts nothing.
    pub(crate) fn on_this_host(recipe: Recipe, dir: &Path, count: usize) -> Result<Cluster> {
        let place = |(client_port, peer_port)| {
            let ip = Ipv4Addr::LOCALHOST;
            Place { ip, client_port, peer_port, region: None }
        };
        let places = free_ports(count)?.into_iter().map(place).collect();
        Cluster::new(recipe, dir, places, None)
    }

    /// Nodes on these hosts, in these regions; starts nothing.
    pub(crate) fn on_hosts(
        recipe: Recipe,
        dir: &Path,
        hosts: Hosts,
        regions: &[Option<&'static str>],
    ) -> Result<Cluster> {
        let place = |(node, region): (usize, &Option<&'static str>)| {
            let ip = Hosts::ip(node);
            Place { ip, client_port: CLIENT_PORT, peer_port: PEER_PORT, region: *region }
        };
        let places = regions.iter().enumerate().map(place).collect();
        Cluster::new(recipe, dir, places, Some(hosts))
    }

    fn new(
        recipe: Recipe,
        dir: &Path,
        places: Vec<Place>,
        hosts: Option<Hosts>,
    ) -> Result<Cluster> {
        if dir.exists() {
            fs::remove_dir_all(dir).with_context(|| format!("cannot clear {}", dir.display()))?;
        }
        for node in 0..places.len() {
            let dir = node_dir(dir, node);
            fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let processes = places.iter().map(|_| None).collect();
        Ok(Cluster { recipe, places, dir: dir.to_path_buf(), processes, hosts })
    }

    pub(crate) fn count(&self) -> usize {
        self.places.len()
    }

    /// Where clients reach a node.
    pub(crate) fn address(&self, node: usize) -> SocketAddr {
        let place = &self.places[node];
        SocketAddr::new(IpAddr::V4(place.ip), place.client_port)
    }

    /// The same of all nodes.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        (0..self.count()).map(|node| self.address(node)).collect()
    }

    /// The hosts, if each node has one of its own.
    pub(crate) fn hosts(&mut self) -> Result<&mut Hosts> {
        self.hosts.as_mut().context("the nodes are not on hosts of their own")
    }

    /// Starts a node. `join`: it is new to the cluster and is told this member's address.
    pub(crate) fn start(&mut self, node: usize, join: Option<usize>) -> Result<()> {
        let output = node_dir(&self.dir, node).join("output.log");
        let output = File::options().create(true).append(true).open(output)?;
        let binary = &self.recipe.binary;
        let mut command = match &self.hosts {
            Some(hosts) => hosts.command(node, binary),
            None => Command::new(binary),
        };
        command.args(self.words(node, join));
        let errors = output.try_clone()?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command.spawn().with_context(|| format!("cannot start node {node}"))?;
        self.processes[node] = Some(child);
        Ok(())
    }

    fn words(&self, node: usize, join: Option<usize>) -> Vec<String> {
        let Place { ip, client_port, peer_port, region } = self.places[node];
        let mut words = vec!["server".to_owned()];
        let mut put = |name: &str, value: &str| {
            words.extend([format!("--{name}"), value.to_owned()]);
        };
        put("data-dir", &node_dir(&self.dir, node).to_string_lossy());
        put("port", &client_port.to_string());
        put("peer", &format!("{ip}:{peer_port}"));
        put("peer-secret", SECRET);
        put("http", "off");
        put("threads", "1");
        put("acks", &self.recipe.acks);
        if self.hosts.is_some() {
            put("bind", &ip.to_string());
            put("protected-mode", "no");
        }
        if let Some(region) = region {
            put("region", region);
        }
        if let Some(member) = join {
            let Place { ip, peer_port, .. } = self.places[member];
            put("join", &format!("{ip}:{peer_port}"));
        }
        words.extend(self.recipe.parameters.iter().cloned());
        words
    }

    /// A node forgets which role it had: the next start is a first one as far as that goes.
    pub(crate) fn forget_role(&self, node: usize) -> Result<()> {
        let role = node_dir(&self.dir, node).join("replication.role");
        if role.exists() {
            fs::remove_file(&role).with_context(|| format!("cannot remove {}", role.display()))?;
        }
        Ok(())
    }

    /// SIGSTOP, SIGCONT or SIGTERM.
    pub(crate) fn signal(&self, node: usize, signal: Signal) -> Result<()> {
        let child = self.processes[node].as_ref();
        let child = child.with_context(|| format!("node {node} does not run"))?;
        Ok(kill_process(Pid::from_child(child), signal)?)
    }

    /// Kills a node with no warning.
    pub(crate) fn kill(&mut self, node: usize) {
        if let Some(mut child) = self.processes[node].take() {
            // It may be dead already, which is found out elsewhere.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks a node to stop and waits until it has.
    pub(crate) fn stop(&mut self, node: usize) -> Result<()> {
        self.signal(node, Signal::TERM)?;
        let child = self.processes[node].as_mut().expect("it got a signal");
        wait_until(&format!("node {node} stops at SIGTERM"), STOP_PATIENCE, || {
            Ok(child.try_wait()?)
        })?;
        self.processes[node] = None;
        Ok(())
    }

    /// An error with its last lines if a node ended although nobody asked it to.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        for (node, process) in self.processes.iter_mut().enumerate() {
            let Some(status) = process.as_mut().and_then(|child| child.try_wait().ok().flatten())
            else {
                continue;
            };
            let output = node_dir(&self.dir, node).join("output.log");
            let output = fs::read_to_string(output).unwrap_or_default();
            let lines: Vec<&str> = output.lines().collect();
            let last = lines[lines.len().saturating_sub(8)..].join("\n    ");
            bail!("node {node} ended by itself ({status}):\n    {last}");
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in 0..self.count() {
            self.kill(node);
        }
    }
}

fn node_dir(dir: &Path, node: usize) -> PathBuf {
    dir.join(format!("node-{node}"))
}

/// Pairs of ports that nobody uses, for TCP and for UDP. Somebody may take one before the node does:
/// then the start fails and says so.
fn free_ports(pairs: usize) -> Result<Vec<(u16, u16)>> {
    let mut held = Vec::new();
    for _ in 0..PORT_TRIES {
        if held.len() == 2 * pairs {
            break;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        if let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push((port, listener, socket));
        }
    }
    if held.len() < 2 * pairs {
        bail!("there are not {} free ports", 2 * pairs);
    }
    let ports: Vec<u16> = held.iter().map(|(port, ..)| *port).collect();
    Ok(ports.chunks(2).map(|pair| (pair[0], pair[1])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_join_the_first_one_when_they_start_for_the_first_time() {
        let dir = std::env::temp_dir().join(format!("trefoil-failover-{}", std::process::id()));
        let parameters = vec!["--fsync".to_owned(), "always".to_owned()];
        let recipe = Recipe { binary: "trefoil".into(), acks: "sync".into(), parameters };
        let cluster = Cluster::on_this_host(recipe, &dir, 2).expect("ports and a folder");
        let first = cluster.places[0];
        let join = format!("--join 127.0.0.1:{}", first.peer_port);
        let again = cluster.words(1, None).join(" ");
        assert!(!again.contains("--join"), "{again}");
        let words = cluster.words(1, Some(0)).join(" ");
        assert!(words.ends_with(&format!("--acks sync {join} --fsync always")), "{words}");
        assert!(words.contains(&format!("--port {}", cluster.address(1).port())), "{words}");
        drop(cluster);
        fs::remove_dir_all(&dir).expect("it was made");
    }
}
