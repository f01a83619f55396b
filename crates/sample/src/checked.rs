//! Numbers with a check digit: right by form, belonging to nobody.

use crate::chance::Chance;

/// An ISIN with a valid check digit. The national number starts with X or Z, which issuers rarely use.
///
/// Source: ISO 6166, the Luhn sum over letters read as 10..=35.
pub(crate) fn isin(chance: &mut Chance) -> String {
    let country = *chance.pick(&["DE000", "LU0", "IE00", "LU1", "AT000"]);
    let mut body = format!("{country}{}", chance.pick(&["X", "Z"]));
    while body.len() < 11 {
        if chance.odds(0.25) {
            body.push(char::from(b'A' + chance.below(26) as u8));
        } else {
            body.push(char::from(b'0' + chance.below(10) as u8));
        }
    }
    let check = (10 - luhn(&(body.clone() + "0"))) % 10;
    format!("{body}{check}")
}

/// The Luhn sum of an ISIN, 0 for a valid one.
pub(crate) fn luhn(isin: &str) -> u32 {
    let digits: String = isin
        .chars()
        .filter_map(|c| c.to_digit(36))
        .map(|value| value.to_string())
        .collect();
    digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte - b'0') * (1 + place as u32 % 2);
            digit / 10 + digit % 10
        })
        .sum::<u32>()
        % 10
}

/// A German IBAN with valid check digits. Its bank code starts with 9, an area no bank has.
///
/// Source: ISO 13616, modulo 97.
pub(crate) fn iban(chance: &mut Chance) -> String {
    let account = format!("9{}{}", chance.digits(7), chance.digits(10));
    let check = 98 - modulo_97(&format!("{account}DE00"));
    format!("DE{check:02}{account}")
}

/// The number that ISO 7064 reads from digits and letters, modulo 97.
pub(crate) fn modulo_97(text: &str) -> u32 {
    text.chars()
        .filter_map(|c| c.to_digit(36))
        .fold(0, |rest, value| {
            let shifted = if value > 9 { rest * 100 } else { rest * 10 };
            (shifted + value) % 97
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_published_examples() {
        assert_eq!(luhn("US0378331005"), 0);
        assert_eq!(luhn("DE0007164600"), 0);
        assert_ne!(luhn("DE0007164601"), 0);
        assert_eq!(modulo_97("370400440532013000DE89"), 1);
    }

    #[test]
    fn every_drawn_number_is_valid() {
        let mut chance = Chance::new(3);
        for _ in 0..500 {
            let (isin, iban) = (isin(&mut chance), iban(&mut chance));
            assert_eq!((isin.len(), luhn(&isin)), (12, 0), "{isin}");
            assert_eq!(
                (iban.len(), modulo_97(&format!("{}{}", &iban[4..], &iban[..4]))),
                (22, 1),
                "{iban}"
            );
        }
    }
}
