//! Connects to a leader, on a thread of its own that ends with the attempt.
//!
//! REPLICAOF names a port for clients, as in Redis. The leader is asked there for its port for nodes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use trefoil_node::peers::{Door, LeaderAddress};
use trefoil_wire::resp::client::encode_command;

use super::PeersMailbox;

const CONNECT_WITHIN: Duration = Duration::from_secs(3);
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
const LINE_MAX: u64 = 4_096;

/// What dialling, and being dialled, needs to know.
#[derive(Clone)]
pub(crate) struct Dialler {
    /// Shown to the leader's door for clients.
    pub(crate) user: Vec<u8>,
    pub(crate) password: Vec<u8>,
    /// Nodes prove who they are, so they may come from anywhere.
    pub(crate) trusts_proofs: bool,
}

impl Dialler {
    /// Whether a node may connect from there.
    pub(super) fn may_come(&self, from: IpAddr) -> bool {
        self.trusts_proofs || from.is_loopback()
    }

    /// Dials; the mailbox hears what came of it.
    pub(super) fn dial(&self, leader: LeaderAddress, mailbox: Arc<PeersMailbox>) {
        let dialler = self.clone();
        let (to, tell) = (leader.clone(), Arc::clone(&mailbox));
        let body = move || {
            let result = dialler.connect(&to);
            tell.put((to, result));
        };
        if let Err(error) = thread::Builder::new().name("dial".into()).spawn(body) {
            mailbox.put((leader, Err(format!("no thread for dialling: {error}"))));
        }
    }

    fn connect(&self, leader: &LeaderAddress) -> Result<TcpStream, String> {
        let LeaderAddress { host, port, door } = leader;
        let stream = connect(host, *port)?;
        let stream = match door {
            Door::Peers => stream,
            Door::Clients => {
                let port = self.ask(stream).map_err(|error| {
                    format!("its port for nodes could not be learned from {host}:{port}: {error}")
                })?;
                connect(host, port)?
            }
        };
        stream.set_nonblocking(true).map_err(|error| error.to_string())?;
        Ok(stream)
    }

    /// Asks at the door for clients where the door for nodes is.
    fn ask(&self, mut stream: TcpStream) -> Result<u16, String> {
        let text = |error: std::io::Error| error.to_string();
        stream.set_read_timeout(Some(ANSWER_WITHIN)).map_err(text)?;
        stream.set_write_timeout(Some(ANSWER_WITHIN)).map_err(text)?;
        let mut request = Vec::new();
        let authenticates = !self.password.is_empty();
        if authenticates {
            match self.user.is_empty() {
                true => encode_command(&mut request, &[b"AUTH", &self.password]),
                false => encode_command(&mut request, &[b"AUTH", &self.user, &self.password]),
            }
        }
        encode_command(&mut request, &[b"REPLICATION", b"PEER"]);
        stream.write_all(&request).map_err(text)?;
        let mut lines = BufReader::new(std::io::Read::take(stream, LINE_MAX));
        let mut line = String::new();
        if authenticates {
            lines.read_line(&mut line).map_err(text)?;
            if !line.starts_with("+OK") {
                return Err(format!("masterauth is not accepted there: {}", line.trim()));
            }
            line.clear();
        }
        lines.read_line(&mut line).map_err(text)?;
        let port = line.strip_prefix(':').and_then(|port| port.trim().parse().ok());
        match port {
            Some(0) => Err("it has no port for nodes (its parameter `peer` is off)".into()),
            Some(port) => Ok(port),
            None => Err(format!("it answers: {}", line.trim())),
        }
    }
}

fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let found = (host, port).to_socket_addrs().map_err(|error| format!("{host}: {error}"))?;
    let mut trouble = format!("{host} has no address");
    for address in found {
        match TcpStream::connect_timeout(&address, CONNECT_WITHIN) {
            Ok(stream) => return Ok(stream),
            Err(error) => trouble = format!("{address}: {error}"),
        }
    }
    Err(trouble)
}
