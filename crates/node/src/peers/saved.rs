//! What the peers thread keeps on disk besides the log: the role that people gave this node, and the
//! nodes whose acknowledgements count. Small text files, replaced as a whole.

use std::fmt::Write as _;
use std::io;

use trefoil_clock::{Identity, NodeId};
use trefoil_log::{Disk, DiskFile, read_full_at, write_all_at};

use crate::replication::{AckLevel, AckPolicy, Acks, OnLost};

const ROLE: &str = "replication.role";
const MEMBERS: &str = "replication.members";
const POLICY: &str = "replication.policy";
const GENERATION: &str = "node.generation";
const BOOT: &str = "log.boot";
const MEMBER_KIND: &str = "node.kind";

/// Nobody writes longer ones.
const BYTES_MAX: u64 = 1 << 20;

/// Where a leader is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaderAddress {
    /// Its host.
    pub host: String,
    /// A port of it.
    pub port: u16,
    /// Which one.
    pub door: Door,
}

/// What is behind a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Door {
    /// Clients are served there; they can ask for the other one.
    Clients,
    /// Other nodes are.
    Peers,
}

/// The role that this node was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SavedRole {
    /// It leads.
    Leader,
    /// It follows.
    Follower {
        /// Whom.
        leader: LeaderAddress,
        /// It has not been taken in yet: its own history may be given up for the leader's.
        adopts: bool,
    },
}

/// Keeps who this node is, as the server's `node.id` has it.
///
/// # Errors
/// It is not certain to be on disk.
pub fn save_identity<D: Disk>(disk: &D, identity: Identity) -> io::Result<()> {
    let Identity { node, cluster } = identity;
    save(disk, "node.id", &format!("node {node}\ncluster {cluster}\n"))
}

/// The nodes whose acknowledgements count, and how many commits needed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SavedMembers {
    /// The rule under which they were acknowledged last.
    pub acks: Acks,
    /// The nodes, ascending.
    pub nodes: Vec<NodeId>,
}

impl Default for SavedMembers {
    fn default() -> SavedMembers {
        SavedMembers { acks: Acks::Async, nodes: Vec::new() }
    }
}

/// Reads the role. None: none was given yet.
///
/// # Errors
/// The file can't be read, or makes no sense.
pub fn load_role<D: Disk>(disk: &D) -> io::Result<Option<SavedRole>> {
    load(disk, ROLE, parse_role)
}

/// Keeps the role.
///
/// # Errors
/// It is not certain to be on disk.
pub fn save_role<D: Disk>(disk: &D, role: &SavedRole) -> io::Result<()> {
    let mut text = String::new();
    match role {
        SavedRole::Leader => text.push_str("leader\n"),
        SavedRole::Follower { leader, adopts } => {
            let door = match leader.door {
                Door::Clients => "clients",
                Door::Peers => "peers",
            };
            let taken = if *adopts { "adopts" } else { "belongs" };
            let _ = writeln!(text, "follower {} {} {door} {taken}", leader.host, leader.port);
        }
    }
    save(disk, ROLE, &text)
}

/// Reads the members; without a file there are none.
///
/// # Errors
/// The file can't be read, or makes no sense.
pub fn load_members<D: Disk>(disk: &D) -> io::Result<SavedMembers> {
    Ok(load(disk, MEMBERS, parse_members)?.unwrap_or_default())
}

/// Keeps the members.
///
/// # Errors
/// It is not certain to be on disk.
pub fn save_members<D: Disk>(disk: &D, members: &SavedMembers) -> io::Result<()> {
    let mut text = format!("acks {}\n", members.acks);
    for node in &members.nodes {
        let _ = writeln!(text, "member {node}");
    }
    save(disk, MEMBERS, &text)
}

/// Reads how often the node has started; 0: never.
///
/// # Errors
/// The file can't be read, or makes no sense.
pub fn load_generation<D: Disk>(disk: &D) -> io::Result<u64> {
    let parse = |text: &str| text.strip_prefix("generation ")?.trim().parse().ok();
    Ok(load(disk, GENERATION, parse)?.unwrap_or(0))
}

