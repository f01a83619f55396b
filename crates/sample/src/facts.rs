//! What one mail is about: the client, the numbers, the dates its phrases are filled with.

use crate::chance::Chance;
use crate::checked;
use crate::person::{PEOPLE, Person};
use crate::phrase::Language;
use jiff::civil::Date;

/// The facts of a thread; the same client keeps the same numbers.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    language: Language,
    today: Date,
    client: Person,
    account: String,
    policy: String,
    claim: String,
    loan: String,
    isin: String,
    iban: String,
    fund: String,
    share: String,
    insurer: String,
    bank: String,
    employer: String,
    street: String,
    town: String,
}

impl Facts {
    /// Facts about `client`, the numbers drawn from `chance`.
    pub fn new(language: Language, today: Date, client: Person, chance: &mut Chance) -> Self {
        let account = match chance.below(3) {
            0 => chance.digits(9),
            1 => format!("{}-{}", chance.digits(7), chance.digits(2)),
            _ => format!("{} {} {}", chance.digits(3), chance.digits(3), chance.digits(3)),
        };
        let policy = match chance.below(4) {
            0 => format!("LV-{}", chance.digits(8)),
            1 => format!("{}.{}.{}", chance.digits(2), chance.digits(6), chance.digits(2)),
            2 => format!("VS{}", chance.digits(9)),
            _ => chance.digits(10),
        };
        Self {
            language,
            today,
            account,
            policy,
            claim: format!("{}-{}", chance.between(24, 26), chance.digits(6)),
            loan: format!("{}/{}", chance.digits(6), chance.digits(3)),
            isin: checked::isin(chance),
            iban: checked::iban(chance),
            fund: chance.pick(&PEOPLE.funds).clone(),
            share: chance.pick(&PEOPLE.shares).clone(),
            insurer: chance.pick(&PEOPLE.insurers).clone(),
            bank: chance.pick(&PEOPLE.banks).clone(),
            employer: chance.pick(&PEOPLE.employers).clone(),
            street: format!("{} {}", chance.pick(&PEOPLE.streets), chance.between(1, 140)),
            town: chance.pick(&PEOPLE.towns).clone(),
            client,
        }
    }

    /// The same facts on another day.
    pub fn on(&self, today: Date) -> Self {
        Self {
            today,
            ..self.clone()
        }
    }

    /// The client these facts belong to.
    pub fn client(&self) -> &Person {
        &self.client
    }

    /// Street and town as a signature shows them.
    pub fn home(&self) -> (&str, &str) {
        (&self.street, &self.town)
    }

    /// The value of a slot, `None` for a name no slot has.
    pub fn slot(&self, name: &str, chance: &mut Chance) -> Option<String> {
        let title = match (self.language, self.client.woman) {
            (Language::German, true) => "Frau",
            (Language::German, false) => "Herrn",
            (Language::English, true) => "Mrs",
            (Language::English, false) => "Mr",
        };
        Some(match name {
            "client" => self.client.name(),
            "kunde" => format!("{title} {}", self.client.last),
            "surname" => self.client.last.clone(),
            "oldname" => chance.pick(&PEOPLE.surnames).clone(),
            "relative" => self.relative(chance),
            "account" => self.account.clone(),
            "policy" => self.policy.clone(),
            "claim" => self.claim.clone(),
            "loan" => self.loan.clone(),
            "isin" => self.isin.clone(),
            "iban" if chance.odds(0.5) => spaced(&self.iban),
            "iban" => self.iban.clone(),
            "fund" => self.fund.clone(),
            "otherfund" => chance.pick(&PEOPLE.funds).clone(),
            "share" => self.share.clone(),
            "insurer" => self.insurer.clone(),
            "bank" => self.bank.clone(),
            "employer" => self.employer.clone(),
            "street" => self.street.clone(),
            "town" => self.town.clone(),
            "city" => self
                .town
                .split_once(' ')
                .map_or(&*self.town, |(_, city)| city)
                .to_owned(),
            "broker" => chance.pick(&crate::person::BROKERS).firm.clone(),
            "amount" => money(self.language, chance.between(3, 900) * 100, chance),
            "big" => money(self.language, chance.between(40, 600) * 1000, chance),
            "rate" => money(
                self.language,
                *chance.pick(&[25, 50, 75, 100, 150, 200, 250, 300, 500]),
                chance,
            ),
            "small" => money(self.language, chance.between(4, 190), chance),
            "percent" => {
                let percent = format!("{}.{}", chance.between(1, 5), chance.between(1, 9));
                if self.language == Language::German {
                    percent.replace('.', ",")
                } else {
                    percent
                }
            }
            "pieces" => chance.between(2, 480).to_string(),
            "date" => self.date(-(chance.between(2, 40) as i64), chance),
            "due" => self.date(chance.between(3, 60) as i64, chance),
            "month" => self.month(chance),
            "year" => (self.today.year() - chance.between(1, 2) as i16).to_string(),
            "nextyear" => (self.today.year() + 1).to_string(),
            "time" => format!("{}:{:02}", chance.between(8, 18), chance.between(0, 11) * 5),
            "days" => chance.between(2, 9).to_string(),
            "weeks" => chance.between(2, 7).to_string(),
            "ticket" => format!("{}{}", chance.pick(&["#", "T-", "VG-", ""]), chance.digits(6)),
            "phone" => format!("01{} {}", chance.between(51, 79), chance.digits(7)),
            _ => return None,
        })
    }

