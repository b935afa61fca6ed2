//! Links between nodes: TCP as it can be seen from above.
//!
//! Within a link and a direction messages come in order, each once, until the link ends: an end may
//! cut at any message. Between links nothing is ordered: what was sent over an old one may come after a
//! new one is there. A direction may stand still while the other goes on.

use std::collections::VecDeque;

use trefoil_clock::NodeId;
use trefoil_wire::peer::{Fence, FrameReader, Message, encode};

use super::agenda::{MS, Micros};
use super::world::{Event, World};

/// What travels.
#[derive(Clone, Debug)]
pub(crate) enum Packet {
    /// The other side is there: the greeting is over.
    Greeting(NodeId),
    /// A frame of the peer protocol.
    Frame(Vec<u8>),
    /// The other side closed.
    Close,
}

/// One end of a link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) slot: usize,
    /// The life of the node's process that owns it.
    pub(crate) life: u64,
    pub(crate) open: bool,
}

/// See the module. Side 0 dialed.
pub(crate) struct Link {
    pub(crate) ends: [End; 2],
    /// What travels to each side, with the time of arrival.
    pub(crate) under_way: [VecDeque<(Micros, Packet)>; 2],
}

/// The state of the net between nodes.
pub(crate) struct Net {
    pub(crate) links: Vec<Link>,
    /// From whom to whom nothing gets through until then.
    pub(crate) stuck_until: Vec<Vec<Micros>>,
    /// The same of links only: datagrams go on.
    pub(crate) stall_until: Vec<Vec<Micros>>,
    /// Microseconds that a message needs at least.
    pub(crate) delay: Vec<Vec<Micros>>,
    reader: FrameReader,
}

impl Net {
    pub(crate) fn new(nodes: usize) -> Net {
        Net {
            links: Vec::new(),
            stuck_until: vec![vec![0; nodes]; nodes],
            stall_until: vec![vec![0; nodes]; nodes],
            delay: vec![vec![200; nodes]; nodes],
            reader: FrameReader::new(),
        }
    }
}

impl World {
    /// A process dials a node; whether somebody answers shows later.
    pub(crate) fn dial(&mut self, from: usize, to: usize) -> usize {
        let life = self.nodes[from].life;
        let ends = [End { slot: from, life, open: true }, End { slot: to, life: 0, open: true }];
        let link = self.net.links.len();
        self.net.links.push(Link { ends, under_way: [VecDeque::new(), VecDeque::new()] });
        let greeting = Packet::Greeting(self.nodes[from].disk.identity.node);
        self.send(link, 1, greeting);
        link
    }

    /// Puts something on its way to a side of a link.
    pub(crate) fn send(&mut self, link: usize, to_side: usize, packet: Packet) {
        let [dialer, listener] = self.net.links[link].ends;
        let (from, to) =
            if to_side == 1 { (dialer.slot, listener.slot) } else { (listener.slot, dialer.slot) };
        let delay = self.net.delay[from][to];
        let mut at = self.now + delay + self.dice.below(delay + 1);
        if self.dice.one_in(100) {
            at += self.dice.below(20 * MS);
        }
        let queue = &mut self.net.links[link].under_way[to_side];
        at = at.max(queue.back().map_or(0, |(last, _)| *last));
        queue.push_back((at, packet));
        self.agenda.put(at, Event::Arrive { link, side: to_side });
    }

    /// Sends a message from one end to the other.
    pub(crate) fn send_message(
        &mut self,
        link: usize,
        from: usize,
        fence: &Fence,
        message: &Message<'_>,
    ) {
        let side = self.side_of(link, from);
        if !self.net.links[link].ends[side].open {
            return;
        }
        let mut frame = Vec::new();
        encode(fence, message, &mut frame);
        self.send(link, 1 - side, Packet::Frame(frame));
    }

    /// Which side of a link a node is.
    pub(crate) fn side_of(&self, link: usize, slot: usize) -> usize {
        usize::from(self.net.links[link].ends[0].slot != slot)
    }

    /// A process closes its end: the other side learns of it behind what was sent before.
    pub(crate) fn close(&mut self, link: usize, slot: usize) {
        let side = self.side_of(link, slot);
        let end = &mut self.net.links[link].ends[side];
        if !end.open {
            return;
        }
        end.open = false;
        self.send(link, 1 - side, Packet::Close);
        if let Some(process) = &mut self.nodes[slot].process {
            process.links.retain(|other| *other != link);
        }
    }