/// Keeps how often it has.
///
/// # Errors
/// It is not certain to be on disk.
pub fn save_generation<D: Disk>(disk: &D, generation: u64) -> io::Result<()> {
    save(disk, GENERATION, &format!("generation {generation}\n"))
}

/// In which boot of the machine the log was known to be intact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Boot {
    /// It may lack what was acknowledged.
    Doubtful,
    /// It lacks nothing.
    Intact {
        /// The name of the boot, if it has one.
        name: Option<String>,
        /// Nothing is acknowledged before it is synced.
        synced: bool,
    },
}

/// Reads it. None: nothing was kept.
pub(super) fn load_boot<D: Disk>(disk: &D) -> io::Result<Option<Boot>> {
    load(disk, BOOT, |text| {
        let mut lines = text.lines();
        let first = lines.next()?;
        if first == "doubtful" {
            return Some(Boot::Doubtful);
        }
        let name = first.strip_prefix("boot ")?;
        let name = Some(name.to_owned()).filter(|name| name != "-");
        let synced = match lines.next()? {
            "fsync always" => true,
            "fsync later" => false,
            _ => return None,
        };
        Some(Boot::Intact { name, synced })
    })
}

/// Keeps it.
pub(super) fn save_boot<D: Disk>(disk: &D, boot: &Boot) -> io::Result<()> {
    let text = match boot {
        Boot::Doubtful => "doubtful\n".to_owned(),
        Boot::Intact { name, synced } => {
            let when = if *synced { "always" } else { "later" };
            format!("boot {}\nfsync {when}\n", name.as_deref().unwrap_or("-"))
        }
    };
    save(disk, BOOT, &text)
}

/// Whether the directory is that of a node that holds no data.
///
/// # Errors
/// The file can't be read, or makes no sense.
pub fn load_witness<D: Disk>(disk: &D) -> io::Result<bool> {
    let parse = |text: &str| (text.trim() == "witness").then_some(());
    Ok(load(disk, MEMBER_KIND, parse)?.is_some())
}

/// Keeps that it is.
///
/// # Errors
/// It is not certain to be on disk.
pub fn save_witness<D: Disk>(disk: &D) -> io::Result<()> {
    save(disk, MEMBER_KIND, "witness\n")
}

/// Reads the policy that KEYSPACE ALTER was told last. None: nothing was said.
///
/// # Errors
/// The file can't be read, or makes no sense.
pub fn load_policy<D: Disk>(disk: &D) -> io::Result<Option<AckPolicy>> {
    load(disk, POLICY, parse_policy)
}

/// Keeps the policy, for the next start.
///
/// # Errors
/// It is not certain to be on disk.
pub fn save_policy<D: Disk>(disk: &D, policy: &AckPolicy) -> io::Result<()> {
    let AckPolicy { acks, level, on_lost, degrade_after_ms } = policy;
    let (level, on_lost) = (level.name(), on_lost.name());
    let text = format!("acks {acks}\nlevel {level}\nlost {on_lost}\ndegrade {degrade_after_ms}\n");
    save(disk, POLICY, &text)
}

fn parse_policy(text: &str) -> Option<AckPolicy> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let at = |names: &[&str], name: Option<&str>| names.iter().position(|one| Some(*one) == name);
    Some(AckPolicy {
        acks: Acks::parse(field("acks ")?)?,
        level: AckLevel::from_index(at(AckLevel::NAMES, field("level "))? as u8),
        on_lost: OnLost::from_index(at(OnLost::NAMES, field("lost "))? as u8),
        degrade_after_ms: field("degrade ")?.parse().ok()?,
    })
}

