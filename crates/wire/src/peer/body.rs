//! The fields of each message, in order. Payloads (records, parts of snapshots, texts) come last and
//! take the rest of the frame, so that they need no length and no copy.

use trefoil_clock::{EpochEntry, Lsn, Position};

use super::input::Input;
use super::kind::Kind;
use super::message::{
    Ack, Append, Chunk, Fence, Follow, Heartbeat, Message, Offer, Publish, Refuse, RefuseReason,
    SnapshotId, Welcome,
};

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_u128(out: &mut Vec<u8>, value: u128) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_position(out: &mut Vec<u8>, position: Position) {
    put_u64(out, position.epoch.0);
    put_u64(out, position.lsn.0);
}

fn put_epochs(out: &mut Vec<u8>, epochs: &[EpochEntry]) {
    let count = u32::try_from(epochs.len()).expect("an epoch table is short");
    out.extend_from_slice(&count.to_le_bytes());
    for entry in epochs {
        put_u64(out, entry.epoch.0);
        put_u128(out, entry.leader.0);
        put_u64(out, entry.first_lsn.0);
    }
}

pub(super) fn put_fence(out: &mut Vec<u8>, fence: &Fence) {
    put_u128(out, fence.cluster.0);
    out.extend_from_slice(&fence.shard.0.to_le_bytes());
    put_u64(out, fence.epoch.0);
    put_u128(out, fence.sender.0);
}

/// Appends everything but the payload, which is returned.
pub(super) fn put_body<'a>(out: &mut Vec<u8>, message: &Message<'a>) -> &'a [u8] {
    match message {
        Message::Follow(follow) => put_follow(out, follow),
        Message::Welcome(welcome) => put_welcome(out, welcome),
        Message::Offer(offer) => put_offer(out, offer),
        Message::Refuse(refuse) => {
            out.push(refuse.reason as u8);
            return refuse.text.as_bytes();
        }
        Message::Append(append) => {
            put_position(out, append.prev);
            put_u64(out, append.commit.0);
            put_u64(out, append.clock.0);
            out.push(u8::from(append.flush));
            assert!(!append.runs.is_empty(), "an Append holds at least one run");
            return append.runs;
        }
        Message::Heartbeat(beat) => {
            for field in [beat.id, beat.end.0, beat.commit.0, beat.safe.0, beat.clock.0] {
                put_u64(out, field);
            }
        }
        Message::Ack(ack) => {
            put_position(out, ack.received);
            for field in [ack.flushed.0, ack.applied.0, ack.heartbeat] {
                put_u64(out, field);
            }
        }
        Message::Probe { id } => put_u64(out, *id),
        Message::ProbeAnswer { id, commit } => {
            put_u64(out, *id);
            put_u64(out, commit.0);
        }
        Message::Fetch { snapshot, offset } => {
            put_u128(out, snapshot.0);
            put_u64(out, *offset);
        }
        Message::Chunk(chunk) => {
            put_u128(out, chunk.snapshot.0);
            put_u64(out, chunk.offset);
            return chunk.bytes;
        }
        Message::Pull { after } => put_position(out, *after),
        Message::Pulled { end } => put_position(out, *end),
        Message::Restart => {}
        Message::Publish(publish) => {
            put_u64(out, publish.after.0);
            out.push(u8::from(publish.sharded));
            let channel = u32::try_from(publish.channel.len()).expect("a channel is an argument");
            out.extend_from_slice(&channel.to_le_bytes());
            out.extend_from_slice(publish.channel);
            return publish.payload;
        }
    }
    &[]
}

fn put_follow(out: &mut Vec<u8>, follow: &Follow) {
    put_position(out, follow.end);
    put_u64(out, follow.flushed.0);
    put_u64(out, follow.applied.0);
    out.push(u8::from(follow.adopts));
    out.extend_from_slice(&follow.client_port.to_le_bytes());
    out.push(u8::from(follow.partial.is_some()));
    if let Some((snapshot, bytes)) = follow.partial {
        put_u128(out, snapshot.0);
        put_u64(out, bytes);
    }
    put_epochs(out, &follow.epochs);
}

fn put_welcome(out: &mut Vec<u8>, welcome: &Welcome) {
    put_position(out, welcome.fork);
    put_u64(out, welcome.commit.0);
    out.extend_from_slice(&welcome.client_port.to_le_bytes());
    put_epochs(out, &welcome.epochs);
}

