//! Closed and open loop against a tiny server in this process: what is sent, counted and reported.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use clap::Parser;
use trefoil_bench::{BenchArgs, Report, measure};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    bench: BenchArgs,
}

/// What the server was asked, over all connections.
#[derive(Default)]
struct Ledger {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    commands: BTreeMap<String, u64>,
}

/// A server that knows GET, SET, PING, HELLO, SELECT, AUTH and DBSIZE. It ends with the process.
fn serve() -> (u16, Arc<Mutex<Ledger>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let shared = Arc::clone(&ledger);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let ledger = Arc::clone(&shared);
            thread::spawn(move || talk(stream, &ledger));
        }
    });
    (port, ledger)
}

fn talk(mut stream: TcpStream, ledger: &Mutex<Ledger>) {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(len @ 1..) = stream.read(&mut chunk) {
        bytes.extend_from_slice(&chunk[..len]);
        let mut replies = Vec::new();
        while let Some((words, used)) = command(&bytes) {
            bytes.drain(..used);
            let mut ledger = ledger.lock().expect("no panic while held");
            if !answer(&words, &mut ledger, &mut replies) {
                return;
            }
        }
        if stream.write_all(&replies).is_err() {
            return;
        }
    }
}

/// The first whole command in `bytes` and its length.
fn command(bytes: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let mut at = 0;
    let mut words = Vec::new();
    for _ in 0..number(bytes, &mut at)? {
        let len = number(bytes, &mut at)?;
        words.push(bytes.get(at..at + len)?.to_vec());
        at += len + 2;
    }
    (at <= bytes.len()).then_some((words, at))
}

/// The number in a header line such as `$12`.
fn number(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let rest = bytes.get(*at..)?;
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    *at += end + 1;
    std::str::from_utf8(&rest[1..end - 1]).ok()?.parse().ok()
}

/// Returns whether the connection stays open.
fn answer(words: &[Vec<u8>], ledger: &mut Ledger, replies: &mut Vec<u8>) -> bool {
    let name = String::from_utf8_lossy(&words[0]).to_uppercase();
    *ledger.commands.entry(name.clone()).or_default() += 1;
    match name.as_str() {
        "GET" => match ledger.values.get(&words[1]) {
            Some(value) => {
                replies.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
                replies.extend_from_slice(value);
                replies.extend_from_slice(b"\r\n");
            }
            None => replies.extend_from_slice(b"$-1\r\n"),
        },
        "SET" => {
            ledger.values.insert(words[1].clone(), words[2].clone());
            replies.extend_from_slice(b"+OK\r\n");
        }
        "DBSIZE" => replies.extend_from_slice(format!(":{}\r\n", ledger.values.len()).as_bytes()),
        "HELLO" => replies.extend_from_slice(b"%1\r\n$5\r\nproto\r\n:3\r\n"),
        "PING" | "SELECT" => replies.extend_from_slice(b"+OK\r\n"),
        "AUTH" if words.last().is_some_and(|word| word == b"sesame") => {
            replies.extend_from_slice(b"+OK\r\n");
        }
        "AUTH" => replies.extend_from_slice(b"-WRONGPASS no such user or password\r\n"),
        "QUIT" => return false,
        "TWICE" => replies.extend_from_slice(b"+OK\r\n+OK\r\n"),
        "HTTP" => replies.extend_from_slice(b"HTTP/1.1 400 Bad Request\r\n"),
        "SILENT" => {}
        _ => replies.extend_from_slice(b"-ERR unknown command\r\n"),
    }
    true
}

fn bench(port: u16, words: &str) -> anyhow::Result<Report> {
    let line = format!("bench --port {port} {words}");
    // In the command that closes a batch an underscore stands for a blank.
    let words = line.split_whitespace().map(|word| match word.strip_prefix("--then=") {
        Some(command) => format!("--then={}", command.replace('_', " ")),
        None => word.to_owned(),
    });
    measure(&Cli::try_parse_from(words)?.bench)
}

