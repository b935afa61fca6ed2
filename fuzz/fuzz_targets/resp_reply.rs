//! Replies as the client's end reads them: decoding and measuring must agree.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trefoil_wire::resp::client::{decode, reply_len};

fuzz_target!(|data: &[u8]| {
    let measured = reply_len(data);
    if let Ok(Some((_, len))) = decode(data) {
        assert_eq!(measured.map(|reply| reply.map(|(len, _)| len)), Ok(Some(len)));
    }
});
