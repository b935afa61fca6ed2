//! What a start has to know of other nodes: the door for them, the role, the secret.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context as _, Result, anyhow};
use trefoil_log::FsDisk;
use trefoil_node::config::put;
use trefoil_node::peers::{
    Door, LeaderAddress, SavedMembers, SavedRole, load_members, load_policy, load_role, save_role,
};
use trefoil_node::settings::Settings;
use trefoil_wire::peer::ClusterSecret;

use super::PeerDoor;
use super::tls::PeerTls;

/// The door that `peer` asks for, with the certificates for it. No listener: it says off, or it is the
/// default and that port is taken.
pub(crate) fn door(settings: &Settings) -> Result<PeerDoor> {
    let door = PeerDoor { tls: PeerTls::configured(settings)?, listener: bind(settings)? };
    if let Some(listener) = &door.listener
        && !listener.local_addr()?.ip().to_canonical().is_loopback()
        && door.tls.is_none()
        && text(&settings.replication.peer_secret).is_empty()
    {
        eprintln!(
            "trefoil: only nodes on this host may follow this one: set peer-secret or peer-tls-cert-file \
             to let others in"
        );
    }
    Ok(door)
}

fn bind(settings: &Settings) -> Result<Option<TcpListener>> {
    let text = text(&settings.replication.peer);
    if text.is_empty() || text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    let addresses = text.to_socket_addrs();
    let addresses = addresses.with_context(|| format!("--peer {text}: that is no address"))?;
    let addresses: Vec<SocketAddr> = addresses.collect();
    match TcpListener::bind(addresses.as_slice()) {
        Ok(listener) => {
            listener.set_nonblocking(true)?;
            Ok(Some(listener))
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && !settings.is_given("peer") => {
            eprintln!(
                "trefoil: {text} is taken, so no other node can follow this one; choose another address with --peer"
            );
            Ok(None)
        }
        Err(error) => {
            let advice = "choose another address with --peer HOST:PORT, or --peer off";
            Err(error).with_context(|| format!("other nodes can't be let in on {text}; {advice}"))
        }
    }
}

/// Lets the policy that KEYSPACE ALTER was told last hold again, but for what the command line and the
/// configuration file say.
pub(crate) fn restore_policy(settings: &Settings, disk: &FsDisk) -> Result<()> {
    let Some(policy) = load_policy(disk)? else { return Ok(()) };
    let pairs = [
        ("acks", policy.acks.to_string()),
        ("ack-level", policy.level.name().to_owned()),
        ("on-lost-acks", policy.on_lost.name().to_owned()),
        ("degrade-after", policy.degrade_after_ms.to_string()),
    ];
    for (name, value) in pairs.iter().filter(|(name, _)| !settings.is_given(name)) {
        put(settings, &[(name.as_bytes(), value.as_bytes())])
            .map_err(|error| anyhow!("the policy that was kept can't be restored: {error:?}"))?;
    }
    Ok(())
}

/// The role that was kept; at the first start what the configuration says.
pub(crate) fn role(
    settings: &Settings,
    disk: &FsDisk,
    managed: bool,
) -> Result<(SavedRole, SavedMembers)> {
    if managed {
        // The cluster says it, each time.
        return Ok((SavedRole::Leader, SavedMembers::default()));
    }
    let members = load_members(disk)?;
    if let Some(role) = load_role(disk)? {
        return Ok((role, members));
    }
    let role = match configured_leader(settings) {
        None => SavedRole::Leader,
        Some(leader) => SavedRole::Follower { leader, adopts: true },
    };
    save_role(disk, &role).context("the role of this node can't be kept")?;
    Ok((role, members))
}

/// The leader that the command line or the configuration file names.
fn configured_leader(settings: &Settings) -> Option<LeaderAddress> {
    let leader = settings.replication.replicaof();
    leader.map(|(host, port)| LeaderAddress { host, port, door: Door::Clients })
}

/// Proves that this node knows the cluster's secret.
pub(crate) fn secret(settings: &Settings) -> Option<ClusterSecret> {
    let secret = settings.replication.peer_secret.read().unwrap_or_else(PoisonError::into_inner);
    if secret.is_empty() {
        return None;
    }
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret);
    Some(Arc::new(move |message: &[u8]| {
        let mut mac = [0; 32];
        mac.copy_from_slice(ring::hmac::sign(&key, message).as_ref());
        mac
    }))
}

fn text(of: &RwLock<Vec<u8>>) -> String {
    let bytes = of.read().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&bytes).into_owned()
}
