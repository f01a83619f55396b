//! Writes what one sender says: the subject and the paragraphs, without signature and history.

use crate::chance::Chance;
use crate::manner::{Manner, manner};
use crate::phrase::{Language, Voice, expand};
use crate::plan::Plan;
use crate::topic::{Phrases, TOPICS};
use crate::typos::Care;

/// A sender's own words.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub subject: String,
    pub salutation: Option<String>,
    pub paragraphs: Vec<String>,
    /// Greeting and name.
    pub farewell: Vec<String>,
    /// Says that something is attached.
    pub attaches: bool,
}

/// What part of a thread a mail is.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// A few words, often from a phone.
    Brief,
    /// The subject says it all.
    Vague,
    Plain,
    Long,
    /// Asks again about the same matter.
    FollowUp,
}

/// Draws and spells out phrases for one writer.
struct Pen<'a> {
    plan: &'a Plan,
    voice: Voice,
    manner: &'static Manner,
    phrases: &'static Phrases,
    chance: Chance,
    /// Phrases already used; nobody says a thing twice.
    used: Vec<&'static str>,
}

/// The letter of a plan; the same plan always gives the same letter.
pub(crate) fn letter(plan: &Plan) -> Letter {
    let language = plan.voice.language;
    let pen = Pen {
        plan,
        voice: plan.voice,
        manner: manner(language),
        phrases: plan.topic().phrases(language),
        chance: Chance::for_item(plan.seed, 1),
        used: Vec::new(),
    };
    pen.letter()
}

/// What a broker writes above the client's mail when passing it on.
pub(crate) fn note(plan: &Plan) -> Vec<String> {
    let mut chance = Chance::for_item(plan.seed, 2);
    let manner = manner(plan.voice.language);
    let mut lines = Vec::new();
    if chance.odds(0.6) {
        let salutation = chance.pick(&manner.salutations);
        lines.push(expand(salutation, plan.voice, &plan.facts, &mut chance));
    }
    let note = chance.pick(&manner.notes);
    lines.push(expand(note, plan.voice, &plan.facts, &mut chance));
    lines
}

/// A name for the matter of a plan, as the company would call it.
pub(crate) fn matter(plan: &Plan, chance: &mut Chance) -> String {
    let noun = chance.pick_early(&plan.topic().phrases(plan.voice.language).nouns);
    expand(noun, plan.voice, &plan.facts, chance)
}

