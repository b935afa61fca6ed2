//! Opening a connection, before it is under load: connect, log in, choose protocol and database.
//!
//! Blocking, one question at a time. Every error says what to do about it.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::plan::Target;
use crate::replies::ReplyCounter;
use crate::stats::Tally;

/// How long connecting and each greeting may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest reply to a greeting that is kept, in bytes.
const REPLY_BYTES_MAX: usize = 64 << 10;

/// Connects and greets; the connection is ready for load.
pub(crate) fn open(target: &Target) -> anyhow::Result<TcpStream> {
    let mut stream = connect(target)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    for words in greetings(target) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        ask(&mut stream, &words).with_context(|| {
            format!(
                "{} did not accept {} (see --user, --password, --db, --resp)",
                target.address(),
                words[0]
            )
        })?;
    }
    Ok(stream)
}

fn connect(target: &Target) -> anyhow::Result<TcpStream> {
    let address = target.address();
    let found = (target.host.as_str(), target.port).to_socket_addrs().with_context(|| {
        format!("`{}` is not a host that can be found; see --host", target.host)
    })?;
    let mut last = None;
    for socket_address in found {
        match TcpStream::connect_timeout(&socket_address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(err) => last = Some(err),
        }
    }
    let Some(err) = last else { bail!("`{}` has no address; see --host", target.host) };
    Err(err).with_context(|| {
        format!("cannot connect to {address}. Is the server running there? --host and --port name another one; many connections may need a higher `ulimit -n`")
    })
}

/// What to say on a new connection; at least a PING, so that anything else than RESP shows at once.
fn greetings(target: &Target) -> Vec<Vec<String>> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let mut greetings: Vec<Vec<String>> = Vec::new();
    match (&target.user, &target.password) {
        (Some(user), Some(password)) => greetings.push(words(&["AUTH", user, password])),
        (None, Some(password)) => greetings.push(words(&["AUTH", password])),
        (_, None) => {}
    }
    if target.resp == 3 {
        greetings.push(words(&["HELLO", "3"]));
    }
    if target.db != 0 {
        greetings.push(words(&["SELECT", &target.db.to_string()]));
    }
    if greetings.is_empty() {
        greetings.push(words(&["PING"]));
    }
    greetings
}

/// Sends one command and returns its whole reply, which must not be an error.
pub(crate) fn ask(stream: &mut TcpStream, words: &[&str]) -> anyhow::Result<Vec<u8>> {
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        request.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    stream.write_all(&request)?;
    let (mut counter, mut tally) = (ReplyCounter::default(), Tally::default());
    let (mut reply, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let len = stream.read(&mut chunk).context("the server did not answer in time")?;
        if len == 0 {
            bail!("the server closed the connection");
        }
        reply.extend_from_slice(&chunk[..len]);
        let done = counter.feed(&chunk[..len], &mut tally)?;
        if let Some((message, _)) = tally.errors.iter().next() {
            bail!("the server answered: {message}");
        }
        if done > 0 {
            return Ok(reply);
        }
        if reply.len() > REPLY_BYTES_MAX {
            bail!("the reply is longer than {REPLY_BYTES_MAX} bytes");
        }
    }
}