fn parse_role(text: &str) -> Option<SavedRole> {
    let mut words = text.split_whitespace();
    match words.next()? {
        "leader" => Some(SavedRole::Leader),
        "follower" => {
            let (host, port) = (words.next()?.to_string(), words.next()?.parse().ok()?);
            let door = match words.next()? {
                "clients" => Door::Clients,
                "peers" => Door::Peers,
                _ => return None,
            };
            let adopts = match words.next()? {
                "adopts" => true,
                "belongs" => false,
                _ => return None,
            };
            Some(SavedRole::Follower { leader: LeaderAddress { host, port, door }, adopts })
        }
        _ => None,
    }
}

fn parse_members(text: &str) -> Option<SavedMembers> {
    let mut lines = text.lines();
    let acks = Acks::parse(lines.next()?.strip_prefix("acks ")?)?;
    let node = |line: &str| u128::from_str_radix(line.strip_prefix("member ")?, 16).ok();
    let nodes = lines.map(|line| node(line).map(NodeId)).collect::<Option<Vec<_>>>()?;
    Some(SavedMembers { acks, nodes })
}

fn load<D: Disk, T>(
    disk: &D,
    name: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> io::Result<Option<T>> {
    let file = match disk.open(name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; file.size()?.min(BYTES_MAX) as usize];
    let filled = read_full_at(&file, &mut bytes, 0)?;
    let text = std::str::from_utf8(&bytes[..filled]).ok();
    let parsed = text.and_then(parse).ok_or_else(|| {
        io::Error::other(format!(
            "{name} is damaged; restore it, or remove it and say the role anew"
        ))
    })?;
    Ok(Some(parsed))
}

fn save<D: Disk>(disk: &D, name: &str, text: &str) -> io::Result<()> {
    let part = format!("{name}.part");
    match disk.remove(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(&part)?;
    write_all_at(&file, text.as_bytes(), 0).map_err(|partial| partial.source)?;
    file.sync_data()?;
    disk.rename(&part, name)?;
    disk.sync_dir()
}

#[cfg(test)]
mod tests {
    use trefoil_log::FaultDisk;

    use super::*;

    #[test]
    fn what_was_kept_is_found_again() {
        let disk = FaultDisk::new();
        assert_eq!(load_role(&disk).expect("readable"), None);
        let address = LeaderAddress { host: "h.example".into(), port: 7, door: Door::Clients };
        for role in [
            SavedRole::Leader,
            SavedRole::Follower { leader: address.clone(), adopts: true },
            SavedRole::Follower {
                leader: LeaderAddress { door: Door::Peers, ..address },
                adopts: false,
            },
        ] {
            save_role(&disk, &role).expect("saved");
            disk.crash(7);
            assert_eq!(load_role(&disk).expect("readable"), Some(role));
        }
        assert_eq!(load_members(&disk).expect("readable"), SavedMembers::default());
        let members =
            SavedMembers { acks: Acks::SemiSync(2), nodes: vec![NodeId(7), NodeId(u128::MAX)] };
        save_members(&disk, &members).expect("saved");
        disk.crash(7);
        assert_eq!(load_members(&disk).expect("readable"), members);
    }

    #[test]
    fn a_policy_is_found_again() {
        let disk = FaultDisk::new();
        assert_eq!(load_policy(&disk).expect("readable"), None);
        let (level, on_lost) = (AckLevel::Applied, OnLost::Degrade);
        let policy = AckPolicy { acks: Acks::SemiSync(2), level, on_lost, degrade_after_ms: 70 };
        save_policy(&disk, &policy).expect("saved");
        disk.crash(7);
        assert_eq!(load_policy(&disk).expect("readable"), Some(policy));
        assert_eq!(parse_policy("acks sync\nlevel all\nlost block\ndegrade 1\n"), None);
    }

    #[test]
    fn a_damaged_file_is_no_role() {
        for text in ["", "lead", "follower", "follower h 1 x adopts", "follower h 1 peers"] {
            assert_eq!(parse_role(text), None, "{text}");
        }
        assert_eq!(parse_members("acks all\n"), None);
    }
}
