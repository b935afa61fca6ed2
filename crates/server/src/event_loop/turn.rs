//! The phases of a turn up to running: read, parse, prefetch, run.

use std::io::ErrorKind;
use std::sync::atomic::Ordering::Relaxed;

use crossbeam_epoch as epoch;
use rustix::buffer::spare_capacity;
use slab::Slab;
use trefoil_clock::Lsn;
use trefoil_node::handler::Flow;
use trefoil_node::session::Restrictions;
use trefoil_node::settings::Settings;
use trefoil_node::worker::{Prepared, Worker};
use trefoil_wire::resp::{Limits, Parsed, Parser, Reply};
use trefoil_wire::{Args, Span};

use super::connection::Connection;
use super::transport::Transport;
use super::upstream::forward;

/// Bytes read before they are run, about: enough to fill a pipeline, not the cache.
const SCRATCH_BYTES: usize = 128 << 10;
/// Bytes read from one connection at once.
const READ_BYTES: usize = 32 << 10;
/// Commands whose keys are brought into the cache together.
const PREFETCH: usize = 32;
/// A frame that is not complete gets room for all of it once this part of it has come.
const TRUSTED_PART: usize = 8;
/// Arguments that there stays room for: one request may have had millions.
const SPANS_KEPT: usize = 128 << 10;
/// Requests are small until a client has authenticated.
const STRANGERS: Limits = Limits::unauthenticated();

/// Buffers of a turn, reused.
#[derive(Default)]
pub(super) struct Turn {
    scratch: Vec<u8>,
    used: usize,
    sources: Vec<Source>,
    commands: Vec<Command>,
    spans: Vec<Span>,
    lines: Vec<Vec<u8>>,
    limits: Limits,
    /// Bytes of requests that a connection may have waiting.
    input_max: usize,
    /// Seconds of the worker's clock.
    now_s: u32,
    /// Bytes read since this was last taken.
    pub(super) received: usize,
}

/// Bytes of one connection that are being run.
struct Source {
    connection: usize,
    /// Where they are: in the scratch buffer from here, or (None) in the connection's input.
    scratch: Option<usize>,
    /// How many there are, and how many were used.
    len: usize,
    consumed: usize,
    /// More of it can be parsed once what was has run.
    stopped: bool,
}

struct Command {
    source: u32,
    /// Offset of the frame in its source.
    frame: u32,
    /// Arguments: a range of `spans`.
    spans: (u32, u32),
    /// The argument bytes are in this element of `lines`, not in the source.
    line: Option<u32>,
}

/// Where connections are put after a command.
pub(super) struct Lists<'a> {
    pub(super) flush: &'a mut Vec<usize>,
    pub(super) parked: &'a mut Vec<usize>,
    pub(super) waiting: &'a mut Vec<usize>,
    /// With commands for the leader.
    pub(super) forwards: &'a mut Vec<usize>,
    /// Set when a parked connection can go on without being woken.
    pub(super) impatient: &'a mut bool,
}

impl Lists<'_> {
    /// Replies from `position` on wait for a record.
    fn wait(
        &mut self,
        key: usize,
        connection: &mut Connection,
        (position, lsn): (u64, Lsn),
        now_ms: u64,
    ) {
        connection.wait_for(position, lsn, now_ms);
        if !connection.in_waiting_list {
            connection.in_waiting_list = true;
            self.waiting.push(key);
        }
    }

    fn flush(&mut self, key: usize, connection: &mut Connection) {
        if !connection.in_flush_list {
            connection.in_flush_list = true;
            self.flush.push(key);
        }
    }
}

impl Turn {
    /// A turn begins under these settings.
    pub(super) fn begin(&mut self, settings: &Settings, now_s: u32) {
        let bulk_len_max = settings.proto_max_bulk_len.load(Relaxed);
        self.limits.bulk_len_max = u32::try_from(bulk_len_max).unwrap_or(u32::MAX - 1);
        self.input_max = settings.client_query_buffer_limit.load(Relaxed) as usize;
        self.now_s = now_s;
    }

