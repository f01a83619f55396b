//! Sentences that hold a mark of some language and are none: they stay, wherever they stand.

use poststelle_mail::{Cleaner, Message};

/// Prose by what it could be taken for, at least one sentence for each language.
const PROSE: &[&str] = &[
    // Header labels.
    "From: where should I know that?\nTo: whom does it matter?\nSubject: none.",
    "Von: nichts kommt nichts.\nAn: wen soll ich mich wenden?\nBetreff: erledigt, oder?",
    "De : toute évidence personne n'a lu ma lettre.\nPour : trois voix. Contre : une.\nObjet : je conteste la facture 12.",
    "A : le virement de janvier. B : celui de février.\nJe n'ai reçu aucun des deux.",
    "Da: domani non posso più pagare.\nA: chi devo scrivere?\nOggetto: il contratto che ho firmato.",
    "De: las tres cuentas solo funciona una.\nPara: qué sirve entonces la tarjeta?\nAsunto: no entiendo nada.",
    "De: acordo com o contrato, não há taxa.\nPara: mim isso não faz sentido.\nAssunto: resolvido? Não.",
    "Van: de drie rekeningen werkt er maar één.\nAan: wie moet ik schrijven?\nOnderwerp: de rente die niet klopt.",
    "Od: stycznia nie dostałam wyciągu.\nDo: kogo mam napisać?\nTemat: ten sam co zawsze.",
    "Fra: i morgen kan jeg ikke betale.\nTil: hvem skal jeg skrive?\nEmne: den forkerte rente.",
    "Da: jeg ringede, var der lukket.\nI dag skriver jeg igen.",
    "Från: och med mars vill jag ha lägre ränta.\nTill: vem ska jag skriva?\nÄmne: samma som förra gången.",
    // Attributions.
    "On Monday the client wrote the following:\nThe transfer is missing.",
    "Am Montag schrieb der Kunde folgendes:\nDie Überweisung fehlt.",
    "Le 3 mars, votre collègue m'a écrit ceci :\nle remboursement arrive vendredi.",
    "Il signor Bianchi mi ha scritto ieri:\nil rimborso arriva venerdì.",
    "El lunes me escribió su compañera lo siguiente:\nla transferencia sale mañana.",
    "Ontem ele me escreveu às 16:12:\no cartão chega amanhã.",
    "Op maandag schreef uw collega mij het volgende:\nde overschrijving komt morgen.",
    "W poniedziałek pani kierownik napisała mi:\npieniądze wrócą w piątek.",
    "Den 2. marts skrev jeres kollega til mig:\npengene kommer fredag.",
    "Den 2 mars skrev jag till er kl. 16:12:\nsäg upp kontot.",
    // Closings.
    "Best would be a phone call.",
    "Br. Müller hat angerufen.",
    "À bientôt trois mois, je n'ai toujours pas de réponse.",
    "Saludo la decisión, pero no cambia nada para mi cuenta.",
    "Hilsen fra banken kom i går, men kortet manglede.",
    // Lines of devices.
    "Sent by mail on Monday, nothing has arrived.",
    "Envoyé par courrier lundi, rien reçu.",
    "Inviato da me lunedì, nessuna risposta.",
    "Enviado por correo el lunes, pero no ha llegado.",
    "Enviado pela minha filha ontem, mas não chegou nada.",
    "Verstuurd met de post op maandag, niets ontvangen.",
    "Wysłane z poczty w poniedziałek, nic nie dotarło.",
    "Sendt via mail i går, intet svar.",
    "Skickat via e-post i måndags, inget svar.",
    // Company data that is the request, and what clients say of confidential mail and newsletters.
    "Ma société : SIRET 123 456 789 00012. Pouvez-vous corriger le nom ?",
    "La fattura è sbagliata:\nP.IVA 01234567890 è quella vecchia, la nuova è sotto.\nP.IVA 10987654321",
    "Nuestro CIF es B12345678 y en la factura pone otro. ¿Pueden corregirlo?",
    "Dados para o novo contrato:\nCNPJ: 12.345.678/0001-90\nInscrição estadual: 123.456.789\n\nQuando fica pronto?",
    "Wij zijn verhuisd en heten nu anders:\nKvK 12345678\nBTW NL001234567B01\n\nGraag de polis aanpassen.",
    "Zmienił się nasz NIP, nowy to 123-456-78-90. Proszę poprawić umowę.",
    "Vores CVR-nr. er 12345678, det står forkert på policen.",
    "Vårt org.nr är 556677-8899, det står fel på fakturan.",
    "Questa mail contiene informazioni riservate? Ho ricevuto per errore il bonifico di un altro.",
    "Recebi por engano o extrato de outra pessoa, que é confidencial. Apago a mensagem?",
    "Jag har av misstag fått konfidentiell information om en annan kund. Ska jag radera mejlet?",
    "Me quiero dar de baja del boletín, el enlace aquí no funciona.",
];

#[test]
fn prose_with_marks_of_any_language_stays() {
    for prose in PROSE {
        for body in [
            (*prose).to_owned(),
            format!("Hallo Frau Meier,\n\n{prose}"),
            format!(
                "Hallo Frau Meier,\nes geht um mein Konto.\n{prose}\n\nDas wollte ich noch sagen, bevor es zu spät ist."
            ),
        ] {
            let text = Cleaner::default().clean(&Message::plain("", &body));
            assert_eq!(text.text(), body);
        }
    }
}
