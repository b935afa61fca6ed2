//! Which node has which ports, folder and command line.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use super::ClusterOptions;

/// HTTP ports start so far above those for clients.
const HTTP_OFFSET: u16 = 1000;
/// Ports for peers start so far above those for clients.
const PEER_OFFSET: u16 = 2000;

/// Where everything is. Nodes are numbered from 0.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    program: PathBuf,
    nodes: u16,
    base_port: u16,
    data_dir: PathBuf,
    acks: String,
    parameters: Vec<String>,
}

impl Layout {
    pub(super) fn new(program: PathBuf, options: &ClusterOptions) -> Layout {
        let default = if options.nodes >= 3 { "semi-sync:1" } else { "async" };
        Layout {
            program,
            nodes: options.nodes,
            base_port: options.base_port,
            data_dir: options.data_dir.clone(),
            acks: options.acks.clone().unwrap_or_else(|| default.to_owned()),
            parameters: options.parameters.clone(),
        }
    }

    pub(super) fn nodes(&self) -> std::ops::Range<u16> {
        0..self.nodes
    }

    /// When a write is acknowledged: the parameter `acks`.
    pub(super) fn acks(&self) -> &str {
        &self.acks
    }

    pub(super) fn client_port(&self, node: u16) -> u16 {
        self.base_port + node
    }

    fn http_port(&self, node: u16) -> u16 {
        self.base_port + HTTP_OFFSET + node
    }

    fn peer_port(&self, node: u16) -> u16 {
        self.base_port + PEER_OFFSET + node
    }

    /// The node's data directory.
    pub(super) fn node_dir(&self, node: u16) -> PathBuf {
        self.data_dir.join(format!("node-{node}"))
    }

    /// What the node prints.
    pub(super) fn output(&self, node: u16) -> PathBuf {
        self.node_dir(node).join("output.log")
    }

    /// Says which ports are taken, before anything is started.
    pub(super) fn check_ports(&self) -> Result<()> {
        let mut taken = Vec::new();
        for node in self.nodes() {
            let ports = [
                ("clients", self.client_port(node)),
                ("HTTP", self.http_port(node)),
                ("peers", self.peer_port(node)),
            ];
            for (whom, port) in ports {
                if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                    taken.push(format!("  {port} (node {node}, {whom}): {error}"));
                }
            }
        }
        if taken.is_empty() {
            return Ok(());
        }
        bail!(
            "nothing was started, these ports can't be used:\n{}\n\
             Is another cluster running? --base-port takes others, for example --base-port {}",
            taken.join("\n"),
            if self.base_port < 20_000 { 26_379 } else { 6379 }
        );
    }

    /// The command that starts a node.
    ///
    /// A node that has been part of a cluster remembers its role: it may lead by now, and is not told
    /// again whom to follow.
    pub(super) fn command(&self, node: u16) -> Command {
        let mut command = Command::new(&self.program);
        let address = |port: u16| format!("127.0.0.1:{port}");
        command.arg("server").arg("--data-dir").arg(self.node_dir(node));
        command.args(["--port", &self.client_port(node).to_string()]);
        command.args(["--peer", &address(self.peer_port(node))]);
        command.args(["--http", &address(self.http_port(node))]);
        command.args(["--acks", &self.acks]);
        if node > 0 && !self.node_dir(node).join("replication.role").exists() {
            command.args(["--join", &address(self.peer_port(0))]);
        }
        command.args(&self.parameters);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(nodes: u16, base_port: u16, data_dir: PathBuf) -> Layout {
        let parameters = vec!["--fsync".to_owned(), "always".to_owned()];
        let options =
            ClusterOptions { command: None, nodes, base_port, data_dir, acks: None, parameters };
        Layout::new("trefoil".into(), &options)
    }

    fn words(command: &Command) -> String {
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    }

    #[test]
    fn the_first_node_leads_and_the_others_join_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let layout = layout(3, 7000, dir.path().join("d"));
        let node_dir = |node| dir.path().join(format!("d/node-{node}")).display().to_string();
        assert_eq!(
            words(&layout.command(0)),
            format!(
                "server --data-dir {} --port 7000 --peer 127.0.0.1:9000 --http 127.0.0.1:8000 --acks semi-sync:1 --fsync always",
                node_dir(0)
            )
        );
        assert_eq!(
            words(&layout.command(2)),
            format!(
                "server --data-dir {} --port 7002 --peer 127.0.0.1:9002 --http 127.0.0.1:8002 \
                 --acks semi-sync:1 --join 127.0.0.1:9000 --fsync always",
                node_dir(2)
            )
        );
    }

    #[test]
    fn a_node_that_remembers_its_role_is_not_told_whom_to_join() {
        let dir = tempfile::tempdir().expect("a folder");
        let layout = layout(2, 7000, dir.path().to_path_buf());
        assert!(words(&layout.command(1)).contains("--join"));
        std::fs::create_dir(layout.node_dir(1)).expect("a folder");
        std::fs::write(layout.node_dir(1).join("replication.role"), "leader\n").expect("a file");
        assert!(!words(&layout.command(1)).contains("--join"));
    }

    #[test]
    fn a_port_in_use_is_named_before_anything_starts() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = taken.local_addr().expect("bound").port();
        let mut layout = layout(1, 0, "d".into());
        layout.base_port = port - HTTP_OFFSET;
        let error = layout.check_ports().expect_err("it is in use").to_string();
        assert!(error.contains(&format!("{port} (node 0, HTTP)")), "{error}");
    }

    #[test]
    fn three_nodes_wait_for_a_follower_and_two_do_not() {
        assert_eq!(layout(3, 1, "d".into()).acks(), "semi-sync:1");
        assert_eq!(layout(2, 1, "d".into()).acks(), "async");
    }
}
