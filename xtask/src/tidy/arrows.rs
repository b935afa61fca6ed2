//! Which crate may use which, and what crates below `node` never touch.
//!
//! Arrows point down only: a core that can't name a socket can't open one. Development
//! dependencies are free, tests may look from above.

use std::path::Path;

use anyhow::{Context, Result};

use super::Violation;
use super::source::{Source, has_word};

/// Folder, and the crates of ours that it may depend on (without `trefoil-`). A new crate gets a row.
const ALLOWED: [(&str, &[&str]); 12] = [
    ("crates/check", &[]),
    ("crates/clock", &[]),
    ("crates/wire", &["clock"]),
    ("crates/store", &["clock"]),
    ("crates/log", &["clock"]),
    ("crates/replication", &["clock", "wire"]),
    ("crates/commands", &["clock", "wire", "store"]),
    ("crates/node", &["clock", "wire", "store", "commands", "log", "replication"]),
    ("crates/bench", &["wire"]),
    (
        "crates/server",
        &["clock", "wire", "store", "commands", "log", "replication", "node", "bench"],
    ),
    (
        "crates/sim",
        &["clock", "wire", "store", "commands", "log", "replication", "node", "bench", "check"],
    ),
    ("xtask", &["check"]),
];

/// Crates that are functions of their inputs.
const PURE: [&str; 7] = [
    "crates/check",
    "crates/clock",
    "crates/wire",
    "crates/store",
    "crates/commands",
    "crates/log",
    "crates/replication",
];

/// Runtimes and wall clocks: passed in from above, never reached for.
const EFFECTS: [&str; 4] = ["tokio", "mio", "SystemTime", "Instant"];

/// A crate's Cargo.toml.
pub(super) struct Manifest {
    folder: String,
    text: String,
}

/// Reads the manifests of all crates.
pub(super) fn load(root: &Path) -> Result<Vec<Manifest>> {
    let mut folders = vec!["xtask".to_owned()];
    for entry in std::fs::read_dir(root.join("crates")).context("cannot list crates/")? {
        folders.push(format!("crates/{}", entry?.file_name().to_string_lossy()));
    }
    let mut manifests = Vec::new();
    for folder in folders {
        let path = root.join(&folder).join("Cargo.toml");
        if path.is_file() {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            manifests.push(Manifest { folder, text });
        }
    }
    Ok(manifests)
}

/// Checks the arrows between crates.
pub(super) fn check(manifests: &[Manifest]) -> Vec<Violation> {
    manifests.iter().flat_map(check_manifest).collect()
}

fn check_manifest(manifest: &Manifest) -> Vec<Violation> {
    let path = format!("{}/Cargo.toml", manifest.folder);
    let row = ALLOWED.iter().find(|(folder, _)| *folder == manifest.folder);
    let Some((folder, allowed)) = row else {
        let message = "this crate has no row in xtask/src/tidy/arrows.rs: say what it may use";
        return vec![Violation::new(&path, 1, message)];
    };
    let table: toml::Table = match manifest.text.parse() {
        Ok(table) => table,
        Err(error) => return vec![Violation::new(&path, 1, format!("not TOML: {error}"))],
    };
    let mut violations = Vec::new();
    for name in dependencies(&table) {
        let line = line_of(&manifest.text, &name);
        if let Some(ours) = name.strip_prefix("trefoil-")
            && !allowed.contains(&ours)
        {
            let message = format!("{folder} must not depend on {name}: arrows point down only");
            violations.push(Violation::new(&path, line, message));
        }
        if PURE.contains(folder) && EFFECTS.contains(&name.as_str()) {
            let message = format!("{folder} lies below node and must not use {name}");
            violations.push(Violation::new(&path, line, message));
        }
    }
    violations
}

/// Names of normal and build dependencies, for all platforms.
fn dependencies(table: &toml::Table) -> Vec<String> {
    let mut places = vec![table];
    if let Some(targets) = table.get("target").and_then(toml::Value::as_table) {
        places.extend(targets.values().filter_map(toml::Value::as_table));
    }
    let mut names = Vec::new();
    for place in places {
        for section in ["dependencies", "build-dependencies"] {
            let Some(listed) = place.get(section).and_then(toml::Value::as_table) else { continue };
            for (key, value) in listed {
                let package = value.get("package").and_then(toml::Value::as_str);
                names.push(package.unwrap_or(key).to_owned());
            }
        }
    }
    names
}

fn line_of(text: &str, name: &str) -> usize {
    text.lines().position(|line| line.contains(name)).map_or(1, |at| at + 1)
}

/// Checks that a file below `node` reaches for no runtime, thread or wall clock.
pub(super) fn check_effects(source: &Source) -> Vec<Violation> {
    if !PURE.contains(&source.package()) {
        return Vec::new();
    }
    let threads = |line: &str| has_word(line, &["thread"]) && line.contains("thread::");
    source
        .code_outside_tests()
        .filter(|(_, line)| {
            has_word(line, &EFFECTS) || threads(line) || line.contains("std::thread")
        })
        .map(|(line, _)| {
            let message = "below node there are no runtimes, threads and wall clocks: pass it in";
            Violation::new(&source.path, line, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(folder: &str, text: &str) -> Vec<Violation> {
        check(&[Manifest { folder: folder.to_owned(), text: text.to_owned() }])
    }

    #[test]
    fn an_arrow_that_points_up_is_caught() {
        let text = "[dependencies]\ntrefoil-clock.workspace = true\ntrefoil-log.workspace = true\n";
        let found = violations("crates/store", text);
        assert_eq!((found.len(), found[0].line), (1, 3));
        assert!(found[0].message.contains("trefoil-log"));
        assert_eq!(violations("crates/node", text), []);
    }

    #[test]
    fn a_renamed_or_platform_dependency_is_caught() {
        let renamed = "[dependencies]\nl = { package = \"trefoil-log\", path = \"../log\" }\n";
        assert_eq!(violations("crates/store", renamed).len(), 1);
        let platform = "[target.'cfg(unix)'.dependencies]\ntrefoil-log = \"1\"\n";
        assert_eq!(violations("crates/store", platform).len(), 1);
    }

    #[test]
    fn development_dependencies_are_free() {
        let text = "[dev-dependencies]\ntrefoil-log.workspace = true\n";
        assert_eq!(violations("crates/store", text), []);
    }

    #[test]
    fn a_crate_without_a_row_is_caught() {
        assert!(violations("crates/extra", "")[0].message.contains("no row"));
    }

    #[test]
    fn a_runtime_below_node_is_caught_in_manifest_and_code() {
        assert_eq!(violations("crates/log", "[dependencies]\nmio.workspace = true\n").len(), 1);
        for code in ["use std::thread;", "thread::sleep(a);", "Instant::now()", "tokio::spawn(a)"] {
            let source = Source::new("crates/log/src/a.rs", &format!("//! A.\n{code}\n"));
            assert_eq!(check_effects(&source).len(), 1, "{code}");
        }
        let upstairs = Source::new("crates/node/src/a.rs", "use std::time::Instant;\n");
        assert_eq!(check_effects(&upstairs), []);
        let prose = Source::new("crates/log/src/a.rs", "// Instant and tokio are not used.\n");
        assert_eq!(check_effects(&prose), []);
    }
}