impl Pen<'_> {
    fn letter(mut self) -> Letter {
        let kind = self.kind();
        let angry = self.chance.odds(0.13);
        let care = Care::draw(&mut self.chance);
        let paragraphs = self.body(kind, angry);
        let attaches = ["anbei", "anhang", "angehängt", "beigefügt", "attached"]
            .iter()
            .any(|word| {
                paragraphs
                    .iter()
                    .any(|paragraph| paragraph.to_lowercase().contains(word))
            });
        let subject = self.subject(kind);
        let salutation_share = if kind == Kind::Brief { 0.45 } else { 0.93 };
        let salutation = self
            .chance
            .odds(salutation_share)
            .then(|| self.say_one_of(&self.manner.salutations));
        let farewell = self.farewell(kind);
        let mut paragraphs = paragraphs;
        let continues = self.voice.language == Language::German
            && salutation.as_ref().is_some_and(|line| line.ends_with(','))
            && self.chance.odds(0.85);
        if let Some(first) = paragraphs.first_mut().filter(|_| continues) {
            *first = after_comma(first);
        }
        let mut typed = |text: &String| care.type_out(text, &mut self.chance);
        Letter {
            salutation: salutation.as_ref().map(&mut typed),
            paragraphs: paragraphs.iter().map(&mut typed).collect(),
            subject: typed(&subject),
            farewell,
            attaches,
        }
    }

    fn kind(&mut self) -> Kind {
        if self.plan.earlier.is_some() && !self.plan.turns() {
            return Kind::FollowUp;
        }
        let kinds = [Kind::Brief, Kind::Vague, Kind::Plain, Kind::Long];
        kinds[self
            .chance
            .weighted(&[0.12, if self.plan.turns() { 0.0 } else { 0.05 }, 0.50, 0.33])]
    }

    fn body(&mut self, kind: Kind, angry: bool) -> Vec<String> {
        let mut paragraphs: Vec<Vec<String>> = vec![Vec::new(), Vec::new(), Vec::new()];
        let manner = self.manner;
        if self.plan.turns() {
            let turn = self.say_one_of(&manner.turns);
            paragraphs[0].push(turn);
        }
        match kind {
            Kind::Brief => {
                let brief = self.brief(self.phrases);
                paragraphs[1].push(brief);
                if self.chance.odds(0.25) {
                    let detail = self.detail();
                    paragraphs[2].push(detail);
                }
            }
            Kind::Vague => {
                let vague = self.say_one_of(&manner.vague);
                paragraphs[1].push(vague);
                self.small_talk(&mut paragraphs[2], &[0.5, 0.4, 0.1]);
            }
            Kind::FollowUp => {
                let again = self.say_one_of(&manner.follow_ups);
                paragraphs[0].push(again);
                match self.chance.weighted(&[0.47, 0.25, 0.2, 0.08]) {
                    0 => {
                        let request = self.request();
                        paragraphs[1].push(request);
                    }
                    1 => {
                        let about = self.about();
                        paragraphs[1].push(about);
                    }
                    2 => {
                        let detail = self.detail();
                        paragraphs[1].push(detail);
                    }
                    _ => {}
                }
                self.small_talk(&mut paragraphs[1], &[0.4, 0.4, 0.2]);
            }
            Kind::Plain => self.plain(&mut paragraphs, angry, false),
            Kind::Long => self.plain(&mut paragraphs, angry, true),
        }
        if kind != Kind::Brief && self.chance.odds(0.72) {
            let closer = match (angry, self.voice.proxy) {
                (true, _) => self.say_one_of(&manner.angry_closers),
                (_, true) if self.chance.odds(0.5) => self.say_one_of(&manner.proxy_closers),
                _ => self.say_one_of(&manner.closers),
            };
            paragraphs[2].push(closer);
        }
        self.laid_out(paragraphs)
    }

    /// Opening, request, particulars, other matters.
    fn plain(&mut self, paragraphs: &mut [Vec<String>], angry: bool, long: bool) {
        let manner = self.manner;
        let turns = self.plan.turns();
        if self.voice.proxy && !turns && self.chance.odds(0.85) {
            let intro = self.say_one_of(&manner.intro);
            paragraphs[0].push(intro);
        }
        if !turns && self.chance.odds(if angry { 0.85 } else { 0.4 }) {
            let opener = self.say_one_of(if angry {
                &manner.angry_openers
            } else {
                &manner.openers
            });
            paragraphs[0].push(opener);
        }
        if !turns && self.chance.odds(if long { 0.5 } else { 0.26 }) {
            let aside = self.aside();
            paragraphs[0].extend(aside);
        }
        if !turns {
            self.small_talk(
                &mut paragraphs[0],
                if long {
                    &[0.05, 0.3, 0.35, 0.3]
                } else {
                    &[0.4, 0.45, 0.15]
                },
            );
        }

        // "A quick question:" wants the question next.
        paragraphs[0].sort_by_key(|sentence| sentence.ends_with(':'));

        let request = self.request();
        paragraphs[1].push(request);
        if self.chance.odds(0.08) {
            let about = self.about();
            paragraphs[1].insert(0, about);
        }
        let details = self.chance.weighted(if long {
            &[0.05, 0.35, 0.35, 0.25]
        } else {
            &[0.3, 0.5, 0.2]
        });
        for _ in 0..details {
            let detail = self.detail();
            if !paragraphs[1].contains(&detail) {
                paragraphs[1].push(detail);
            }
        }
        if self.chance.odds(if long { 0.3 } else { 0.08 }) {
            let again = self.request();
            if !paragraphs[1].contains(&again) {
                paragraphs[1].push(again);
            }
        }

        self.small_talk(
            &mut paragraphs[2],
            if long {
                &[0.05, 0.3, 0.35, 0.3]
            } else {
                &[0.35, 0.45, 0.2]
            },
        );
        if self.chance.odds(if long { 0.5 } else { 0.22 }) {
            let second = self.second();
            paragraphs[2].push(second);
        }
    }

    /// Sentences of no consequence; `weights` are those of 0, 1, 2 … of them.
    fn small_talk(&mut self, paragraph: &mut Vec<String>, weights: &[f64]) {
        for _ in 0..self.chance.weighted(weights) {
            let chatter = self.plan.topic().chatter(self.voice.language);
            let office = self.voice.proxy || self.plan.topic().brokers_only;
            let sentence = match (self.chance.odds(0.3), office) {
                (true, _) if !self.voice.proxy => self.say_one_of(chatter),
                (_, true) => self.say_one_of(&self.manner.office),
                _ => self.say_one_of(&self.manner.contexts),
            };
            if !paragraph.contains(&sentence) {
                paragraph.push(sentence);
            }
        }
    }

    /// Sentences to paragraphs the way this writer breaks lines.
    fn laid_out(&mut self, paragraphs: Vec<Vec<String>>) -> Vec<String> {
        let style = self.chance.weighted(&[0.5, 0.35, 0.15]);
        let filled: Vec<Vec<String>> = paragraphs.into_iter().filter(|p| !p.is_empty()).collect();
        match style {
            0 => filled.into_iter().map(|sentences| sentences.join(" ")).collect(),
            1 => vec![filled.concat().join(" ")],
            _ => filled.concat(),
        }
    }

    fn request(&mut self) -> String {
        let fits = |text: &&String| fits(text, self.voice, self.plan.topic().brokers_only);
        let fitting: Vec<&'static String> = self.phrases.requests.iter().filter(fits).collect();
        if fitting.is_empty() {
            return self.about();
        }
        ended(self.say_fresh(&fitting))
    }

    fn brief(&mut self, phrases: &'static Phrases) -> String {
        self.say_one_of(&phrases.briefs)
    }

    fn about(&mut self) -> String {
        let noun = self.say_one_of(&self.phrases.nouns);
        let frame = self.say_frame(&self.manner.about, "{noun}");
        frame.replace('\u{0}', &noun)
    }

    fn detail(&mut self) -> String {
        let topic = self.plan.topic();
        let own = self.chance.odds(0.5);
        let from = if own {
            &self.phrases.details
        } else {
            topic.queue_details(self.voice.language)
        };
        let fitting: Vec<&'static String> = from
            .iter()
            .filter(|text| fits(text, self.voice, topic.brokers_only) && !self.used.contains(&text.as_str()))
            .collect();
        if fitting.is_empty() {
            return self.say_one_of(if self.voice.proxy {
                &self.manner.office
            } else {
                &self.manner.contexts
            });
        }
        self.say_fresh(&fitting)
    }

    fn aside(&mut self) -> Option<String> {
        let other = self.other_topic();
        let phrase = self.chance.pick_early(&other.asides);
        if !fits(phrase, self.voice, false) {
            return None;
        }
        let aside = self.say(phrase);
        let frame = self.say_frame(&self.manner.aside, "{aside}");
        let inside = if frame.starts_with('\u{0}') {
            aside
        } else {
            crate::phrase::lowered(&aside)
        };
        Some(frame.replace('\u{0}', &inside))
    }

    fn second(&mut self) -> String {
        let other = self.other_topic();
        // Half of them are full requests; which one comes first then tells what the mail is about.
        let fitting: Vec<&String> = other
            .requests
            .iter()
            .filter(|text| fits(text, self.voice, false))
            .collect();
        let brief = if self.chance.odds(0.5) && !self.voice.proxy && !fitting.is_empty() {
            let request = *self.chance.pick_early(&fitting);
            self.say(request)
        } else {
            self.brief(other)
        };
        let frame = self.say_frame(&self.manner.second, "{brief}");
        let brief = if frame.contains(", \u{0}") {
            after_comma(&brief)
        } else {
            brief
        };
        frame.replace('\u{0}', &ended(brief))
    }

    /// Phrases of another topic, one this writer could also write about.
    fn other_topic(&mut self) -> &'static Phrases {
        let mine = self.plan.topic();
        let weights: Vec<f64> = TOPICS
            .iter()
            .map(|topic| {
                let closed = topic.name == mine.name || (topic.brokers_only && !mine.brokers_only);
                let near = match (topic.queue == mine.queue, topic.unit == mine.unit) {
                    (true, _) => 12.0,
                    (_, true) => 5.0,
                    _ => 1.0,
                };
                if closed { 0.0 } else { near * (topic.weight + 10.0) }
            })
            .collect();
        TOPICS[self.chance.weighted(&weights)].phrases(self.voice.language)
    }

    fn subject(&mut self, kind: Kind) -> String {
        if self.plan.earlier.is_some() {
            let root = letter(self.plan.root()).subject;
            let prefix = if self.voice.language == Language::German {
                "AW: "
            } else {
                "Re: "
            };
            let root = root.trim_start_matches(prefix).to_owned();
            let twice = if self.chance.odds(0.12) { prefix } else { "" };
            return format!("{prefix}{twice}{root}");
        }
        let weights: &[f64] = if kind == Kind::Vague {
            &[0.5, 0.5]
        } else {
            &[0.38, 0.12, 0.34, 0.07, 0.03, 0.06]
        };
        match self.chance.weighted(weights) {
            0 => self.say_one_of(&self.phrases.subjects),
            1 => self.say_one_of(&self.phrases.nouns),
            2 => self.say_one_of(&self.manner.subjects),
            3 => {
                let other = self.other_topic();
                let old = self.say_one_of(&other.subjects);
                format!(
                    "{}{old}",
                    if self.voice.language == Language::German {
                        "AW: "
                    } else {
                        "Re: "
                    }
                )
            }
            4 => String::new(),
            _ => self.brief(self.phrases),
        }
    }

    fn farewell(&mut self, kind: Kind) -> Vec<String> {
        let mut lines = Vec::new();
        if self.chance.odds(if kind == Kind::Brief { 0.4 } else { 0.92 }) {
            lines.push(self.say_one_of(&self.manner.greetings));
        }
        let author = &self.plan.author;
        let own = if self.plan.forwards {
            self.plan.facts.client()
        } else {
            author
        };
        let name = match self.chance.below(10) {
            0 => return lines,
            1 => format!("{}. {}", own.first.chars().next().unwrap_or('M'), own.last),
            2 if self.voice.familiar => own.first.clone(),
            3 if self.voice.language == Language::German && !self.plan.by_broker => {
                format!("Fam. {}", own.last)
            }
            _ => own.name(),
        };
        lines.push(name);
        lines
    }

    fn say_one_of(&mut self, phrases: &'static [String]) -> String {
        let all: Vec<&'static String> = phrases.iter().collect();
        self.say_fresh(&all)
    }

    /// Says one of `phrases`, if there is one this mail has not used yet.
    ///
    /// # Panics
    /// If `phrases` is empty.
    fn say_fresh(&mut self, phrases: &[&'static String]) -> String {
        let fresh: Vec<_> = phrases
            .iter()
            .copied()
            .filter(|phrase| !self.used.contains(&phrase.as_str()))
            .collect();
        let phrase = *self
            .chance
            .pick_early(if fresh.is_empty() { phrases } else { &fresh });
        self.used.push(phrase);
        self.say(phrase)
    }

    fn say(&mut self, phrase: &str) -> String {
        expand(phrase, self.voice, &self.plan.facts, &mut self.chance)
    }

    /// Says a frame, its gap left as a NUL to be filled.
    fn say_frame(&mut self, frames: &'static [String], gap: &str) -> String {
        let frame = self.chance.pick_early(frames).replace(gap, "\u{0}");
        self.say(&frame)
    }
}

