//! Any bytes as what another node sends: the greeting, then frames. Decoding never panics, the order of
//! reads does not matter, and what decodes encodes to the same bytes again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trefoil_clock::{ClusterId, NodeId};
use trefoil_wire::peer::{FrameReader, Greeting, Hello, PEER_VERSIONS, SecretState, encode};

fn greet(bytes: &[u8]) {
    let hello = Hello {
        versions: PEER_VERSIONS,
        node: NodeId(1),
        cluster: ClusterId(2),
        nonce: [3; 32],
        client_port: 6379,
        secret: SecretState::Unset,
    };
    let mut out = Vec::new();
    let mut greeting = Greeting::accept(hello, None);
    if let Ok(greeted) = greeting.read(bytes, &mut out) {
        assert!(greeted.used <= bytes.len());
    }
}

/// Reads frames from bytes that come in pieces of this size; gives back those that were well-formed.
fn frames(bytes: &[u8], piece: usize) -> Vec<u8> {
    let mut reader = FrameReader::new();
    let mut again = Vec::new();
    for piece in bytes.chunks(piece) {
        reader.feed(piece);
        while let Ok(Some((fence, message))) = reader.next_message() {
            encode(&fence, &message, &mut again);
        }
    }
    assert!(reader.memory() <= 2 * bytes.len() + (256 << 10));
    again
}

fuzz_target!(|bytes: &[u8]| {
    greet(bytes);
    let whole = frames(bytes, bytes.len().max(1));
    assert!(bytes.starts_with(&whole));
    assert_eq!(frames(bytes, 7), whole);
});
