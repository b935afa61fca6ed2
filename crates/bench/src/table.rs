//! The result of a run for a person: a table, and warnings below it.

use comfy_table::{Attribute, Cell, CellAlignment, Color, Table, presets};
use owo_colors::OwoColorize;

use crate::report::Report;

/// Whether escape codes may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Colours,
    Plain,
}

/// The report as text that ends with a line end.
pub(crate) fn render(report: &Report, style: Style) -> String {
    let mut rows = Rows { table: Table::new(), style };
    rows.table.load_style(presets::UTF8_BORDERS_ONLY);
    if style == Style::Plain {
        rows.table.force_no_tty();
    } else {
        rows.table.enforce_styling();
    }
    settings(&mut rows, report);
    if report.has_figures() {
        throughput(&mut rows, report);
        latencies(&mut rows, report);
        costs(&mut rows, report);
    }
    let mut text = format!("{}\n", rows.table);
    for warning in &report.warnings {
        let mark = "warning:";
        match style {
            Style::Colours => text.push_str(&format!("{} {warning}\n", mark.yellow().bold())),
            Style::Plain => text.push_str(&format!("{mark} {warning}\n")),
        }
    }
    text
}

struct Rows {
    table: Table,
    style: Style,
}

impl Rows {
    fn add(&mut self, name: &str, value: String) {
        let name = Cell::new(name);
        let name = if self.style == Style::Colours { name.fg(Color::Cyan) } else { name };
        self.table.add_row(vec![name, Cell::new(value)]);
    }

    fn add_strong(&mut self, name: &str, value: String) {
        let cells = [Cell::new(name), Cell::new(value).set_alignment(CellAlignment::Left)];
        let bold = self.style == Style::Colours;
        let cells = cells.map(|cell| if bold { cell.add_attribute(Attribute::Bold) } else { cell });
        self.table.add_row(cells.to_vec());
    }
}

fn settings(rows: &mut Rows, report: &Report) {
    let config = &report.config;
    rows.add("server", format!("{}, RESP{}, database {}", config.server, config.resp, config.db));
    rows.add(
        "load",
        format!(
            "{} connections, {} threads, pipeline {}",
            config.connections, config.threads, config.pipeline
        ),
    );
    if let Some(closing) = &config.closing {
        let when = if config.closing_apart { ", once that is answered" } else { "" };
        let text = format!("{closing}{when}, not counted; latencies are to its reply");
        rows.add("after each batch", text);
    }
    rows.add("commands", config.commands.clone());
    rows.add(
        "keys",
        format!(
            "{} {}, values of {} bytes",
            grouped(config.keys),
            config.distribution,
            config.value_size
        ),
    );
    if let Some(preload) = &report.preload {
        rows.add(
            "preload",
            format!("{} keys in {:.2} s, all there", grouped(preload.keys), preload.seconds),
        );
    }
}

fn throughput(rows: &mut Rows, report: &Report) {
    rows.add_strong(
        "throughput",
        format!(
            "{} requests/s ({} in {:.2} s{})",
            grouped(report.requests_per_second as u64),
            grouped(report.requests),
            report.elapsed_seconds,
            if report.interrupted { ", interrupted" } else { "" }
        ),
    );
    rows.add("misses", grouped(report.misses));
    for (message, count) in &report.errors {
        rows.add("error", format!("{} x {message}", grouped(*count)));
    }
}

fn latencies(rows: &mut Rows, report: &Report) {
    let latency = &report.latency_us;
    let from = if report.open_loop.is_some() { "latency from due time" } else { "latency" };
    rows.add_strong(
        from,
        format!(
            "p50 {}, p90 {}, p99 {}, p99.9 {}, p99.99 {}",
            duration(latency.p50),
            duration(latency.p90),
            duration(latency.p99),
            duration(latency.p99_9),
            duration(latency.p99_99)
        ),
    );
    rows.add(
        "",
        format!(
            "min {}, mean {}, max {}",
            duration(latency.min),
            duration(latency.mean),
            duration(latency.max)
        ),
    );
    if let Some(open) = &report.open_loop {
        let lag = &open.send_lag_us;
        rows.add(
            "schedule",
            format!(
                "{}/s {}, sent late by p50 {}, p99 {}, max {}; never sent {}",
                grouped(open.rate as u64),
                open.arrival,
                duration(lag.p50),
                duration(lag.p99),
                duration(lag.max),
                grouped(open.unsent)
            ),
        );
    }
}

fn costs(rows: &mut Rows, report: &Report) {
    if let Some(server) = &report.server {
        rows.add_strong(
            "server CPU",
            format!(
                "{:.3} us per request, {:.2} s in all, {:.2} cores, {} threads",
                server.cpu_us_per_request, server.cpu_seconds, server.cores, server.threads
            ),
        );
        rows.add(
            "server memory",
            format!(
                "{} before, {} after",
                mebibytes(server.rss_before_bytes),
                mebibytes(server.rss_after_bytes)
            ),
        );
    }
    rows.add(
        "client CPU",
        format!(
            "{:.3} us per request, busiest thread {:.0}% of a core",
            report.client.cpu_us_per_request,
            report.client.core_share_max * 100.0
        ),
    );
}

fn duration(us: f64) -> String {
    if us >= 1e6 {
        format!("{:.2} s", us / 1e6)
    } else if us >= 1e3 {
        format!("{:.2} ms", us / 1e3)
    } else {
        format!("{us:.0} us")
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn durations_take_the_unit_that_fits() {
        assert_eq!(duration(12.4), "12 us");
        assert_eq!(duration(2_500.0), "2.50 ms");
        assert_eq!(duration(3_000_000.0), "3.00 s");
    }
}
