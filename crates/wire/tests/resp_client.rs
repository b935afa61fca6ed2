//! The client's end: replies are decoded, measured and refused alike.

use proptest::collection::vec;
use proptest::prelude::*;
use trefoil_wire::resp::client::{
    DEPTH_MAX, ReplyError, ReplyKind, Value, decode, encode_command, reply_len,
};
use trefoil_wire::resp::{Protocol, Reply, ReplyBuf};

/// Decodes one whole reply and checks that measuring it agrees.
fn decoded(input: &[u8]) -> Value {
    let (value, len) = decode(input).unwrap().expect("the reply is whole");
    assert_eq!(len, input.len());
    assert_eq!(reply_len(input).unwrap().map(|(len, _)| len), Some(len));
    for end in 0..len {
        assert_eq!(decode(&input[..end]), Ok(None));
        assert_eq!(reply_len(&input[..end]), Ok(None));
    }
    value
}

#[test]
fn a_command_is_an_array_of_strings() {
    let mut out = Vec::new();
    encode_command(&mut out, &[b"SET", b"k", b"", b"0123456789"]);
    assert_eq!(out, b"*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n$10\r\n0123456789\r\n");
}

#[test]
fn every_type_is_decoded() {
    for (input, value) in [
        (&b"+OK\r\n"[..], Value::Simple(b"OK".to_vec())),
        (b"-ERR x\r\n", Value::Error(b"ERR x".to_vec())),
        (b"!5\r\nERR x\r\n", Value::Error(b"ERR x".to_vec())),
        (b":-12\r\n", Value::Integer(-12)),
        (b"$3\r\na\rb\r\n", Value::bulk(b"a\rb")),
        (b"$0\r\n\r\n", Value::bulk(b"")),
        (b"$-1\r\n", Value::Null),
        (b"*-1\r\n", Value::Null),
        (b"_\r\n", Value::Null),
        (b"*0\r\n", Value::Array(vec![])),
        (b"*2\r\n:1\r\n*1\r\n$1\r\na\r\n", nested()),
        (
            b"%1\r\n+k\r\n:1\r\n",
            Value::Map(vec![(Value::Simple(b"k".to_vec()), Value::Integer(1))]),
        ),
        (b"~1\r\n:1\r\n", Value::Set(vec![Value::Integer(1)])),
        (b">1\r\n:1\r\n", Value::Push(vec![Value::Integer(1)])),
        (b",1.5e+300\r\n", Value::Double(1.5e300)),
        (b",-inf\r\n", Value::Double(f64::NEG_INFINITY)),
        (b"#t\r\n", Value::Boolean(true)),
        (b"#f\r\n", Value::Boolean(false)),
        (b"(123\r\n", Value::BigNumber(b"123".to_vec())),
        (b"=7\r\ntxt:abc\r\n", Value::Verbatim(*b"txt", b"abc".to_vec())),
        (b"|1\r\n+ttl\r\n:5\r\n$1\r\na\r\n", Value::bulk(b"a")),
        (b"*1\r\n|1\r\n+ttl\r\n:5\r\n$1\r\na\r\n", Value::Array(vec![Value::bulk(b"a")])),
    ] {
        assert_eq!(decoded(input), value, "{}", input.escape_ascii());
    }
}

fn nested() -> Value {
    Value::Array(vec![Value::Integer(1), Value::Array(vec![Value::bulk(b"a")])])
}

#[test]
fn the_type_is_told_without_decoding() {
    for (input, kind) in [
        (&b"+OK\r\n"[..], ReplyKind::Simple),
        (b"-MOVED 1 a:1\r\n", ReplyKind::Error),
        (b"$-1\r\n", ReplyKind::Null),
        (b">2\r\n+a\r\n+b\r\n", ReplyKind::Push),
        (b"|1\r\n+ttl\r\n:5\r\n:1\r\n", ReplyKind::Integer),
    ] {
        assert_eq!(reply_len(input), Ok(Some((input.len(), kind))));
    }
}

