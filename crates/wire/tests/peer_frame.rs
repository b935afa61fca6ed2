//! Frames between nodes: their bytes are pinned, splits do not matter, no bytes do harm.

mod fixture;

use fixture::{Drawn, FENCE, drawn, messages};
use proptest::collection::vec;
use proptest::prelude::*;
use trefoil_wire::peer::{
    APPEND_HEAD_BYTES, Append, FRAME_MAX, FrameError, FrameReader, Kind, Message, encode,
    encode_head,
};

const GOLDEN: &str = include_str!("golden/peer-v1.txt");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn frame(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&FENCE, message, &mut out);
    out
}

/// A frame with its checksum made right again.
fn sealed(mut frame: Vec<u8>) -> Vec<u8> {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(&frame[..4]);
    digest.update(&frame[8..]);
    let crc = digest.finalize() as u32;
    frame[4..8].copy_from_slice(&crc.to_le_bytes());
    frame
}

/// What a reader makes of one frame.
fn read(frame: &[u8]) -> Result<usize, FrameError> {
    let mut reader = FrameReader::new();
    reader.feed(frame);
    let mut count = 0;
    while reader.next_message()?.is_some() {
        count += 1;
    }
    Ok(count)
}

#[test]
fn the_bytes_of_every_message_are_pinned() {
    let actual: String = messages()
        .iter()
        .map(|message| format!("{:?} {}\n", message.kind(), hex(&frame(message))))
        .collect();
    assert_eq!(actual, GOLDEN, "what is read and written must stay version 1");
}

#[test]
fn every_kind_of_message_is_among_the_pinned_ones() {
    for kind in Kind::ALL {
        assert!(messages().iter().any(|message| message.kind() == kind), "{kind:?}");
    }
}

#[test]
fn a_head_and_its_payload_are_the_whole_frame() {
    for message in messages() {
        let mut head = Vec::new();
        let payload = encode_head(&FENCE, &message, &mut head);
        if let Message::Append(Append { runs, .. }) = &message {
            assert_eq!(payload, *runs);
            assert_eq!(head.len(), APPEND_HEAD_BYTES);
        }
        assert_eq!([&head, payload].concat(), frame(&message));
    }
}

#[test]
fn frames_that_cannot_be_are_refused() {
    let probe = frame(&Message::Probe { id: 1 });
    let with = |at: usize, bytes: &[u8]| {
        let mut frame = probe.clone();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        frame
    };
    assert_eq!(read(&with(0, &44u32.to_le_bytes())), Err(FrameError::TooShort { bytes: 44 }));
    assert_eq!(read(&with(8, &[99])), Err(FrameError::UnknownKind { kind: 99 }));
    assert_eq!(read(&with(8, &[0])), Err(FrameError::UnknownKind { kind: 0 }));
    assert_eq!(read(&with(20, &[1])), Err(FrameError::Checksum { bytes: 53 }));
    // As a probe it may not be that long, as records it may.
    let long = u32::MAX.to_le_bytes();
    let refused = read(&with(0, &long));
    assert!(matches!(refused, Err(FrameError::TooLong { kind: 7, bytes: u32::MAX, .. })));
    let mut append = with(0, &long);
    append[8] = Kind::Append as u8;
    assert_eq!(read(&append), Ok(0));
    // A restart with a byte too many; a probe that ends early; a flag that is neither 0 nor 1.
    let mut restart = frame(&Message::Restart);
    restart.push(0);
    restart[0] += 1;
    assert_eq!(read(&sealed(restart)), Err(FrameError::Malformed { kind: 14 }));
    let mut short = with(0, &52u32.to_le_bytes());
    short.pop();
    assert_eq!(read(&sealed(short)), Err(FrameError::Malformed { kind: 7 }));
    let mut follow = frame(&messages()[0]);
    follow[53 + 32] = 2;
    assert_eq!(read(&sealed(follow)), Err(FrameError::Malformed { kind: 1 }));
}

