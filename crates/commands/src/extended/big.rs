//! Natural numbers of any size: just enough to read and show numbers exactly.

use std::cmp::Ordering;

/// A power of ten that fits 64 bits, and its exponent.
const TEN_TO_19: u64 = 10_000_000_000_000_000_000;

/// Limbs of 64 bits, the lowest first. The last one is not zero.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Big(Vec<u64>);

impl From<u64> for Big {
    fn from(number: u64) -> Big {
        Big(if number == 0 { Vec::new() } else { vec![number] })
    }
}

impl Big {
    pub(super) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bits it takes; 0 for zero.
    pub(super) fn bit_len(&self) -> usize {
        self.0.last().map_or(0, |last| self.0.len() * 64 - last.leading_zeros() as usize)
    }

    pub(super) fn multiply_add(&mut self, factor: u64, addend: u64) {
        let mut carry = addend;
        for limb in &mut self.0 {
            let product = u128::from(*limb) * u128::from(factor) + u128::from(carry);
            *limb = product as u64;
            carry = (product >> 64) as u64;
        }
        if carry > 0 {
            self.0.push(carry);
        }
    }

    pub(super) fn multiply_power_of_ten(&mut self, mut exponent: u64) {
        while exponent >= 19 {
            self.multiply_add(TEN_TO_19, 0);
            exponent -= 19;
        }
        self.multiply_add(10_u64.pow(exponent as u32), 0);
    }

    pub(super) fn shift_left(&mut self, by: u32) {
        if self.is_zero() {
            return;
        }
        let bits = by % 64;
        if bits > 0 {
            let mut carry = 0;
            for limb in &mut self.0 {
                let shifted = *limb << bits | carry;
                carry = *limb >> (64 - bits);
                *limb = shifted;
            }
            if carry > 0 {
                self.0.push(carry);
            }
        }
        let limbs = (by / 64) as usize;
        self.0.splice(..0, std::iter::repeat_n(0, limbs));
    }

    /// Subtracts a number that is not larger.
    pub(super) fn subtract(&mut self, other: &Big) {
        let mut borrow = false;
        for (at, limb) in self.0.iter_mut().enumerate() {
            let subtrahend = other.0.get(at).copied().unwrap_or(0);
            let (difference, first) = limb.overflowing_sub(subtrahend);
            let (difference, second) = difference.overflowing_sub(u64::from(borrow));
            *limb = difference;
            borrow = first || second;
        }
        assert!(!borrow, "only a smaller number is subtracted");
        self.trim();
    }

    /// Its decimal digits.
    pub(super) fn into_decimal(mut self) -> String {
        let mut groups = Vec::new();
        while !self.is_zero() {
            groups.push(self.divide(TEN_TO_19));
        }
        let Some(first) = groups.pop() else { return "0".to_owned() };
        let mut text = first.to_string();
        for group in groups.iter().rev() {
            text.push_str(&format!("{group:019}"));
        }
        text
    }

    /// Divides and returns the remainder.
    fn divide(&mut self, divisor: u64) -> u64 {
        let mut remainder = 0_u128;
        for limb in self.0.iter_mut().rev() {
            let dividend = remainder << 64 | u128::from(*limb);
            *limb = (dividend / u128::from(divisor)) as u64;
            remainder = dividend % u128::from(divisor);
        }
        self.trim();
        remainder as u64
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }
}

impl PartialOrd for Big {
    fn partial_cmp(&self, other: &Big) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Big {
    fn cmp(&self, other: &Big) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

#[cfg(test)]
mod tests {
    use super::Big;

    #[test]
    fn powers_of_ten_and_two_are_exact() {
        let mut ten = Big::from(1);
        ten.multiply_power_of_ten(45);
        assert_eq!(ten.clone().into_decimal(), format!("1{}", "0".repeat(45)));
        assert_eq!(ten.bit_len(), 150);
        let mut two = Big::from(1);
        two.shift_left(149);
        assert!(two < ten);
        let mut rest = ten.clone();
        rest.subtract(&two);
        rest.subtract(&Big::from(1));
        assert!(rest < two);
        ten.shift_left(64);
        assert!(ten > two);
    }
}