#[test]
fn what_is_no_reply_is_refused() {
    for (input, error) in [
        (&b"hello\r\n"[..], ReplyError::UnknownType(b'h')),
        (b"$x\r\n", ReplyError::InvalidLength),
        (b"$-2\r\n", ReplyError::InvalidLength),
        (b"*99999999999\r\n", ReplyError::InvalidLength),
        (b"$1\r\nabc\r\n", ReplyError::MissingLineEnd),
        (b"+OK\rx", ReplyError::MissingLineEnd),
    ] {
        assert_eq!(decode(input), Err(error));
        assert_eq!(reply_len(input), Err(error));
    }
    assert_eq!(decode(b":1x\r\n"), Err(ReplyError::InvalidNumber));
    assert_eq!(decode(b",abc\r\n"), Err(ReplyError::InvalidNumber));
    assert_eq!(decode(b"#x\r\n"), Err(ReplyError::InvalidNumber));
}

#[test]
fn nesting_is_bounded_where_a_tree_is_built() {
    let nested = |depth: usize| [b"*1\r\n".repeat(depth), b":1\r\n".to_vec()].concat();
    assert!(decode(&nested(DEPTH_MAX)).unwrap().is_some());
    assert_eq!(decode(&nested(DEPTH_MAX + 1)), Err(ReplyError::TooDeep));
    let deep = nested(200_000);
    assert_eq!(reply_len(&deep), Ok(Some((deep.len(), ReplyKind::Array))));
}

/// Values as the server can write them.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        "[a-z ]{0,9}".prop_map(|text| Value::Simple(text.into_bytes())),
        "ERR [a-z]{0,9}".prop_map(|text| Value::Error(text.into_bytes())),
        any::<i64>().prop_map(Value::Integer),
        vec(any::<u8>(), 0..300).prop_map(Value::Bulk),
        Just(Value::Null),
        any::<f64>().prop_filter("no NaN equals another", |v| !v.is_nan()).prop_map(Value::Double),
        any::<bool>().prop_map(Value::Boolean),
        vec(any::<u8>(), 0..9).prop_map(|text| Value::Verbatim(*b"txt", text)),
    ];
    leaf.prop_recursive(4, 40, 12, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..12).prop_map(Value::Array),
            vec(inner.clone(), 0..12).prop_map(Value::Set),
            vec((inner.clone(), inner), 0..6).prop_map(Value::Map),
        ]
    })
}

/// Writes a value with the server's end; lengths of arrays are told last.
fn write(reply: &mut Reply<'_>, value: &Value) {
    match value {
        Value::Simple(text) => reply.simple(str::from_utf8(text).unwrap()),
        Value::Error(text) => reply.error(str::from_utf8(text).unwrap()),
        Value::Integer(value) => reply.integer(*value),
        Value::Bulk(bytes) => reply.bulk(bytes),
        Value::Null => reply.null(),
        Value::Double(value) => reply.double(*value),
        Value::Boolean(value) => reply.boolean(*value),
        Value::BigNumber(digits) => reply.big_number(str::from_utf8(digits).unwrap()),
        Value::Verbatim(format, text) => reply.verbatim(*format, text),
        Value::Array(elements) => {
            let at = reply.begin_aggregate();
            elements.iter().for_each(|element| write(reply, element));
            reply.end_array(at, elements.len());
        }
        Value::Set(elements) | Value::Push(elements) => {
            reply.set(elements.len());
            elements.iter().for_each(|element| write(reply, element));
        }
        Value::Map(pairs) => {
            reply.map(pairs.len());
            for (key, value) in pairs {
                write(reply, key);
                write(reply, value);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_server_writes_the_client_reads(value in value()) {
        let mut buf = ReplyBuf::new();
        write(&mut Reply::new(&mut buf, Protocol::Resp3), &value);
        let bytes = buf.next_slice(u64::MAX);
        prop_assert_eq!(decode(bytes), Ok(Some((value, bytes.len()))));
        prop_assert_eq!(reply_len(bytes).unwrap().map(|(len, _)| len), Some(bytes.len()));
    }

    #[test]
    fn mutated_replies_do_no_harm(
        value in value(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut buf = ReplyBuf::new();
        write(&mut Reply::new(&mut buf, Protocol::Resp3), &value);
        let mut bytes = buf.next_slice(u64::MAX).to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(Some((_, len))) = decode(&bytes) {
            prop_assert_eq!(reply_len(&bytes).unwrap().map(|(len, _)| len), Some(len));
        }
    }

    #[test]
    fn random_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
        let _ = reply_len(&bytes);
    }
}
