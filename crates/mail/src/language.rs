//! The language of a cleaned text, or none when it cannot be told.

use crate::redact;
use whatlang::Lang;

/// ISO 639-1 code of the language a text is in, [`CleanText::model_text`](crate::CleanText::model_text) among them;
/// `None` when it is too short or too mixed to be sure. Only its start is looked at, and masked details are of no language.
pub fn language(text: &str) -> Option<&'static str> {
    let start = start(text, 2 * LONGEST);
    if start.contains('[') {
        detect(&redact::without_placeholders(start))
    } else {
        detect(start)
    }
}

/// Characters that decide: what follows is rarely in another language, and a megabyte costs time.
const LONGEST: usize = 1000;

/// A text's first characters.
fn start(text: &str, count: usize) -> &str {
    let end = text.char_indices().nth(count).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

/// The same of a text without masked details.
pub(crate) fn detect(text: &str) -> Option<&'static str> {
    let text = start(text, LONGEST);
    if text.chars().filter(|character| character.is_alphabetic()).count() < 12 {
        return None;
    }
    let info = whatlang::detect(text)?;
    (info.is_reliable() || info.confidence() > 0.5 && matches!(info.lang(), Lang::Deu | Lang::Eng))
        .then(|| code(info.lang()))
        .flatten()
}

fn code(language: Lang) -> Option<&'static str> {
    Some(match language {
        Lang::Deu => "de",
        Lang::Eng => "en",
        Lang::Fra => "fr",
        Lang::Ita => "it",
        Lang::Spa => "es",
        Lang::Por => "pt",
        Lang::Nld => "nl",
        Lang::Pol => "pl",
        Lang::Ces => "cs",
        Lang::Slk => "sk",
        Lang::Slv => "sl",
        Lang::Hun => "hu",
        Lang::Ron => "ro",
        Lang::Bul => "bg",
        Lang::Hrv => "hr",
        Lang::Srp => "sr",
        Lang::Dan => "da",
        Lang::Swe => "sv",
        Lang::Nob => "nb",
        Lang::Fin => "fi",
        Lang::Est => "et",
        Lang::Lav => "lv",
        Lang::Lit => "lt",
        Lang::Ell => "el",
        Lang::Tur => "tr",
        Lang::Rus => "ru",
        Lang::Ukr => "uk",
        Lang::Bel => "be",
        Lang::Ara => "ar",
        Lang::Heb => "he",
        Lang::Pes => "fa",
        Lang::Hin => "hi",
        Lang::Cmn => "zh",
        Lang::Jpn => "ja",
        Lang::Kor => "ko",
        Lang::Vie => "vi",
        Lang::Tha => "th",
        Lang::Ind => "id",
        Lang::Cat => "ca",
        Lang::Lat => "la",
        Lang::Afr => "af",
        Lang::Mkd => "mk",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{detect, language};

    #[test]
    fn tells_german_from_english_and_stays_silent_on_scraps() {
        assert_eq!(
            detect("Guten Tag, bitte senden Sie mir den Depotauszug für das letzte Jahr zu."),
            Some("de")
        );
        assert_eq!(
            detect("Could you please send me the statement for last year? Thank you."),
            Some("en")
        );
        assert_eq!(detect("ok"), None);
        assert_eq!(detect("1234 5678 / 99"), None);
    }

    #[test]
    fn masked_details_are_of_no_language() {
        let masked =
            "[NAME] [PHONE] [EMAIL] Guten Tag, bitte senden Sie mir den Auszug. [NAME] [IBAN] [BIRTHDATE]";
        assert_eq!(language(masked), Some("de"));
        assert_eq!(language("[NAME] [PHONE] [EMAIL] [ACCOUNT]"), None);
        let long = format!(
            "{}{}",
            "Bitte senden Sie mir den Auszug. ".repeat(90),
            "Please send it. ".repeat(9000)
        );
        assert_eq!(language(&long), Some("de"));
    }
}
