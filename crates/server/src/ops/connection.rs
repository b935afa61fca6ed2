//! A connection to a node, over the protocol of its clients: one question, one answer, in RESP3.
//!
//! Invariant: no question waits longer than it was given; a connection that failed is not asked again.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use trefoil_wire::resp::client::{Value, decode, encode_command};

/// How long it may take to be let in, and to be answered by a node that has nothing to wait for.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes that are read at a time.
const PIECE_BYTES: usize = 16 << 10;
/// The longest answer, bytes.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum AskError {
    /// The node can't be reached, or does not speak as it should.
    Unreachable(String),
    /// The node's own words.
    Refused(String),
}

impl From<io::Error> for AskError {
    fn from(error: io::Error) -> AskError {
        AskError::Unreachable(match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                "it did not answer in time".into()
            }
            io::ErrorKind::ConnectionRefused => "nobody listens there".into(),
            _ => error.to_string(),
        })
    }
}

/// How nodes of a cluster are reached.
#[derive(Clone)]
pub(super) struct Door {
    /// User, if it is not the default one, and password.
    pub(super) login: Option<(Option<String>, String)>,
    pub(super) tls: Option<Arc<ClientConfig>>,
}

/// See the module.
pub(super) struct Connection {
    stream: Stream,
    /// What came behind the last answer.
    bytes: Vec<u8>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => &stream.sock,
        }
    }

    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(piece),
            Stream::Tls(stream) => stream.read(piece),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }
}

impl Door {
    /// Connects, and logs in if there is a password.
    pub(super) fn open(&self, host: &str, port: u16) -> Result<Connection, AskError> {
        let stream = dial(host, port)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let stream = match &self.tls {
            None => Stream::Plain(stream),
            Some(config) => {
                let name = ServerName::try_from(host.to_owned()).map_err(|_| {
                    AskError::Unreachable(format!(
                        "'{host}' is no name that a certificate can have"
                    ))
                })?;
                let session = ClientConnection::new(Arc::clone(config), name)
                    .map_err(|error| AskError::Unreachable(error.to_string()))?;
                Stream::Tls(Box::new(StreamOwned::new(session, stream)))
            }
        };
        let mut connection = Connection { stream, bytes: Vec::new() };
        match &self.login {
            None => connection.ask(&["HELLO", "3"])?,
            Some((user, password)) => {
                let user = user.as_deref().unwrap_or("default");
                connection.ask(&["HELLO", "3", "AUTH", user, password])?
            }
        };
        Ok(connection)
    }
}

fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failed = io::Error::other("that host has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

impl Connection {
    /// Sends a command and waits for the reply. An error reply is an error.
    pub(super) fn ask(&mut self, words: &[&str]) -> Result<Value, AskError> {
        self.ask_within(PATIENCE, words)
    }

    /// The same, of a command that takes its time.
    pub(super) fn ask_within(
        &mut self,
        patience: Duration,
        words: &[&str],
    ) -> Result<Value, AskError> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.ask_bytes(patience, &words)
    }

    /// The same, with words of any bytes.
    pub(super) fn ask_bytes(
        &mut self,
        patience: Duration,
        words: &[&[u8]],
    ) -> Result<Value, AskError> {
        let deadline = Instant::now() + patience;
        let mut request = Vec::new();
        encode_command(&mut request, words);
        self.stream.socket().set_read_timeout(Some(patience))?;
        self.stream.write_all(&request)?;
        loop {
            match self.next_reply()? {
                Some(Value::Push(_)) => {}
                Some(Value::Error(text)) => {
                    return Err(AskError::Refused(String::from_utf8_lossy(&text).into_owned()));
                }
                Some(value) => return Ok(value),
                None => self.read_more(deadline)?,
            }
        }
    }

    fn next_reply(&mut self) -> Result<Option<Value>, AskError> {
        let decoded = decode(&self.bytes)
            .map_err(|error| AskError::Unreachable(format!("it does not speak RESP: {error}")))?;
        Ok(decoded.map(|(value, bytes)| {
            self.bytes.drain(..bytes);
            value
        }))
    }

    fn read_more(&mut self, deadline: Instant) -> Result<(), AskError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::from(io::ErrorKind::TimedOut).into());
        }
        self.stream.socket().set_read_timeout(Some(left))?;
        let mut piece = [0; PIECE_BYTES];
        let count = match self.stream.read(&mut piece) {
            Ok(0) => return Err(AskError::Unreachable("it closed the connection".into())),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if self.bytes.len() + count > ANSWER_BYTES_MAX {
            return Err(AskError::Unreachable("its answer has no end".into()));
        }
        self.bytes.extend_from_slice(&piece[..count]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    /// A node that gives these answers, one to each question.
    fn node(answers: &'static [&'static str]) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            for answer in answers {
                let mut request = [0; 256];
                let _ = stream.read(&mut request).expect("a question");
                stream.write_all(answer.as_bytes()).expect("an answer");
            }
        });
        port
    }

    const DOOR: Door = Door { login: None, tls: None };

    #[test]
    fn a_question_has_one_answer() {
        let port = node(&["%0\r\n", ">1\r\n+news\r\n:7\r\n", "-ERR no\r\n"]);
        let mut connection = DOOR.open("127.0.0.1", port).expect("let in");
        assert_eq!(connection.ask(&["A"]), Ok(Value::Integer(7)));
        assert_eq!(connection.ask(&["B"]), Err(AskError::Refused("ERR no".into())));
        let gone = connection.ask(&["C"]).expect_err("it is gone");
        assert!(matches!(gone, AskError::Unreachable(_)), "{gone:?}");
    }

    #[test]
    fn who_is_no_node_is_told_apart() {
        let port = node(&["HTTP/1.1 400 Bad Request\r\n"]);
        let error = DOOR.open("127.0.0.1", port).err().expect("no RESP");
        assert!(matches!(&error, AskError::Unreachable(why) if why.contains("RESP")), "{error:?}");
        let refused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = refused.local_addr().expect("bound").port();
        drop(refused);
        let error = DOOR.open("127.0.0.1", port).err().expect("nobody there");
        assert_eq!(error, AskError::Unreachable("nobody listens there".into()));
    }
}
