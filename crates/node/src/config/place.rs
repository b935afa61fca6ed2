//! Where the values of parameters are.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
use std::sync::{PoisonError, RwLock};

use crate::settings::Settings;

use super::shape::{OutputLimit, Value};

/// A place among the settings.
#[derive(Clone, Copy)]
pub enum Place {
    /// A switch.
    Flag(fn(&Settings) -> &AtomicBool),
    /// A number.
    Number(fn(&Settings) -> &AtomicU64),
    /// The index of a word.
    Word(fn(&Settings) -> &AtomicU8),
    /// A text.
    Text(fn(&Settings) -> &RwLock<Vec<u8>>),
    /// [`Settings::save_points`].
    SavePoints,
    /// The output limits.
    OutputLimits,
    /// Kept for CONFIG GET and the file; nothing reads it yet, and its line of documentation says
    /// so.
    Remembered,
    /// There is only this one value; another is refused, for this reason.
    Fixed(&'static str),
}

impl Place {
    /// The value in force; None: never set, so the default holds.
    #[must_use]
    pub fn load(self, name: &'static str, settings: &Settings) -> Option<Value> {
        Some(match self {
            Place::Flag(at) => Value::Flag(at(settings).load(Relaxed)),
            Place::Number(at) => Value::Number(at(settings).load(Relaxed).cast_signed()),
            Place::Word(at) => Value::Number(i64::from(at(settings).load(Relaxed))),
            Place::Text(at) => {
                Value::Text(at(settings).read().unwrap_or_else(PoisonError::into_inner).clone())
            }
            Place::SavePoints => Value::SavePoints(settings.save_points()),
            Place::OutputLimits => Value::OutputLimits(std::array::from_fn(|class| OutputLimit {
                hard_bytes: settings.output_hard_bytes[class].load(Relaxed),
                soft_bytes: settings.output_soft_bytes[class].load(Relaxed),
                soft_seconds: settings.output_soft_seconds[class].load(Relaxed),
            })),
            Place::Remembered => return settings.remembered(name),
            Place::Fixed(_) => return None,
        })
    }

    /// Puts a value in force. Values of another kind than the place's are no values of its shape,
    /// and ignored.
    pub fn store(self, name: &'static str, settings: &Settings, value: Value) {
        match (self, value) {
            (Place::Flag(at), Value::Flag(flag)) => at(settings).store(flag, Relaxed),
            (Place::Number(at), Value::Number(number)) => {
                at(settings).store(number.cast_unsigned(), Relaxed);
            }
            (Place::Word(at), Value::Number(index)) => at(settings).store(index as u8, Relaxed),
            (Place::Text(at), Value::Text(text)) => {
                *at(settings).write().unwrap_or_else(PoisonError::into_inner) = text;
            }
            (Place::SavePoints, Value::SavePoints(points)) => settings.set_save_points(points),
            (Place::OutputLimits, Value::OutputLimits(limits)) => {
                for (class, limit) in limits.into_iter().enumerate() {
                    settings.output_hard_bytes[class].store(limit.hard_bytes, Relaxed);
                    settings.output_soft_bytes[class].store(limit.soft_bytes, Relaxed);
                    settings.output_soft_seconds[class].store(limit.soft_seconds, Relaxed);
                }
            }
            (Place::Remembered, value) => settings.remember(name, value),
            (_, value) => debug_assert!(matches!(self, Place::Fixed(_)), "{name}: {value:?}"),
        }
    }
}
