//! Questions to a node, over the same protocol as its clients.
//!
//! A connection per question: a node that hangs or restarts spoils nothing for the next one.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use trefoil_wire::resp::client::{Value, decode, encode_command};

/// A node on this machine that has not answered after so long is busy.
const PATIENCE: Duration = Duration::from_secs(2);

/// A node's own view of its role.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// It takes writes. `end` is the last position of its log.
    Leads { end: i64 },
    /// It follows the node with this port for clients.
    Follows { port: i64, state: String, applied: i64 },
}

/// Asks a node for its role. An error tells why there is no answer yet.
pub(super) fn role(port: u16) -> Result<Role> {
    let reply = call(port, &["ROLE"])?;
    match read_role(&reply) {
        Some(role) => Ok(role),
        None => bail!("the answer to ROLE was {reply:?}"),
    }
}

/// Sends one command and returns the reply. An error reply is an error.
fn call(port: u16, words: &[&str]) -> Result<Value> {
    let deadline = Instant::now() + PATIENCE;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    let mut request = Vec::new();
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    encode_command(&mut request, &words);
    stream.write_all(&request)?;
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Some((value, _)) = decode(&bytes)? {
            if let Value::Error(text) = value {
                bail!("{}", String::from_utf8_lossy(&text));
            }
            return Ok(value);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::from(io::ErrorKind::TimedOut).into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece)? {
            0 => bail!("the node closed the connection"),
            count => bytes.extend_from_slice(&piece[..count]),
        }
    }
}

fn read_role(reply: &Value) -> Option<Role> {
    let elements = reply.as_elements()?;
    let text = |at: usize| {
        let bytes = elements.get(at)?.as_bytes()?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    };
    let number = |at: usize| elements.get(at)?.as_integer();
    match text(0)?.as_str() {
        "master" => Some(Role::Leads { end: number(1)? }),
        "slave" => Some(Role::Follows { port: number(2)?, state: text(3)?, applied: number(4)? }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn both_shapes_of_a_role_are_read() {
        let leads =
            Value::Array(vec![Value::bulk("master"), Value::Integer(7), Value::Array(vec![])]);
        assert_eq!(read_role(&leads), Some(Role::Leads { end: 7 }));
        let follows = Value::Array(vec![
            Value::bulk("slave"),
            Value::bulk("127.0.0.1"),
            Value::Integer(6379),
            Value::bulk("connected"),
            Value::Integer(5),
        ]);
        let state = "connected".to_owned();
        assert_eq!(read_role(&follows), Some(Role::Follows { port: 6379, state, applied: 5 }));
        assert_eq!(read_role(&Value::Null), None);
    }

    #[test]
    fn an_error_reply_and_a_closed_connection_say_so() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let server = std::thread::spawn(move || {
            for answer in ["-LOADING the data is being read\r\n", "*1\r\n"] {
                let (mut stream, _) = listener.accept().expect("somebody asks");
                let mut request = [0; 64];
                let _ = stream.read(&mut request).expect("a question");
                stream.write_all(answer.as_bytes()).expect("an answer");
            }
        });
        let error = role(port).expect_err("it is loading").to_string();
        assert!(error.contains("LOADING"), "{error}");
        assert!(role(port).expect_err("cut off").to_string().contains("closed"));
        server.join().expect("the server is done");
    }
}
