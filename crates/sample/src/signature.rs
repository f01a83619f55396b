//! What stands below a name: an office's Impressum, a phone's advertisement, a street.

use crate::chance::Chance;
use crate::manner::manner;
use crate::person::{BROKERS, Broker, PEOPLE};
use crate::phrase::Language;
use crate::plan::Plan;
use crate::program::Program;

/// The name of the company that all mails are written to.
pub(crate) const COMPANY: &str = "Depothafen Service GmbH";

/// The lines below the author's name; empty for many.
pub(crate) fn signature(plan: &Plan, program: Program) -> Vec<String> {
    let mut chance = Chance::for_item(plan.seed, 3);
    let language = plan.voice.language;
    if program == Program::Phone {
        return if chance.odds(0.7) {
            vec![chance.pick_early(&manner(language).mobile).clone()]
        } else {
            Vec::new()
        };
    }
    match plan.broker() {
        Some(broker) if plan.by_broker => office(plan, broker, &mut chance),
        _ => private(plan, &mut chance),
    }
}

fn private(plan: &Plan, chance: &mut Chance) -> Vec<String> {
    let (street, town) = plan.facts.home();
    match chance.weighted(&[0.62, 0.16, 0.1, 0.12]) {
        0 => Vec::new(),
        1 => vec![street.to_owned(), town.to_owned()],
        2 => vec![format!("Tel. 0{} {}", chance.digits(4), chance.digits(6))],
        _ => vec![
            plan.author.name(),
            street.to_owned(),
            town.to_owned(),
            format!("mobil 0{}", chance.digits(10)),
        ],
    }
}

/// The office's own details never change; what varies is how much of them a mail shows.
fn office(plan: &Plan, broker: &Broker, chance: &mut Chance) -> Vec<String> {
    let language = plan.voice.language;
    if chance.odds(0.15) {
        return vec![broker.firm.clone()];
    }
    let number = BROKERS
        .iter()
        .position(|other| other.key == broker.key)
        .unwrap_or(0);
    let mut fixed = Chance::for_item(0x004f_6666_6963_6521, number as u64);
    let (role, street) = (
        fixed.pick(&manner(language).roles).clone(),
        fixed.pick(&PEOPLE.streets).clone(),
    );
    let house = fixed.between(1, 90);
    let area = fixed.digits(4);
    let mut lines = vec![
        role,
        String::new(),
        broker.firm.clone(),
        format!("{street} {house} | {} {}", fixed.digits(5), broker.town),
        format!(
            "Tel. 0{area} {}-{} | Fax 0{area} {}-99",
            fixed.digits(5),
            chance.between(10, 40),
            fixed.digits(5)
        ),
        format!("{} | www.{}.example", plan.author.address, broker.key),
    ];
    if chance.odds(0.75) {
        let head = broker
            .staff
            .first()
            .map(|person| person.name())
            .unwrap_or_default();
        lines.push(String::new());
        lines.push(format!(
            "Geschäftsführung: {head} | Amtsgericht {} HRB {}",
            broker.town,
            fixed.digits(5)
        ));
        lines.push(format!(
            "Vermittlerregister D-{}-{}-{}",
            fixed.digits(4),
            fixed.digits(5),
            fixed.digits(2)
        ));
        lines.push(format!("USt-IdNr. DE{}", fixed.digits(9)));
    }
    if chance.odds(0.6) {
        lines.push(String::new());
        lines.push(fixed.pick(&manner(language).disclaimers).clone());
    }
    lines
}

/// The company's own signature, seen in quoted answers.
pub(crate) fn company(language: Language, agent: &str) -> Vec<String> {
    let greeting = if language == Language::German {
        "Freundliche Grüße"
    } else {
        "Kind regards"
    };
    [
        greeting,
        agent,
        "Kundenservice",
        "",
        COMPANY,
        "Am Speicherkai 4 | 28217 Bremen",
        "Depot und Wertpapiere · Versicherung · Finanzierung · Steuer · Onlinezugang",
        "Geschäftsführer: Dr. Henrik Maaßen, Ulrike Thoms | AG Bremen HRB 90417",
    ]
    .map(str::to_owned)
    .into()
}
