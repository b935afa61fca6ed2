//! Who listens to what, for all workers.
//!
//! Invariants: a publisher holds the channel's lock while it puts the message into all mailboxes, so
//! all subscribers, those of patterns included, see the messages of a channel in one order; locks
//! are taken in the order shard, patterns, mailbox; a name without subscribers is not kept.

use std::hash::BuildHasher;
use std::sync::{Arc, PoisonError};

use crossbeam_utils::CachePadded;
use hashbrown::{DefaultHashBuilder, HashMap};
use trefoil_clock::Lsn;
use trefoil_commands::glob_match;

use crate::mail::{Address, Mail, Post};
use crate::sync::{Mutex, MutexGuard, RwLock};

use super::delivery::{Delivery, Source, encode};

const SHARDS: usize = 64;

/// The two kinds of channels. Their names do not meet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// SUBSCRIBE, PUBLISH; patterns see these.
    Plain,
    /// SSUBSCRIBE, SPUBLISH.
    Shard,
}

/// See the module.
pub struct Hub {
    plain: Channels,
    shard: Channels,
    /// In the order of their first subscription.
    patterns: RwLock<Vec<(Arc<[u8]>, Subscribers)>>,
}

struct Channels {
    hasher: DefaultHashBuilder,
    shards: Box<[Shard]>,
}

type Shard = CachePadded<Mutex<HashMap<Arc<[u8]>, Subscribers>>>;

/// Subscribers of one name, by worker: what a publisher hands to a worker is there already.
#[derive(Default)]
struct Subscribers(Vec<(u32, Arc<Vec<Address>>)>);

impl Subscribers {
    fn add(&mut self, address: Address) {
        match self.0.iter_mut().find(|(worker, _)| *worker == address.worker) {
            Some((_, list)) => Arc::make_mut(list).push(address),
            None => self.0.push((address.worker, Arc::new(vec![address]))),
        }
    }

    fn remove(&mut self, address: Address) {
        self.0.retain_mut(|(worker, list)| {
            if *worker != address.worker {
                return true;
            }
            if let Some(at) = list.iter().position(|other| *other == address) {
                Arc::make_mut(list).remove(at);
            }
            !list.is_empty()
        });
    }

    fn len(&self) -> usize {
        self.0.iter().map(|(_, list)| list.len()).sum()
    }

    fn send(&self, post: &dyn Post, depends_on: Lsn, source: &Source, body: &Arc<Vec<u8>>) {
        for (worker, to) in &self.0 {
            let (to, source, body) = (Arc::clone(to), source.clone(), Arc::clone(body));
            post.post(*worker, Mail::Deliver(Delivery { to, depends_on, source, body }));
        }
    }
}

impl Channels {
    fn new() -> Channels {
        let shards = (0..SHARDS).map(|_| CachePadded::new(Mutex::new(HashMap::new()))).collect();
        Channels { hasher: DefaultHashBuilder::default(), shards }
    }

    fn lock(&self, name: &[u8]) -> MutexGuard<'_, HashMap<Arc<[u8]>, Subscribers>> {
        let shard = self.hasher.hash_one(name) as usize % SHARDS;
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subscribe(&self, name: &[u8], address: Address) -> Arc<[u8]> {
        let mut shard = self.lock(name);
        let known: Arc<[u8]> = match shard.get_key_value(name) {
            Some((known, _)) => Arc::clone(known),
            None => name.into(),
        };
        shard.entry(Arc::clone(&known)).or_default().add(address);
        known
    }

    fn unsubscribe(&self, name: &[u8], address: Address) {
        let mut shard = self.lock(name);
        if let Some(subscribers) = shard.get_mut(name) {
            subscribers.remove(address);
            if subscribers.0.is_empty() {
                shard.remove(name);
            }
        }
    }

    fn names(&self, pattern: Option<&[u8]>) -> Vec<Arc<[u8]>> {
        let mut names = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let wanted = shard.keys().filter(|name| pattern.is_none_or(|p| glob_match(p, name)));
            names.extend(wanted.cloned());
        }
        names.sort_unstable();
        names
    }
}

impl Default for Hub {
    fn default() -> Hub {
        Hub::new()
    }
}

