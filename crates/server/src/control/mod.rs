//! The control thread: what the cluster agrees upon, gossip, and the socket for both.
//!
//! It moves datagrams and keeps time; what they mean is `trefoil_cluster`, what follows for this node's
//! data is carried out by the peers thread.
//!
//! Invariants: the thread waits for nothing but its poll; nothing of a stranger is looked at; the lease
//! that workers see is never longer than the one that the core has said.

mod carry_out;
pub(crate) mod clock;
mod gossip;
mod health;
mod mailbox;
mod policy;
mod seal;
pub(crate) mod start;
mod storage;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow};
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use trefoil_cluster::control::{Action, Control, ControlOptions, ControlStart, RequestId};
use trefoil_cluster::state::{Directive, KeyspacePolicy};
use trefoil_node::log::SHARD;
use trefoil_node::node::Node;

use crate::threads::spawn;
use clock::uptime_ms;
use gossip::Gossiping;
use health::Health;
pub(crate) use mailbox::ControlMailbox;
use seal::{DATAGRAM_BYTES_MAX, Sealer};
pub(crate) use start::ControlPlace;
use storage::Job;

const SOCKET: Token = Token(0);
const MAILBOX: Token = Token(1);
const EVENTS_MAX: usize = 16;
/// Datagrams read before timers and others have their turn.
const DATAGRAMS_MAX: usize = 256;
/// How often the node's health and wishes are looked at, if nobody rings.
const TICK_MS: u64 = 50;
/// Strangers are complained of at most this often.
const COMPLAINT_MS: u64 = 10_000;
/// A node that nobody takes in says so after this time.
const JOIN_MS: u64 = 3_000;
/// The same of a node that is alone.
const ALONE_TICK_MS: u64 = 1_000;

/// A datagram's first byte, sealed: what it is of.
const OF_CONTROL: u8 = 1;
const OF_GOSSIP: u8 = 2;

/// See the module.
pub(crate) struct ControlThread {
    node: Arc<Node>,
    control: Control,
    poll: Poll,
    mailbox: Arc<ControlMailbox>,
    socket: Option<UdpSocket>,
    sealer: Sealer,
    has_secret: bool,
    /// Strangers are not complained of before.
    complain_at_ms: u64,
    /// When a node that wants to be taken in complains that it is not.
    joins_until_ms: Option<u64>,
    gossiping: Gossiping,
    /// What is to be kept goes here.
    jobs: Sender<Job>,
    health: Health,
    /// What the core has said last of this node's part.
    directive: Option<Directive>,
    /// Until when replies may leave; None: no lease is needed.
    lease_until_ms: Option<u64>,
    /// Requests of this node's clients, by the core's names.
    asked: BTreeMap<RequestId, u64>,
    /// The policy that the settings were set to last.
    policy: Option<KeyspacePolicy>,
    /// What comes, as long as the longest; what goes, sealed; what goes, not sealed yet.
    received: Vec<u8>,
    sealed: Vec<u8>,
    plain: Vec<u8>,
}