    /// All links of a process end: with word to the others (its system still runs) or without.
    pub(crate) fn drop_links(&mut self, slot: usize, told: Told) {
        let links = self.nodes[slot].process.as_mut().map(|p| std::mem::take(&mut p.links));
        for link in links.unwrap_or_default() {
            let side = self.side_of(link, slot);
            self.net.links[link].ends[side].open = false;
            // What was sent last may not have left.
            let queue = &mut self.net.links[link].under_way[1 - side];
            let keep = queue.len() - self.dice.below(queue.len() as u64 + 1) as usize;
            queue.truncate(keep);
            if told == Told::Yes {
                self.send(link, 1 - side, Packet::Close);
            }
        }
    }

    /// The head of a direction of a link is due.
    pub(crate) fn on_arrival(&mut self, link: usize, side: usize) {
        let entry = &self.net.links[link];
        let Some(&(at, _)) = entry.under_way[side].front() else { return };
        let (to, from) = (entry.ends[side], entry.ends[1 - side]);
        let node = &self.nodes[to.slot];
        let stuck = self.net.stuck_until[from.slot][to.slot];
        let stalled = self.net.stall_until[from.slot][to.slot];
        let free = stuck.max(stalled).max(node.paused_until).max(at);
        if free > self.now {
            self.agenda.put(free, Event::Arrive { link, side });
            return;
        }
        let Some((_, packet)) = self.net.links[link].under_way[side].pop_front() else { return };
        let running = self.nodes[to.slot].process.is_some();
        if let Packet::Greeting(node) = packet {
            if side == 1 && running && to.open {
                self.accept(link, to.slot, node);
            } else if side == 0 && running && to.open && to.life == self.nodes[to.slot].life {
                self.on_connected(to.slot, link, node);
            } else if side == 1 {
                self.net.links[link].ends[1].open = false;
                self.send(link, 0, Packet::Close);
            }
            return;
        }
        if !running || !to.open || to.life != self.nodes[to.slot].life {
            return;
        }
        match packet {
            Packet::Greeting(_) => {}
            Packet::Frame(frame) => self.on_frame(to.slot, link, &frame),
            Packet::Close => self.on_closed(to.slot, link),
        }
    }

    fn accept(&mut self, link: usize, slot: usize, dialer: NodeId) {
        let life = self.nodes[slot].life;
        self.net.links[link].ends[1].life = life;
        if let Some(process) = &mut self.nodes[slot].process {
            process.links.push(link);
        }
        let greeting = Packet::Greeting(self.nodes[slot].disk.identity.node);
        self.send(link, 0, greeting);
        self.trace(format_args!("n{slot} accepts l{link}"));
        self.on_accepted(slot, link, dialer);
    }

    fn on_frame(&mut self, slot: usize, link: usize, frame: &[u8]) {
        let mut reader = std::mem::take(&mut self.net.reader);
        reader.feed(frame);
        match reader.next_message() {
            Ok(Some((fence, message))) => self.on_message(slot, link, &fence, &message),
            other => panic!("a frame is read as it was written: {other:?}"),
        }
        self.net.reader = reader;
    }

    fn on_closed(&mut self, slot: usize, link: usize) {
        let side = self.side_of(link, slot);
        self.net.links[link].ends[side].open = false;
        if let Some(process) = &mut self.nodes[slot].process {
            process.links.retain(|other| *other != link);
        }
        self.trace(format_args!("n{slot} loses l{link}"));
        self.on_link_down(slot, link);
    }

    /// A link is cut: both ends learn of it, at different times, and what is under way is lost from
    /// some message on.
    pub(crate) fn cut(&mut self, link: usize) {
        for side in 0..2 {
            let queue = &mut self.net.links[link].under_way[side];
            let keep = self.dice.below(queue.len() as u64 + 1) as usize;
            queue.truncate(keep);
            if self.net.links[link].ends[side].open {
                self.send(link, side, Packet::Close);
            }
        }
    }
}

/// Whether the other ends learn that a process is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    Yes,
    No,
}