impl Hub {
    /// A hub that nobody listens to.
    #[must_use]
    pub fn new() -> Hub {
        Hub { plain: Channels::new(), shard: Channels::new(), patterns: RwLock::new(Vec::new()) }
    }

    fn of(&self, kind: Kind) -> &Channels {
        match kind {
            Kind::Plain => &self.plain,
            Kind::Shard => &self.shard,
        }
    }

    /// Adds a subscriber, which must not be one of this channel yet. Returns the channel's name as
    /// the hub keeps it.
    pub fn subscribe(&self, kind: Kind, channel: &[u8], address: Address) -> Arc<[u8]> {
        self.of(kind).subscribe(channel, address)
    }

    /// Removes a subscriber.
    pub fn unsubscribe(&self, kind: Kind, channel: &[u8], address: Address) {
        self.of(kind).unsubscribe(channel, address);
    }

    /// Adds a subscriber of a pattern, which must not be one yet.
    pub fn subscribe_pattern(&self, pattern: &[u8], address: Address) -> Arc<[u8]> {
        let mut patterns = self.patterns.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, subscribers)) = patterns.iter_mut().find(|(p, _)| **p == *pattern) {
            subscribers.add(address);
            return Arc::clone(known);
        }
        let known: Arc<[u8]> = pattern.into();
        let mut subscribers = Subscribers::default();
        subscribers.add(address);
        patterns.push((Arc::clone(&known), subscribers));
        known
    }

    /// Removes a subscriber of a pattern.
    pub fn unsubscribe_pattern(&self, pattern: &[u8], address: Address) {
        let mut patterns = self.patterns.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = patterns.iter().position(|(known, _)| **known == *pattern) {
            patterns[at].1.remove(address);
            if patterns[at].1.0.is_empty() {
                patterns.remove(at);
            }
        }
    }

    /// Sends a message to all who listen. How many there are.
    pub fn publish(
        &self,
        post: &dyn Post,
        kind: Kind,
        (channel, payload): (&[u8], &[u8]),
        depends_on: Lsn,
    ) -> usize {
        // Held to the end: the order of the lock is the order of the messages.
        let shard = self.of(kind).lock(channel);
        let mut receivers = 0;
        if let Some((name, subscribers)) = shard.get_key_value(channel) {
            let (source, word) = match kind {
                Kind::Plain => (Source::Channel(Arc::clone(name)), &b"message"[..]),
                Kind::Shard => (Source::ShardChannel(Arc::clone(name)), &b"smessage"[..]),
            };
            subscribers.send(post, depends_on, &source, &encode(&[word, channel, payload]));
            receivers += subscribers.len();
        }
        if kind == Kind::Plain {
            let patterns = self.patterns.read().unwrap_or_else(PoisonError::into_inner);
            for (pattern, subscribers) in patterns.iter().filter(|(p, _)| glob_match(p, channel)) {
                let body = encode(&[b"pmessage", pattern, channel, payload]);
                subscribers.send(post, depends_on, &Source::Pattern(Arc::clone(pattern)), &body);
                receivers += subscribers.len();
            }
        }
        drop(shard);
        receivers
    }

    /// How many would get a message.
    #[must_use]
    pub fn receivers(&self, kind: Kind, channel: &[u8]) -> usize {
        let direct = self.subscribers(kind, channel);
        if kind == Kind::Shard {
            return direct;
        }
        let patterns = self.patterns.read().unwrap_or_else(PoisonError::into_inner);
        let matching = patterns.iter().filter(|(pattern, _)| glob_match(pattern, channel));
        direct + matching.map(|(_, subscribers)| subscribers.len()).sum::<usize>()
    }

    /// How many listen to a channel, without those of patterns.
    #[must_use]
    pub fn subscribers(&self, kind: Kind, channel: &[u8]) -> usize {
        self.of(kind).lock(channel).get(channel).map_or(0, Subscribers::len)
    }

    /// Channels with subscribers, those that match if a pattern is given, in order.
    #[must_use]
    pub fn channels(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<Arc<[u8]>> {
        self.of(kind).names(pattern)
    }

    /// How many patterns have subscribers.
    #[must_use]
    pub fn patterns(&self) -> usize {
        self.patterns.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}