impl ControlThread {
    /// A poll with a mailbox's waker.
    pub(crate) fn poll() -> io::Result<(Poll, ControlMailbox)> {
        let poll = Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), MAILBOX)?;
        Ok((poll, ControlMailbox::new(waker)))
    }

    /// The thread, ready to run, and the one that writes for it.
    pub(crate) fn new(
        node: &Arc<Node>,
        place: ControlPlace,
        peers: Option<SocketAddr>,
        client_port: u16,
        (poll, mailbox): (Poll, Arc<ControlMailbox>),
    ) -> Result<(ControlThread, JoinHandle<()>)> {
        let identity = node.replication.identity();
        // Alone, nobody is told where it is.
        let address = peers.unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
        let own = place.member(&node.settings, identity.node, address, client_port)?;
        let ControlPlace { storage, start, socket, seeds, .. } = place;
        let gossiping = Gossiping::new(own.clone());
        let options = ControlOptions { seed: rand::random(), ..ControlOptions::default() };
        let start = ControlStart {
            own,
            raft: Some(start),
            cluster: identity.cluster,
            shard: SHARD,
            epoch: node.replication.epoch(),
            policy: policy::own(&node.settings),
        };
        let (now_ms, mut out) = (uptime_ms(), Vec::new());
        let mut control = Control::new(options, start, now_ms, &mut out)
            .map_err(|error| anyhow!("the control log can't be used: {error}"))?;
        let joins_until_ms = (!seeds.is_empty()).then_some(now_ms + JOIN_MS);
        if !seeds.is_empty() {
            control.join(now_ms, seeds, &mut out);
        }
        let mut socket = socket.map(UdpSocket::from_std);
        if let Some(socket) = &mut socket {
            poll.registry().register(socket, SOCKET, Interest::READABLE)?;
        }
        let (jobs, storage) = storage.split(Arc::clone(&mailbox));
        let writer = spawn("control-log".into(), move || storage.run())?;
        let secret = start::text(&node.settings.replication.peer_secret);
        let has_secret = !secret.is_empty();
        let mut thread = ControlThread {
            node: Arc::clone(node),
            control,
            poll,
            mailbox,
            socket,
            sealer: Sealer::new(has_secret.then_some(secret.as_bytes())),
            has_secret,
            complain_at_ms: 0,
            joins_until_ms,
            gossiping,
            jobs,
            health: Health::default(),
            directive: None,
            lease_until_ms: None,
            asked: BTreeMap::new(),
            policy: None,
            received: vec![0; DATAGRAM_BYTES_MAX + 1],
            sealed: Vec::new(),
            plain: Vec::new(),
        };
        thread.carry_out(out)?;
        Ok((thread, writer))
    }

    /// Runs until it is told to stop.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            let wait = self.patience();
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            if self.mailbox.listen() {
                self.gossiping.leave(uptime_ms());
                return self.carry_out_gossip();
            }
            let more = self.receive()?;
            self.take_persisted()?;
            self.take_wishes()?;
            self.on_timeout()?;
            self.gossip_on()?;
            self.look_at_lease();
            self.look_at_join();
            if more {
                // The socket is told once only of what is left in it.
                self.mailbox.wake();
            }
        }
    }

    fn patience(&self) -> Duration {
        let now_ms = uptime_ms();
        let tick_ms = if self.node.agreement.is_managed() { TICK_MS } else { ALONE_TICK_MS };
        let lease = self.lease_until_ms.filter(|&until_ms| until_ms != u64::MAX);
        let lease = lease.filter(|&at| at > now_ms);
        let deadlines = [self.control.deadline(), self.gossiping.deadline(), lease];
        let times = deadlines.into_iter().chain([Some(now_ms + tick_ms)]);
        let next = times.flatten().min().unwrap_or(now_ms);
        Duration::from_millis(next.saturating_sub(now_ms))
    }

    /// Reads datagrams. Whether there may be more.
    fn receive(&mut self) -> io::Result<bool> {
        for _ in 0..DATAGRAMS_MAX {
            let Some(socket) = &self.socket else { return Ok(false) };
            match socket.recv_from(&mut self.received) {
                Ok((bytes, from)) => self.on_datagram(bytes, from)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                // Somebody did not get what was sent before: that is not ours to mend.
                Err(_) => {}
            }
        }
        Ok(true)
    }

    fn on_datagram(&mut self, bytes: usize, from: SocketAddr) -> io::Result<()> {
        if !self.has_secret && !from.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        let may_be_joined = self.may_be_joined();
        let Ok(plain) = self.sealer.open(&mut self.received[..bytes]) else {
            self.complain(from);
            return Ok(());
        };
        let mut out = Vec::new();
        match plain.split_first() {
            Some((&OF_CONTROL, body)) if may_be_joined => {
                self.control.on_datagram(uptime_ms(), from, body, &mut out);
            }
            Some((&OF_GOSSIP, body)) => {
                self.gossiping.on_datagram(uptime_ms(), from, body);
                return self.carry_out_gossip();
            }
            _ => {}
        }
        self.carry_out(out)
    }

    fn complain(&mut self, from: SocketAddr) {
        let now_ms = uptime_ms();
        if now_ms >= self.complain_at_ms {
            self.complain_at_ms = now_ms + COMPLAINT_MS;
            eprintln!(
                "trefoil: a datagram from {from} was turned away: it is not sealed with this node's `peer-secret`"
            );
        }
    }

    fn look_at_join(&mut self) {
        if self.joins_until_ms.take_if(|at_ms| *at_ms <= uptime_ms()).is_some() {
            eprintln!(
                "trefoil: nobody has taken this node in yet: is the node that --join names up, does it have the \
                 same `peer-secret`, and is it in a cluster or alone (no REPLICAOF)? It is asked on"
            );
        }
    }

    /// A node that follows by hand, or is followed by hand, leads nothing that others could join.
    fn may_be_joined(&self) -> bool {
        let node = &self.node;
        node.agreement.is_managed()
            || (node.agreement.wishes.standing().led.is_some_and(|led| led <= self.agreed_epoch())
                && node.replication.members().is_empty())
    }

    fn take_persisted(&mut self) -> io::Result<()> {
        for ticket in self.mailbox.take_persisted() {
            let mut out = Vec::new();
            self.control.on_persisted(uptime_ms(), ticket, &mut out);
            self.carry_out(out)?;
        }
        Ok(())
    }

    fn on_timeout(&mut self) -> io::Result<()> {
        let now_ms = uptime_ms();
        if self.control.deadline().is_none_or(|deadline| deadline > now_ms) {
            return Ok(());
        }
        let mut out: Vec<Action> = Vec::new();
        self.control.on_timeout(now_ms, &mut out);
        self.carry_out(out)
    }

    /// Workers see the lease, and that it has lapsed.
    fn look_at_lease(&mut self) {
        if let Some(until_ms) = self.lease_until_ms {
            self.node.renew_lease(until_ms);
        }
        if self.node.notice_lapse() {
            eprintln!(
                "trefoil: this node has not heard of a majority of the cluster in time: it serves nothing \
                 until it has"
            );
        }
    }
}
