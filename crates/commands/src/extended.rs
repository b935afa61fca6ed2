//! Numbers with a significand of 64 bits, as INCRBYFLOAT adds them.
//!
//! Redis computes with the `long double` of x86: 0.1 + 0.2 is `0.3` there, and 2^63 + 1 is exact.
//! These are the same numbers in software, so the same sums come out on every machine: text is read
//! to the nearest one, sums are rounded to the nearest even one, and shown with at most 17 digits
//! behind the point. Infinity is told apart when reading; NaN is no number here.

mod big;

use std::cmp::Ordering;

use big::Big;

/// Longer texts are no numbers, as in Redis.
const TEXT_LEN_MAX: usize = 5 * 1024;
/// Digits behind the point.
const FRACTION_DIGITS: u32 = 17;
/// The powers of two of the first bit that an x86 number can have without losing precision.
const TOP_BIT_MAX: i32 = 16_383;
const TOP_BIT_MIN: i32 = -16_382;
/// Powers of ten that are certainly beyond those of two.
const DECIMAL_EXPONENT_MAX: i64 = 5_000;

/// `significand * 2^exponent`, negated if `negative`. The significand's top bit is set, or it is
/// zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extended {
    negative: bool,
    significand: u64,
    exponent: i32,
}

/// What a text stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Parsed {
    /// A number.
    Finite(Extended),
    /// Infinity, of either sign.
    Infinite,
}

impl Extended {
    pub(crate) const ZERO: Extended = Extended { negative: false, significand: 0, exponent: 0 };

    /// Reads a decimal or (after `0x`) hexadecimal number, with a sign, a fraction and an exponent
    /// if it likes. None: it is none, or its magnitude is out of range.
    pub(crate) fn parse(text: &[u8]) -> Option<Parsed> {
        if text.len() >= TEXT_LEN_MAX {
            return None;
        }
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        if text.eq_ignore_ascii_case(b"inf") || text.eq_ignore_ascii_case(b"infinity") {
            return Some(Parsed::Infinite);
        }
        let magnitude = match text {
            [b'0', b'x' | b'X', hex @ ..] => parse_hex(hex)?,
            decimal => parse_decimal(decimal)?,
        };
        Some(Parsed::Finite(Extended { negative, ..magnitude }))
    }

    /// The sum. None: it is out of range.
    pub(crate) fn plus(self, other: Extended) -> Option<Extended> {
        if self.significand == 0 || other.significand == 0 {
            return Some(if self.significand == 0 { other } else { self });
        }
        let order = (self.exponent, self.significand).cmp(&(other.exponent, other.significand));
        let (large, small) = if order == Ordering::Less { (other, self) } else { (self, other) };
        // 62 bits below the significand are enough to round right; what is further below only
        // counts as "not exactly a half".
        const GUARD: u32 = 62;
        let high = u128::from(large.significand) << GUARD;
        let low = shift_right_sticky(
            u128::from(small.significand) << GUARD,
            large.exponent.abs_diff(small.exponent),
        );
        let sum = if large.negative == small.negative { high + low } else { high - low };
        if sum == 0 {
            return Some(Extended::ZERO);
        }
        let rounded = rounded(sum, large.exponent - GUARD as i32);
        (rounded.top_bit() <= TOP_BIT_MAX)
            .then_some(Extended { negative: large.negative, ..rounded })
    }

    fn top_bit(self) -> i32 {
        self.exponent + 63
    }

    /// Decimal digits without an exponent, rounded to 17 behind the point, without trailing zeros.
    pub(crate) fn to_text(self) -> String {
        let magnitude = if self.exponent < 0 {
            self.fraction_text()
        } else {
            let mut whole = Big::from(self.significand);
            whole.shift_left(self.exponent.unsigned_abs());
            whole.into_decimal()
        };
        if self.negative && magnitude != "0" { format!("-{magnitude}") } else { magnitude }
    }

