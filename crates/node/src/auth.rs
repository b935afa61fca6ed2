//! Who may use the node: one user, `default`, with or without a password (`requirepass`).

use std::hint::black_box;
use std::sync::PoisonError;

use trefoil_commands::CommandError;

use crate::session::{Restrictions, Session};
use crate::settings::Settings;

/// The only user.
pub(crate) const USER: &str = "default";

/// Refusal of a user or a password, without a hint which.
pub(crate) const WRONGPASS: CommandError =
    CommandError::Other("WRONGPASS invalid username-password pair or user is disabled.");

/// Whether clients have to authenticate.
#[must_use]
pub fn is_required(settings: &Settings) -> bool {
    !settings.requirepass.read().unwrap_or_else(PoisonError::into_inner).is_empty()
}

/// Lets the session in if user and password are right. Without `requirepass` any password is.
pub(crate) fn authenticate(
    settings: &Settings,
    session: &mut Session,
    user: &[u8],
    password: &[u8],
) -> Result<(), CommandError> {
    let secret = settings.requirepass.read().unwrap_or_else(PoisonError::into_inner);
    let known = user == USER.as_bytes();
    if !known || !secret.is_empty() && !is_same(&secret, password) {
        return Err(WRONGPASS);
    }
    session.restrictions.clear(Restrictions::UNAUTHENTICATED);
    Ok(())
}

/// Compares in a time that depends on the secret's length only.
fn is_same(secret: &[u8], offered: &[u8]) -> bool {
    let mut difference = u8::from(secret.len() != offered.len());
    for (at, &byte) in secret.iter().enumerate() {
        difference |= black_box(byte ^ offered.get(at).copied().unwrap_or_default());
    }
    black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_bytes_are_the_same_password() {
        for (offered, same) in [("secret", true), ("secreT", false), ("secre", false)] {
            assert_eq!(is_same(b"secret", offered.as_bytes()), same, "{offered}");
        }
        assert!(!is_same(b"secret", b"secret\0"));
        assert!(!is_same(b"", b"\0"));
    }
}
