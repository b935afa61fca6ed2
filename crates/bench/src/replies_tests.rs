//! Tests of the reply counter: examples, and a property over random replies cut at random places.

use super::*;
use proptest::prelude::*;

fn count(bytes: &[u8]) -> Result<(u32, Tally), ReplyFault> {
    let mut tally = Tally::default();
    let replies = ReplyCounter::default().feed(bytes, &mut tally)?;
    Ok((replies, tally))
}

#[test]
fn every_kind_of_reply_counts_once() {
    for reply in [
        "+OK\r\n",
        ":12\r\n",
        "$0\r\n\r\n",
        "$5\r\na\r\nbc\r\n",
        "*0\r\n",
        "*2\r\n:1\r\n*1\r\n+x\r\n",
        ",1.5\r\n",
        "#t\r\n",
        "(123\r\n",
        "=7\r\ntxt:abc\r\n",
        "~1\r\n:1\r\n",
        "%2\r\n+a\r\n:1\r\n+b\r\n:2\r\n",
        "|1\r\n+ttl\r\n:5\r\n$1\r\nx\r\n",
    ] {
        let (replies, tally) = count(reply.as_bytes()).expect("valid");
        assert_eq!((replies, tally.nulls, tally.errors.total()), (1, 0, 0), "{reply:?}");
    }
}

#[test]
fn nulls_and_errors_are_seen_at_any_depth() {
    let (replies, tally) =
        count(b"$-1\r\n*-1\r\n_\r\n*3\r\n$-1\r\n+a\r\n-ERR inner\r\n-ERR outer\r\n!3\r\nERR\r\n")
            .expect("valid");
    assert_eq!(replies, 6);
    assert_eq!(tally.nulls, 4);
    assert_eq!(tally.errors.total(), 3);
}

#[test]
fn push_messages_answer_no_request() {
    let (replies, _) = count(b">2\r\n+invalidate\r\n*1\r\n+k\r\n+OK\r\n").expect("valid");
    assert_eq!(replies, 1);
}

#[test]
fn what_is_not_resp_is_refused() {
    assert_eq!(count(b"HTTP/1.1 400\r\n").err(), Some(ReplyFault::Type(b'H')));
    assert_eq!(count(b"\r\n").err(), Some(ReplyFault::Type(b'\r')));
    assert_eq!(count(b"+OK\n").err(), Some(ReplyFault::LineEnd));
    assert_eq!(count(b"\n").err(), Some(ReplyFault::LineEnd));
    assert_eq!(count(b"$3\r\nabcde\r\n").err(), Some(ReplyFault::LineEnd));
    for length in ["", "-2", "x", "99999999999999", "9999999999999", "1 "] {
        let bytes = format!("${length}\r\n");
        assert_eq!(count(bytes.as_bytes()).err(), Some(ReplyFault::Length), "{length}");
    }
    let endless = vec![b'+'; LINE_BYTES_MAX + 1];
    assert_eq!(count(&endless).err(), Some(ReplyFault::LineTooLong));
}

#[test]
fn deep_announcements_end_in_an_error_not_in_an_overflow() {
    let bytes = b"%1099511627776\r\n".repeat(4);
    assert_eq!(count(&bytes).err(), Some(ReplyFault::Length));
    let bytes = b"|1099511627776\r\n".repeat(1_000);
    assert_eq!(count(&bytes).err(), Some(ReplyFault::Length));
}

#[derive(Debug, Clone)]
enum Reply {
    Line(u8, String),
    Null(&'static str),
    Body(u8, Vec<u8>),
    Many(u8, Vec<Reply>),
}

impl Reply {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Line(kind, text) => {
                out.push(*kind);
                out.extend_from_slice(text.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            Self::Null(text) => out.extend_from_slice(text.as_bytes()),
            Self::Body(kind, bytes) => {
                out.push(*kind);
                out.extend_from_slice(format!("{}\r\n", bytes.len()).as_bytes());
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
            Self::Many(kind, items) => {
                let len = if *kind == b'%' { items.len() / 2 } else { items.len() };
                out.push(*kind);
                out.extend_from_slice(format!("{len}\r\n").as_bytes());
                items[..if *kind == b'%' { len * 2 } else { len }]
                    .iter()
                    .for_each(|i| i.encode(out));
            }
        }
    }

    fn nulls(&self) -> u64 {
        match self {
            Self::Null(_) => 1,
            Self::Many(b'%', items) => items[..items.len() / 2 * 2].iter().map(Self::nulls).sum(),
            Self::Many(_, items) => items.iter().map(Self::nulls).sum(),
            Self::Line(..) | Self::Body(..) => 0,
        }
    }
}

fn any_reply() -> impl Strategy<Value = Reply> {
    let leaf = prop_oneof![
        (prop::sample::select(b"+-:,#(".to_vec()), "[ -~]{0,20}")
            .prop_map(|(k, t)| Reply::Line(k, t)),
        prop::sample::select(vec!["$-1\r\n", "*-1\r\n", "_\r\n"]).prop_map(Reply::Null),
        (prop::sample::select(b"$=!".to_vec()), prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(k, b)| Reply::Body(k, b)),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        (prop::sample::select(b"*~%".to_vec()), prop::collection::vec(inner, 0..6))
            .prop_map(|(k, items)| Reply::Many(k, items))
    })
}

proptest! {
    #[test]
    fn counts_do_not_depend_on_where_chunks_end(
        replies in prop::collection::vec(any_reply(), 0..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
    ) {
        let mut bytes = Vec::new();
        replies.iter().for_each(|reply| reply.encode(&mut bytes));
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        let (mut counter, mut tally, mut seen, mut from) = (ReplyCounter::default(), Tally::default(), 0, 0);
        for end in ends {
            seen += counter.feed(&bytes[from..end], &mut tally).expect("valid");
            from = end;
        }
        prop_assert_eq!(seen as usize, replies.len());
        prop_assert_eq!(tally.nulls, replies.iter().map(Reply::nulls).sum::<u64>());
    }

    #[test]
    fn random_bytes_never_panic(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..8)) {
        let (mut counter, mut tally) = (ReplyCounter::default(), Tally::default());
        for chunk in chunks {
            if counter.feed(&chunk, &mut tally).is_err() {
                break;
            }
        }
    }
}
