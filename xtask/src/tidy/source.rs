//! The Rust files of the repository, with what the rules need to know about each line.
//!
//! Invariant: `code`, `prose` and `in_test` have one entry per line of the file.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

use super::mask::mask;

/// One `.rs` file.
pub(super) struct Source {
    /// Relative to the repository, with slashes.
    pub(super) path: String,
    /// The file as it is.
    pub(super) text: String,
    /// Each line without strings and comments.
    pub(super) code: Vec<String>,
    /// Each line without strings.
    pub(super) prose: Vec<String>,
    /// Whether a line belongs to tests.
    pub(super) in_test: Vec<bool>,
}

impl Source {
    /// Reads a file's text.
    pub(super) fn new(path: &str, text: &str) -> Source {
        let masked = mask(text);
        let code: Vec<String> = masked.code.lines().map(str::to_owned).collect();
        let prose = masked.prose.lines().map(str::to_owned).collect();
        let in_test =
            if lies_in_test_folder(path) { vec![true; code.len()] } else { test_lines(&code) };
        Source { path: path.to_owned(), text: text.to_owned(), code, prose, in_test }
    }

    /// The crate's folder, such as `crates/wire`.
    pub(super) fn package(&self) -> &str {
        let parts = if self.path.starts_with("crates/") { 2 } else { 1 };
        let end = self.path.match_indices('/').nth(parts - 1).map_or(self.path.len(), |(at, _)| at);
        &self.path[..end]
    }

    /// The path inside the crate, such as `src/lib.rs`.
    pub(super) fn inner_path(&self) -> &str {
        self.path[self.package().len()..].trim_start_matches('/')
    }

    /// Lines outside tests, numbered from 1, without strings and comments.
    pub(super) fn code_outside_tests(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code
            .iter()
            .enumerate()
            .filter(|(at, _)| !self.in_test[*at])
            .map(|(at, line)| (at + 1, line.as_str()))
    }
}

/// Loads all Rust files under crates/ and xtask/.
pub(super) fn load(root: &Path) -> Result<Vec<Source>> {
    let mut paths = BTreeSet::new();
    for folder in ["crates", "xtask"] {
        collect(root, &root.join(folder), &mut paths)?;
    }
    let mut sources = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(root.join(&path))
            .with_context(|| format!("cannot read {path}"))?;
        sources.push(Source::new(&path, &text));
    }
    mark_test_modules(&mut sources);
    Ok(sources)
}

fn collect(root: &Path, folder: &Path, into: &mut BTreeSet<String>) -> Result<()> {
    let listing =
        std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in listing {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(root, &path, into)?;
            }
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            let inside = path.strip_prefix(root).expect("listed below the root");
            into.insert(inside.to_string_lossy().replace('\\', "/"));
        }
    }
    Ok(())
}

fn lies_in_test_folder(path: &str) -> bool {
    ["/tests/", "/benches/", "/examples/"].iter().any(|folder| path.contains(folder))
        || path.ends_with("/tests.rs")
}

/// Marks what stands under `#[cfg(test)]` or `#[cfg(shuttle)]`, up to the end of its item.
fn test_lines(code: &[String]) -> Vec<bool> {
    let whole_file = code
        .iter()
        .any(|line| is_test_attribute(&line.replace("#![", "#[")) && line.contains("#!["));
    let mut marks = vec![whole_file; code.len()];
    let mut at = 0;
    while at < code.len() {
        if !is_test_attribute(&code[at]) {
            at += 1;
            continue;
        }
        let end = item_end(code, at);
        marks[at..=end].fill(true);
        at = end + 1;
    }
    marks
}

fn is_test_attribute(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("#[test]")
        || line.starts_with("#[cfg(")
            && !line.contains("not(")
            && has_word(line, &["test", "shuttle"])
}

