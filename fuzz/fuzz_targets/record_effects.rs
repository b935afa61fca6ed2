//! Any bytes as the effects of a record: decoding never panics, and what decodes encodes again to
//! something that decodes to the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trefoil_store::record::Effect;

fuzz_target!(|bytes: &[u8]| {
    let mut input = bytes;
    while !input.is_empty() {
        let Ok(effect) = Effect::decode(&mut input) else { return };
        let mut encoded = Vec::new();
        effect.encode(&mut encoded);
        assert_eq!(Effect::decode(&mut &encoded[..]), Ok(effect));
    }
});
