//! Floating point numbers as Redis 7.2 and Valkey print them.

use std::io::Write;

/// Most digits that tell one double from its neighbours.
const DIGITS_MAX: usize = 17;

/// Appends the shortest text that reads back as `value`, laid out as Redis does: whole numbers
/// without a point, `inf`, `-inf`, `nan`, `-0`, and an exponent where the digits are far from the
/// point, as in `1e-7` and `1.5e+300`.
pub fn format_double(value: f64, out: &mut Vec<u8>) {
    if value.is_nan() {
        out.extend_from_slice(b"nan");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
    } else if value == 0.0 {
        out.extend_from_slice(if value.is_sign_negative() { b"-0" } else { b"0" });
    } else if let Some(whole) = exact_i64(value) {
        out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    } else {
        format_digits(value, out);
    }
}

/// The integer that `value` is, if it is one of at most half the range of 64 bits: beyond that
/// Redis prints digits and zeros instead of the exact value.
fn exact_i64(value: f64) -> Option<i64> {
    let bound = (i64::MAX / 2) as f64;
    let whole = value as i64;
    ((-bound..=bound).contains(&value) && whole as f64 == value).then_some(whole)
}

/// A finite number with a fraction, or a huge one.
fn format_digits(value: f64, out: &mut Vec<u8>) {
    let (digits, len, exponent) = shortest(value.abs());
    let digits = &digits[..len];
    if value < 0.0 {
        out.push(b'-');
    }
    // The value is the digits, read as a whole number, times ten to the power of `shift`.
    let shift = exponent - (len as i32 - 1);
    if shift >= 0 && exponent < len as i32 + 7 {
        out.extend_from_slice(digits);
        out.resize(out.len() + shift as usize, b'0');
    } else if shift < 0 && (shift > -7 || exponent.abs() < 4) {
        match usize::try_from(exponent + 1) {
            Ok(whole @ 1..) => {
                out.extend_from_slice(&digits[..whole]);
                out.push(b'.');
                out.extend_from_slice(&digits[whole..]);
            }
            _ => {
                out.extend_from_slice(b"0.");
                out.resize(out.len() + (-1 - exponent) as usize, b'0');
                out.extend_from_slice(digits);
            }
        }
    } else {
        out.push(digits[0]);
        if len > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        out.extend_from_slice(itoa::Buffer::new().format(exponent.unsigned_abs()).as_bytes());
    }
}

/// The shortest digits of a positive number, how many they are, and the power of ten of the first.
fn shortest(value: f64) -> ([u8; DIGITS_MAX], usize, i32) {
    // `d.ddde-308`: 17 digits, a point, an exponent of up to 5 bytes.
    let mut text = [0_u8; 32];
    let mut rest = &mut text[..];
    write!(rest, "{value:e}").expect("17 digits and an exponent fit 32 bytes");
    let unused = rest.len();
    let text = &text[..32 - unused];
    let mut digits = [0; DIGITS_MAX];
    let mut len = 0;
    let mut exponent = 0;
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                digits[len] = byte;
                len += 1;
            }
            b'e' => {
                exponent = super::count::strict_i64(&text[at + 1..])
                    .expect("the standard library writes a plain exponent")
                    as i32;
                break;
            }
            _ => {}
        }
    }
    (digits, len, exponent)
}
