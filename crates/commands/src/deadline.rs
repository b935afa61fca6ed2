//! Deadlines as commands spell them, turned into Unix milliseconds.

use trefoil_store::Key;
use trefoil_store::txn::Txn;

use crate::call::Call;
use crate::error::CommandError;
use crate::numbers::parse_i64;
use crate::spec::{Arg, ArgKind};

/// How a number stands for a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Timing {
    /// Seconds from now (EX).
    InSeconds,
    /// Milliseconds from now (PX).
    InMillis,
    /// Seconds since 1970 (EXAT).
    AtSeconds,
    /// Milliseconds since 1970 (PXAT).
    AtMillis,
}

/// The choices of SET and GETEX, for COMMAND DOCS.
pub(crate) const EX: Arg = Arg::behind("seconds", "EX", ArgKind::Integer);
pub(crate) const PX: Arg = Arg::behind("milliseconds", "PX", ArgKind::Integer);
pub(crate) const EXAT: Arg = Arg::behind("unix-time-seconds", "EXAT", ArgKind::UnixTime);
pub(crate) const PXAT: Arg = Arg::behind("unix-time-milliseconds", "PXAT", ArgKind::UnixTime);

impl Timing {
    /// The timing that an option of SET or GETEX announces.
    pub(crate) fn announced_by(word: &[u8]) -> Option<Timing> {
        [
            ("EX", Timing::InSeconds),
            ("PX", Timing::InMillis),
            ("EXAT", Timing::AtSeconds),
            ("PXAT", Timing::AtMillis),
        ]
        .into_iter()
        .find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, timing)| timing)
    }

    /// The moment in Unix milliseconds; None if it does not fit 64 bits.
    pub(crate) fn moment(self, number: i64, now_ms: u64) -> Option<i64> {
        let millis = match self {
            Timing::InSeconds | Timing::AtSeconds => number.checked_mul(1000)?,
            Timing::InMillis | Timing::AtMillis => number,
        };
        match self {
            Timing::InSeconds | Timing::InMillis => millis.checked_add(i64::try_from(now_ms).ok()?),
            Timing::AtSeconds | Timing::AtMillis => Some(millis),
        }
    }
}

impl Call<'_, '_> {
    /// The deadline that the argument at `at` gives a value that is stored: a positive number.
    pub(crate) fn deadline(
        &self,
        at: usize,
        timing: Timing,
        command: &'static str,
    ) -> Result<u64, CommandError> {
        let number = parse_i64(self.arg(at)).ok_or(CommandError::NotInteger)?;
        Some(number)
            .filter(|&number| number > 0)
            .and_then(|number| timing.moment(number, self.txn.now_ms()))
            .and_then(|moment| u64::try_from(moment).ok())
            .ok_or(CommandError::InvalidExpire(command))
    }
}

/// Gives a key a deadline, or none; a key whose new deadline has passed is deleted at once.
/// Whether the key was there.
pub(crate) fn give_deadline(txn: &mut Txn<'_>, key: &Key<'_>, deadline: Option<u64>) -> bool {
    match deadline {
        Some(moment) if moment <= txn.now_ms() => txn.delete(key),
        _ => txn.set_deadline(key, deadline),
    }
}