    /// Reads from connections until the scratch buffer is used up; returns how many it took. Those
    /// that may have more are put into `again`, those whose peers have hung up into `flush`.
    pub(super) fn read(
        &mut self,
        connections: &mut Slab<Connection>,
        ready: &[usize],
        again: &mut Vec<usize>,
        flush: &mut Vec<usize>,
    ) -> usize {
        self.scratch.resize(SCRATCH_BYTES + READ_BYTES, 0);
        let mut taken = 0;
        for &key in ready {
            if self.used >= SCRATCH_BYTES {
                break;
            }
            taken += 1;
            let Some(connection) = connections.get_mut(key) else { continue };
            connection.in_ready_list = false;
            if connection.is_held() {
                continue;
            }
            if self.read_one(key, connection) {
                again.push(key);
            } else if connection.closing && !connection.in_flush_list {
                connection.in_flush_list = true;
                flush.push(key);
            }
        }
        taken
    }

    /// Reads once from a connection. Whether there may be more.
    fn read_one(&mut self, key: usize, connection: &mut Connection) -> bool {
        if !connection.input.is_empty() {
            return self.read_more(key, connection);
        }
        let room = &mut self.scratch[self.used..self.used + READ_BYTES];
        match connection.transport.read(room) {
            Ok(0) => hang_up(connection),
            Ok(len) => {
                let start = self.used;
                self.used += len;
                self.received += len;
                self.parse(key, connection, Some(start), len);
                return len == READ_BYTES || connection.reads_on;
            }
            Err(error) => return on_read_error(connection, &error),
        }
        false
    }

    /// Reads the rest of a frame that has begun.
    fn read_more(&mut self, key: usize, connection: &mut Connection) -> bool {
        let read = match &mut connection.transport {
            Transport::Plain(stream) if connection.input.len() >= READ_BYTES => {
                make_room(&mut connection.input, connection.want as usize);
                let room = connection.input.capacity() - connection.input.len();
                rustix::io::read(stream, spare_capacity(&mut connection.input))
                    .map(|len| (len, len == room))
                    .map_err(Into::into)
            }
            // By way of the scratch buffer: half a frame costs no more than itself.
            transport => {
                let room = &mut self.scratch[self.used..self.used + READ_BYTES];
                let read = transport.read(room);
                if let Ok(len) = read {
                    connection.input.extend_from_slice(&room[..len]);
                }
                read.map(|len| (len, len == READ_BYTES))
            }
        };
        match read {
            Ok((0, _)) => hang_up(connection),
            Ok((len, full)) => {
                self.received += len;
                let total = connection.input.len();
                self.parse(key, connection, None, total);
                return full || connection.reads_on;
            }
            Err(error) => return on_read_error(connection, &error),
        }
        false
    }

    /// Parses what a connection kept because a command could not run.
    pub(super) fn parse_again(&mut self, key: usize, connection: &mut Connection) {
        connection.session.protocol_error = None;
        let len = connection.input.len();
        self.parse(key, connection, None, len);
    }