/// German goes on small after a salutation's comma, unless a noun or a name comes first.
fn after_comma(text: &str) -> String {
    const SMALL: &str = " Ich Wir Er Sie Es Die Der Das Den Dem Ein Eine Einen Bitte Vielen Danke Kurze Leider Wie Wo Wann \
        Warum Woher Welche Gibt Kann Können Könnt Im In Am An Auf Aus Bei Bis Für Mit Nach Seit Von Vor Zu Zum Zur \
        Meine Mein Meinen Seine Sein Ihre Ihr Unser Unsere Anbei Hiermit Hierzu So Was Wegen Wenn Statt Siehe Ist Im \
        Gern Laut Reicht Ob Gestatten Erlaubt Entschuldigen Folgendes Betreffend Insgesamt Bisher Normalerweise \
        Vielleicht Eigentlich Vorab Neulich Dass Falls Tagsüber Darf Hier Würde Geht Unsere Gott Man Brauche ";
    let first = text.split(' ').next().unwrap_or("");
    if SMALL.contains(&format!(" {first} ")) {
        crate::phrase::lowered(text)
    } else {
        text.to_owned()
    }
}

/// With a full stop, where the phrase has no mark of its own.
fn ended(mut text: String) -> String {
    if text.ends_with(char::is_alphanumeric) {
        text.push('.');
    }
    text
}

