//! What the control thread starts with: the store, the generation, the socket, who this node is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::sync::{PoisonError, RwLock};

use anyhow::{Context as _, Result, anyhow, bail};
use trefoil_clock::{Identity, NodeId};
use trefoil_cluster::raft::{Config, Payload, Start};
use trefoil_cluster::state::{Addresses, Member, MemberKind, Place};
use trefoil_log::FsDisk;
use trefoil_node::peers::{load_generation, load_witness, save_generation, save_witness};
use trefoil_node::settings::Settings;

use super::storage::{First, Storage};

/// Bytes that datagrams may wait in, either way: a snapshot's pieces come in bursts.
const SOCKET_BYTES: usize = 1 << 20;

/// See the module.
pub(crate) struct ControlPlace {
    pub(super) storage: Storage,
    pub(super) start: Start,
    /// Another one with every start.
    pub(super) generation: u64,
    /// None: nobody is let in, this node stays alone.
    pub(super) socket: Option<UdpSocket>,
    /// Whom to ask to be taken in; none if it belongs to a cluster already.
    pub(super) seeds: Vec<SocketAddr>,
}

impl ControlPlace {
    /// Opens what there is. `peers`: where other nodes connect, if they may.
    pub(crate) fn open(
        settings: &Settings,
        disk: &FsDisk,
        identity: Identity,
        peers: Option<SocketAddr>,
    ) -> Result<ControlPlace> {
        let before = load_generation(disk)?;
        let first = if before == 0 { First::Yes } else { First::No };
        let (storage, start) = Storage::open(disk, identity.node, first)?;
        let generation = before + 1;
        save_generation(disk, generation).context("the number of this start can't be kept")?;
        let socket = peers.map(bind).transpose()?;
        let belongs = is_one_of_several(&start);
        let seeds = if belongs { Vec::new() } else { seeds(settings)? };
        if settings.replication.is_witness() && !belongs && seeds.is_empty() {
            bail!(
                "a witness votes in a cluster that is there: name one of its nodes with \
                 --join HOST:PEERPORT"
            );
        }
        check_kind(settings, disk, first)?;
        if !seeds.is_empty() && socket.is_none() {
            bail!("--join needs an address for other nodes: --peer HOST:PORT");
        }
        Ok(ControlPlace { storage, start, generation, socket, seeds })
    }

    /// Whether the cluster says what this node does, from the start on.
    pub(crate) fn is_managed(&self) -> bool {
        is_one_of_several(&self.start) || !self.seeds.is_empty()
    }

    /// Who this node is to the others.
    pub(super) fn member(
        &self,
        settings: &Settings,
        node: NodeId,
        peers: SocketAddr,
        client_port: u16,
    ) -> Result<Member> {
        let peers = announced(settings, peers, self.seeds.first())?;
        Ok(Member {
            node,
            generation: self.generation,
            kind: kind(settings),
            addresses: Addresses { peers, client_host: peers.ip().to_string(), client_port },
            place: Place {
                region: text(&settings.replication.region),
                zone: text(&settings.replication.zone),
            },
        })
    }
}

/// Whether somebody else belongs to the cluster that is remembered, agreed upon or not.
fn is_one_of_several(start: &Start) -> bool {
    let configs = start.entries.iter().filter_map(|entry| match &entry.payload {
        Payload::Config(config) => Some(config),
        Payload::Blank | Payload::Command(_) => None,
    });
    let snapshot = start.snapshot.as_ref().map(|snapshot| &snapshot.config);
    let several = |config: &Config| config.members().count() > 1;
    configs.chain(snapshot).any(several)
}

fn kind(settings: &Settings) -> MemberKind {
    if settings.replication.is_witness() { MemberKind::Witness } else { MemberKind::Data }
}

