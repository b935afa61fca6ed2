//! Replies: golden bytes of every type in both versions of the protocol.

use std::io::IoSlice;
use std::sync::Arc;

use trefoil_wire::resp::{Protocol, Reply, ReplyBuf, format_double};

/// Everything that waits in `buf`.
fn pending(buf: &ReplyBuf) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 64];
    let filled = buf.io_slices(u64::MAX, &mut slices);
    slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect()
}

fn spelled(protocol: Protocol, write: impl Fn(&mut Reply<'_>)) -> String {
    let mut buf = ReplyBuf::new();
    write(&mut Reply::new(&mut buf, protocol));
    pending(&buf).escape_ascii().to_string()
}

#[track_caller]
fn expect(resp2: &str, resp3: &str, write: impl Fn(&mut Reply<'_>)) {
    assert_eq!(spelled(Protocol::Resp2, &write), resp2.escape_default().to_string());
    assert_eq!(spelled(Protocol::Resp3, &write), resp3.escape_default().to_string());
}

#[track_caller]
fn expect_both(resp: &str, write: impl Fn(&mut Reply<'_>)) {
    expect(resp, resp, write);
}

#[test]
fn types_of_both_versions() {
    expect_both("+OK\r\n", |r| r.ok());
    expect_both("+QUEUED\r\n", |r| r.simple("QUEUED"));
    expect_both("-ERR no such key\r\n", |r| r.error("ERR no such key"));
    expect_both("*0\r\n", |r| r.empty_array());
    expect_both("*3\r\n", |r| r.array(3));
    expect_both("*12345\r\n", |r| r.array(12345));
    expect_both("$2\r\n-7\r\n", |r| r.bulk_integer(-7));
    for value in [0, 9, 10, -1, i64::MAX, i64::MIN] {
        expect_both(&format!(":{value}\r\n"), |r| r.integer(value));
    }
}

#[test]
fn types_that_resp3_added() {
    expect("$-1\r\n", "_\r\n", |r| r.null());
    expect("*-1\r\n", "_\r\n", |r| r.null_array());
    expect("*4\r\n", "%2\r\n", |r| r.map(2));
    expect("*200\r\n", "%100\r\n", |r| r.map(100));
    expect("*2\r\n", "~2\r\n", |r| r.set(2));
    expect("*3\r\n", ">3\r\n", |r| r.push(3));
    expect(":1\r\n", "#t\r\n", |r| r.boolean(true));
    expect(":0\r\n", "#f\r\n", |r| r.boolean(false));
    expect("$3\r\n1.5\r\n", ",1.5\r\n", |r| r.double(1.5));
    expect("$18\r\n0.3333333333333333\r\n", ",0.3333333333333333\r\n", |r| r.double(1.0 / 3.0));
    expect("$4\r\n-inf\r\n", ",-inf\r\n", |r| r.double(f64::NEG_INFINITY));
    expect("$5\r\n12345\r\n", "(12345\r\n", |r| r.big_number("12345"));
    expect("$4\r\ntext\r\n", "=8\r\ntxt:text\r\n", |r| r.verbatim(*b"txt", b"text"));
}

#[test]
fn strings_of_every_length() {
    for len in (0..300).chain([999, 1000, 65_535, 1_000_000]) {
        let mut buf = ReplyBuf::new();
        let value = vec![b'x'; len];
        Reply::new(&mut buf, Protocol::Resp2).bulk(&value);
        let golden = [format!("${len}\r\n").as_bytes(), &value, b"\r\n"].concat();
        assert_eq!(pending(&buf), golden);
    }
}

#[test]
fn line_ends_cannot_be_smuggled_into_lines() {
    expect_both("-ERR a  +OK\r\n", |r| r.error("ERR a\r\n+OK\r\n"));
    expect_both("+a b\r\n", |r| r.simple("a\nb"));
}

#[test]
fn aggregates_may_learn_their_length_last() {
    expect_both("*0\r\n", |r| {
        let at = r.begin_aggregate();
        r.end_array(at, 0);
    });
    for count in [1, 9, 10, 1234] {
        expect_both(&format!(":7\r\n*{count}\r\n{}:8\r\n", ":1\r\n".repeat(count)), |r| {
            r.integer(7);
            let at = r.begin_aggregate();
            (0..count).for_each(|_| r.integer(1));
            r.end_array(at, count);
            r.integer(8);
        });
    }
    expect("*2\r\n+a\r\n+b\r\n", "%1\r\n+a\r\n+b\r\n", |r| {
        let at = r.begin_aggregate();
        r.simple("a");
        r.simple("b");
        r.end_map(at, 1);
    });
    expect("*1\r\n+a\r\n", "~1\r\n+a\r\n", |r| {
        let at = r.begin_aggregate();
        r.simple("a");
        r.end_set(at, 1);
    });
}

#[test]
fn a_late_length_moves_what_is_nested_and_referenced() {
    let value = Arc::new(vec![b'v'; 5000]);
    let mut buf = ReplyBuf::new();
    let mut reply = Reply::new(&mut buf, Protocol::Resp2);
    reply.bulk_shared(&value);
    let outer = reply.begin_aggregate();
    reply.bulk_shared(&value);
    let inner = reply.begin_aggregate();
    (0..11).for_each(|_| reply.bulk_shared(&value));
    reply.end_array(inner, 11);
    reply.end_array(outer, 100);
    let bulk = [&b"$5000\r\n"[..], &value, b"\r\n"].concat();
    let golden = [&bulk, &b"*100\r\n"[..], &bulk, b"*11\r\n", &bulk.repeat(11)].concat();
    assert_eq!(buf.len(), golden.len());
    assert_eq!(pending(&buf), golden);
    let before = buf.position();
    buf.truncate_to(before - 5009);
    assert_eq!(pending(&buf), golden[..golden.len() - 5009]);
}

#[test]
fn short_values_are_copied_and_long_ones_referenced() {
    for (len, holders) in [(10, 1), (4095, 1), (4096, 2), (100_000, 2)] {
        let value = Arc::new(vec![b'x'; len]);
        let mut buf = ReplyBuf::new();
        Reply::new(&mut buf, Protocol::Resp3).bulk_shared(&value);
        assert_eq!(Arc::strong_count(&value), holders);
        assert_eq!(pending(&buf), [format!("${len}\r\n").as_bytes(), &value, b"\r\n"].concat());
    }
}

#[test]
fn doubles_are_printed_as_redis_prints_scores() {
    for (value, text) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (3.0, "3"),
        (-3.5, "-3.5"),
        (0.1, "0.1"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1.0 / 3.0, "0.3333333333333333"),
        (0.001, "0.001"),
        (0.00001, "0.00001"),
        (1.234e-5, "1.234e-5"),
        (1.234_567_890_123_456_7e-4, "1.2345678901234567e-4"),
        (1e-7, "1e-7"),
        (1.5e-7, "1.5e-7"),
        (5e-324, "5e-324"),
        (-2.5e-300, "-2.5e-300"),
        (123_456_789.123, "123456789.123"),
        (10_928_588.983_213_553, "1.0928588983213553e+7"),
        (1_000_000_000_000_000.5, "1000000000000000.5"),
        (4.6e18, "4600000000000000000"),
        (4.7e18, "4.7e+18"),
        (4_611_686_018_427_387_904.0, "4611686018427387904"),
        (4_611_686_018_427_388_928.0, "4611686018427389000"),
        (12_345_678_901_234_567_890.0, "12345678901234567000"),
        (1e19, "1e+19"),
        (1.23456789012345e22, "1.23456789012345e+22"),
        (1e100, "1e+100"),
        (f64::MAX, "1.7976931348623157e+308"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
        (f64::NAN, "nan"),
        (-f64::NAN, "nan"),
    ] {
        let mut out = Vec::new();
        format_double(value, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
}
