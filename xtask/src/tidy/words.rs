//! Words, names and leftovers that do not belong into a finished file.

use super::Violation;
use super::source::{Source, has_word};

/// Marks of unfinished work: finish it, or file an issue.
const UNFINISHED: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Macros that are for the desk, not for the repository.
const MACROS: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];

/// Names that say nothing about what lies inside.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "common", "helpers", "manager", "misc"];

/// Where bytes from network or disk are read: an `unwrap` there is a crash that others can cause.
const FOREIGN_BYTES: [&str; 3] = ["crates/wire/", "crates/log/", "crates/store/src/record"];

/// Checks one file.
pub(super) fn check(source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut report = |line: usize, message: String| {
        violations.push(Violation::new(&source.path, line, message));
    };
    if let Some(name) = empty_name(&source.path) {
        report(1, format!("`{name}` says nothing: name the file after what it does"));
    }
    if !source.text.starts_with("//!") {
        report(1, "a file starts with `//!`: what it is, is not, and keeps true".to_owned());
    }
    for (at, line) in source.prose.iter().enumerate() {
        if has_word(line, &UNFINISHED) {
            report(at + 1, "unfinished work: finish it, or file an issue".to_owned());
        }
        if is_commented_out(line) {
            report(at + 1, "code in a comment: delete it, git remembers".to_owned());
        }
    }
    for (at, line) in source.code.iter().enumerate() {
        if let Some(name) = MACROS.iter().find(|name| calls(line, name)) {
            report(at + 1, format!("`{name}` must not be committed"));
        }
    }
    if FOREIGN_BYTES.iter().any(|prefix| source.path.starts_with(prefix)) {
        for (line, _) in source.code_outside_tests().filter(|(_, text)| text.contains(".unwrap()"))
        {
            report(line, "`unwrap()` where foreign bytes are read: return an error".to_owned());
        }
    }
    violations
}

fn empty_name(path: &str) -> Option<&str> {
    path.split('/').map(|part| part.trim_end_matches(".rs")).find(|name| EMPTY_NAMES.contains(name))
}

fn calls(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// Whether a comment reads like a statement: prose rarely ends with a brace or a semicolon.
fn is_commented_out(line: &str) -> bool {
    let Some(comment) = line.trim_start().strip_prefix("// ") else { return false };
    let comment = comment.trim();
    let starts = |words: &[&str]| words.iter().any(|word| comment.starts_with(word));
    let block = ["if ", "for ", "while ", "match ", "impl ", "fn ", "pub ", "else ", "} else"];
    let statement = ["let ", "use ", "return ", "pub ", "self.", "assert"];
    starts(&block) && comment.ends_with('{')
        || starts(&statement) && comment.ends_with(';')
        || starts(&["fn ", "pub fn "]) && comment.contains('(')
        || starts(&["let "]) && comment.contains(" = ")
        || comment == "}"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        check(&Source::new(path, text)).into_iter().map(|v| v.to_string()).collect()
    }

    fn caught(text: &str, with: &str) -> bool {
        let found = messages("crates/wire/src/a.rs", &format!("//! A.\n{text}\n"));
        found.iter().any(|message| message.contains(with) && message.contains(":2:"))
    }

    #[test]
    fn unfinished_work_is_caught_in_comments_but_not_in_strings() {
        assert!(caught("// TODO later", "unfinished"));
        assert!(caught("fn a() {} // XXX", "unfinished"));
        assert!(!caught("let a = \"TODO\";", "unfinished"));
    }

    #[test]
    fn desk_macros_are_caught() {
        assert!(caught("    dbg!(a);", "dbg!"));
        assert!(caught("    todo!()", "todo!"));
        assert!(!caught("    my_todo!()", "todo!"));
    }

    #[test]
    fn commented_out_code_is_caught_and_prose_is_not() {
        for code in ["// let a = 1;", "    // if a == b {", "// pub fn old(a: u8)", "// }"] {
            assert!(caught(code, "code in a comment"), "{code}");
        }
        for prose in ["// if it were otherwise, we would wait", "// let the caller decide"] {
            assert!(!caught(prose, "code in a comment"), "{prose}");
        }
    }

    #[test]
    fn a_file_without_a_heading_is_caught() {
        assert!(messages("crates/wire/src/a.rs", "use a;\n")[0].contains("`//!`"));
    }

    #[test]
    fn empty_names_are_caught_for_files_and_folders() {
        assert!(messages("crates/wire/src/utils.rs", "//! A.\n")[0].contains("utils"));
        assert!(messages("crates/wire/tests/common/mod.rs", "//! A.\n")[0].contains("common"));
        assert!(messages("crates/commands/src/a.rs", "//! A.\n").is_empty());
    }

    #[test]
    fn unwrap_is_caught_where_foreign_bytes_are_read_outside_tests() {
        assert!(caught("fn a() { b.unwrap() }", "unwrap"));
        assert!(!caught("#[cfg(test)]\nmod tests { fn a() { b.unwrap() } }", "unwrap"));
        let elsewhere = "//! A.\nfn a() { b.unwrap() }\n";
        assert!(messages("crates/server/src/a.rs", elsewhere).is_empty());
        assert_eq!(messages("crates/store/src/record/mod.rs", elsewhere).len(), 1);
    }
}