fn put_offer(out: &mut Vec<u8>, offer: &Offer) {
    put_u128(out, offer.snapshot.0);
    put_position(out, offer.start);
    put_u64(out, offer.end.0);
    put_u64(out, offer.bytes);
    put_epochs(out, &offer.epochs);
}

/// The message of a whole body. `None`: it is not what its kind says.
pub(super) fn read_body(kind: Kind, body: &[u8]) -> Option<Message<'_>> {
    let mut input = Input::new(body);
    let message = match kind {
        Kind::Follow => Message::Follow(read_follow(&mut input)?),
        Kind::Welcome => Message::Welcome(read_welcome(&mut input)?),
        Kind::Refuse => Message::Refuse(read_refuse(&mut input)?),
        Kind::Append => Message::Append(read_append(&mut input)?),
        Kind::Heartbeat => Message::Heartbeat(read_heartbeat(&mut input)?),
        Kind::Ack => Message::Ack(read_ack(&mut input)?),
        Kind::Probe => Message::Probe { id: input.u64()? },
        Kind::ProbeAnswer => Message::ProbeAnswer { id: input.u64()?, commit: input.lsn()? },
        Kind::Offer => Message::Offer(read_offer(&mut input)?),
        Kind::Fetch => Message::Fetch { snapshot: input.snapshot()?, offset: input.u64()? },
        Kind::Chunk => Message::Chunk(Chunk {
            snapshot: input.snapshot()?,
            offset: input.u64()?,
            bytes: input.rest(),
        }),
        Kind::Pull => Message::Pull { after: input.position()? },
        Kind::Pulled => Message::Pulled { end: input.position()? },
        Kind::Restart => Message::Restart,
        Kind::Publish => Message::Publish(read_publish(&mut input)?),
    };
    input.is_empty().then_some(message)
}

fn read_follow(input: &mut Input<'_>) -> Option<Follow> {
    let end = input.position()?;
    let (flushed, applied) = (input.lsn()?, input.lsn()?);
    let adopts = input.flag()?;
    let client_port = input.u16()?;
    let partial: Option<(SnapshotId, u64)> =
        if input.flag()? { Some((input.snapshot()?, input.u64()?)) } else { None };
    let epochs = input.epochs()?;
    Some(Follow { end, epochs, flushed, applied, partial, adopts, client_port })
}

fn read_welcome(input: &mut Input<'_>) -> Option<Welcome> {
    let fork = input.position()?;
    let commit: Lsn = input.lsn()?;
    let client_port = input.u16()?;
    Some(Welcome { fork, commit, client_port, epochs: input.epochs()? })
}

fn read_refuse<'a>(input: &mut Input<'a>) -> Option<Refuse<'a>> {
    use RefuseReason::{Busy, NotLeader, OtherCluster, StaleLeader};
    let byte = input.u8()?;
    let reason = [NotLeader, OtherCluster, StaleLeader, Busy]
        .into_iter()
        .find(|reason| *reason as u8 == byte)?;
    Some(Refuse { reason, text: std::str::from_utf8(input.rest()).ok()? })
}

fn read_publish<'a>(input: &mut Input<'a>) -> Option<Publish<'a>> {
    let (after, sharded) = (input.lsn()?, input.flag()?);
    let channel = input.u32()? as usize;
    let (channel, payload) = input.rest().split_at_checked(channel)?;
    Some(Publish { after, sharded, channel, payload })
}

fn read_append<'a>(input: &mut Input<'a>) -> Option<Append<'a>> {
    let prev = input.position()?;
    let (commit, clock) = (input.lsn()?, input.hlc()?);
    let flush = input.flag()?;
    let runs = input.rest();
    (!runs.is_empty()).then_some(Append { prev, commit, clock, flush, runs })
}

fn read_heartbeat(input: &mut Input<'_>) -> Option<Heartbeat> {
    Some(Heartbeat {
        id: input.u64()?,
        end: input.lsn()?,
        commit: input.lsn()?,
        safe: input.lsn()?,
        clock: input.hlc()?,
    })
}

fn read_ack(input: &mut Input<'_>) -> Option<Ack> {
    Some(Ack {
        received: input.position()?,
        flushed: input.lsn()?,
        applied: input.lsn()?,
        heartbeat: input.u64()?,
    })
}

fn read_offer(input: &mut Input<'_>) -> Option<Offer> {
    Some(Offer {
        snapshot: input.snapshot()?,
        start: input.position()?,
        end: input.lsn()?,
        bytes: input.u64()?,
        epochs: input.epochs()?,
    })
}
