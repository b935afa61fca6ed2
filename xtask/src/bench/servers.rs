//! The servers under comparison: how each is started, awaited, and stopped.
//!
//! All spellings of options are in `command_line`, so that a renamed option is one line here.

use std::fmt;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::connection::Connection;
use super::process::{self, Signal};
use crate::{peers, workspace};

/// The core of the server; the load generator has [`CLIENT_CORE`].
pub(super) const SERVER_CORE: &str = "0";
/// The core of the load generator.
pub(super) const CLIENT_CORE: &str = "1";

/// Longest start that is waited for: five million keys from a log on a slow disk.
const START_LIMIT: Duration = Duration::from_secs(180);

/// Whom we measure.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Debug)]
pub(super) enum Server {
    Trefoil,
    Valkey,
    Kevy,
}

/// When a write is safe on disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fsync {
    Always,
    EverySecond,
}

/// What a server keeps on disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// A log of all changes, no snapshots by themselves.
    Log(Fsync),
    /// What starts fastest: Valkey's RDB alone. Trefoil has its log beside the snapshot, as always.
    SnapshotOnly,
}

impl Durability {
    fn fsync(self) -> &'static str {
        match self {
            Durability::Log(Fsync::Always) => "always",
            Durability::Log(Fsync::EverySecond) | Durability::SnapshotOnly => "everysec",
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Server::Trefoil => "Trefoil",
            Server::Valkey => "Valkey",
            Server::Kevy => "kevy",
        })
    }
}

impl Server {
    /// In the order of the columns.
    pub(super) const ALL: [Server; 3] = [Server::Trefoil, Server::Valkey, Server::Kevy];

    /// The program.
    pub(super) fn binary(self) -> Result<PathBuf> {
        match self {
            Server::Trefoil => {
                let path = workspace::root().join("target/release/trefoil");
                if !path.is_file() {
                    bail!("{} is missing: `cargo build --release`", path.display());
                }
                Ok(path)
            }
            Server::Valkey => peers::valkey_server(),
            Server::Kevy => peers::kevy(),
        }
    }

    /// The options that a measurement needs, as this server spells them.
    pub(super) fn command_line(
        self,
        port: u16,
        folder: &Path,
        durability: Durability,
    ) -> Vec<String> {
        let fsync = durability.fsync();
        let folder = folder.display();
        let line = match (self, durability) {
            (Server::Trefoil, _) => format!(
                "server --port {port} --data-dir {folder} --threads 1 --fsync {fsync} \
                 --snapshot off --maxclients 20000"
            ),
            (Server::Valkey, Durability::Log(_)) => format!(
                "--port {port} --dir {folder} --bind 127.0.0.1 --maxclients 20000 --io-threads 1 \
                 --appendonly yes --appendfsync {fsync} --auto-aof-rewrite-percentage 0 --save"
            ),
            (Server::Valkey, Durability::SnapshotOnly) => format!(
                "--port {port} --dir {folder} --bind 127.0.0.1 --maxclients 20000 --io-threads 1 \
                 --appendonly no --save"
            ),
            (Server::Kevy, _) => {
                format!("--port {port} --dir {folder} --threads 1 --config {folder}/kevy.toml")
            }
        };
        let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        if self == Server::Valkey {
            // `--save ""`: no snapshots by themselves.
            words.push(String::new());
        }
        words
    }

    fn write_config(self, folder: &Path, durability: Durability) -> Result<()> {
        if self == Server::Kevy {
            let text = format!(
                "[persistence]\naof = true\nappendfsync = \"{}\"\nauto_aof_rewrite_percentage = 0\n",
                durability.fsync()
            );
            std::fs::write(folder.join("kevy.toml"), text)?;
        }
        Ok(())
    }

    /// Starts the server on a folder, which may hold data already, and waits until it serves.
    pub(super) fn start(self, folder: &Path, durability: Durability) -> Result<Running> {
        self.start_on(SERVER_CORE, folder, durability, &[])
    }

    /// Starts the server on a core, with more options.
    pub(super) fn start_on(
        self,
        core: &str,
        folder: &Path,
        durability: Durability,
        more: &[String],
    ) -> Result<Running> {
        std::fs::create_dir_all(folder)?;
        self.write_config(folder, durability)?;
        let port = free_port()?;
        let log = std::fs::File::create(folder.join("server.log"))?;
        let began = Instant::now();
        let child = Command::new("taskset")
            .args(["-c", core])
            .arg(self.binary()?)
            .args(self.command_line(port, folder, durability))
            .args(more)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start taskset")?;
        let mut running = Running { child, port, folder: folder.to_owned() };
        running.await_ready(began)?;
        Ok(running)
    }
}

/// A server that runs; it is killed when this is dropped.
pub(super) struct Running {
    child: Child,
    pub(super) port: u16,
    folder: PathBuf,
}

impl Running {
    /// The server's process.
    pub(super) fn pid(&self) -> u32 {
        // taskset replaces itself by the server.
        self.child.id()
    }

    /// A new connection.
    pub(super) fn connect(&self) -> Result<Connection> {
        Connection::open(self.port)
    }

    /// Resident memory in bytes.
    pub(super) fn resident_bytes(&self) -> Result<f64> {
        process::resident_bytes(self.pid())
    }

    /// A clean stop.
    pub(super) fn stop(mut self) -> Result<()> {
        process::tell(self.pid(), Signal::Terminate)?;
        self.child.wait()?;
        Ok(())
    }

    fn await_ready(&mut self, began: Instant) -> Result<()> {
        // A server that still loads refuses the connection or answers with an error.
        while !self.connect().and_then(|mut c| c.call(&["PING"])).is_ok_and(|pong| pong == "PONG") {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended at once ({status}):\n{}", self.log_tail());
            }
            if began.elapsed() > START_LIMIT {
                bail!("not ready after {START_LIMIT:?}:\n{}", self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on.
pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
