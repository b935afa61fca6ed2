//! The configuration: every parameter by name, read and changed as text.
//!
//! The values are in [`Settings`]; the registry says how they are spelled and where they are. A
//! change of several parameters is made whole or not at all.

mod effect;
mod file;
mod place;
mod registry;
mod shape;

use trefoil_commands::glob_match;

use crate::node::Node;
use crate::settings::Settings;

pub use effect::take_effect;
pub use file::{Line, LineError, RewriteError, parse_line, rewrite};
pub use place::Place;
pub(crate) use registry::is_host;
pub use registry::{Change, FSYNC, POLICIES, Parameter, all, find};
pub use shape::{OUTPUT_CLASSES, OutputLimit, SavePoint, Shape, Value};

/// Why nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no such parameter.
    #[error("Unknown option or number of arguments for CONFIG SET - '{0}'")]
    Unknown(String),
    /// This one does not take this value, or not now.
    #[error("CONFIG SET failed (possibly related to argument '{name}') - {reason}")]
    Refused {
        /// As it was given.
        name: String,
        /// In Redis's words where it has some.
        reason: String,
    },
}

impl Parameter {
    /// The value in force.
    #[must_use]
    pub fn value(&self, settings: &Settings) -> Value {
        self.place.load(self.name, settings).unwrap_or_else(|| self.default_value())
    }

    /// The value in force, as text.
    #[must_use]
    pub fn text(&self, settings: &Settings) -> Vec<u8> {
        self.shape.show(&self.value(settings))
    }

    /// The default as a value.
    #[must_use]
    pub fn default_value(&self) -> Value {
        let nothing = Value::OutputLimits(Default::default());
        self.shape.parse(self.default.as_bytes(), &nothing).expect("defaults are good values")
    }

    fn parse(&self, text: &[u8], settings: &Settings) -> Result<Value, String> {
        let value = self.shape.parse(text, &self.value(settings))?;
        match self.place {
            Place::Fixed(reason) if value != self.default_value() => Err(reason.to_string()),
            _ => Ok(value),
        }
    }
}

/// Parameters whose names match a glob, with their values; each name once.
#[must_use]
pub fn get(settings: &Settings, pattern: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let pattern = pattern.to_ascii_lowercase();
    all()
        .flat_map(|parameter| parameter.names().map(move |name| (parameter, name)))
        .filter(|(_, name)| glob_match(&pattern, name.as_bytes()))
        .map(|(parameter, name)| (name, parameter.text(settings)))
        .collect()
}

/// Changes parameters of a running node: all of them, or none.
pub fn set(node: &Node, pairs: &[(&[u8], &[u8])]) -> Result<(), ConfigError> {
    change(&node.settings, pairs, Change::AtRuntime)?;
    take_effect(node);
    Ok(())
}

/// Changes parameters before the node runs (configuration file, command line): all, or none.
pub fn put(settings: &Settings, pairs: &[(&[u8], &[u8])]) -> Result<(), ConfigError> {
    change(settings, pairs, Change::AtStart)
}

fn change(settings: &Settings, pairs: &[(&[u8], &[u8])], when: Change) -> Result<(), ConfigError> {
    let mut found: Vec<&'static Parameter> = Vec::with_capacity(pairs.len());
    for &(name, _) in pairs {
        let parameter = find(name).ok_or_else(|| ConfigError::Unknown(lossy(name)))?;
        if when == Change::AtRuntime && parameter.change == Change::AtStart {
            return Err(refused(name, "can't set immutable config"));
        }
        if found.iter().any(|known| known.name == parameter.name) {
            return Err(refused(name, "duplicate parameter"));
        }
        found.push(parameter);
    }
    let mut values = Vec::with_capacity(pairs.len());
    for (&(name, text), parameter) in pairs.iter().zip(&found) {
        values.push(parameter.parse(text, settings).map_err(|reason| refused(name, &reason))?);
    }
    for (parameter, value) in found.into_iter().zip(values) {
        parameter.place.store(parameter.name, settings, value);
        settings.note_given(parameter.name);
    }
    Ok(())
}

fn refused(name: &[u8], reason: &str) -> ConfigError {
    ConfigError::Refused { name: lossy(name), reason: reason.to_string() }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(128)]).into_owned()
}

#[cfg(test)]
mod tests;
