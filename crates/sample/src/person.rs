//! Who writes: clients, and the brokers' staff.

use crate::chance::Chance;
use serde::{Deserialize, Deserializer};
use std::sync::LazyLock;

/// Reads a block of text as its non-empty lines.
pub(crate) fn lines<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect())
}

/// Names, places and products that mails are filled with; all invented.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct People {
    #[serde(deserialize_with = "lines")]
    pub women: Vec<String>,
    #[serde(deserialize_with = "lines")]
    pub men: Vec<String>,
    #[serde(deserialize_with = "lines")]
    pub surnames: Vec<String>,
    #[serde(deserialize_with = "lines")]
    pub streets: Vec<String>,
    #[serde(deserialize_with = "lines")]
    pub towns: Vec<String>,
    #[serde(deserialize_with = "lines")]
    pub brokers: Vec<String>,
    #[serde(deserialize_with = "lines")]
    pub mailers: Vec<String>,
    #[serde(deserialize_with = "lines")]
    pub funds: Vec<String>,
    #[serde(deserialize_with = "lines")]
    pub shares: Vec<String>,
    #[serde(deserialize_with = "lines")]
    pub insurers: Vec<String>,
    #[serde(deserialize_with = "lines")]
    pub banks: Vec<String>,
    #[serde(deserialize_with = "lines")]
    pub employers: Vec<String>,
}

/// The people of `data/people.toml`.
pub(crate) static PEOPLE: LazyLock<People> = LazyLock::new(|| {
    toml::from_str(include_str!("../data/people.toml")).expect("people.toml is well formed")
});

/// A name and an address to write from.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub first: String,
    pub last: String,
    pub woman: bool,
    pub address: String,
}

impl Person {
    /// A private client.
    pub fn client(chance: &mut Chance) -> Self {
        let mut person = Self::named(chance);
        let (first, last) = (ascii(&person.first), ascii(&person.last));
        let host = chance.pick_early(&PEOPLE.mailers).clone();
        let initial = &first[..1];
        let local = match chance.below(6) {
            0 => format!("{first}.{last}"),
            1 => format!("{initial}.{last}{}", chance.between(51, 99)),
            2 => format!("{last}.{first}"),
            3 => format!("{first}{last}"),
            4 => format!("fam.{last}"),
            _ => format!("{last}-{}", chance.between(1, 99)),
        };
        person.address = format!("{local}@{host}.example");
        person
    }

    fn named(chance: &mut Chance) -> Self {
        let woman = chance.odds(0.48);
        let first = chance
            .pick(if woman { &PEOPLE.women } else { &PEOPLE.men })
            .clone();
        Self {
            first,
            last: chance.pick(&PEOPLE.surnames).clone(),
            woman,
            address: String::new(),
        }
    }

    /// First and last name.
    pub fn name(&self) -> String {
        format!("{} {}", self.first, self.last)
    }
}

/// A broker's office.
#[derive(Debug, Clone)]
pub(crate) struct Broker {
    pub firm: String,
    /// Short name: the value of the dataset's column `broker` and the mail domain.
    pub key: String,
    pub town: String,
    /// The business unit its clients write about most.
    pub unit: String,
    pub staff: Vec<Person>,
}

/// All brokers, the largest first.
pub(crate) static BROKERS: LazyLock<Vec<Broker>> = LazyLock::new(|| {
    let rows = PEOPLE.brokers.iter().enumerate();
    rows.map(|(number, row)| {
        let mut chance = Chance::for_item(0x0042_726f_6b65_7273, number as u64);
        let fields: Vec<&str> = row.split('|').collect();
        let [firm, key, town, unit] = fields[..] else {
            panic!("broker row `{row}` needs four fields")
        };
        let size = chance.between(1, 4);
        let staff = (0..size).map(|_| {
            let person = Person::named(&mut chance);
            let address = format!("{}.{}@{key}.example", ascii(&person.first), ascii(&person.last));
            Person { address, ..person }
        });
        let staff = staff.collect();
        Broker {
            firm: firm.into(),
            key: key.into(),
            town: town.into(),
            unit: unit.into(),
            staff,
        }
    })
    .collect()
});

/// A name as it stands in an address: small ASCII letters.
fn ascii(name: &str) -> String {
    let mut out = String::new();
    for c in name.to_lowercase().chars() {
        match c {
            'ä' => out.push_str("ae"),
            'ö' => out.push_str("oe"),
            'ü' => out.push_str("ue"),
            'ß' => out.push_str("ss"),
            'ı' => out.push('i'),
            'a'..='z' | '-' => out.push(c),
            _ => {}
        }
    }
    out
}
