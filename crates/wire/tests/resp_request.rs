//! Requests: each edge and each error of the framing, in Redis's words.

use trefoil_wire::resp::{Limits, Parsed, Parser, ProtocolError};
use trefoil_wire::{Args, Span};

/// Parses the frame at the start of `input` with a new parser.
fn parse(input: &[u8], limits: &Limits) -> Result<(Parsed, Vec<Span>), ProtocolError> {
    let mut spans = Vec::new();
    let parsed = Parser::new().parse(input, limits, &mut spans)?;
    Ok((parsed, spans))
}

/// The arguments of the command that is all of `input`.
fn command(input: &[u8]) -> Vec<Vec<u8>> {
    let (parsed, spans) = parse(input, &Limits::default()).unwrap();
    let (consumed, bytes) = match parsed {
        Parsed::Command { consumed } => (consumed, input),
        Parsed::Inline { consumed, ref line } => (consumed, &line[..]),
        other => panic!("no command but {other:?}"),
    };
    assert_eq!(consumed, input.len());
    Args::new(bytes, &spans).iter().map(<[u8]>::to_vec).collect()
}

fn outcome(input: &[u8]) -> Result<Parsed, ProtocolError> {
    parse(input, &Limits::default()).map(|(parsed, _)| parsed)
}

fn refusal(input: &[u8], limits: &Limits) -> String {
    match parse(input, limits) {
        Err(error) => error.to_string(),
        Ok((parsed, _)) => panic!("{} gave {parsed:?}", input.escape_ascii()),
    }
}

