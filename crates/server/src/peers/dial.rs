//! Connects to a leader, on a thread of its own that ends with the attempt.
//!
//! REPLICAOF names a port for clients, as in Redis. The leader is asked there for its port for nodes.
//! However long a name takes to be looked up, only that attempt waits for it.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use trefoil_node::node::Node;
use trefoil_node::peers::{Door, LeaderAddress};
use trefoil_wire::resp::client::encode_command;

use super::PeersMailbox;
use super::mailbox::Dialled;
use super::socket::TLS_ALERT;

const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// For all that is asked and answered at the door for clients.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
const LINE_BYTES_MAX: usize = 4_096;

/// Makes connections for the peers thread.
#[derive(Clone)]
pub(crate) struct Dialler {
    node: Arc<Node>,
    mailbox: Arc<PeersMailbox>,
}

impl Dialler {
    pub(super) fn new(node: Arc<Node>, mailbox: Arc<PeersMailbox>) -> Dialler {
        Dialler { node, mailbox }
    }

    /// Dials; the mailbox hears what came of it.
    pub(super) fn dial(&self, attempt: u64, leader: LeaderAddress) {
        let (dialler, to) = (self.clone(), leader.clone());
        let body = move || {
            let result = dialler.connect(&to);
            dialler.mailbox.put(Dialled { attempt, leader: to, result });
        };
        if let Err(error) = thread::Builder::new().name("dial".into()).spawn(body) {
            let result = Err(format!("no thread for dialling: {error}"));
            self.mailbox.put(Dialled { attempt, leader, result });
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
    fn ask(&self, stream: TcpStream) -> Result<u16, String> {
        let settings = &self.node.settings.replication;
        let (user, password) = (bytes(&settings.masteruser), bytes(&settings.masterauth));
        let mut request = Vec::new();
        if !password.is_empty() {
            match user.is_empty() {
                true => encode_command(&mut request, &[b"AUTH", &password]),
                false => encode_command(&mut request, &[b"AUTH", &user, &password]),
            }
        }
        encode_command(&mut request, &[b"REPLICATION", b"PEER"]);
        let mut lines = Lines::new(stream);
        lines.send(&request).map_err(|error| error.to_string())?;
        if !password.is_empty() {
            let answer = lines.next_line()?;
            if !answer.starts_with("+OK") {
                return Err(format!("masterauth is not accepted there: {answer}"));
            }
        }
        let answer = lines.next_line()?;
        match answer.strip_prefix(':').and_then(|port| port.parse().ok()) {
            Some(0) => Err("it has no port for nodes (its parameter `peer` is off)".into()),
            Some(port) => Ok(port),
            None => Err(format!("it answers: {answer}")),
        }
    }
}

/// Lines of short answers, all of them within a time.
struct Lines {
    stream: TcpStream,
    unread: Vec<u8>,
    by: Instant,
}

impl Lines {
    fn new(stream: TcpStream) -> Lines {
        Lines { stream, unread: Vec::new(), by: Instant::now() + ANSWER_WITHIN }
    }

    /// What is left of the time; a socket takes no timeout of nothing.
    fn left(&self) -> io::Result<Duration> {
        let left = self.by.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }

    fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write_all(request)
    }

    fn next_line(&mut self) -> Result<String, String> {
        loop {
            if let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_string());
            }
            match self.receive() {
                Ok(()) if self.unread.starts_with(TLS_ALERT) => {
                    return Err("it speaks TLS there; name a plain port of it".into());
                }
                Ok(()) if self.unread.len() <= LINE_BYTES_MAX => {}
                Ok(()) => return Err("it answers too much".into()),
                Err(error) if is_late(&error) => return Err("it does not answer in time".into()),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Err("it closed the connection instead of answering".into());
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        let mut room = [0; 512];
        match self.stream.read(&mut room)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => {
                self.unread.extend_from_slice(&room[..count]);
                Ok(())
            }
        }
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn bytes(of: &RwLock<Vec<u8>>) -> Vec<u8> {
    of.read().unwrap_or_else(PoisonError::into_inner).clone()
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
