//! The configuration file: one parameter a line, `#` starts a comment, quotes as in redis-cli.
//!
//! A rewrite keeps comments, blank lines and the order. It goes to a file beside the old one, is
//! synced, and takes its place in one step, so that a crash leaves the one or the other.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::settings::Settings;

use super::registry::{Parameter, all, find};

/// A line of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Line {
    /// Nothing, or a comment.
    Blank,
    /// A parameter and its value; several words are joined by blanks.
    Setting(String, Vec<u8>),
}

/// What is wrong with a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LineError {
    /// A quote that is not closed, or followed by something else than a blank.
    #[error("unbalanced quotes")]
    Quotes,
    /// A name without a value.
    #[error("a value is missing; write \"\" for an empty one")]
    NoValue,
}

/// Why the file was not rewritten; the old one is untouched.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// The server was started without one.
    #[error("The server is running without a config file")]
    NoFile,
    /// It can't be read or written.
    #[error("Rewriting config file: {0}: {1}")]
    Io(PathBuf, #[source] std::io::Error),
}

/// Reads a line.
pub fn parse_line(line: &str) -> Result<Line, LineError> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(Line::Blank);
    }
    let mut words = split(line)?.into_iter();
    let name = words.next().map(|name| String::from_utf8_lossy(&name).to_ascii_lowercase());
    let values: Vec<Vec<u8>> = words.collect();
    match name {
        Some(name) if !values.is_empty() => Ok(Line::Setting(name, values.join(&b' '))),
        _ => Err(LineError::NoValue),
    }
}

/// Words separated by blanks; `"..."` with escapes, `'...'` without.
fn split(line: &str) -> Result<Vec<Vec<u8>>, LineError> {
    let mut words = Vec::new();
    let mut rest = line.as_bytes();
    loop {
        rest = rest.trim_ascii_start();
        let Some(&first) = rest.first() else { return Ok(words) };
        let (word, left) = match first {
            b'"' | b'\'' => quoted(first, &rest[1..])?,
            _ => {
                let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
                (rest[..end].to_vec(), &rest[end..])
            }
        };
        if left.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
            return Err(LineError::Quotes);
        }
        words.push(word);
        rest = left;
    }
}

/// A word in quotes, and what comes behind its closing quote.
fn quoted(quote: u8, mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), LineError> {
    let mut word = Vec::new();
    loop {
        match rest {
            [] => return Err(LineError::Quotes),
            [first, left @ ..] if *first == quote => return Ok((word, left)),
            [b'\\', b'\'', left @ ..] if quote == b'\'' => {
                word.push(b'\'');
                rest = left;
            }
            [b'\\', b'x', high, low, left @ ..]
                if quote == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as u8;
                word.push(digit(*high) << 4 | digit(*low));
                rest = left;
            }
            [b'\\', escaped, left @ ..] if quote == b'"' => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                rest = left;
            }
            [first, left @ ..] => {
                word.push(*first);
                rest = left;
            }
        }
    }
}

/// Writes the configuration in force into the file that the server was started with.
pub fn rewrite(settings: &Settings) -> Result<(), RewriteError> {
    let path = settings.config_file().ok_or(RewriteError::NoFile)?;
    replace(&path, settings).map_err(|error| RewriteError::Io(path, error))
}

fn replace(path: &Path, settings: &Settings) -> std::io::Result<()> {
    let old = match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        other => other?,
    };
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".part");
    let unfinished = PathBuf::from(unfinished);
    let mut file = fs::File::create(&unfinished)?;
    if let Ok(known) = fs::metadata(path) {
        file.set_permissions(known.permissions())?;
    }
    file.write_all(rewritten(&old, settings).as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(dir)?.sync_all()
}

const MARK: &str = "# Added by CONFIG REWRITE";

