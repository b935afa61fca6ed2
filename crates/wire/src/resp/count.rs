//! Numbers in the lines of the protocol, as strict as Redis reads them.

/// A decimal number with nothing around it: no plus, no leading zero, no blank, no `-0`.
pub(super) fn strict_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    // Nineteen digits cannot overflow an u64.
    let mut magnitude = 0_u64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        magnitude = magnitude * 10 + u64::from(digit);
    }
    if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

#[cfg(test)]
mod tests {
    use super::strict_i64;

    #[test]
    fn whole_range_is_read_and_nothing_beyond() {
        for value in [0, 1, -1, 9, 10, 512, i64::MAX, i64::MIN] {
            assert_eq!(strict_i64(value.to_string().as_bytes()), Some(value));
        }
        assert_eq!(strict_i64(b"9223372036854775808"), None);
        assert_eq!(strict_i64(b"-9223372036854775809"), None);
        assert_eq!(strict_i64(b"10000000000000000000"), None);
    }

    #[test]
    fn what_redis_refuses_is_refused() {
        for text in ["", "-", "+5", "05", "-05", "-0", " 5", "5 ", "5a", "0x5", "5.0", "00", "--5"]
        {
            assert_eq!(strict_i64(text.as_bytes()), None, "{text:?}");
        }
    }
}
