//! A client of our own, over RESP2: one request, one reply, and honest about what it doesn't know.
//!
//! It retries nothing: whoever records a history must know of every request that left.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// A node on this machine takes connections at once, or it is stopped or dead.
const CONNECT_PATIENCE: Duration = Duration::from_millis(500);

/// A reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Reply {
    Status(String),
    Error(String),
    Number(i64),
    Text(Option<String>),
    Many(Vec<Reply>),
}

impl Reply {
    /// A status or a string.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Reply::Status(text) => Some(text),
            Reply::Text(text) => text.as_deref(),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<i64> {
        match self {
            Reply::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The elements of an array; of anything else none.
    pub(super) fn elements(&self) -> &[Reply] {
        match self {
            Reply::Many(elements) => elements,
            _ => &[],
        }
    }
}

/// A connection. After an error it is of no use any more.
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to a node of this machine; a reply may take `patience`.
    pub(super) fn open(port: u16, patience: Duration) -> io::Result<Connection> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, CONNECT_PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Connection { stream: BufReader::new(stream) })
    }

    /// Sends one command and waits for its reply; an error reply is a reply.
    pub(super) fn call(&mut self, words: &[&str]) -> io::Result<Reply> {
        self.send(words)?;
        self.receive()
    }

    /// Sends one command.
    pub(super) fn send(&mut self, words: &[&str]) -> io::Result<()> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.stream.get_mut().write_all(request.as_bytes())
    }

    /// Waits for one reply.
    pub(super) fn receive(&mut self) -> io::Result<Reply> {
        read_reply(&mut self.stream)
    }
}

fn read_reply(stream: &mut impl BufRead) -> io::Result<Reply> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let broken = || io::Error::new(ErrorKind::InvalidData, format!("not RESP: {line:?}"));
    let rest = line.get(1..).ok_or_else(broken)?.trim_end();
    let number = || rest.parse::<i64>().map_err(|_| broken());
    match line.as_bytes()[0] {
        b'+' => Ok(Reply::Status(rest.to_owned())),
        b'-' => Ok(Reply::Error(rest.to_owned())),
        b':' => Ok(Reply::Number(number()?)),
        b'$' => {
            let Ok(length) = usize::try_from(number()?) else { return Ok(Reply::Text(None)) };
            let mut body = vec![0; length + 2];
            stream.read_exact(&mut body)?;
            body.truncate(length);
            Ok(Reply::Text(Some(String::from_utf8_lossy(&body).into_owned())))
        }
        b'*' => {
            let Ok(count) = usize::try_from(number()?) else { return Ok(Reply::Text(None)) };
            (0..count).map(|_| read_reply(stream)).collect::<io::Result<_>>().map(Reply::Many)
        }
        _ => Err(broken()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &str) -> io::Result<Reply> {
        read_reply(&mut bytes.as_bytes())
    }

    #[test]
    fn replies_of_all_kinds_are_read() {
        let nested = read("*3\r\n$2\r\nab\r\n*-1\r\n*1\r\n:-7\r\n").expect("well formed");
        let text = Reply::Text(Some("ab".into()));
        let expected = vec![text, Reply::Text(None), Reply::Many(vec![Reply::Number(-7)])];
        assert_eq!(nested, Reply::Many(expected));
        assert_eq!(read("-ERR no\r\n").ok(), Some(Reply::Error("ERR no".into())));
        assert_eq!(read("$-1\r\n").ok(), Some(Reply::Text(None)));
    }

    #[test]
    fn a_reply_that_breaks_off_is_an_error_and_no_reply() {
        for broken in ["", "$5\r\nab", "*2\r\n:1\r\n", "?\r\n", "\u{e9}\r\n"] {
            assert!(read(broken).is_err(), "{broken:?}");
        }
    }
}
