//! Settings as the configuration file and the command line say.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use trefoil_node::config::{self, ConfigError, Line};
use trefoil_node::settings::Settings;

use crate::options::ServerOptions;

/// What the words of `trefoil server` ask for.
#[derive(Default, PartialEq, Eq, Debug)]
struct Asked {
    file: Option<PathBuf>,
    help: bool,
    /// Names and values.
    parameters: Vec<(String, String)>,
}

/// The settings to start with. None: help was asked for, and given.
pub(crate) fn settings(options: &ServerOptions) -> Result<Option<Settings>> {
    let mut asked = read_words(&options.words)?;
    if asked.help {
        crate::options::print_server_help()?;
        return Ok(None);
    }
    let settings = Settings::default();
    if let Some(file) = options.config.clone().or(asked.file.take()) {
        read_file(&file, &settings)?;
    }
    for (name, value) in &asked.parameters {
        put(&settings, name, value.as_bytes()).with_context(|| format!("--{name}"))?;
    }
    Ok(Some(settings))
}

/// `--name value value --other=value`; a first word without dashes is a configuration file.
fn read_words(words: &[String]) -> Result<Asked> {
    let mut asked = Asked::default();
    let mut words = words.iter().peekable();
    if let Some(file) = words.next_if(|word| !word.starts_with('-')) {
        asked.file = Some(file.into());
    }
    while let Some(word) = words.next() {
        if word == "-h" || word == "--help" {
            asked.help = true;
            continue;
        }
        let Some(name) = word.strip_prefix("--").filter(|name| !name.is_empty()) else {
            bail!("`{word}` belongs to no option; options are written --name value");
        };
        let (name, mut values) = match name.split_once('=') {
            Some((name, value)) => (name, vec![value]),
            None => (name, Vec::new()),
        };
        while let Some(value) = words.next_if(|word| !word.starts_with("--")) {
            values.push(value);
        }
        match name {
            "config" => asked.file = Some(values.concat().into()),
            // As in Redis: no value means no snapshots.
            _ if values.is_empty() && name != "save" => bail!("--{name}: a value is missing"),
            _ => asked.parameters.push((name.to_string(), values.join(" "))),
        }
    }
    Ok(asked)
}

fn read_file(path: &Path, settings: &Settings) -> Result<()> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("the configuration file {} can't be read", path.display()))?;
    let mut save = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let place = || format!("{}, line {}", path.display(), number + 1);
        let Line::Setting(name, mut value) = config::parse_line(line).with_context(place)? else {
            continue;
        };
        // Lines of `save` add up, and an empty one begins anew.
        if name == "save" {
            if value.is_empty() {
                save.clear();
            } else {
                save.extend_from_slice(b" ");
                save.extend_from_slice(&value);
            }
            value = save.trim_ascii().to_vec();
        }
        put(settings, &name, &value).with_context(place)?;
    }
    settings.set_config_file(fs::canonicalize(path)?);
    Ok(())
}

fn put(settings: &Settings, name: &str, value: &[u8]) -> Result<()> {
    config::put(settings, &[(name.as_bytes(), value)]).map_err(|error| match error {
        ConfigError::Unknown(name) => {
            anyhow!("there is no parameter `{name}`; `trefoil server --help` lists them all")
        }
        ConfigError::Refused { name, reason } => anyhow!("`{name}` can't be that: {reason}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_string).collect()
    }

    #[test]
    fn options_take_several_words_and_equal_signs() {
        let asked =
            read_words(&words("a.conf --bind 127.0.0.1 ::1 --port=7 --save")).expect("good");
        assert_eq!(asked.file, Some("a.conf".into()));
        let expected = [("bind", "127.0.0.1 ::1"), ("port", "7"), ("save", "")];
        assert_eq!(asked.parameters, expected.map(|(n, v)| (n.to_string(), v.to_string())));
        for bad in ["--port", "--port 7 -- 8", "a.conf b.conf"] {
            assert!(read_words(&words(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("trefoil.conf");
        fs::write(&file, "# a comment\nport 1\nmaxmemory 1mb\nrequirepass \"a b\"\n").expect("ok");
        let config = Some(file.clone());
        let options = ServerOptions { config, words: words("--port 2") };
        let settings = settings(&options).expect("good").expect("no help");
        assert_eq!(settings.port.load(Relaxed), 2);
        assert_eq!(settings.maxmemory.load(Relaxed), 1 << 20);
        assert_eq!(*settings.requirepass.read().expect("nobody panicked"), b"a b");
        fs::write(&file, "port 1\nporridge 2\n").expect("ok");
        let error = super::settings(&options).err().expect("no such parameter");
        assert!(format!("{error:#}").contains("line 2"), "{error:#}");
    }
}
