//! Nodes on hosts of their own: Linux network namespaces around a router, links of which can be cut.
//!
//! Every host has one cable, to a namespace that routes between them; clients, which are threads of
//! this process, stand there and reach all hosts whatever is cut. A cut is a rule of the router that
//! drops what one host sends to another in silence, as a dead network does: neither end is told.
//! Nothing of the machine's own network is touched. The names carry our process id: what a run left
//! behind that was killed is removed at the next start.

mod links;
mod names;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::workspace::{find_program, output_of};
pub(crate) use links::{Link, between, isolating, one_way};
use names::Names;

/// Hosts that there can be: addresses end in their numbers.
const HOSTS_MAX: usize = 100;
/// Where clients stand.
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 97, 0, 254);

/// Hosts 0, 1, ... While it lives, the thread that built it and those that this thread starts are at
/// the router. It has to be dropped by the same thread.
pub(crate) struct Hosts {
    names: Names,
    count: usize,
    cut: BTreeSet<Link>,
    /// The network that we came from.
    home: File,
}

impl Hosts {
    /// Makes the hosts and goes to their router. Says what is missing if that is not possible.
    pub(crate) fn build(count: usize) -> Result<Hosts> {
        check_means()?;
        if count > HOSTS_MAX {
            bail!("there can be {HOSTS_MAX} hosts, not {count}");
        }
        let names = Names::ours();
        for stale in names::left_behind(&names::existing()?, is_alive) {
            remove(&stale);
        }
        let home = File::open("/proc/thread-self/ns/net").context("no network namespaces here")?;
        let hosts = Hosts { names, count, cut: BTreeSet::new(), home };
        hosts.lay()?;
        hosts.enter_router()?;
        Ok(hosts)
    }

    /// Where nodes on this host are reached.
    pub(crate) fn ip(host: usize) -> Ipv4Addr {
        let last = u8::try_from(host + 1).expect("no more than HOSTS_MAX hosts");
        Ipv4Addr::new(10, 97, 0, last)
    }

    /// A command that runs this program on a host. The process is the program's own.
    pub(crate) fn command(&self, host: usize, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names.host(host)]).arg(program);
        command
    }

    /// Cuts these links, besides those that are cut.
    pub(crate) fn cut(&mut self, links: impl IntoIterator<Item = Link>) -> Result<()> {
        let links: Vec<Link> = links.into_iter().filter(|link| self.cut.insert(*link)).collect();
        self.at_router(&links::rules("add", &links))
    }

    /// Mends all links.
    pub(crate) fn heal(&mut self) -> Result<()> {
        let links: Vec<Link> = std::mem::take(&mut self.cut).into_iter().collect();
        self.at_router(&links::rules("del", &links))
    }

    /// Whatever reaches this host is so much later from now on, also from clients.
    pub(crate) fn delay(&self, host: usize, delay_ms: u32) -> Result<()> {
        let (router, cable) = (self.names.router(), links::cable(host));
        let mut tc = Command::new("tc");
        tc.args(["-n", &router, "qdisc", "replace", "dev", &cable, "root", "netem", "delay"]);
        output_of(tc.arg(format!("{delay_ms}ms"))).map(drop).context(
            "links can't be slowed down here: it takes `tc` (iproute2) and a kernel with \
             CONFIG_NET_SCH_NETEM",
        )
    }

    fn lay(&self) -> Result<()> {
        let router = self.names.router();
        add(&router)?;
        ip(&router, "link set lo up\n")?;
        for host in 0..self.count {
            let name = self.names.host(host);
            add(&name)?;
            let (cable, address) = (links::cable(host), Hosts::ip(host));
            ip(
                &router,
                &format!(
                    "link add {cable} type veth peer name eth0 netns {name}\n\
                     addr add {ROUTER}/32 dev {cable}\n\
                     link set {cable} up\n\
                     route add {address} dev {cable}\n"
                ),
            )?;
            ip(
                &name,
                &format!(
                    "link set lo up\n\
                     addr add {address}/32 dev eth0\n\
                     link set eth0 up\n\
                     route add {ROUTER} dev eth0\n\
                     route add default via {ROUTER}\n"
                ),
            )?;
        }
        Ok(())
    }

    fn enter_router(&self) -> Result<()> {
        let file = File::open(Path::new(names::FOLDER).join(self.names.router()))?;
        enter(&file).context("can't enter the router's namespace")?;
        // This is the router's own setting from here on, not the machine's.
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("the router can't forward")
    }

    fn at_router(&self, lines: &str) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        ip(&self.names.router(), lines)
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        if let Err(error) = enter(&self.home) {
            eprintln!("can't go back to the network that we came from: {error:#}");
        }
        for host in 0..self.count {
            remove(&self.names.host(host));
        }
        remove(&self.names.router());
    }
}