/// The last line of the item that starts at `start` (attributes included): where its braces close,
/// or where a semicolon ends it.
pub(super) fn item_end(code: &[String], start: usize) -> usize {
    let mut depth = 0_i32;
    let mut nested = 0_i32;
    for (at, line) in code.iter().enumerate().skip(start) {
        for letter in line.chars() {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                '(' | '[' => nested += 1,
                ')' | ']' => nested -= 1,
                ';' if depth == 0 && nested == 0 => return at,
                _ => {}
            }
            if letter == '}' && depth <= 0 {
                return at;
            }
        }
    }
    code.len() - 1
}

/// A file that its parent declares as `#[cfg(test)] mod name;` is a test file.
fn mark_test_modules(sources: &mut [Source]) {
    let mut files = BTreeSet::new();
    for source in sources.iter() {
        let folder = module_folder(&source.path);
        for (at, line) in source.code.iter().enumerate() {
            let declared = declared_module(line);
            if let (true, Some(name)) = (source.in_test[at], declared) {
                files.insert(format!("{folder}/{name}.rs"));
                files.insert(format!("{folder}/{name}/mod.rs"));
            }
        }
    }
    for source in sources.iter_mut().filter(|source| files.contains(&source.path)) {
        source.in_test.fill(true);
    }
}

/// Where the modules that a file declares lie.
pub(super) fn module_folder(path: &str) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.trim_end_matches(".rs");
    if matches!(stem, "lib" | "main" | "mod") || is_root_folder(folder) {
        folder.to_owned()
    } else {
        format!("{folder}/{stem}")
    }
}

/// Whether each file in this folder is a program of its own.
pub(super) fn is_root_folder(folder: &str) -> bool {
    ["/tests", "/benches", "/examples", "/src/bin"].iter().any(|end| folder.ends_with(end))
        && !folder.contains("/src/") | folder.ends_with("/src/bin")
}

/// The name in `mod name;`, with any visibility before it and attributes on the same line.
pub(super) fn declared_module(line: &str) -> Option<&str> {
    let line = line.trim().strip_suffix(';')?;
    let (before, name) = line.rsplit_once("mod ").unwrap_or(("-", ""));
    let fits = before.is_empty() || before.ends_with(' ');
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    (fits && plain).then_some(name)
}

/// Whether a line holds one of the words, whole.
pub(super) fn has_word(line: &str, words: &[&str]) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| words.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_under_cfg_test_are_tests_and_later_ones_are_not() {
        let text = "//! A.\nfn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n";
        let source = Source::new("crates/wire/src/lib.rs", text);
        let tests: Vec<usize> = (1..=7).filter(|line| source.in_test[line - 1]).collect();
        assert_eq!(tests, [3, 4, 5, 6]);
    }

    #[test]
    fn a_module_declared_for_tests_only_is_a_test_file() {
        let mut sources = vec![
            Source::new("crates/wire/src/lib.rs", "//! A.\n#[cfg(test)]\nmod oracle;\nmod real;\n"),
            Source::new("crates/wire/src/oracle.rs", "//! B.\n"),
            Source::new("crates/wire/src/real.rs", "//! C.\n"),
        ];
        mark_test_modules(&mut sources);
        assert_eq!((sources[1].in_test[0], sources[2].in_test[0]), (true, false));
    }

    #[test]
    fn a_path_is_split_at_its_crate() {
        let source = Source::new("crates/wire/src/resp/mod.rs", "//! A.\n");
        assert_eq!((source.package(), source.inner_path()), ("crates/wire", "src/resp/mod.rs"));
        assert_eq!(Source::new("xtask/src/main.rs", "").package(), "xtask");
    }

    #[test]
    fn module_declarations_are_told_from_other_lines() {
        assert_eq!(declared_module("    pub(crate) mod ring;"), Some("ring"));
        assert_eq!(declared_module("#[cfg(test)] mod ring;"), Some("ring"));
        assert_eq!(declared_module("mod ring {"), None);
        assert_eq!(declared_module("use a::mod_b;"), None);
    }
}