#[test]
fn an_epoch_table_that_is_not_there_takes_no_memory() {
    let mut follow = frame(&messages()[1]);
    let count = follow.len() - 4;
    follow[count..].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(read(&sealed(follow)), Err(FrameError::Malformed { kind: 1 }));
}

#[test]
fn a_broken_stream_stays_broken() {
    let mut broken = frame(&Message::Restart);
    broken[10] ^= 1;
    let mut reader = FrameReader::new();
    reader.feed(&broken);
    let error = FrameError::Checksum { bytes: 45 };
    assert_eq!(reader.next_message(), Err(error));
    reader.feed(&frame(&Message::Restart));
    assert_eq!(reader.next_message(), Err(error));
}

#[test]
fn memory_grows_with_what_came_not_with_what_was_announced() {
    let mut head = frame(&messages()[4]);
    head[..4].copy_from_slice(&(1u32 << 30).to_le_bytes());
    let mut reader = FrameReader::new();
    reader.feed(&head);
    assert_eq!(reader.next_message(), Ok(None));
    assert!(reader.memory() <= 256 << 10);
    let mut came = head.len();
    for _ in 0..40 {
        reader.feed(&[0; 100_000]);
        came += 100_000;
        assert_eq!(reader.next_message(), Ok(None));
        assert!(reader.memory() <= 2 * came + (256 << 10));
    }
}

#[test]
fn a_long_frame_gets_across_and_leaves_no_memory_behind() {
    let runs = vec![7; 9 << 20];
    let append = Append { runs: &runs, ..Append { prev: fixture::at(1, 2), ..empty_append() } };
    assert!(runs.len() < FRAME_MAX as usize);
    let mut reader = FrameReader::new();
    for piece in frame(&Message::Append(append.clone())).chunks(1 << 20) {
        reader.feed(piece);
    }
    assert_eq!(reader.next_message(), Ok(Some((FENCE, Message::Append(append)))));
    assert_eq!(reader.next_message(), Ok(None));
    reader.feed(b"x");
    assert!(reader.memory() <= 256 << 10);
}

fn empty_append() -> Append<'static> {
    let Message::Append(append) = messages()[4].clone() else { unreachable!("the fifth one") };
    append
}

/// Feeds pieces that end at `cuts` and checks each message against what was sent.
fn assert_arrives(sent: &[Drawn], cuts: &[usize]) {
    let mut stream = Vec::new();
    for drawn in sent {
        encode(&FENCE, &drawn.message(), &mut stream);
    }
    let mut reader = FrameReader::new();
    let mut expected = sent.iter();
    let mut start = 0;
    for cut in cuts.iter().map(|cut| cut % (stream.len() + 1)).chain([stream.len()]) {
        let end = cut.max(start);
        reader.feed(&stream[start..end]);
        start = end;
        while let Some((fence, message)) = reader.next_message().expect("well-formed") {
            assert_eq!(fence, FENCE);
            assert_eq!(Some(message), expected.next().map(Drawn::message));
        }
    }
    assert!(expected.next().is_none() && reader.unread().is_empty());
}

proptest! {
    #[test]
    fn any_split_gives_the_same_messages(
        sent in vec(drawn(), 0..12),
        mut cuts in vec(any::<usize>(), 0..20),
    ) {
        cuts.sort_unstable();
        assert_arrives(&sent, &cuts);
    }

    #[test]
    fn random_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
    }

    #[test]
    fn a_flipped_bit_is_never_read_as_a_message(
        drawn in drawn(),
        at in any::<prop::sample::Index>(),
        bit in 0..8,
    ) {
        let mut bytes = frame(&drawn.message());
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        prop_assert!(matches!(read(&bytes), Ok(0) | Err(_)));
    }

    #[test]
    fn fields_that_were_changed_under_a_right_checksum_do_no_harm(
        drawn in drawn(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = frame(&drawn.message());
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = read(&sealed(bytes));
    }
}