fn enter(namespace: &File) -> Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// What hosts need of the machine.
fn check_means() -> Result<()> {
    if find_program("ip").is_none() {
        bail!("`ip` is missing: `apt-get install -y iproute2` (or your system's equal)");
    }
    if !geteuid().is_root() {
        bail!(
            "only root may make network namespaces: run it with sudo, or in a container of its own"
        );
    }
    Ok(())
}

fn add(name: &str) -> Result<()> {
    output_of(Command::new("ip").args(["netns", "add", name]))
        .map(drop)
        .context("can't make a network namespace: does the kernel have CONFIG_NET_NS?")
}

/// Ends what runs there and removes the namespace, as far as it is there.
fn remove(name: &str) {
    let Ok(pids) = output_of(Command::new("ip").args(["netns", "pids", name])) else { return };
    let ours = std::process::id().to_string();
    for pid in pids.lines().filter(|pid| *pid != ours) {
        if let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) {
            // It may have ended just now.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    if let Err(error) = output_of(Command::new("ip").args(["netns", "del", name])) {
        eprintln!("a namespace stays behind: {error:#}");
    }
}

fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Runs lines of `ip` in a namespace, all in one go.
fn ip(namespace: &str, lines: &str) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(["-n", namespace, "-batch", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("can't start `ip`")?;
    child.stdin.take().expect("its input is a pipe").write_all(lines.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("`ip` refused: {}\nin {namespace}:\n{lines}", complaint.trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::net::{SocketAddr, UdpSocket};
    use std::thread;
    use std::time::Duration;

    /// A socket on a host.
    fn socket(hosts: &Hosts, host: usize) -> UdpSocket {
        let path = Path::new(names::FOLDER).join(hosts.names.host(host));
        let there = File::open(path).expect("the namespace is there");
        let open = move || {
            enter(&there).expect("it can be entered");
            UdpSocket::bind((Hosts::ip(host), 7)).expect("its address is there")
        };
        thread::spawn(open).join().expect("no panic")
    }

    fn arrives(from: &UdpSocket, to: &UdpSocket) -> bool {
        to.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
        let address: SocketAddr = to.local_addr().expect("bound");
        from.send_to(b"x", address).expect("a sender is told nothing of cuts");
        match to.recv_from(&mut [0; 1]) {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn links_are_cut_in_silence_each_way_or_it_is_said_what_is_missing() {
        let mut hosts = match Hosts::build(2) {
            Ok(hosts) => hosts,
            Err(error) => {
                let error = format!("{error:#}");
                let told = ["iproute2", "root", "CONFIG_NET_NS"].iter().any(|w| error.contains(w));
                return assert!(told, "{error}");
            }
        };
        let (zero, one) = (socket(&hosts, 0), socket(&hosts, 1));
        assert!(arrives(&zero, &one) && arrives(&one, &zero));
        hosts.cut(one_way(&[0], &[1])).expect("cut");
        assert!(!arrives(&zero, &one) && arrives(&one, &zero));
        hosts.cut(between(&[0], &[1])).expect("cut");
        assert!(!arrives(&zero, &one) && !arrives(&one, &zero));
        let client = UdpSocket::bind((ROUTER, 0)).expect("clients stand at the router");
        assert!(arrives(&client, &zero) && arrives(&one, &client));
        hosts.heal().expect("healed");
        assert!(arrives(&zero, &one) && arrives(&one, &zero));
        let names = hosts.names;
        drop(hosts);
        assert!(!names::existing().expect("listed").contains(&names.router()));
    }
}
