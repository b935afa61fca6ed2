//! What one session listens to.
//!
//! Invariants: a name is in here exactly if the hub has the session among its subscribers; a session
//! with any subscription has `Restrictions::SUBSCRIBED`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use hashbrown::HashSet;

use crate::clients::Mark;
use crate::session::{Restrictions, Session};

use super::delivery::Source;
use super::hub::{Hub, Kind};

/// See the module.
#[derive(Default)]
pub struct Subscriptions {
    channels: HashSet<Arc<[u8]>>,
    patterns: HashSet<Arc<[u8]>>,
    shard_channels: HashSet<Arc<[u8]>>,
}

/// What SUBSCRIBE, PSUBSCRIBE and SSUBSCRIBE are about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Topic {
    /// Channels.
    Channel,
    /// Patterns.
    Pattern,
    /// Shard channels.
    ShardChannel,
}

impl Subscriptions {
    fn of(&mut self, topic: Topic) -> &mut HashSet<Arc<[u8]>> {
        match topic {
            Topic::Channel => &mut self.channels,
            Topic::Pattern => &mut self.patterns,
            Topic::ShardChannel => &mut self.shard_channels,
        }
    }
}

impl Session {
    /// Whether it is subscribed to this.
    #[must_use]
    pub fn listens_to(&self, source: &Source) -> bool {
        self.subscriptions.as_ref().is_some_and(|subscriptions| match source {
            Source::Channel(name) => subscriptions.channels.contains(name),
            Source::Pattern(name) => subscriptions.patterns.contains(name),
            Source::ShardChannel(name) => subscriptions.shard_channels.contains(name),
        })
    }

    /// Subscribes, unless it is subscribed already.
    pub(crate) fn subscribe(&mut self, hub: &Hub, topic: Topic, name: &[u8]) {
        let address = self.address;
        let names = self.subscriptions.get_or_insert_default().of(topic);
        if !names.contains(name) {
            names.insert(match topic {
                Topic::Channel => hub.subscribe(Kind::Plain, name, address),
                Topic::Pattern => hub.subscribe_pattern(name, address),
                Topic::ShardChannel => hub.subscribe(Kind::Shard, name, address),
            });
        }
        self.on_subscriptions_changed();
    }

    /// Unsubscribes, if it is subscribed.
    pub(crate) fn unsubscribe(&mut self, hub: &Hub, topic: Topic, name: &[u8]) {
        let address = self.address;
        let Some(subscriptions) = &mut self.subscriptions else { return };
        if subscriptions.of(topic).remove(name) {
            match topic {
                Topic::Channel => hub.unsubscribe(Kind::Plain, name, address),
                Topic::Pattern => hub.unsubscribe_pattern(name, address),
                Topic::ShardChannel => hub.unsubscribe(Kind::Shard, name, address),
            }
        }
        self.on_subscriptions_changed();
    }

    /// Ends all subscriptions: RESET, the end of a connection.
    pub fn unsubscribe_all(&mut self, hub: &Hub) {
        for topic in [Topic::Channel, Topic::Pattern, Topic::ShardChannel] {
            for name in self.subscribed_to(topic) {
                self.unsubscribe(hub, topic, &name);
            }
        }
    }

    /// What it is subscribed to, in order.
    pub(crate) fn subscribed_to(&self, topic: Topic) -> Vec<Arc<[u8]>> {
        let mut names: Vec<Arc<[u8]>> = match (&self.subscriptions, topic) {
            (None, _) => Vec::new(),
            (Some(all), Topic::Channel) => all.channels.iter().cloned().collect(),
            (Some(all), Topic::Pattern) => all.patterns.iter().cloned().collect(),
            (Some(all), Topic::ShardChannel) => all.shard_channels.iter().cloned().collect(),
        };
        names.sort_unstable();
        names
    }

    /// The number that a reply to a change of this kind of subscription shows.
    pub(crate) fn subscription_count(&self, topic: Topic) -> usize {
        self.subscriptions.as_ref().map_or(0, |all| match topic {
            Topic::Channel | Topic::Pattern => all.channels.len() + all.patterns.len(),
            Topic::ShardChannel => all.shard_channels.len(),
        })
    }

    fn on_subscriptions_changed(&mut self) {
        let counts = self.subscriptions.as_ref().map_or([0; 3], |all| {
            [all.channels.len(), all.patterns.len(), all.shard_channels.len()]
        });
        self.record.channels.store(counts[0] as u32, Relaxed);
        self.record.patterns.store(counts[1] as u32, Relaxed);
        self.record.shard_channels.store(counts[2] as u32, Relaxed);
        if counts == [0; 3] {
            self.subscriptions = None;
            self.restrictions.clear(Restrictions::SUBSCRIBED);
            self.record.unmark(Mark::PUBSUB);
        } else {
            self.restrictions.set(Restrictions::SUBSCRIBED);
            self.record.mark(Mark::PUBSUB);
        }
    }
}
