//! What is agreed upon, as bytes: what consensus keeps instead of its oldest entries.

use crate::state::ControlState;

/// The first byte; another one is of another release.
const VERSION: u8 = 1;

pub(super) fn encode(state: &ControlState) -> Vec<u8> {
    postcard::to_extend(state, vec![VERSION]).expect("a state has nothing that cannot be encoded")
}

/// None: of another release, or damaged.
pub(super) fn decode(bytes: &[u8]) -> Option<ControlState> {
    let (&version, rest) = bytes.split_first()?;
    match postcard::take_from_bytes(rest) {
        Ok((state, [])) if version == VERSION => Some(state),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use trefoil_clock::ClusterId;

    use super::*;

    #[test]
    fn a_state_comes_back_and_another_release_is_refused() {
        let state = ControlState::new(ClusterId(7));
        let mut bytes = encode(&state);
        assert_eq!(decode(&bytes), Some(state));
        bytes.push(0);
        assert_eq!(decode(&bytes), None);
        bytes.pop();
        bytes[0] += 1;
        assert_eq!(decode(&bytes), None);
        assert_eq!(decode(&[]), None);
    }
}
