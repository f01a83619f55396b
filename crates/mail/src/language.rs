//! The language of a cleaned text, or none when it cannot be told.

use whatlang::Lang;

/// ISO 639-1 code of `text`'s language; `None` when it is too short or too mixed to be sure.
pub fn detect(text: &str) -> Option<&'static str> {
    // The start decides: what follows is rarely in another language, and a megabyte costs time.
    let end = text.char_indices().nth(1000).map_or(text.len(), |(at, _)| at);
    let text = &text[..end];
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
    use super::detect;

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
}
