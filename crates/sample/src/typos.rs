//! How carefully a writer types.

use crate::chance::Chance;

/// A writer's care for spelling.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Care {
    /// Mistakes per word.
    rate: f64,
    ascii_umlauts: bool,
    lower_case: bool,
    no_marks: bool,
    no_articles: bool,
}

impl Care {
    /// Most write cleanly, some slip, a few hardly look.
    pub fn draw(chance: &mut Chance) -> Self {
        Self {
            rate: [0.0, 0.012, 0.05][chance.weighted(&[0.6, 0.28, 0.12])],
            ascii_umlauts: chance.odds(0.07),
            lower_case: chance.odds(0.07),
            no_marks: chance.odds(0.04),
            no_articles: chance.odds(0.04),
        }
    }

    /// The text as this writer would have typed it. Words with digits stay as they are.
    pub fn type_out(self, text: &str, chance: &mut Chance) -> String {
        let mut words = Vec::new();
        for word in text.split(' ') {
            if self.no_articles && ARTICLES.contains(&word) {
                continue;
            }
            let is_number = word.chars().any(|c| c.is_ascii_digit());
            let mut typed = word.to_owned();
            if self.lower_case && !is_number {
                typed = typed.to_lowercase();
            }
            if self.no_marks {
                typed.retain(|c| is_number || !matches!(c, ',' | '.' | '!'));
            }
            if self.ascii_umlauts {
                typed = without_umlauts(&typed);
            }
            if !is_number && typed.chars().count() > 3 && chance.odds(self.rate) {
                typed = slip(&typed, chance);
            }
            words.push(typed);
        }
        words.join(" ")
    }
}

const ARTICLES: [&str; 12] = [
    "der", "die", "das", "den", "dem", "ein", "eine", "einen", "einer", "the", "a", "an",
];

fn without_umlauts(word: &str) -> String {
    let mut out = String::with_capacity(word.len() + 2);
    for c in word.chars() {
        match c {
            'ä' => out.push_str("ae"),
            'ö' => out.push_str("oe"),
            'ü' => out.push_str("ue"),
            'Ä' => out.push_str("Ae"),
            'Ö' => out.push_str("Oe"),
            'Ü' => out.push_str("Ue"),
            'ß' => out.push_str("ss"),
            _ => out.push(c),
        }
    }
    out
}

/// One mistake: letters swapped, lost, doubled or hit on the key beside.
fn slip(word: &str, chance: &mut Chance) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    let at = 1 + chance.below(letters.len() - 2);
    match chance.below(4) {
        0 => letters.swap(at, at + 1),
        1 => drop(letters.remove(at)),
        2 => letters.insert(at, letters[at]),
        _ => letters[at] = neighbour(letters[at], chance),
    }
    letters.into_iter().collect()
}

/// A key beside this one on a German keyboard.
fn neighbour(letter: char, chance: &mut Chance) -> char {
    const ROWS: [&str; 3] = ["qwertzuiopü", "asdfghjklöä", "yxcvbnm"];
    for row in ROWS {
        let keys: Vec<char> = row.chars().collect();
        if let Some(at) = keys.iter().position(|&key| key == letter) {
            let beside = if chance.odds(0.5) {
                at + 1
            } else {
                at.wrapping_sub(1)
            };
            return keys.get(beside).copied().unwrap_or(keys[at.saturating_sub(1)]);
        }
    }
    letter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_numbers_whatever_the_haste() {
        let care = Care {
            rate: 1.0,
            ascii_umlauts: true,
            lower_case: true,
            no_marks: true,
            no_articles: true,
        };
        let typed = care.type_out("Bitte die IBAN DE12345 für 1.000,00 ändern.", &mut Chance::new(1));
        assert!(
            typed.contains("DE12345") && typed.contains("1.000,00") && !typed.contains('ü'),
            "{typed}"
        );
    }

    #[test]
    fn a_careful_writer_makes_no_mistake() {
        let care = Care {
            rate: 0.0,
            ascii_umlauts: false,
            lower_case: false,
            no_marks: false,
            no_articles: false,
        };
        assert_eq!(
            care.type_out("Über die Größe.", &mut Chance::new(1)),
            "Über die Größe."
        );
    }
}
