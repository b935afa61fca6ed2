//! docs/gossip-rounds.svg: rounds until all know, against log2 of the number of nodes.
//!
//! Two panels, no background, and colours that are told apart on white and on black.

use std::fmt::Write;

use trefoil_cluster::gossip::rehearsal::Measured;

use super::{Cell, theory};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 400.0;

/// Where a panel's axes lie within its half.
const LEFT: f64 = 44.0;
const RIGHT: f64 = 414.0;
const TOP: f64 = 74.0;
const BOTTOM: f64 = 346.0;

/// The axis of sizes: log2.
const LOG_MAX: f64 = 10.5;

const STYLE: &str = "<style>
text { font: 12px sans-serif; fill: #333; }
.title { font-size: 14px; font-weight: bold; }
.axis { stroke: #777; stroke-width: 1; }
.grid { stroke: #888; stroke-opacity: 0.25; stroke-width: 1; }
polyline { fill: none; stroke-width: 2; }
.lossy { stroke-dasharray: 7 4; }
.news { stroke: #2b7de0; } circle.news { fill: #2b7de0; }
.newcomer { stroke: #1f9d55; } circle.newcomer { fill: #1f9d55; }
.death { stroke: #d9622b; } circle.death { fill: #d9622b; }
.theory { stroke: #888; stroke-width: 1.5; }
@media (prefers-color-scheme: dark) { text { fill: #ddd; } }
</style>
";

/// A line through a panel.
struct Line {
    class: &'static str,
    is_lossy: bool,
    name: &'static str,
    /// Nodes and rounds.
    points: Vec<(usize, f64)>,
}

/// The whole picture.
pub(super) fn svg(cells: &[Cell]) -> String {
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n\
         <title>Rounds until all nodes know, against the number of nodes</title>\n{STYLE}"
    );
    let mut spreading = Vec::new();
    let mut deaths = Vec::new();
    for (loss, is_lossy) in [(0, false), (200, true)] {
        let of = |time: fn(&Measured) -> Option<u64>| means(cells, loss, time);
        let expected = |rounds: fn(usize, u64) -> f64| {
            let at = |cell: &Cell| (cell.nodes, rounds(cell.nodes, loss));
            cells.iter().filter(|cell| cell.loss_per_mille == loss).map(at).collect()
        };
        let line = |class, name, points| Line { class, is_lossy, name, points };
        spreading.push(line("news", "news", of(|run| run.updated_ms)));
        spreading.push(line("newcomer", "newcomer seen", of(|run| run.joined_ms)));
        spreading.push(line("theory", "expected", expected(theory::spreading)));
        deaths.push(line("death", "all say dead", of(|run| run.mourned_ms)));
        deaths.push(line("theory", "expected", expected(theory::death)));
    }
    panel(&mut text, 0.0, "Rounds until all know the news", &spreading);
    panel(&mut text, WIDTH / 2.0, "Rounds until all know of a death", &deaths);
    text + "</svg>\n"
}

fn means(cells: &[Cell], loss: u64, time: fn(&Measured) -> Option<u64>) -> Vec<(usize, f64)> {
    let of_loss = cells.iter().filter(|cell| cell.loss_per_mille == loss);
    of_loss.filter_map(|cell| Some((cell.nodes, cell.rounds(time)?.0))).collect()
}

fn panel(text: &mut String, offset: f64, title: &str, lines: &[Line]) {
    let highest = lines.iter().flat_map(|line| &line.points).fold(0.0, |max, it| it.1.max(max));
    let step = if highest > 10.0 { 5.0 } else { 1.0 };
    let top = (highest / step).ceil() * step;
    let y = |rounds: f64| BOTTOM - (BOTTOM - TOP) * rounds / top;
    let mut add = |piece: String| writeln!(text, "{piece}").expect("a string takes all");
    add(format!("<g transform=\"translate({offset} 0)\">"));
    add(format!("<text class=\"title\" x=\"{LEFT}\" y=\"20\">{title}</text>"));
    let mut mark = 0.0;
    while mark <= top {
        let at = y(mark);
        add(format!(
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>"
        ));
        let (x, at) = (LEFT - 6.0, at + 4.0);
        add(format!("<text x=\"{x}\" y=\"{at:.1}\" text-anchor=\"end\">{mark}</text>"));
        mark += step;
    }
    for nodes in [3, 10, 30, 100, 300, 1_000] {
        let (at, below) = (x(nodes), BOTTOM + 17.0);
        add(format!("<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{nodes}</text>"));
    }
    let (middle, below) = ((LEFT + RIGHT) / 2.0, BOTTOM + 38.0);
    let axis = "nodes (log scale); dashed: 20% of the datagrams lost";
    add(format!("<text x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">{axis}</text>"));
    add(format!(
        "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{BOTTOM}\" y2=\"{BOTTOM}\"/>"
    ));
    add(format!("<line class=\"axis\" x1=\"{LEFT}\" x2=\"{LEFT}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/>"));
    for line in lines {
        add(drawn(line, y));
    }
    for (at, line) in lines.iter().filter(|line| !line.is_lossy).enumerate() {
        let x = LEFT + 118.0 * at as f64;
        let (class, end, start, name) = (line.class, x + 22.0, x + 28.0, line.name);
        add(format!("<polyline class=\"{class}\" points=\"{x},44 {end},44\"/>"));
        add(format!("<text x=\"{start}\" y=\"48\">{name}</text>"));
    }
    add("</g>".to_owned());
}

fn x(nodes: usize) -> f64 {
    LEFT + (RIGHT - LEFT) * (nodes as f64).log2() / LOG_MAX
}

fn drawn(line: &Line, y: impl Fn(f64) -> f64) -> String {
    let class = line.class;
    let lossy = if line.is_lossy { " lossy" } else { "" };
    let at = |(nodes, rounds): &(usize, f64)| format!("{:.1},{:.1}", x(*nodes), y(*rounds));
    let points: Vec<String> = line.points.iter().map(at).collect();
    let mut text = format!("<polyline class=\"{class}{lossy}\" points=\"{}\"/>", points.join(" "));
    if class != "theory" {
        for (nodes, rounds) in &line.points {
            let (x, y) = (x(*nodes), y(*rounds));
            let circle = format!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>");
            text.push_str(&circle);
        }
    }
    text
}
