//! `trefoil cluster` as people use it: it starts, says how to connect, reports who dies, and stops.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A cluster that is told to stop when the test ends, however it ends.
struct Cluster {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Cluster {
    fn start(base_port: u16, dir: &Path) -> Cluster {
        let mut process = Command::new(env!("CARGO_BIN_EXE_trefoil"))
            .args(["cluster", "--nodes", "2", "--base-port", &base_port.to_string()])
            .arg("--data-dir")
            .arg(dir)
            .args(["--acks", "semi-sync:1", "--", "--threads", "1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the executable starts");
        let output = BufReader::new(process.stdout.take().expect("it is a pipe"));
        Cluster { process, output }
    }

    /// Reads what it prints up to a line that contains a text.
    fn read_until(&mut self, text: &str) -> String {
        let mut read = String::new();
        while !read.lines().last().is_some_and(|line| line.contains(text)) {
            let count = self.output.read_line(&mut read).expect("it prints text");
            assert!(count > 0, "it ended before it said {text:?}: {read}");
        }
        read
    }

    /// Tells it to stop and returns what it printed to the end, and whether it was content.
    fn stop(mut self) -> (String, String, bool) {
        kill_process(Pid::from_child(&self.process), Signal::INT).expect("it runs");
        let (mut output, mut errors) = (String::new(), String::new());
        self.output.read_to_string(&mut output).expect("text");
        let mut stderr = self.process.stderr.take().expect("it is a pipe");
        stderr.read_to_string(&mut errors).expect("text");
        let status = self.process.wait().expect("it ends");
        (output, errors, status.success())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It may have ended.
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let _ = self.process.wait();
    }
}

/// A port such that all that a cluster of two needs are free.
fn base_port() -> u16 {
    let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    loop {
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = probe.local_addr().expect("bound").port();
        drop(probe);
        let offsets = [0, 1, 1000, 1001, 2000, 2001];
        if port < 60_000 && offsets.iter().all(|offset| is_free(port + offset)) {
            return port;
        }
    }
}

fn ask(port: u16, command: &str, reply: &str) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the node listens");
    stream.write_all(command.as_bytes()).expect("it reads");
    let mut read = vec![0; reply.len()];
    stream.read_exact(&mut read).expect("it answers");
    assert_eq!(String::from_utf8_lossy(&read), reply, "{command:?}");
}

#[test]
fn a_cluster_starts_serves_reports_a_death_and_stops() {
    let (dir, port) = (TempDir::new().expect("a folder"), base_port());
    let mut cluster = Cluster::start(port, dir.path());
    let start = cluster.read_until("Ctrl-C stops all nodes");
    for line in ["node 0: leads", "node 1: caught up", &format!("redis-cli -p {}", port + 1)] {
        assert!(start.contains(line), "{line:?} in {start}");
    }
    ask(port, "SET greeting hello\r\n", "+OK\r\n");
    ask(port + 1, "GET greeting\r\n", "$5\r\nhello\r\n");

    let second = Command::new(env!("CARGO_BIN_EXE_trefoil"))
        .args(["cluster", "--nodes", "2", "--base-port", &port.to_string()])
        .output()
        .expect("it starts");
    let complaint = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        !second.status.success() && complaint.contains("these ports can't be used"),
        "{complaint}"
    );

    let pid_file = dir.path().join("node-1/trefoil.pid");
    let pid: i32 =
        std::fs::read_to_string(pid_file).expect("a file").trim().parse().expect("a number");
    kill_process(Pid::from_raw(pid).expect("not 0"), Signal::KILL).expect("it runs");
    let mut told = BufReader::new(cluster.process.stderr.take().expect("it is a pipe"));
    let mut line = String::new();
    told.read_line(&mut line).expect("text");
    assert!(line.contains("node 1 was killed (signal 9)"), "{line}");
    cluster.process.stderr = Some(told.into_inner());

    let (output, errors, content) = cluster.stop();
    assert!(output.contains("node 0 stopped cleanly") && content, "{output}\n{errors}");
}
