//! Requests: the first byte says where the stream is cut; whole, cut and byte by byte, it must give
//! the same commands and the same error.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trefoil_wire::resp::{Limits, Parsed, Parser, ProtocolError};
use trefoil_wire::{Args, Span};

type Frames = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

fn owned(bytes: &[u8], spans: &[Span]) -> Vec<Vec<u8>> {
    Args::new(bytes, spans).iter().map(<[u8]>::to_vec).collect()
}

fn frames(stream: &[u8], ends: impl Iterator<Item = usize>, limits: &Limits) -> Frames {
    let (mut parser, mut spans) = (Parser::new(), Vec::new());
    let (mut commands, mut start) = (Vec::new(), 0);
    for end in ends {
        loop {
            let input = &stream[start..end.max(start)];
            spans.clear();
            start += match parser.parse(input, limits, &mut spans) {
                Err(error) => return (commands, Some(error)),
                Ok(Parsed::Incomplete { want }) => {
                    assert!(want > input.len() && spans.is_empty());
                    break;
                }
                Ok(Parsed::Empty { consumed }) => consumed,
                Ok(Parsed::Command { consumed }) => {
                    commands.push(owned(input, &spans));
                    consumed
                }
                Ok(Parsed::Inline { consumed, line }) => {
                    commands.push(owned(&line, &spans));
                    consumed
                }
            };
            assert_eq!(parser.memory(), 0);
        }
    }
    (commands, None)
}

fuzz_target!(|data: &[u8]| {
    let Some((&cut, stream)) = data.split_first() else {
        return;
    };
    let cut = usize::from(cut).min(stream.len());
    for limits in [Limits::default(), Limits { inline_len_max: 64, ..Limits::unauthenticated() }] {
        let whole = frames(stream, [stream.len()].into_iter(), &limits);
        assert_eq!(frames(stream, [cut, stream.len()].into_iter(), &limits), whole);
        assert_eq!(frames(stream, 0..=stream.len(), &limits), whole);
    }
});
