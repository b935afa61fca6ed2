//! The few words that the benchmark itself says to a server, over RESP2.
//!
//! Not a client library: one request, one reply; an array comes as its items, a line each.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Loading five million keys may take a while; a server that is silent for longer is stuck.
const PATIENCE: Duration = Duration::from_secs(120);

/// An open connection.
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to this machine.
    pub(super) fn open(port: u16) -> Result<Connection> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // Ten thousand idle ones are opened: no large buffers on our side either.
        Ok(Connection { stream: BufReader::with_capacity(512, stream) })
    }

    /// Sends one command and returns its reply; an error reply is an error.
    pub(super) fn call(&mut self, words: &[&str]) -> Result<String> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.reply().with_context(|| format!("reply to {}", words.join(" ")))
    }

    fn reply(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let Some(kind) = line.chars().next() else { bail!("the server closed the connection") };
        let rest = line[1..].trim_end();
        match kind {
            '+' | ':' => Ok(rest.to_owned()),
            '-' => bail!("{rest}"),
            '$' | '*' if rest == "-1" => Ok(String::new()),
            '*' => {
                let count: usize = rest.parse().context("a broken count")?;
                let items: Result<Vec<String>> = (0..count).map(|_| self.reply()).collect();
                Ok(items?.join("\n"))
            }
            '$' => {
                let length: usize = rest.parse().context("a broken length")?;
                let mut body = vec![0; length + 2];
                self.stream.read_exact(&mut body)?;
                body.truncate(length);
                Ok(String::from_utf8_lossy(&body).into_owned())
            }
            _ => bail!("unexpected reply {line:?}"),
        }
    }

    /// A number from INFO.
    pub(super) fn info_number(&mut self, section: &str, field: &str) -> Result<f64> {
        let text = self.call(&["INFO", section])?;
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let value = value.with_context(|| format!("INFO {section} has no {field}"))?;
        value.trim().parse().with_context(|| format!("{field} is {value:?}"))
    }
}