#[test]
fn closed_loop_sends_exactly_the_requests_asked_for() {
    let (port, ledger) = serve();
    let report = bench(port, "-c 7 -t 3 -P 4 -n 1001 --command set --keys 50").expect("runs");
    assert_eq!((report.requests, report.errors_total, report.misses), (1001, 0, 0));
    assert_eq!(report.latency_us.percentiles.last().expect("a curve").requests, 1001);
    assert_eq!(ledger.lock().expect("server is idle").commands["SET"], 1001);
    assert_eq!(report.bytes_received, 1001 * 5);
    assert!(report.open_loop.is_none());
}

#[test]
fn a_closing_command_follows_each_batch_and_is_not_a_request() {
    let (port, ledger) = serve();
    for (times, apart) in [(1, ""), (2, "--then-apart")] {
        let words = format!("-c 3 -P 4 -n 1001 --command set --keys 50 --then=ping_x {apart}");
        let report = bench(port, &words).expect("runs");
        assert_eq!((report.requests, report.errors_total), (1001, 0));
        assert_eq!(report.latency_us.percentiles.last().expect("a curve").requests, 1001);
        let commands = &ledger.lock().expect("server is idle").commands;
        // 250 batches of four and one of one; each connection greeted with a PING.
        assert_eq!((commands["SET"], commands["PING"]), (times * 1001, times * (251 + 3)));
        assert_eq!(report.config.closing.as_deref(), Some("ping x"));
        assert_eq!(report.config.closing_apart, !apart.is_empty());
    }
}

#[test]
fn open_loop_sends_exactly_the_requests_asked_for() {
    let (port, ledger) = serve();
    for (arrival, waiting) in [("poisson", ""), ("constant", "--spin"), ("constant", "--rest 90")] {
        let words =
            format!("-c 3 -n 500 -P 2 --rate 100000 --arrival {arrival} {waiting} --command ping");
        let report = bench(port, &words).expect("runs");
        assert_eq!(report.requests, 500);
        let open = report.open_loop.expect("a rate was given");
        assert_eq!((open.unsent, open.arrival), (0, arrival));
    }
    // Each of the three connections greets with a PING, in all runs.
    assert_eq!(ledger.lock().expect("server is idle").commands["PING"], 3 * (500 + 3));
}

#[test]
fn an_open_loop_that_reaches_its_bound_says_so_and_loses_nothing() {
    let (port, _) = serve();
    let report =
        bench(port, "-c 1 -n 300 --rate 1e9 --outstanding 2 --command ping").expect("runs");
    assert_eq!(report.requests, 300);
    assert!(report.open_loop.expect("a rate was given").bound_hits > 0);
    assert!(report.warnings.iter().any(|warning| warning.contains("--outstanding")));
}

#[test]
fn a_run_by_time_ends_and_counts_what_it_sent() {
    let (port, ledger) = serve();
    let report = bench(port, "-c 2 -s 0.1 --warmup 0.05 --command get --keys 10").expect("runs");
    assert!(report.requests > 0);
    let asked = ledger.lock().expect("server is idle").commands["GET"];
    assert!(report.requests <= asked, "the warm-up is not counted");
    assert_eq!(report.latency_us.percentiles.last().expect("a curve").requests, report.requests);
}

#[test]
fn preload_writes_every_key_once_and_reads_then_hit() {
    let (port, ledger) = serve();
    let words = "--preload --expect-hits --keys 1234 --value-size 1-40 --command get -n 400 -c 2";
    let report = bench(port, words).expect("runs");
    assert_eq!(report.failure, None);
    assert_eq!((report.misses, report.preload.expect("asked for").keys), (0, 1234));
    let ledger = ledger.lock().expect("server is idle");
    assert_eq!((ledger.commands["SET"], ledger.values.len()), (1234, 1234));
    assert!(ledger.values.contains_key(b"key:000000001233".as_slice()));
    assert!(ledger.values.values().all(|value| (1..=40).contains(&value.len())));
}