    fn relative(&self, chance: &mut Chance) -> String {
        let names = if chance.odds(0.5) {
            &PEOPLE.women
        } else {
            &PEOPLE.men
        };
        format!("{} {}", chance.pick(names), self.client.last)
    }

    fn date(&self, days: i64, chance: &mut Chance) -> String {
        let date = self.today.saturating_add(jiff::Span::new().days(days));
        let (day, month, year) = (date.day(), date.month(), date.year());
        let name = month_name(self.language, month);
        match (self.language, chance.below(4)) {
            (Language::German, 0) => format!("{day:02}.{month:02}.{year}"),
            (Language::German, 1) => format!("{day}.{month}."),
            (Language::German, 2) => format!("{day}. {name}"),
            (Language::German, _) => format!("{day:02}.{month:02}.{:02}", year % 100),
            (Language::English, 0) => format!("{day} {name} {year}"),
            (Language::English, 1) => format!("{day:02}/{month:02}/{year}"),
            (Language::English, _) => format!("{name} {day}"),
        }
    }

    fn month(&self, chance: &mut Chance) -> String {
        let date = self
            .today
            .saturating_add(jiff::Span::new().months(chance.between(0, 3) as i64 - 1));
        month_name(self.language, date.month()).to_owned()
    }

    #[cfg(test)]
    pub fn for_tests() -> Self {
        let mut chance = Chance::new(5);
        let client = Person::client(&mut chance);
        Self::new(
            Language::German,
            jiff::civil::date(2026, 3, 5),
            client,
            &mut chance,
        )
    }
}

/// A month's name, 1 to 12.
pub(crate) fn month_name(language: Language, month: i8) -> &'static str {
    const GERMAN: [&str; 12] = [
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    ];
    const ENGLISH: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let names = if language == Language::German {
        GERMAN
    } else {
        ENGLISH
    };
    names[(month - 1) as usize]
}

/// An amount of euros the way people write it.
fn money(language: Language, euros: u64, chance: &mut Chance) -> String {
    let mark = if language == Language::German { '.' } else { ',' };
    let whole = grouped(euros, mark);
    let cents = if euros < 5000 && chance.odds(0.3) {
        chance.between(1, 99)
    } else {
        0
    };
    match (language, chance.below(5)) {
        (Language::German, 0) => format!("{whole},{cents:02} €"),
        (Language::German, 1) => format!("{euros} Euro"),
        (Language::German, 2) => format!("EUR {whole},{cents:02}"),
        (Language::German, 3) => format!("{whole}€"),
        (Language::German, _) => format!("{whole} €"),
        (Language::English, 0) => format!("€{whole}.{cents:02}"),
        (Language::English, 1) => format!("EUR {whole}"),
        (Language::English, 2) => format!("{euros} euros"),
        (Language::English, _) => format!("€{whole}"),
    }
}

fn grouped(number: u64, mark: char) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(mark);
        }
        out.push(digit);
    }
    out
}

fn spaced(iban: &str) -> String {
    let mut out = String::new();
    for (at, c) in iban.chars().enumerate() {
        if at > 0 && at % 4 == 0 {
            out.push(' ');
        }
        out.push(c);
    }
    out
}
