//! Files of at most 700 lines, functions of at most 70: what fits a head fits a review.

use super::Violation;
use super::source::{Source, item_end};

/// Above this a file is listed, without failing.
pub(super) const FILE_WARN: usize = 400;
const FILE_LIMIT: usize = 700;
const FUNCTION_LIMIT: usize = 70;

/// What may stand before `fn`.
const QUALIFIERS: [&str; 6] = ["pub", "const", "async", "unsafe", "extern", "default"];

/// Files that are legal but long.
pub(super) fn long_files(sources: &[Source]) -> Vec<(&str, usize)> {
    sources
        .iter()
        .map(|source| (source.path.as_str(), source.code.len()))
        .filter(|(_, lines)| (FILE_WARN + 1..=FILE_LIMIT).contains(lines))
        .collect()
}

/// Checks one file.
pub(super) fn check(source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    let lines = source.code.len();
    if lines > FILE_LIMIT {
        let message = format!("{lines} lines, the limit is {FILE_LIMIT}: cut the file");
        violations.push(Violation::new(&source.path, lines, message));
    }
    for (at, line) in source.code.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let length = item_end(&source.code, at) - at + 1;
        if length > FUNCTION_LIMIT {
            let message =
                format!("fn {name} has {length} lines, the limit is {FUNCTION_LIMIT}: divide it");
            violations.push(Violation::new(&source.path, at + 1, message));
        }
    }
    violations
}

/// The name of the function whose signature starts on this line.
fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    loop {
        if let Some(signature) = rest.strip_prefix("fn ") {
            return signature.split(|c: char| !c.is_alphanumeric() && c != '_').next();
        }
        let qualifier = QUALIFIERS.iter().find(|word| rest.starts_with(**word))?;
        rest = &rest[qualifier.len()..];
        if rest.starts_with('(') {
            rest = rest.split_once(')')?.1;
        }
        // The ABI of `extern "C"` is blanked, so only spaces remain of it.
        rest = rest.strip_prefix(' ')?.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(text: &str) -> Vec<Violation> {
        check(&Source::new("crates/wire/src/lib.rs", text))
    }

    fn function_of(lines: usize) -> String {
        format!("pub(crate) async fn long() {{\n{}}}\n", "    step();\n".repeat(lines - 2))
    }

    #[test]
    fn a_function_of_71_lines_is_caught_and_one_of_70_is_not() {
        assert_eq!(violations(&function_of(70)), []);
        let found = violations(&function_of(71));
        assert!(found[0].message.contains("fn long has 71 lines"), "{found:?}");
        assert_eq!(found[0].line, 1);
    }

    #[test]
    fn a_file_of_701_lines_is_caught_and_one_of_700_is_not() {
        assert_eq!(violations(&"use a;\n".repeat(700)), []);
        assert!(violations(&"use a;\n".repeat(701))[0].message.contains("701 lines"));
    }

    #[test]
    fn a_file_of_401_lines_is_listed() {
        let sources = [Source::new("xtask/src/a.rs", &"use a;\n".repeat(401))];
        assert_eq!(long_files(&sources), [("xtask/src/a.rs", 401)]);
    }

    #[test]
    fn signatures_are_recognised_with_their_qualifiers() {
        assert_eq!(function_name("    pub(super) const unsafe fn a<T>() {"), Some("a"));
        assert_eq!(function_name("pub extern     fn b() {"), Some("b"));
        assert_eq!(function_name("let fn_pointer = c;"), None);
        assert_eq!(function_name("constant();"), None);
    }

    #[test]
    fn a_declaration_without_body_has_one_line() {
        let text = format!("fn declared(a: [u8; 4]);\n{}", "use a;\n".repeat(100));
        assert_eq!(violations(&text), []);
    }
}