#[test]
fn an_array_of_strings_is_a_command() {
    assert_eq!(command(b"*1\r\n$4\r\nPING\r\n"), [b"PING"]);
    assert_eq!(command(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n"), [&b"SET"[..], b"k", b""]);
    assert_eq!(command(b"*2\r\n$4\r\nECHO\r\n$4\r\n\r\n\r\n\r\n"), [&b"ECHO"[..], b"\r\n\r\n"]);
}

#[test]
fn lengths_of_any_number_of_digits_are_read() {
    for len in [9, 10, 99, 100, 999, 1000, 9999, 10_000, 99_999, 100_000, 1_000_000] {
        let mut input = format!("*2\r\n$3\r\nGET\r\n${len}\r\n").into_bytes();
        input.resize(input.len() + len, b'x');
        input.extend_from_slice(b"\r\n");
        let args = command(&input);
        assert_eq!(args[1].len(), len);
    }
}

#[test]
fn spans_are_appended_behind_those_of_earlier_commands() {
    let input = b"*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
    let (mut parser, mut spans) = (Parser::new(), Vec::new());
    let limits = Limits::default();
    let first = parser.parse(input, &limits, &mut spans).unwrap();
    assert_eq!(first, Parsed::Command { consumed: 14 });
    let second = parser.parse(&input[14..], &limits, &mut spans).unwrap();
    assert_eq!(second, Parsed::Command { consumed: input.len() - 14 });
    assert_eq!(Args::new(input, &spans[..1]).name(), b"PING");
    assert_eq!(Args::new(&input[14..], &spans[1..]).get(1), b"k");
}

#[test]
fn what_asks_for_nothing_is_skipped() {
    for input in
        [&b"\r\n"[..], b"\n", b"   \t\r\n", b"*0\r\n", b"*-1\r\n", b"*-9223372036854775808\r\n"]
    {
        assert_eq!(outcome(input), Ok(Parsed::Empty { consumed: input.len() }));
    }
}

#[test]
fn inline_commands_are_lines_of_words() {
    assert_eq!(command(b"PING\r\n"), [b"PING"]);
    assert_eq!(command(b"  SET  key\tvalue \n"), [&b"SET"[..], b"key", b"value"]);
    assert_eq!(command(b"SET k \"a b\\x41\\n\" ''\r\n"), [&b"SET"[..], b"k", b"a bA\n", b""]);
    assert_eq!(command(b"ECHO 'it\\'s'\n"), [&b"ECHO"[..], b"it's"]);
    assert_eq!(command(b"-1\r\n"), [b"-1"]);
}

#[test]
fn an_incomplete_frame_says_how_much_it_needs() {
    let want = |input: &[u8]| match outcome(input) {
        Ok(Parsed::Incomplete { want }) => want,
        other => panic!("{other:?}"),
    };
    assert_eq!(want(b""), 1);
    assert_eq!(want(b"*"), 2);
    assert_eq!(want(b"*1\r"), 4);
    assert_eq!(want(b"*1\r\n"), 5);
    assert_eq!(want(b"*1\r\n$10\r\n"), 21);
    assert_eq!(want(b"*1\r\n$1000000\r\nabc"), 4 + 10 + 1_000_000 + 2);
    assert_eq!(want(b"*1\r\n$4\r\nPING\r"), 14);
    assert_eq!(want(b"PING"), 5);
    assert_eq!(want(b"*2\r\n$4\r\nPING\r\n"), 15);
}

#[test]
fn errors_are_redis_s_words() {
    let limits = Limits::default();
    for count in
        ["", "+1", "01", " 1", "1 ", "x", "1x", "-", "-0", "2147483648", "99999999999999999999"]
    {
        let input = format!("*{count}\r\n");
        assert_eq!(refusal(input.as_bytes(), &limits), "Protocol error: invalid multibulk length");
    }
    for len in
        ["", "+4", "04", " 4", "x", "-1", "-0", "536870913", "4294967296", "99999999999999999999"]
    {
        let input = format!("*1\r\n${len}\r\nPING\r\n");
        assert_eq!(refusal(input.as_bytes(), &limits), "Protocol error: invalid bulk length");
    }
    for (input, text) in [
        (&b"*1\r\nx"[..], "Protocol error: expected '$', got 'x'"),
        (b"*1\r\n:5\r\n", "Protocol error: expected '$', got ':'"),
        (b"*1\r\n\r\n", "Protocol error: expected '$', got ' '"),
        (b"*1\r\n'\r\n", "Protocol error: expected '$', got '''"),
        (b"*1\r\n\xff\r\n", "Protocol error: expected '$', got '\\xff'"),
        (b"SET \"a\r\n", "Protocol error: unbalanced quotes in request"),
        (b"SET \"a\"b\r\n", "Protocol error: unbalanced quotes in request"),
        (b"*1\rX$4", "Protocol error: invalid CRLF in request"),
        (b"*1\r\n$4\rX", "Protocol error: invalid CRLF in request"),
        (b"*1\r\n$4\r\nPINGxx", "Protocol error: invalid CRLF in request"),
        (b"*1\r\n$4\r\nPING\r\r", "Protocol error: invalid CRLF in request"),
    ] {
        assert_eq!(refusal(input, &limits), text);
    }
}

#[test]
fn lines_that_do_not_end_are_refused_beyond_their_limit_only() {
    let limits = Limits::default();
    for (start, text) in [
        ("", "Protocol error: too big inline request"),
        ("*", "Protocol error: too big mbulk count string"),
        ("*1\r\n$", "Protocol error: too big bulk count string"),
    ] {
        let head = start.len() - start.find('$').unwrap_or(0);
        let full = format!("{start}{}", "1".repeat(64 * 1024 - head));
        assert!(matches!(outcome(full.as_bytes()), Ok(Parsed::Incomplete { .. })));
        assert_eq!(refusal(format!("{full}1").as_bytes(), &limits), text);
        // Whether the line end is already there makes no difference.
        assert_eq!(refusal(format!("{full}1\r\n").as_bytes(), &limits), text);
    }
}

#[test]
fn who_has_not_authenticated_may_send_little() {
    let limits = Limits::unauthenticated();
    assert!(parse(b"*10\r\n", &limits).is_ok());
    assert!(parse(b"*1\r\n$16384\r\n", &limits).is_ok());
    assert_eq!(refusal(b"*11\r\n", &limits), "Protocol error: unauthenticated multibulk length");
    assert_eq!(refusal(b"*2147483648\r\n", &limits), "Protocol error: invalid multibulk length");
    let text = "Protocol error: unauthenticated bulk length";
    assert_eq!(refusal(b"*1\r\n$16385\r\n", &limits), text);
    assert_eq!(refusal(b"*1\r\n$536870913\r\n", &limits), "Protocol error: invalid bulk length");
    let mut long = b"*1\r\n$16385\r\n".to_vec();
    long.resize(long.len() + 16385, b'x');
    long.extend_from_slice(b"\r\n");
    assert_eq!(refusal(&long, &limits), text);
}

#[test]
fn configured_limits_hold_for_whole_and_for_partial_frames() {
    let limits = Limits { bulk_len_max: 3, multibulk_len_max: 2, ..Limits::default() };
    assert!(parse(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", &limits).is_ok());
    for input in [&b"*1\r\n$4\r\nPING\r\n"[..], b"*1\r\n$4\r\n"] {
        assert_eq!(refusal(input, &limits), "Protocol error: invalid bulk length");
    }
    assert_eq!(refusal(b"*3\r\n", &limits), "Protocol error: invalid multibulk length");
}

#[test]
fn memory_follows_bytes_and_not_announcements() {
    let (mut parser, mut spans) = (Parser::new(), Vec::new());
    let limits = Limits::default();
    let input = b"*2147483647\r\n$1\r\na\r\n$536870912\r\n";
    let parsed = parser.parse(input, &limits, &mut spans).unwrap();
    assert_eq!(parsed, Parsed::Incomplete { want: input.len() + 536_870_912 + 2 });
    assert!(parser.is_midway());
    assert!(parser.memory() <= 64 && spans.capacity() <= 64);
}

#[test]
fn a_frame_in_tiny_pieces_is_read_once_and_leaves_no_memory() {
    let args = 300_000;
    let mut input = format!("*{args}\r\n").into_bytes();
    for _ in 0..args {
        input.extend_from_slice(b"$1\r\na\r\n");
    }
    let (mut parser, mut spans) = (Parser::new(), Vec::new());
    let limits = Limits::default();
    for end in 0..input.len() {
        let parsed = parser.parse(&input[..end], &limits, &mut spans).unwrap();
        assert!(matches!(parsed, Parsed::Incomplete { want } if want > end));
        assert!(spans.is_empty());
    }
    let parsed = parser.parse(&input, &limits, &mut spans).unwrap();
    assert_eq!(parsed, Parsed::Command { consumed: input.len() });
    assert_eq!(spans.len(), args);
    assert_eq!(parser.memory(), 0);
    assert!(!parser.is_midway());
}
