//! Requests: the same bytes give the same frames however they are split, and no bytes do harm.

use proptest::collection::vec;
use proptest::prelude::*;
use trefoil_wire::Args;
use trefoil_wire::resp::client::encode_command;
use trefoil_wire::resp::{Limits, Parsed, Parser, ProtocolError};

type Frames = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

/// Feeds `stream` in pieces that end at `cuts`, as a connection would, and collects all commands up
/// to the first error.
fn frames(stream: &[u8], cuts: &[usize], limits: &Limits) -> Frames {
    let (mut parser, mut spans) = (Parser::new(), Vec::new());
    let (mut commands, mut start) = (Vec::new(), 0);
    for end in cuts.iter().copied().chain([stream.len()]) {
        loop {
            let input = &stream[start..end.max(start)];
            spans.clear();
            let consumed = match parser.parse(input, limits, &mut spans) {
                Err(error) => return (commands, Some(error)),
                Ok(Parsed::Incomplete { want }) => {
                    assert!(want > input.len() && spans.is_empty());
                    break;
                }
                Ok(Parsed::Empty { consumed }) => consumed,
                Ok(Parsed::Command { consumed }) => {
                    commands.push(Args::new(input, &spans).iter().map(<[u8]>::to_vec).collect());
                    consumed
                }
                Ok(Parsed::Inline { consumed, line }) => {
                    commands.push(Args::new(&line, &spans).iter().map(<[u8]>::to_vec).collect());
                    consumed
                }
            };
            assert!(consumed > 0 && consumed <= input.len());
            assert_eq!(parser.memory(), 0, "nothing is kept between frames");
            start += consumed;
        }
    }
    (commands, None)
}

/// One frame: a command, an inline command, nothing, or something broken.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let args = vec(vec(any::<u8>(), 0..40), 1..6);
    let multibulk = args.prop_map(|args| {
        let mut out = Vec::new();
        encode_command(&mut out, &args.iter().map(Vec::as_slice).collect::<Vec<_>>());
        out
    });
    let inline = r#"[a-z "'\\x41\t]{0,30}\r?\n"#.prop_map(String::into_bytes);
    let odd = prop::sample::select(vec![
        &b"*0\r\n"[..],
        b"*-1\r\n",
        b"\r\n",
        b"*3\r\n",
        b"*1\r\n$5\r\n",
        b"*1\r\nx",
        b"*1\rx",
        b"$1\r\n",
    ]);
    prop_oneof![8 => multibulk, 2 => inline, 1 => odd.prop_map(<[u8]>::to_vec)]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    vec(frame(), 0..12).prop_map(|frames| frames.concat())
}

/// A stream in which some bytes were overwritten with bytes that mean something.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![prop::sample::select(b"*$\r\n0159-\"'\\x ".to_vec()), any::<u8>()];
    (stream(), vec((any::<prop::sample::Index>(), byte), 0..8)).prop_map(|(mut bytes, changes)| {
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        bytes
    })
}

fn small() -> Limits {
    Limits { inline_len_max: 24, bulk_len_max: 32, ..Limits::unauthenticated() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same_commands(
        stream in mutated(),
        cuts in vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        let bytewise: Vec<usize> = (0..stream.len()).collect();
        for limits in [Limits::default(), small()] {
            let whole = frames(&stream, &[], &limits);
            prop_assert_eq!(&frames(&stream, &cuts, &limits), &whole);
            prop_assert_eq!(&frames(&stream, &bytewise, &limits), &whole);
        }
    }

    #[test]
    fn what_was_encoded_is_what_is_parsed(commands in vec(vec(vec(any::<u8>(), 0..300), 1..12), 0..8)) {
        let mut stream = Vec::new();
        for args in &commands {
            encode_command(&mut stream, &args.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
        prop_assert_eq!(frames(&stream, &[], &Limits::default()), (commands, None));
    }

    #[test]
    fn random_bytes_do_no_harm(stream in vec(any::<u8>(), 0..300)) {
        frames(&stream, &[stream.len() / 2], &Limits::default());
    }
}
