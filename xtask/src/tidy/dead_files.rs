//! Every `.rs` file is compiled: some other file declares it, or it is the root of a target.

use super::Violation;
use super::source::{Source, declared_module, is_root_folder, module_folder};

/// Checks all files together.
pub(super) fn check(sources: &[Source]) -> Vec<Violation> {
    sources
        .iter()
        .filter(|file| !is_root(file) && !sources.iter().any(|other| declares(other, &file.path)))
        .map(|file| Violation::new(&file.path, 1, "no file declares this module: it is dead"))
        .collect()
}

fn is_root(source: &Source) -> bool {
    let inner = source.inner_path();
    let (folder, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    matches!(inner, "src/lib.rs" | "src/main.rs" | "build.rs")
        || is_root_folder(folder)
        || file == "main.rs" && folder.rsplit_once('/').is_some_and(|(up, _)| is_root_folder(up))
}

fn declares(parent: &Source, path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    let by_path =
        |line: &str| (line.contains("#[path") || line.contains("include!")) && line.contains(file);
    if parent.path != path && parent.text.lines().any(by_path) {
        return true;
    }
    let folder = module_folder(&parent.path);
    let Some(inside) = path.strip_prefix(&format!("{folder}/")) else { return false };
    let name = inside.strip_suffix("/mod.rs").or_else(|| inside.strip_suffix(".rs"));
    let Some(name) = name.filter(|name| !name.contains('/')) else { return false };
    parent.code.iter().any(|line| declared_module(line) == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> =
            files.iter().map(|(path, text)| Source::new(path, text)).collect();
        check(&sources).into_iter().map(|violation| violation.path).collect()
    }

    #[test]
    fn a_file_that_nobody_declares_is_dead() {
        let files = [
            ("crates/wire/src/lib.rs", "mod resp;\n"),
            ("crates/wire/src/resp/mod.rs", "mod parse;\n"),
            ("crates/wire/src/resp/parse.rs", ""),
            ("crates/wire/src/resp/left.rs", ""),
        ];
        assert_eq!(dead(&files), ["crates/wire/src/resp/left.rs"]);
    }

    #[test]
    fn a_namesake_elsewhere_does_not_keep_a_file_alive() {
        let files = [
            ("crates/wire/src/lib.rs", "mod a;\n"),
            ("crates/wire/src/a.rs", "mod b;\n"),
            ("crates/wire/src/b.rs", ""),
            ("crates/wire/src/a/b.rs", ""),
        ];
        assert_eq!(dead(&files), ["crates/wire/src/b.rs"]);
    }

    #[test]
    fn roots_of_targets_are_alive_and_so_is_what_they_declare() {
        let files = [
            ("crates/wire/src/main.rs", ""),
            ("crates/wire/src/bin/tool.rs", ""),
            ("crates/wire/tests/resp_errors.rs", "mod golden;\n"),
            ("crates/wire/tests/golden/mod.rs", ""),
            ("crates/wire/tests/crash/main.rs", "mod rounds;\n"),
            ("crates/wire/tests/crash/rounds.rs", ""),
            ("crates/wire/benches/decode.rs", "#[path = \"../src/odd.rs\"]\nmod odd;\n"),
            ("crates/wire/src/odd.rs", ""),
        ];
        assert_eq!(dead(&files), Vec::<String>::new());
    }
}