/// True when a phrase suits the one who says it: clients do not speak of "our client", and a
/// broker says "she would like", which needs a verb form that fits the third person too.
pub(crate) fn fits(phrase: &str, voice: Voice, brokers_only: bool) -> bool {
    const OF_BROKERS: [&str; 9] = [
        "{kunde}",
        "nser Kunde",
        "nsere Mandantin",
        "der Kunde ",
        "als Makler",
        "für {client}",
        "{client} wechselt",
        "behalf of",
        "for {client}",
    ];
    const SAME_IN_THIRD: [&str; 8] = [
        "möchte",
        "würde",
        "wollte",
        "konnte",
        "bräuchte",
        "hatte",
        "müsste",
        "heute",
    ];
    let of_brokers = OF_BROKERS.iter().any(|mark| phrase.contains(mark));
    if brokers_only || voice.language == Language::English {
        return brokers_only || !of_brokers;
    }
    if !voice.proxy || of_brokers {
        return voice.proxy || !of_brokers;
    }
    let words: Vec<&str> = phrase
        .split([' ', '|', '[', ']', '<', '>', '^', '~'])
        .filter(|w| !w.is_empty())
        .collect();
    let first_person = |word: &str| {
        let word = word.trim_matches(|c: char| !c.is_alphabetic()).to_lowercase();
        ["ich", "mir", "mich", "wir", "uns"].contains(&&*word)
            || word.starts_with("mein")
            || word.starts_with("unser")
    };
    let slot = |word: &str| word.starts_with('{');
    let needs_first = |word: &str| {
        let word = word.trim_matches(|c: char| !c.is_alphabetic());
        !slot(word) && word.ends_with('e') && !SAME_IN_THIRD.contains(&word) || word == "bin"
    };
    words.iter().enumerate().all(|(at, word)| {
        if word.to_lowercase().starts_with("{ich}") {
            let before = at.checked_sub(1).map(|before| words[before]);
            let after = words.get(at + 1).copied();
            return ![before, after]
                .into_iter()
                .flatten()
                .any(|w| !w.starts_with('{') && needs_first(w));
        }
        slot(word) || !first_person(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Facts;

    const SELF: Voice = Voice {
        language: Language::German,
        familiar: false,
        proxy: false,
        client_is_woman: true,
    };

    /// A bracket left open or a slot nobody knows would stop the program, so every phrase is said once per voice.
    #[test]
    fn every_phrase_can_be_said_in_every_voice() {
        let facts = Facts::for_tests();
        let mut said = 0;
        for topic in TOPICS.iter() {
            for language in [Language::German, Language::English] {
                let Phrases {
                    nouns,
                    subjects,
                    requests,
                    briefs,
                    details,
                    asides,
                } = topic.phrases(language);
                let queue = topic.queue_details(language);
                let all = [nouns, subjects, requests, briefs, details, asides]
                    .into_iter()
                    .flatten();
                for phrase in all.chain(queue).chain(topic.chatter(language)) {
                    for (proxy, familiar) in [(false, false), (true, false), (false, true)] {
                        let voice = Voice {
                            language,
                            proxy,
                            familiar,
                            ..SELF
                        };
                        for round in 0..12 {
                            let text = expand(phrase, voice, &facts, &mut Chance::new(round));
                            assert!(
                                !text.contains(['{', '}', '[', ']', '|', '^', '~']),
                                "{phrase}: {text}"
                            );
                            said += 1;
                        }
                    }
                }
            }
        }
        assert!(said > 10_000, "{said}");
    }

    #[test]
    fn a_broker_says_only_what_fits_the_third_person() {
        let proxy = Voice { proxy: true, ..SELF };
        assert!(fits("{ich} möchte {mein} Depot", proxy, false));
        assert!(!fits("{ich} brauche einen Kredit", proxy, false));
        assert!(!fits("wir haben ein Haus", proxy, false));
        assert!(fits("{kunde} wechselt", proxy, false) && !fits("{kunde} wechselt", SELF, false));
    }

    #[test]
    fn german_goes_on_small_after_a_comma_but_keeps_nouns() {
        assert_eq!(after_comma("Ich bin da."), "ich bin da.");
        assert_eq!(after_comma("Rechnung anbei."), "Rechnung anbei.");
    }
}