/// A directory is for ever that of a witness, or of a node with data: whoever lost what it held, or never
/// had it, must not come back under a name that stands for it.
fn check_kind(settings: &Settings, disk: &FsDisk, first: First) -> Result<()> {
    let was_witness = load_witness(disk)?;
    match (kind(settings), first) {
        (MemberKind::Witness, First::Yes) => {
            save_witness(disk).context("that this is a witness can't be kept")
        }
        (MemberKind::Witness, First::No) if !was_witness => bail!(
            "this directory is that of a node with data; a witness needs one of its own: --data-dir DIR"
        ),
        (MemberKind::Data, _) if was_witness => bail!(
            "this directory is that of a witness: start it with `trefoil witness`, or give another one \
             with --data-dir DIR"
        ),
        _ => Ok(()),
    }
}

fn bind(peers: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind(peers).with_context(|| {
        format!("the UDP port {peers} is taken; choose another address with --peer HOST:PORT")
    })?;
    socket.set_nonblocking(true)?;
    let options = socket2::SockRef::from(&socket);
    // With less it loses more, and asks again.
    let _ = options.set_recv_buffer_size(SOCKET_BYTES);
    let _ = options.set_send_buffer_size(SOCKET_BYTES);
    Ok(socket)
}

/// The address that other nodes are told.
fn announced(
    settings: &Settings,
    bound: SocketAddr,
    seed: Option<&SocketAddr>,
) -> Result<SocketAddr> {
    let given = text(&settings.replication.peer_announce);
    if !given.is_empty() {
        return resolve(&given).with_context(|| format!("--peer-announce {given}"));
    }
    if !bound.ip().is_unspecified() {
        return Ok(bound);
    }
    let ip = seed.and_then(route_to).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    Ok(SocketAddr::new(ip, bound.port()))
}

/// The address of this host as seen from there; nothing is sent.
fn route_to(seed: &SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = match seed {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(seed).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Whom --join names.
fn seeds(settings: &Settings) -> Result<Vec<SocketAddr>> {
    let join = text(&settings.replication.join);
    join.split_whitespace()
        .map(|seed| {
            resolve(seed).with_context(|| {
                format!("--join {seed}: it should be HOST:PORT, a node's port for nodes")
            })
        })
        .collect()
}

fn resolve(text: &str) -> Result<SocketAddr> {
    let mut addresses = text.to_socket_addrs()?;
    addresses.next().ok_or_else(|| anyhow!("that host has no address"))
}

pub(super) fn text(of: &RwLock<Vec<u8>>) -> String {
    let bytes = of.read().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::Ordering::Relaxed;

    use trefoil_cluster::raft::{Entry, Index, Term};

    use super::*;

    #[test]
    fn a_node_belongs_to_a_cluster_if_another_one_is_in_its_log() {
        let alone = Start::founding(NodeId(1), Vec::new());
        assert!(!is_one_of_several(&alone) && !is_one_of_several(&Start::default()));
        let config =
            Config { voters: BTreeSet::from([NodeId(1)]), learners: BTreeSet::from([NodeId(2)]) };
        let entry = Entry { index: Index(2), term: Term(1), payload: Payload::Config(config) };
        assert!(is_one_of_several(&Start { entries: vec![entry], ..alone }));
    }

    #[test]
    fn a_directory_is_that_of_a_witness_for_ever_or_never() {
        let settings = [Settings::default(), Settings::default()];
        settings[1].replication.member_kind.store(1, Relaxed);
        let [data, witness] = &settings;
        let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        let disks = dirs.each_ref().map(|dir| FsDisk::open(dir.path()).expect("a directory"));
        check_kind(witness, &disks[0], First::Yes).expect("a new one");
        check_kind(witness, &disks[0], First::No).expect("again");
        let error = check_kind(data, &disks[0], First::No).expect_err("it never had data");
        assert!(error.to_string().contains("trefoil witness"), "{error}");
        check_kind(data, &disks[1], First::Yes).expect("a new one");
        assert!(check_kind(witness, &disks[1], First::No).is_err());
    }

    #[test]
    fn who_listens_everywhere_is_told_by_the_address_that_leads_to_its_seed() {
        let seed = ([127, 0, 0, 1], 9).into();
        assert_eq!(route_to(&seed), Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let settings = Settings::default();
        let bound = ([0, 0, 0, 0], 7).into();
        let told = announced(&settings, bound, Some(&seed)).expect("no address is given");
        assert_eq!(told, ([127, 0, 0, 1], 7).into());
    }
}
