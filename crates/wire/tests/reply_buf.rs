//! The output buffer against a plain list of bytes.

use std::io::IoSlice;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use trefoil_wire::resp::ReplyBuf;

/// What waits below `upto`, gathered `at_once` pieces at a time.
fn gathered(buf: &ReplyBuf, upto: u64, at_once: usize) -> Vec<u8> {
    let mut slices = vec![IoSlice::new(&[]); at_once];
    let filled = buf.io_slices(upto, &mut slices);
    assert!(slices[..filled].iter().all(|slice| !slice.is_empty()));
    slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Own(Vec<u8>),
    Shared(usize),
    Advance(prop::sample::Index),
    Truncate(prop::sample::Index),
    Shrink,
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(any::<u8>(), 0..3000).prop_map(Step::Own),
        4 => (0_usize..9000).prop_map(Step::Shared),
        6 => any::<prop::sample::Index>().prop_map(Step::Advance),
        2 => any::<prop::sample::Index>().prop_map(Step::Truncate),
        1 => Just(Step::Shrink),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_is_the_bytes_that_were_appended(steps in vec(step(), 0..60), upto in any::<prop::sample::Index>()) {
        let mut buf = ReplyBuf::new();
        // All bytes of the stream, and how many of them were sent.
        let (mut stream, mut sent) = (Vec::new(), 0);
        for step in steps {
            match step {
                Step::Own(bytes) => {
                    buf.extend(&bytes);
                    stream.extend_from_slice(&bytes);
                }
                Step::Shared(len) => {
                    let value = Arc::new((0..len).map(|at| at as u8).collect::<Vec<_>>());
                    buf.extend_shared(&value);
                    stream.extend_from_slice(&value);
                }
                Step::Advance(count) => {
                    let count = count.index(stream.len() - sent + 1);
                    buf.advance(count);
                    sent += count;
                }
                Step::Truncate(to) => {
                    stream.truncate(sent + to.index(stream.len() - sent + 1));
                    buf.truncate_to(stream.len() as u64);
                }
                Step::Shrink => buf.shrink(),
                Step::Clear => {
                    buf.clear();
                    stream.truncate(sent);
                }
            }
            prop_assert_eq!(buf.position(), stream.len() as u64);
            prop_assert_eq!(buf.sent(), sent as u64);
            prop_assert_eq!(buf.len(), stream.len() - sent);
            prop_assert_eq!(buf.is_empty(), stream.len() == sent);
            prop_assert!(gathered(&buf, u64::MAX, 200) == stream[sent..]);
            let upto = upto.index(stream.len() + 1);
            prop_assert!(gathered(&buf, upto as u64, 200) == stream[sent..upto.max(sent)]);
            prop_assert!(stream[sent..].starts_with(buf.next_slice(u64::MAX)));
            prop_assert!(stream[sent..].starts_with(&gathered(&buf, u64::MAX, 2)));
            prop_assert_eq!(buf.next_slice(u64::MAX).is_empty(), buf.is_empty());
        }
    }
}

#[test]
fn a_shared_value_is_released_once_it_was_sent() {
    let value = Arc::new(vec![7; 10_000]);
    let mut buf = ReplyBuf::new();
    buf.extend(b"head");
    buf.extend_shared(&value);
    buf.extend(b"tail");
    buf.advance(10_003);
    assert_eq!(Arc::strong_count(&value), 2);
    assert!(buf.memory() >= 10_000);
    buf.advance(1);
    assert_eq!(Arc::strong_count(&value), 1);
    assert_eq!(buf.next_slice(u64::MAX), b"tail");
    assert!(buf.memory() < 1000);
}

#[test]
fn an_idle_buffer_holds_no_memory_and_keeps_its_position() {
    let mut buf = ReplyBuf::new();
    assert_eq!(buf.memory(), 0);
    buf.extend(&[1; 5000]);
    buf.extend_shared(&Arc::new(vec![2; 5000]));
    buf.advance(10_000);
    buf.shrink();
    assert_eq!(buf.memory(), 0);
    assert_eq!((buf.position(), buf.sent()), (10_000, 10_000));
}

#[test]
fn sent_bytes_do_not_pile_up_while_some_always_wait() {
    let mut buf = ReplyBuf::new();
    buf.extend(&[0; 100]);
    for _ in 0..10_000 {
        buf.extend(&[0; 1000]);
        buf.advance(1000);
    }
    assert_eq!(buf.len(), 100);
    assert!(buf.memory() < 32 * 1024);
}

#[test]
fn a_reply_can_be_replaced_before_it_is_sent() {
    let mut buf = ReplyBuf::new();
    buf.extend(b"+OK\r\n");
    let before = buf.position();
    buf.extend(b"*2\r\n$5000\r\n");
    buf.extend_shared(&Arc::new(vec![b'x'; 5000]));
    buf.advance(3);
    buf.truncate_to(before);
    buf.extend(b"-ERR\r\n");
    assert_eq!(gathered(&buf, u64::MAX, 4), b"\r\n-ERR\r\n");
}

#[test]
#[should_panic(expected = "cut among unsent bytes")]
fn what_was_sent_cannot_be_cut() {
    let mut buf = ReplyBuf::new();
    buf.extend(b"+OK\r\n");
    buf.advance(3);
    buf.truncate_to(2);
}
