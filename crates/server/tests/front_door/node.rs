//! A running node in a folder of its own, on a free port; ended when dropped.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Nothing takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// See the module.
pub(crate) struct Node {
    pub(crate) child: Child,
    /// The words of its `ready` line.
    pub(crate) ready: Vec<String>,
    pub(crate) dir: TempDir,
}

/// The binary, with these words behind `server`.
pub(crate) fn server(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trefoil"));
    command.arg("server").args(words);
    command
}

impl Node {
    /// Starts one on a free port.
    pub(crate) fn start(words: &[&str]) -> Node {
        Node::start_in(tempfile::tempdir().expect("a folder"), &[&["--port", "0"], words].concat())
    }

    /// Starts one in a folder that may hold data.
    pub(crate) fn start_in(dir: TempDir, words: &[&str]) -> Node {
        let log = std::fs::File::create(dir.path().join("stderr")).expect("a file");
        let data = dir.path().join("data");
        let mut child = server(&["--threads", "2", "--http", "off", "--data-dir"])
            .arg(&data)
            .args(words)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it says something");
        let ready: Vec<String> = line.split_whitespace().map(str::to_string).collect();
        let node = Node { child, ready, dir };
        assert_eq!(node.ready.first().map(String::as_str), Some("ready"), "{}", node.log());
        node
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// What it wrote to standard error.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stderr")).expect("it is text")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.ready[1].parse().expect("an address")
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("it is a duration");
        stream.set_write_timeout(Some(PATIENCE)).expect("it is a duration");
        stream
    }

    /// Waits until it has written this to standard error.
    pub(crate) fn wait_for(&self, text: &str) {
        let by = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < by, "no '{text}' in {}", self.log());
            self.assert_serves();
        }
    }

    /// Fails if it does not serve.
    pub(crate) fn assert_serves(&self) {
        assert_eq!(ask(&mut self.connect(), b"PING\r\n", 7), b"+PONG\r\n");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends bytes and reads as many of the reply.
pub(crate) fn ask(stream: &mut TcpStream, request: &[u8], reply_len: usize) -> Vec<u8> {
    stream.write_all(request).expect("it is read");
    let mut reply = vec![0; reply_len];
    stream.read_exact(&mut reply).expect("a reply");
    reply
}

/// Reads until the other end closes, whichever way it does.
pub(crate) fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("it was to be closed: {error}"),
    }
    bytes
}

/// A command as clients send it.
pub(crate) fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