/// The old text with the values in force: each parameter in its last line, others of the same
/// parameter dropped; what is not there yet and not at its default comes last.
fn rewritten(old: &str, settings: &Settings) -> String {
    let lines: Vec<(&str, Option<(&'static Parameter, String)>)> = old
        .lines()
        .map(|line| match parse_line(line) {
            Ok(Line::Setting(name, _)) => {
                (line, find(name.as_bytes()).map(|parameter| (parameter, name)))
            }
            _ => (line, None),
        })
        .collect();
    let is_of = |at: usize, parameter: &Parameter| {
        lines[at].1.as_ref().is_some_and(|(known, _)| known.name == parameter.name)
    };
    let mut text = String::new();
    for (at, (line, setting)) in lines.iter().enumerate() {
        match setting {
            None => text.push_str(line),
            Some((parameter, _)) if (at + 1..lines.len()).any(|later| is_of(later, parameter)) => {
                continue;
            }
            Some((parameter, name)) => text.push_str(&line_of(name, parameter, settings)),
        }
        text.push('\n');
    }
    let mut marked = old.lines().any(|line| line == MARK);
    for parameter in all() {
        let is_there = (0..lines.len()).any(|at| is_of(at, parameter));
        if is_there || parameter.value(settings) == parameter.default_value() {
            continue;
        }
        if !std::mem::replace(&mut marked, true) {
            text.push_str(MARK);
            text.push('\n');
        }
        text.push_str(&line_of(parameter.name, parameter, settings));
        text.push('\n');
    }
    text
}

fn line_of(name: &str, parameter: &Parameter, settings: &Settings) -> String {
    format!("{name} {}", quote(&parameter.text(settings)))
}

/// The value as [`parse_line`] reads it back.
fn quote(value: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\' | b'#');
    let words = value.split(|&byte| byte == b' ');
    if !value.is_empty() && words.clone().all(|word| !word.is_empty() && word.iter().all(plain)) {
        return String::from_utf8_lossy(value).into_owned();
    }
    let mut quoted = String::from("\"");
    for &byte in value {
        match byte {
            b'"' | b'\\' => {
                quoted.push('\\');
                quoted.push(byte as char);
            }
            b' '..=b'~' => quoted.push(byte as char),
            _ => quoted.push_str(&format!("\\x{byte:02x}")),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::put;

    fn value(line: &str) -> Result<Line, LineError> {
        parse_line(line)
    }

    #[test]
    fn lines_are_read_as_redis_reads_them() {
        let setting = |name: &str, value: &[u8]| Ok(Line::Setting(name.into(), value.to_vec()));
        assert_eq!(value("  # a comment"), Ok(Line::Blank));
        assert_eq!(value(""), Ok(Line::Blank));
        assert_eq!(value("Port 7000"), setting("port", b"7000"));
        assert_eq!(value("save 3600 1  300 100"), setting("save", b"3600 1 300 100"));
        assert_eq!(value("save \"\""), setting("save", b""));
        assert_eq!(
            value(r#"requirepass "a \"b\" \x00\n""#),
            setting("requirepass", b"a \"b\" \0\n")
        );
        assert_eq!(value(r"requirepass 'a\'b\n'"), setting("requirepass", br"a'b\n"));
        assert_eq!(value("port"), Err(LineError::NoValue));
        assert_eq!(value("port \"7000"), Err(LineError::Quotes));
        assert_eq!(value("port \"70\"00"), Err(LineError::Quotes));
    }

    #[test]
    fn any_text_survives_being_written_and_read() {
        for text in [&b""[..], b"plain", b"a b", b" a", b"#", b"\"\\'", b"\xff\0\n", b"a  b"] {
            let line = format!("requirepass {}", quote(text));
            assert_eq!(value(&line), Ok(Line::Setting("requirepass".into(), text.to_vec())));
        }
    }

    #[test]
    fn a_rewrite_keeps_comments_and_order_and_adds_what_changed() {
        let settings = Settings::default();
        let pairs: [(&[u8], &[u8]); 3] =
            [(b"maxmemory", b"1mb"), (b"appendfsync", b"always"), (b"timeout", b"7")];
        put(&settings, &pairs).expect("good values");
        let old =
            "# mine\n\nmaxmemory 5\nappendfsync no\nunknown thing\nmaxmemory 6 # not a comment\n";
        let new = rewritten(old, &settings);
        assert_eq!(
            new,
            "# mine\n\nappendfsync always\nunknown thing\nmaxmemory 1048576\n\
             # Added by CONFIG REWRITE\ntimeout 7\n"
        );
        assert_eq!(rewritten(&new, &settings), new);
    }

    #[test]
    fn the_file_is_replaced_in_one_step() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("trefoil.conf");
        fs::write(&path, "hz 20\n").expect("a file");
        let settings = Settings::default();
        assert!(matches!(rewrite(&settings), Err(RewriteError::NoFile)));
        settings.set_config_file(path.clone());
        rewrite(&settings).expect("it can be written");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "hz 10\n");
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1);
    }
}
