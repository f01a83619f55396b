use super::*;

fn masked(text: &str) -> String {
    redact(text).text
}

#[track_caller]
fn become_(cases: &[(&str, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter(|(text, expected)| masked(text) != *expected)
        .map(|(text, expected)| format!("{text:?}\n   got {:?}\n  want {expected:?}", masked(text)))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[track_caller]
fn stay(texts: &[&str]) {
    let cases: Vec<(&str, &str)> = texts.iter().map(|text| (*text, *text)).collect();
    become_(&cases);
}

#[test]
fn masks_ibans() {
    become_(&[
        ("IBAN: DE89 3704 0044 0532 0130 00.", "IBAN: [IBAN]."),
        ("auf DE89370400440532013000 überweisen", "auf [IBAN] überweisen"),
        ("de89 3704 0044 0532 0130 00", "[IBAN]"),
        ("DE89\u{a0}3704\u{a0}0044\u{a0}0532\u{a0}0130\u{a0}00", "[IBAN]"),
        ("DE89.3704.0044.0532.0130.00", "[IBAN]"),
        ("DE 89 3704 0044 0532 0130 00", "[IBAN]"),
        ("(DE89 3704 0044\n0532 0130 00)", "([IBAN])"),
        ("GB82 WEST 1234 5698 7654 32", "[IBAN]"),
        ("FR14 2004 1010 0505 0001 3M02 606", "[IBAN]"),
        ("NO93 8601 1117 947", "[IBAN]"),
        (
            "AT61 1904 3002 3457 3201, CH93 0076 2011 6238 5295 7",
            "[IBAN], [IBAN]",
        ),
        ("DE89370400440532013000EUR", "[IBAN]EUR"),
        ("DE89370400440532013000 500 EUR", "[IBAN] 500 EUR"),
        // A slip of the finger behind a word.
        (
            "Meine IBAN lautet DE88 3704 0044 0532 0130 00",
            "Meine IBAN lautet [IBAN]",
        ),
        ("Konto: DE89 3704 0044 0532 0130 0", "Konto: [IBAN]"),
        ("IBAN DE89 XXXX XXXX XXXX 0130 00 bitte", "IBAN [IBAN] bitte"),
    ]);
    stay(&[
        "DE88 3704 0044 0532 0130 00 ist falsch",
        "ISIN DE0007100000",
        "In Depot DE0007100000 verkaufen",
        "US0378331005 und DE0008404005",
        "Meine IBAN liegt Ihnen vor.",
        "XX12 3456 7890 1234 5678 90",
        "ABCDE89370400440532013000",
    ]);
}

#[test]
fn masks_bics() {
    become_(&[
        ("BIC: COBADEFFXXX", "BIC: [BIC]"),
        ("bic: cobadeff", "bic: [BIC]"),
        ("SWIFT-Code MARKDEF1100", "SWIFT-Code [BIC]"),
        ("BIC/SWIFT: BELADEBEXXX", "BIC/SWIFT: [BIC]"),
        ("DE89 3704 0044 0532 0130 00, COBADEFFXXX", "[IBAN], [BIC]"),
        ("COBADEFFXXX / DE89370400440532013000", "[BIC] / [IBAN]"),
        (
            "IBAN DE89370400440532013000\nBIC COBADEFFXXX",
            "IBAN [IBAN]\nBIC [BIC]",
        ),
    ]);
    stay(&[
        "DRINGEND: bitte melden",
        "BITTE DRINGEND",
        "Ihre BIC fehlt",
        "die bic bitte nennen",
        "BIC MITTEILEN",
        "COBADEFFXXX",
        "ANLAGEDEPOT",
    ]);
}

#[test]
fn masks_cards() {
    become_(&[
        ("4111 1111 1111 1111", "[CARD]"),
        (
            "Visa 4111-1111-1111-1111, gültig bis 12/27",
            "Visa [CARD], gültig bis 12/27",
        ),
        ("5555555555554444", "[CARD]"),
        ("3782 822463 10005", "[CARD]"),
        ("6011 1111 1111 1117 und 3566002020360505", "[CARD] und [CARD]"),
        (
            "Kreditkartennummer: 4111 1111 1111 1112",
            "Kreditkartennummer: [CARD]",
        ),
        ("Kartennr. 1234567890", "Kartennr. [CARD]"),
        ("4111 1111 1111 1111 123", "[CARD] 123"),
    ]);
    stay(&[
        "4111 1111 1111 1112",
        "1234567812345670",
        "Auftragsnummer 4111111111111111",
        "Sendungsnummer: 4111 1111 1111 1111",
        "EAN 4006381333931",
        "Kreditkarte gesperrt seit 12.03.2026",
        "meine Kreditkarte ist seit 2 Wochen weg",
        "Kreditkarte: 1.250,00 EUR",
    ]);
}

#[test]
fn masks_phone_numbers() {
    become_(&[
        ("+49 170 1234567", "[PHONE]"),
        ("+49 (0) 170 / 123 45 67", "[PHONE]"),
        ("(+49) 40 123456", "[PHONE]"),
        ("0049-40-123456", "[PHONE]"),
        ("+43 664 1234567, +41 79 123 45 67", "[PHONE], [PHONE]"),
        ("0170 1234567", "[PHONE]"),
        ("0170/1234567", "[PHONE]"),
        ("01701234567", "[PHONE]"),
        ("040-123456", "[PHONE]"),
        ("(040) 123 456", "[PHONE]"),
        ("(0170 1234567)", "([PHONE])"),
        ("040 123456-78", "[PHONE]"),
        ("06 12 34 56 78", "[PHONE]"),
        ("01.23.45.67.89", "[PHONE]"),
        ("+44 20 7946 0958", "[PHONE]"),
        ("+1 (555) 010-9999", "[PHONE]"),
        ("Tel.: 123456", "Tel.: [PHONE]"),
        ("Tel.:040123456", "Tel.:[PHONE]"),
        ("Telefon 1234567", "Telefon [PHONE]"),
        ("Handy: 0170 / 123 45 67.", "Handy: [PHONE]."),
        (
            "Sie erreichen mich unter 1234567.",
            "Sie erreichen mich unter [PHONE].",
        ),
        ("Tel./Fax: 040 123456 / 040 123457", "Tel./Fax: [PHONE] / [PHONE]"),
        ("Call me at 555-0199 please", "Call me at [PHONE] please"),
        ("phone number is 020 7946 0958", "phone number is [PHONE]"),
        ("0170 1234567 10 Uhr", "[PHONE] 10 Uhr"),
        ("0170 1234567 oder 0171 7654321", "[PHONE] oder [PHONE]"),
        ("Mobil 0170-1234567\n0171-1234567", "Mobil [PHONE]\n[PHONE]"),
        ("téléphone : 01 23 45 67 89", "téléphone : [PHONE]"),
    ]);
    stay(&[
        "am 01.02.2026 um 10:15",
        "01.02.2026 - 05.03.2026",
        "01/2026 - 03/2026",
        "01-02-2026",
        "2026-01-02",
        "01.02. - 05.03.2026",
        "08.00 - 17.00 Uhr",
        "08:00 12345678",
        "1.250.000,00 EUR",
        "+1.250.000 EUR",
        "+12.500.000,00 EUR",
        "0,75 % oder 0.5",
        "Auftrag 0170-1234567",
        "Auftragsnummer: 0049 40 123456",
        "Vorgang Nr. 040/123456",
        "Ticket 0123 456789",
        "WKN 710000, ISIN DE0007100000",
        "Fondsnummer 0123-4567",
        "Version 0.14.2.1034",
        "010.020.030.040",
        "01067 01069",
        "https://example.com/a/0170-1234567",
        "Tel. vom 12.03.2026",
        "Telefonat 20260312",
        "Fax mit 12 Seiten",
        "0401234567",
        "00 12",
        "10:00:00 +0200",
        "500 Stück, 20000 EUR",
        "00000000",
    ]);
}

#[test]
fn masks_mail_addresses() {
    become_(&[
        ("max@example.com", "[EMAIL]"),
        ("<eva.muster+x@mail.example.co.uk>.", "<[EMAIL]>."),
        ("mailto:max@example.com", "mailto:[EMAIL]"),
        ("jörg@müller.example", "[EMAIL]"),
        ("max(at)example.com", "[EMAIL]"),
        ("max [at] example.com, danke", "[EMAIL], danke"),
        ("Max Muster <max@example.com>", "[NAME] <[EMAIL]>"),
    ]);
    stay(&[
        "@max",
        "100@12.50",
        "user@host",
        "a @ b.de",
        "x@",
        "@",
        "Kurs @ 12,50 EUR",
        "max(at)home",
    ]);
}

#[test]
fn masks_tax_numbers() {
    become_(&[
        ("86095742719", "[TAXID]"),
        ("86 095 742 719", "[TAXID]"),
        ("Steuer-ID: 86 095 742 718", "Steuer-ID: [TAXID]"),
        (
            "Meine Steueridentifikationsnummer lautet 12345678901",
            "Meine Steueridentifikationsnummer lautet [TAXID]",
        ),
        ("IdNr. 12345678901", "IdNr. [TAXID]"),
        ("Steuernummer 12/345/67890", "Steuernummer [TAXID]"),
        ("St.-Nr. 123/4567/8901", "St.-Nr. [TAXID]"),
        ("USt-IdNr. DE123456789", "USt-IdNr. [TAXID]"),
        ("RSSMRA80A01H501U", "[TAXID]"),
        ("codice fiscale: RSSMRA80A01H501U", "codice fiscale: [TAXID]"),
        ("Tax ID 12-3456789", "Tax ID [TAXID]"),
    ]);
    stay(&[
        "86095742718",
        "12345678901",
        "Auftragsnummer 86095742719",
        "Steuerbescheinigung 2025",
        "Steuer 12.345,67 EUR",
        "Die Steuernummer vom 12.03.2026",
    ]);
}

#[test]
fn masks_identity_numbers() {
    become_(&[
        ("15070649C103", "[IDNUMBER]"),
        ("15 070649 C 103", "[IDNUMBER]"),
        ("SV-Nummer: 15 070649 C 104", "SV-Nummer: [IDNUMBER]"),
        (
            "Personalausweisnummer L01X00T47",
            "Personalausweisnummer [IDNUMBER]",
        ),
        ("Reisepass-Nr.: C01X00T47", "Reisepass-Nr.: [IDNUMBER]"),
        ("passport number 123456789", "passport number [IDNUMBER]"),
        ("DNI: 12345678Z", "DNI: [IDNUMBER]"),
        ("SSN 123-45-6789", "SSN [IDNUMBER]"),
        ("PESEL 12345678901", "PESEL [IDNUMBER]"),
        ("P<D<<MUSTERMANN<<ERIKA<<<<<<<<<<<<<<<<<<<<<", "[IDNUMBER]"),
    ]);
    stay(&[
        "15070649C104",
        "K123456789",
        "Ausweis liegt bei",
        "Personalausweis gültig bis 12.03.2030",
        "Mein Reisepass ist abgelaufen",
        "<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<",
    ]);
}

#[test]
fn masks_accounts() {
    become_(&[
        ("Depotnummer 1234567890", "Depotnummer [ACCOUNT]"),
        ("Depot-Nr.: 123 456 789/00", "Depot-Nr.: [ACCOUNT]"),
        (
            "Meine Kundennummer lautet 12345678.",
            "Meine Kundennummer lautet [ACCOUNT].",
        ),
        ("Kundennummer: AB-123456", "Kundennummer: [ACCOUNT]"),
        ("Kd.-Nr. 4711", "Kd.-Nr. [ACCOUNT]"),
        ("Kto. 532013000, BLZ 370 400 44", "Kto. [ACCOUNT], BLZ [ACCOUNT]"),
        ("Konto Nr. 532013000", "Konto Nr. [ACCOUNT]"),
        ("Kontonummer:\n532013000", "Kontonummer:\n[ACCOUNT]"),
        (
            "Depotnummern 12345678 und 87654321",
            "Depotnummern [ACCOUNT] und [ACCOUNT]",
        ),
        ("Mein Depot 1234567890 auflösen", "Mein Depot [ACCOUNT] auflösen"),
        ("Konto: 12345", "Konto: [ACCOUNT]"),
        ("account number 12345678", "account number [ACCOUNT]"),
        ("Account no. 1234-5678", "Account no. [ACCOUNT]"),
        (
            "Kundennummer 12345678 2 Wochen",
            "Kundennummer [ACCOUNT] 2 Wochen",
        ),
        (
            "Kontonummer 12345678 10.000 EUR",
            "Kontonummer [ACCOUNT] 10.000 EUR",
        ),
        ("rekeningnummer 123456789", "rekeningnummer [ACCOUNT]"),
    ]);
    stay(&[
        "Konto 10.000 EUR gutgeschrieben",
        "Konto 1.250.000",
        "Depot 2026",
        "Konto vom 12.03.2026",
        "Kontoauszug 03/2026",
        "Depot 15 Stück",
        "Depot: DE0007100000",
        "Depot WKN 710000",
        "WKN 710000",
        "Fonds 847101",
        "Fondsnummer 123456",
        "Auftragsnummer 12345678",
        "Rechnung Nr. 2026-12345",
        "Order 12345678 / Ref. 998877665",
        "Kontostand: 12.345,67",
        "Kundennummer: siehe oben",
    ]);
}

#[test]
fn masks_birth_dates() {
    become_(&[
        ("geboren am 12.03.1980", "geboren am [BIRTHDATE]"),
        ("geb. 12.3.80 in Kiel", "geb. [BIRTHDATE] in Kiel"),
        ("Geburtsdatum: 12. März 1980", "Geburtsdatum: [BIRTHDATE]"),
        ("Geb.-Datum 12.03.1980", "Geb.-Datum [BIRTHDATE]"),
        (
            "geboren in Bad Segeberg am 12.03.1980",
            "geboren in Bad Segeberg am [BIRTHDATE]",
        ),
        ("(geb. 1980)", "(geb. [BIRTHDATE])"),
        ("am 12.03.1980 geboren", "am [BIRTHDATE] geboren"),
        ("born on March 12th, 1980", "born on [BIRTHDATE]"),
        ("Date of birth: 12/03/1980", "Date of birth: [BIRTHDATE]"),
        ("DOB 1980-03-12", "DOB [BIRTHDATE]"),
        ("D.O.B.: 12 Mar 1980", "D.O.B.: [BIRTHDATE]"),
        ("né le 12 mars 1980", "né le [BIRTHDATE]"),
        ("nacido el 12 de marzo de 1980", "nacido el [BIRTHDATE]"),
        ("nata il 1° marzo 1980", "nata il [BIRTHDATE]"),
        ("fødselsdato 12.03.1980", "fødselsdato [BIRTHDATE]"),
        ("data urodzenia: 12.03.1980", "data urodzenia: [BIRTHDATE]"),
        (
            "Ich habe am 12.03. Geburtstag",
            "Ich habe am [BIRTHDATE] Geburtstag",
        ),
    ]);
    stay(&[
        "am 12.03.2026 gekauft",
        "Geburtsurkunde vom 12.03.2026",
        "Eva Muster geb. Beispiel, Termin am 12.03.2026",
        "March 12, 2026",
        "Meine Tochter ist geboren, bitte Depot eröffnen bis 1.4.2026",
    ]);
}

#[test]
fn masks_names_in_greetings() {
    become_(&[
        ("Sehr geehrter Herr Dr. Muster,", "Sehr geehrter Herr Dr. [NAME],"),
        (
            "Sehr geehrte Frau Prof. Dr. med. Eva von Muster,",
            "Sehr geehrte Frau Prof. Dr. med. [NAME],",
        ),
        (
            "Hallo Frau Muster-Beispiel,\nich habe eine Frage",
            "Hallo Frau [NAME],\nich habe eine Frage",
        ),
        ("Liebe Eva,", "Liebe [NAME],"),
        ("Hallo Eva!", "Hallo [NAME]!"),
        ("Hallo Eva", "Hallo [NAME]"),
        ("hallo herr müller,", "hallo herr [NAME],"),
        ("hallo eva,", "hallo [NAME],"),
        ("Hallo Eva, hallo Max,", "Hallo [NAME], hallo [NAME],"),
        ("Liebe Eva, lieber Max,", "Liebe [NAME], lieber [NAME],"),
        (
            "Hallo Herr Muster und Frau Beispiel,",
            "Hallo Herr [NAME] und Frau [NAME],",
        ),
        (
            "Sehr geehrte Frau Muster, sehr geehrter Herr Beispiel,",
            "Sehr geehrte Frau [NAME], sehr geehrter Herr [NAME],",
        ),
        (
            "Guten Tag Frau Muster ich möchte",
            "Guten Tag Frau [NAME] ich möchte",
        ),
        ("Guten Tag, Herr Muster,", "Guten Tag, Herr [NAME],"),
        ("Dear Mr. Smith,", "Dear Mr. [NAME],"),
        ("Dear Ms Jane O'Neil:", "Dear Ms [NAME]:"),
        ("Hi John,\nplease", "Hi [NAME],\nplease"),
        ("Bonjour Madame Dupont,", "Bonjour Madame [NAME],"),
        ("Gentile Sig.ra Rossi,", "Gentile Sig.ra [NAME],"),
        ("Estimado Sr. García:", "Estimado Sr. [NAME]:"),
        ("Geachte heer De Vries,", "Geachte heer [NAME],"),
        ("Szanowny Panie Nowak,", "Szanowny Panie [NAME],"),
        ("Kære Anne,", "Kære [NAME],"),
        ("Hej Anna!", "Hej [NAME]!"),
        ("> Hallo Eva,", "> Hallo [NAME],"),
    ]);
    stay(&[
        "Sehr geehrte Damen und Herren,",
        "Hallo Team,",
        "Hallo zusammen,",
        "Hallo Nordbank-Team,",
        "Hallo liebes Nordbank Team,",
        "Liebes Support-Team,",
        "Sehr geehrte Nordbank,",
        "Dear Sir or Madam,",
        "Dear Customer Service,",
        "Hi there,",
        "Hello everyone",
        "Liebe Kolleginnen und Kollegen,",
        "Hallo,",
        "Guten Tag,",
        "Liebe Grüße",
        "Hallo Depot gesperrt",
        "Hallo, Depot ist gesperrt.",
        "Liebe ist schön",
        "Madame, Monsieur,",
        "Hallo DKB,",
        "Guten Morgen!",
    ]);
}

#[test]
fn masks_names_in_closings() {
    become_(&[
        (
            "Mit freundlichen Grüßen\nMax Muster",
            "Mit freundlichen Grüßen\n[NAME]",
        ),
        (
            "Mit freundlichen Grüßen\n\nDr. Eva Muster\nMuster GmbH",
            "Mit freundlichen Grüßen\n\nDr. [NAME]\nMuster GmbH",
        ),
        ("Viele Grüße, Max", "Viele Grüße, [NAME]"),
        ("LG Eva", "LG [NAME]"),
        ("Best regards,\nJohn A. Smith", "Best regards,\n[NAME]"),
        (
            "Mit freundlichen Grüßen\ni. A. Max Muster",
            "Mit freundlichen Grüßen\ni. A. [NAME]",
        ),
        ("i. A. Max Muster", "i. A. [NAME]"),
        ("gez. Muster", "gez. [NAME]"),
        ("Viele Grüße\nIhre Eva Muster", "Viele Grüße\nIhre [NAME]"),
        (
            "Mit freundlichen Grüßen\nppa. Max Muster",
            "Mit freundlichen Grüßen\nppa. [NAME]",
        ),
        (
            "Freundliche Grüße\nEva und Max Muster",
            "Freundliche Grüße\n[NAME] und [NAME]",
        ),
        ("Vielen Dank\nMax", "Vielen Dank\n[NAME]"),
        ("Cordialement,\nMarie Dupont", "Cordialement,\n[NAME]"),
        ("Mein Name ist Max Muster und ich", "Mein Name ist [NAME] und ich"),
        ("ich heiße Eva Muster.", "ich heiße [NAME]."),
        ("My name is John Smith, I", "My name is [NAME], I"),
        ("je m'appelle Marie Dupont", "je m'appelle [NAME]"),
        ("Name: Eva Muster\nBetreff: Depot", "Name: [NAME]\nBetreff: Depot"),
    ]);
    stay(&[
        "Mit freundlichen Grüßen\nIhr Nordbank-Team",
        "Mit freundlichen Grüßen\nMuster GmbH",
        "Viele Grüße aus Kiel",
        "Gruß",
        "Mein Name ist falsch geschrieben",
        "Vielen Dank für Ihre Antwort.\nDepot ist gesperrt",
        "your system.",
        "Ihr Wertpapierhandel",
        "IV Quartal",
        "In Vertretung handle ich für alle.",
        "Name: wie oben angegeben bitte",
    ]);
}

#[test]
fn counts_by_kind_and_says_no_word() {
    let redacted = redact("Hallo Eva, Tel. 040 123456, max@example.com, eva@example.com");
    assert_eq!(redacted.masked.count(MaskKind::Email), 2);
    assert_eq!(redacted.masked.total(), 4);
    let shown: Vec<_> = redacted
        .masked
        .iter()
        .map(|(kind, count)| (kind.word(), count))
        .collect();
    assert_eq!(shown, [("phone", 1), ("email", 2), ("name", 1)]);
    assert!(!format!("{redacted:?}").contains("123456"));
}

#[test]
fn placeholders_stay() {
    let text = MaskKind::ALL.map(MaskKind::placeholder).join(" ");
    stay(&[
        &text,
        &text.replace(' ', ""),
        "Kontonummer [ACCOUNT], Tel. [PHONE]",
        "Hallo Frau [NAME],\nViele Grüße\n[NAME]\nMax Muster",
    ]);
}