    fn parse(
        &mut self,
        key: usize,
        connection: &mut Connection,
        scratch: Option<usize>,
        len: usize,
    ) {
        let source = self.sources.len() as u32;
        let bytes = match scratch {
            Some(start) => &self.scratch[start..start + len],
            None => &connection.input[..len],
        };
        connection.active_s = self.now_s;
        let stranger = connection.session.restrictions.has(Restrictions::UNAUTHENTICATED);
        let limits = if stranger { &STRANGERS } else { &self.limits };
        let (mut at, mut stopped) = (0, false);
        while at < len && !stopped {
            let first = self.spans.len() as u32;
            let parsed = connection.parser.parse(&bytes[at..], limits, &mut self.spans);
            let (consumed, line) = match parsed {
                Ok(Parsed::Command { consumed }) => (consumed, None),
                Ok(Parsed::Inline { consumed, line }) => {
                    self.lines.push(line);
                    (consumed, Some(self.lines.len() as u32 - 1))
                }
                Ok(Parsed::Empty { consumed }) => {
                    at += consumed;
                    continue;
                }
                Ok(Parsed::Incomplete { want }) => {
                    connection.want = u32::try_from(want).unwrap_or(u32::MAX);
                    break;
                }
                Err(error) => {
                    connection.session.protocol_error = Some(error);
                    break;
                }
            };
            let spans = (first, self.spans.len() as u32);
            self.commands.push(Command { source, frame: at as u32, spans, line });
            at += consumed;
            // What comes behind AUTH is judged by the limits that AUTH brings.
            stopped = stranger && at < len;
        }
        self.sources.push(Source { connection: key, scratch, len, consumed: at, stopped });
    }

    /// Runs what was parsed.
    pub(super) fn run(
        &mut self,
        worker: &mut Worker,
        connections: &mut Slab<Connection>,
        mut lists: Lists<'_>,
    ) {
        let mut prepared = [Prepared::default(); PREFETCH];
        // What is released already makes nobody wait.
        // A lease is looked at after the work (rule 11), so under one everybody waits.
        let asks = worker.gated && !worker.is_leased();
        let released = if asks { worker.node.released() } else { Lsn::ZERO };
        let mut start = 0;
        while start < self.commands.len() {
            let end = self.commands.len().min(start + PREFETCH);
            self.prefetch(worker, connections, start..end, &mut prepared);
            for (command, prepared) in self.commands[start..end].iter().zip(&prepared) {
                let source = &mut self.sources[command.source as usize];
                let Some(connection) = connections.get_mut(source.connection) else { continue };
                if connection.is_held() {
                    continue;
                }
                if connection.is_behind() {
                    connection.congested = true;
                    connection.parser = Parser::new();
                    source.consumed = command.frame as usize;
                    continue;
                }
                let bytes =
                    bytes_of(command, source, &self.scratch, &self.lines, &connection.input);
                let args = args_of(command, bytes, &self.spans);
                let position = connection.out.position();
                let ran = worker.run(&mut connection.session, args, prepared, &mut connection.out);
                match ran.flow {
                    Flow::Continue => {}
                    Flow::Close => connection.closing = true,
                    Flow::Forward => {
                        let (session, upstream) =
                            (&mut connection.session, &mut connection.upstream);
                        if forward(session, upstream, args, worker.writer.now_ms) {
                            lists.forwards.push(source.connection);
                        }
                    }
                    Flow::Retry => {
                        connection.parked = true;
                        connection.parser = Parser::new();
                        source.consumed = command.frame as usize;
                        lists.parked.push(source.connection);
                    }
                }
                if worker.gated && connection.out.position() > position {
                    if ran.depends_on > released {
                        let now_ms = worker.writer.now_ms;
                        lists.wait(
                            source.connection,
                            connection,
                            (position, ran.depends_on),
                            now_ms,
                        );
                    }
                    connection.count_reply();
                }
            }
            start = end;
        }
        self.finish(worker.writer.now_ms, connections, &mut lists);
    }

    /// Looks a few commands up and brings what they will touch into the cache.
    fn prefetch(
        &self,
        worker: &Worker,
        connections: &Slab<Connection>,
        range: std::ops::Range<usize>,
        prepared: &mut [Prepared; PREFETCH],
    ) {
        let pinned = epoch::pin();
        for (command, prepared) in self.commands[range.clone()].iter().zip(&mut *prepared) {
            let source = &self.sources[command.source as usize];
            let Some(connection) = connections.get(source.connection) else { continue };
            let bytes = bytes_of(command, source, &self.scratch, &self.lines, &connection.input);
            let args = args_of(command, bytes, &self.spans);
            *prepared = worker.prepare(&connection.session, args, &pinned);
        }
        for prepared in &prepared[..range.len()] {
            worker.prefetch(prepared, &pinned);
        }
    }