#[test]
fn values_larger_than_a_socket_buffer_arrive_whole() {
    let (port, ledger) = serve();
    let words = "--value-size 4000000 --keys 3 --distribution sequential --command set -n 3 -c 1";
    for mode in ["-P 3", "--rate 1e6"] {
        let report = bench(port, &format!("{mode} {words}")).expect("runs");
        assert_eq!((report.requests, report.errors_total), (3, 0));
    }
    let ledger = ledger.lock().expect("server is idle");
    assert_eq!(ledger.values.len(), 3);
    assert!(ledger.values.values().all(|value| value.len() == 4_000_000));
}

#[test]
fn misses_are_counted_and_fail_a_run_that_expects_hits() {
    let (port, _) = serve();
    let report = bench(port, "--expect-hits --command get -n 100 -c 1").expect("runs");
    assert_eq!(report.misses, 100);
    assert!(report.failure.expect("nothing was there").contains("--preload"));
}

#[test]
fn sequential_writes_cover_the_key_space_with_several_threads() {
    let (port, ledger) = serve();
    bench(port, "--distribution sequential --command set --keys 999 -n 999 -c 4 -t 4")
        .expect("runs");
    assert_eq!(ledger.lock().expect("server is idle").values.len(), 999);
}

#[test]
fn error_replies_are_reported_by_message() {
    let (port, _) = serve();
    let report = bench(port, "-n 10 -c 1 NOSUCH __key__").expect("runs");
    assert_eq!(report.errors, BTreeMap::from([("ERR unknown command".to_owned(), 10)]));
    assert!(report.failure.is_some());
}

#[test]
fn greetings_choose_protocol_user_and_database() {
    let (port, ledger) = serve();
    bench(port, "--resp 3 --db 5 --user joe --password sesame -n 3 -c 1 GET k").expect("runs");
    let ledger = ledger.lock().expect("server is idle");
    assert_eq!(
        [ledger.commands["AUTH"], ledger.commands["HELLO"], ledger.commands["SELECT"]],
        [1; 3]
    );
    drop(ledger);
    let fault = bench(port, "--password wrong -n 1").expect_err("refused");
    assert!(format!("{fault:#}").contains("WRONGPASS"), "{fault:#}");
}

#[test]
fn faults_of_the_server_end_the_run_with_advice() {
    let (port, _) = serve();
    for (command, advice) in [
        ("QUIT", "closed a connection"),
        ("TWICE", "more replies"),
        ("HTTP", "RESP server"),
        ("--timeout 0.05 SILENT", "--timeout"),
    ] {
        let fault = bench(port, &format!("-n 10 -c 1 {command}")).expect_err(command);
        assert!(format!("{fault:#}").contains(advice), "{command}: {fault:#}");
    }
}

#[test]
fn a_refused_connection_asks_where_the_server_is() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("bound").port()
    };
    let fault = bench(port, "-n 1").expect_err("nobody listens");
    assert!(format!("{fault:#}").contains("Is the server running"), "{fault:#}");
}

#[test]
fn the_server_process_is_charged_for_its_cpu_time() {
    let (port, _) = serve();
    let pid = std::process::id();
    let report =
        bench(port, &format!("--server-pid {pid} -n 2000 -c 2 --command ping")).expect("runs");
    let server = report.server.expect("a process was named");
    assert!(server.cpu_seconds > 0.0 && server.rss_after_bytes > 0 && server.threads > 1);
}

#[test]
fn the_report_is_one_json_object() {
    let (port, _) = serve();
    let report = bench(port, "-n 50 -c 1 --rate 1e6").expect("runs");
    let json = serde_json::to_value(&report).expect("plain data");
    assert_eq!(json["requests"], 50);
    assert_eq!(json["open_loop"]["arrival"], "poisson");
    assert!(json["latency_us"]["p99_99"].is_number());
    assert_eq!(json["config"]["pipeline"], 1);
}