    /// The magnitude of a number that may have a fraction: below 2^64.
    fn fraction_text(self) -> String {
        let one = 10_u128.pow(FRACTION_DIGITS);
        let units = u128::from(self.significand) * one;
        let units = shift_right_half_even(units, self.exponent.unsigned_abs());
        let text = format!("{}.{:017}", units / one, units % one);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// Shifts right; if anything but zeros falls out, the last bit is set.
fn shift_right_sticky(bits: u128, by: u32) -> u128 {
    if by >= 128 {
        return u128::from(bits != 0);
    }
    let kept = bits >> by;
    kept | u128::from(kept << by != bits)
}

/// Divides by a power of two, rounding to the nearest, a half to the even neighbour.
fn shift_right_half_even(bits: u128, by: u32) -> u128 {
    match by {
        0 => bits,
        // The callers leave the top bits free, so this is less than a half.
        128.. => 0,
        _ => {
            let kept = bits >> by;
            let rest = bits - (kept << by);
            match rest.cmp(&(1 << (by - 1))) {
                Ordering::Less => kept,
                Ordering::Equal => kept + (kept & 1),
                Ordering::Greater => kept + 1,
            }
        }
    }
}

/// `bits * 2^exponent`, rounded to 64 significant bits. `bits` is not zero.
fn rounded(bits: u128, exponent: i32) -> Extended {
    let unused = bits.leading_zeros();
    if unused >= 64 {
        let up = unused - 64;
        return Extended {
            negative: false,
            significand: (bits as u64) << up,
            exponent: exponent - up as i32,
        };
    }
    let down = 64 - unused;
    let exponent = exponent + down as i32;
    match u64::try_from(shift_right_half_even(bits, down)) {
        Ok(significand) => Extended { negative: false, significand, exponent },
        // Rounded up to 2^64.
        Err(_) => Extended { negative: false, significand: 1 << 63, exponent: exponent + 1 },
    }
}

/// Digits, perhaps with a point among them, and an exponent.
struct Scientific {
    digits: Big,
    /// How many digits count, the leading zeros not.
    digits_len: i64,
    /// Digits behind the point.
    fraction_len: i64,
    exponent: i64,
}

impl Scientific {
    fn parse(text: &[u8], radix: u32, exponent_mark: u8) -> Option<Scientific> {
        let mark = text.iter().position(|byte| byte.eq_ignore_ascii_case(&exponent_mark));
        let (mantissa, exponent) = match mark {
            Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let mut parsed =
            Scientific { digits: Big::from(0), digits_len: 0, fraction_len: 0, exponent };
        let (mut any, mut point) = (false, false);
        for &byte in mantissa {
            if byte == b'.' && !point {
                point = true;
                continue;
            }
            let digit = char::from(byte).to_digit(radix)?;
            any = true;
            parsed.digits.multiply_add(u64::from(radix), u64::from(digit));
            parsed.digits_len += i64::from(parsed.digits_len > 0 || digit > 0);
            parsed.fraction_len += i64::from(point);
        }
        any.then_some(parsed)
    }
}

fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude =
        digits.iter().fold(0_i64, |sum, digit| (sum * 10 + i64::from(digit - b'0')).min(1_000_000));
    Some(if negative { -magnitude } else { magnitude })
}

fn parse_decimal(text: &[u8]) -> Option<Extended> {
    let parsed = Scientific::parse(text, 10, b'e')?;
    if parsed.digits.is_zero() {
        return Some(Extended::ZERO);
    }
    let power = parsed.exponent - parsed.fraction_len;
    if (parsed.digits_len + power).abs() > DECIMAL_EXPONENT_MAX {
        return None;
    }
    let (mut numerator, mut denominator) = (parsed.digits, Big::from(1));
    if power < 0 {
        denominator.multiply_power_of_ten(power.unsigned_abs());
    } else {
        numerator.multiply_power_of_ten(power.unsigned_abs());
    }
    in_range(nearest(numerator, denominator))
}

fn parse_hex(text: &[u8]) -> Option<Extended> {
    let parsed = Scientific::parse(text, 16, b'p')?;
    if parsed.digits.is_zero() {
        return Some(Extended::ZERO);
    }
    let mut number = nearest(parsed.digits, Big::from(1));
    number.exponent += i32::try_from(parsed.exponent - 4 * parsed.fraction_len).ok()?;
    in_range(number)
}

fn in_range(number: Extended) -> Option<Extended> {
    (TOP_BIT_MIN..=TOP_BIT_MAX).contains(&number.top_bit()).then_some(number)
}

/// The number nearest to a ratio of two positive integers, by long division.
fn nearest(mut numerator: Big, mut denominator: Big) -> Extended {
    let mut top_bit = numerator.bit_len() as i32 - denominator.bit_len() as i32;
    if top_bit > 0 {
        denominator.shift_left(top_bit.unsigned_abs());
    } else {
        numerator.shift_left(top_bit.unsigned_abs());
    }
    if numerator < denominator {
        numerator.shift_left(1);
        top_bit -= 1;
    }
    let mut significand = 0_u64;
    for _ in 0..64 {
        significand <<= 1;
        if numerator >= denominator {
            numerator.subtract(&denominator);
            significand |= 1;
        }
        numerator.shift_left(1);
    }
    // The remainder, doubled by the last step, against the denominator: is it half a unit?
    let up = match numerator.cmp(&denominator) {
        Ordering::Less => 0,
        Ordering::Equal => significand & 1,
        Ordering::Greater => 1,
    };
    rounded(u128::from(significand) + u128::from(up), top_bit - 63)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> Option<String> {
        let number = |text: &str| match Extended::parse(text.as_bytes()) {
            Some(Parsed::Finite(number)) => Some(number),
            _ => None,
        };
        Some(number(a)?.plus(number(b)?)?.to_text())
    }

    #[test]
    fn sums_are_those_of_the_x87_unit() {
        for (a, b, expected) in [
            ("10.5", "0.1", "10.6"),
            ("5.0e3", "200", "5200"),
            ("3", "1.1", "4.1"),
            ("0.1", "0.2", "0.3"),
            ("1e17", "1", "100000000000000001"),
            ("1e18", "1", "1000000000000000001"),
            ("123456789.123456789", "1", "123456790.12345678899873747"),
            ("1e-10", "1e-10", "0.0000000002"),
            ("-1.5", "1.5", "0"),
            ("0", "-0.0", "0"),
            ("1e-17", "0", "0.00000000000000001"),
            ("0.00000000000000000001", "0", "0"),
            ("-0.00000000000000000001", "0", "0"),
            ("4.9e-324", "0", "0"),
            ("1.1", "2.2", "3.3"),
            ("17179869184", "0.1", "17179869184.09999999962747097"),
            ("99999999999.99", "0.01", "100000000000"),
            ("1000000000000000000000", "0.5", "1000000000000000000000"),
            ("9223372036854775807", "1", "9223372036854775808"),
            ("3.14159265358979323846", "0", "3.14159265358979324"),
            ("2.718281828459045235", "1", "3.71828182845904523"),
            ("1", "1e-16", "1.0000000000000001"),
            ("1", "1e-19", "1"),
            ("100", "0.000000000000000049", "100.00000000000000005"),
            ("1e-18", "4e-18", "0"),
            ("1e-18", "5e-18", "0.00000000000000001"),
            ("1.", ".5", "1.5"),
            ("0x10", "0x1p3", "24"),
            ("+1", "-0x.8", "0.5"),
            ("18446744073709551615", "1", "18446744073709551616"),
            ("18446744073709551616", "-18446744073709551615", "1"),
        ] {
            assert_eq!(sum(a, b).as_deref(), Some(expected), "{a} + {b}");
        }
        let huge = sum("1e4932", "0").expect("the largest power of ten in range");
        assert_eq!((&huge[..24], huge.len()), ("100000000000000000000601", 4933));
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        for text in [
            "",
            " 1",
            "1 ",
            "1d",
            "1e",
            "1e+",
            ".",
            "e1",
            "--1",
            "0x",
            "0xg",
            "1e5000",
            "1e-5000",
            "nan",
            "1.2.3",
            "0x1p99999999999",
        ] {
            assert!(Extended::parse(text.as_bytes()).is_none(), "{text:?}");
        }
        for text in ["inf", "-Infinity", "+INF"] {
            assert!(matches!(Extended::parse(text.as_bytes()), Some(Parsed::Infinite)), "{text}");
        }
        assert_eq!(sum("1e4932", "-1e4932").as_deref(), Some("0"));
        assert_eq!(sum("1.1e4932", "1.1e4932"), None);
    }
}