    /// Keeps what is left of each source, and lists the connections that have something to say.
    fn finish(&mut self, now_ms: u64, connections: &mut Slab<Connection>, lists: &mut Lists<'_>) {
        for source in self.sources.drain(..) {
            let Some(connection) = connections.get_mut(source.connection) else { continue };
            keep_rest(&source, &self.scratch, connection);
            connection.session.publish(now_ms);
            if connection.input.len() > self.input_max {
                eprintln!(
                    "trefoil: client {} is closed: {} bytes of requests exceed client-query-buffer-limit",
                    connection.session.address.id,
                    connection.input.len()
                );
                connection.abort();
            }
            if source.stopped && !connection.is_held() {
                connection.parked = true;
                lists.parked.push(source.connection);
                *lists.impatient = true;
            }
            if let Some(error) = connection.session.protocol_error
                && !connection.is_held()
            {
                if connection.is_forwarding() {
                    // Told behind the replies that are to come.
                    connection.parked = true;
                    connection.parser = Parser::new();
                    lists.parked.push(source.connection);
                    continue;
                }
                let text = format!("ERR {error}");
                Reply::new(&mut connection.out, connection.session.protocol).error(&text);
                connection.closing = true;
            }
            if !connection.out.is_empty() || connection.closing {
                lists.flush(source.connection, connection);
            }
        }
        self.commands.clear();
        self.spans.clear();
        self.spans.shrink_to(SPANS_KEPT);
        self.lines.clear();
        self.used = 0;
    }
}

/// Keeps what has not been run in the connection's input.
fn keep_rest(source: &Source, scratch: &[u8], connection: &mut Connection) {
    match source.scratch {
        _ if connection.closing => connection.input = Vec::new(),
        Some(start) if source.consumed < source.len => {
            let rest = &scratch[start + source.consumed..start + source.len];
            connection.input.extend_from_slice(rest);
        }
        Some(_) => {}
        None if source.consumed == connection.input.len() => connection.input = Vec::new(),
        None => {
            connection.input.drain(..source.consumed);
        }
    }
}

/// Makes room for the frame at the start of `input`: for all of it once a good part has come, else
/// for as much as has come.
fn make_room(input: &mut Vec<u8>, want: usize) {
    if input.capacity() - input.len() >= READ_BYTES / 2 {
        return;
    }
    let missing = want.saturating_sub(input.len());
    if missing > 0 && input.len() >= want / TRUSTED_PART {
        input.reserve_exact(missing + READ_BYTES);
    } else {
        input.reserve(READ_BYTES);
    }
}

fn bytes_of<'a>(
    command: &Command,
    source: &Source,
    scratch: &'a [u8],
    lines: &'a [Vec<u8>],
    input: &'a [u8],
) -> &'a [u8] {
    match (command.line, source.scratch) {
        (Some(line), _) => &lines[line as usize],
        (None, Some(start)) => &scratch[start + command.frame as usize..],
        (None, None) => &input[command.frame as usize..],
    }
}

fn args_of<'a>(command: &Command, bytes: &'a [u8], spans: &'a [Span]) -> Args<'a> {
    Args::new(bytes, &spans[command.spans.0 as usize..command.spans.1 as usize])
}

/// The peer closed its end: what it still gets is sent, then we close ours.
fn hang_up(connection: &mut Connection) {
    connection.closing = true;
}

/// Whether the read is to be tried again.
fn on_read_error(connection: &mut Connection, error: &std::io::Error) -> bool {
    match error.kind() {
        ErrorKind::WouldBlock => false,
        ErrorKind::Interrupted => true,
        _ => {
            hang_up(connection);
            false
        }
    }
}
