//! The marks of all languages: what mail programs write is cut, whatever the language, and sentences
//! that hold a mark and are none stay.

use poststelle_mail::{Cleaner, Message, Profile};

/// Lines above a quote, as Gmail, Apple Mail, Thunderbird and Yahoo write them.
const ATTRIBUTIONS: &[&str] = &[
    "Le lun. 2 mars 2026 à 16:12, Ana Bo <ana@example.com> a écrit :",
    "Le 2 mars 2026 à 16:12, Ana Bo <ana@example.com> a écrit :",
    "Le 02/03/2026 à 16:12, Ana Bo a écrit :",
    "Le lundi 2 mars 2026 à 16:12:31 UTC+1, Ana Bo <ana@example.com> a écrit :",
    "Le lundi 2 mars 2026, Ana Bo <ana@example.com> a écrit :",
    "Il giorno lun 2 mar 2026 alle ore 16:12 Ana Bo <ana@example.com> ha scritto:",
    "Il giorno 2 mar 2026, alle ore 16:12, Ana Bo <ana@example.com> ha scritto:",
    "Il 02/03/2026 16:12, Ana Bo ha scritto:",
    "Il lunedì 2 marzo 2026 alle ore 16:12:31 CET, Ana Bo <ana@example.com> ha scritto:",
    "El lun, 2 mar 2026 a las 16:12, Ana Bo (<ana@example.com>) escribió:",
    "El 2 mar 2026, a las 16:12, Ana Bo <ana@example.com> escribió:",
    "El 2/3/26 a las 16:12, Ana Bo escribió:",
    "El lunes, 2 de marzo de 2026, 16:12:31 CET, Ana Bo <ana@example.com> escribió:",
    "El lun., 2 de mar. de 2026 16:12, Ana Bo <ana@example.com> escribió:",
    "Ana Bo <ana@example.com> escreveu (segunda, 2/03/2026 à(s) 16:12):",
    "Em seg., 2 de mar. de 2026 às 16:12, Ana Bo <ana@example.com> escreveu:",
    "No dia 2 de mar. de 2026, às 16:12, Ana Bo <ana@example.com> escreveu:",
    "Em 2 de mar. de 2026, à(s) 16:12, Ana Bo <ana@example.com> escreveu:",
    "Em 02/03/2026 16:12, Ana Bo escreveu:",
    "Em segunda-feira, 2 de março de 2026 16:12:31 WET, Ana Bo <ana@example.com> escreveu:",
    "Op ma 2 mrt 2026 om 16:12 schreef Ana Bo <ana@example.com>:",
    "Op 2 mrt 2026, om 16:12 heeft Ana Bo <ana@example.com> het volgende geschreven:",
    "Op 2-3-2026 om 16:12 schreef Ana Bo:",
    "Op maandag 2 maart 2026 om 16:12:31 CET schreef Ana Bo <ana@example.com>:",
    "Ana Bo <ana@example.com> schreef op 2 maart 2026 16:12:",
    "pon., 2 mar 2026 o 16:12 Ana Bo <ana@example.com> napisał(a):",
    "Wiadomość napisana przez Ana Bo <ana@example.com> w dniu 2 mar 2026, o godz. 16:12:",
    "W dniu 02.03.2026 o 16:12, Ana Bo pisze:",
    "W dniu 2026-03-02 16:12:31 użytkownik Ana Bo <ana@example.com> napisał:",
    "Dnia 2 marca 2026 16:12 Ana Bo <ana@example.com> napisał(a):",
    "W dniu poniedziałek, 2 marca 2026 16:12:31 CET Ana Bo <ana@example.com> napisał(a):",
    "Den man. 2. mar. 2026 kl. 16.12 skrev Ana Bo <ana@example.com>:",
    "Den 2. mar. 2026 kl. 16.12 skrev Ana Bo <ana@example.com>:",
    "Den 02.03.2026 kl. 16.12 skrev Ana Bo:",
    "Den mandag den 2. marts 2026 kl. 16.12.31 CET skrev Ana Bo <ana@example.com>:",
    "Den mån 2 mars 2026 kl 16:12 skrev Ana Bo <ana@example.com>:",
    "2 mars 2026 kl. 16:12 skrev Ana Bo <ana@example.com>:",
    "Den 2026-03-02 kl. 16:12, skrev Ana Bo:",
    "Den måndag 2 mars 2026 16:12:31 CET skrev Ana Bo <ana@example.com>:",
    "På mån, mar 2, 2026 kl 4:12 EM, skrev Ana Bo <ana@example.com>:",
    "On Mon, Mar 2, 2026 at 4:12 PM Ana Bo <ana@example.com> wrote:",
    "On 2 Mar 2026, at 16:12, Ana Bo <ana@example.com> wrote:",
    "On 02/03/2026 16:12, Ana Bo wrote:",
    "On Monday, March 2nd, 2026 at 4:12 PM, Ana Bo <ana@example.com> wrote:",
    "On Monday, March 2, 2026 at 04:12:31 PM GMT, Ana Bo <ana@example.com> wrote:",
    "On Monday, March 2, 2026, 4:12 PM, Ana Bo <ana@example.com> wrote:",
    "On Mon, 2026-03-02 at 16:12 +0000, Ana Bo wrote:",
    "Ana Bo <ana@example.com> writes:",
    "Ana Bo via Tessela <ana@example.com> wrote on Mon, Mar 2, 2026 at 4:12 PM:",
    "On Mar 2, 2026 4:12 PM, Ana Bo <ana@example.com> wrote:",
    "On 2 March 2026 16:12:31 GMT, Ana Bo <ana@example.com> wrote:",
    "Den man. 2. mars 2026 kl. 16:12 skrev Ana Bo <ana@example.com>:",
    "ma 2. maalisk. 2026 klo 16.12 Ana Bo (ana@example.com) kirjoitti:",
    "po 2. 3. 2026 v 16:12 odesílatel Ana Bo <ana@example.com> napsal:",
    "Am Mo., 2. März 2026 um 16:12 Uhr schrieb Ana Bo <ana@example.com>:",
];

/// Header blocks of Outlook and Apple Mail; a bar is a line break.
const HEADERS: &[&str] = &[
    "De : Ana Bo <ana@example.com>|Envoyé : lundi 2 mars 2026 16:12|À : Max|Objet : Carte",
    "De: Ana Bo <ana@example.com>|Date: lundi 2 mars 2026 à 16:12|À: Max <max@example.com>|Cc: Eva|Objet: Carte",
    "De : Ana Bo|Envoyé le : lundi 2 mars 2026 16:12|À : Max|Cc : Eva|Objet : Carte|Importance : Haute",
    "Da: Ana Bo <ana@example.com>|Inviato: lunedì 2 marzo 2026 16:12|A: Max|Oggetto: Carta",
    "Da: Ana Bo <ana@example.com>|Data: lunedì, 2 marzo 2026 16:12|A: Max|Cc: Eva|Oggetto: Carta",
    "De: Ana Bo <ana@example.com>|Enviado el: lunes, 2 de marzo de 2026 16:12|Para: Max|CC: Eva|Asunto: Tarjeta",
    "De: Ana Bo <ana@example.com>|Fecha: lunes, 2 de marzo de 2026, 16:12|Para: Max|Asunto: Tarjeta",
    "De: Ana Bo <ana@example.com>|Enviada em: segunda-feira, 2 de março de 2026 16:12|Para: Max|Assunto: Cartão",
    "De: Ana Bo <ana@example.com>|Data: segunda-feira, 2 de março de 2026 às 16:12|Para: Max|Assunto: Cartão",
    "Van: Ana Bo <ana@example.com>|Verzonden: maandag 2 maart 2026 16:12|Aan: Max|CC: Eva|Onderwerp: Pas",
    "Van: Ana Bo <ana@example.com>|Datum: maandag 2 maart 2026 om 16:12|Aan: Max|Onderwerp: Pas",
    "Od: Ana Bo <ana@example.com>|Wysłano: poniedziałek, 2 marca 2026 16:12|Do: Max|DW: Eva|Temat: Karta",
    "Od: Ana Bo <ana@example.com>|Data: poniedziałek, 2 marca 2026 o 16:12|Do: Max|Temat: Karta",
    "From: Ana Bo|Sent: Monday, March 2, 2026 4:12 PM|To: Max|Subject: Karta",
    "Fra: Ana Bo <ana@example.com>|Sendt: 2. marts 2026 16:12|Til: Max|Emne: Kort",
    "Fra: Ana Bo <ana@example.com>|Dato: mandag den 2. marts 2026 kl. 16.12|Til: Max|Cc: Eva|Emne: Kort",
    "Från: Ana Bo <ana@example.com>|Skickat: den 2 mars 2026 16:12|Till: Max|Ämne: Kort",
    "Från: Ana Bo <ana@example.com>|Datum: måndag, 2 mars 2026 16:12|Till: Max|Kopia: Eva|Ämne: Kort",
];

/// Lines above an earlier or forwarded mail.
const SEPARATORS: &[&str] = &[
    "-----Message d'origine-----",
    "-------- Message d'origine --------",
    "-------- Message transféré --------",
    "Début du message réexpédié :",
    "-----Messaggio originale-----",
    "-------- Messaggio Inoltrato --------",
    "Inizio messaggio inoltrato:",
    "-----Mensaje original-----",
    "-------- Mensaje reenviado --------",
    "Inicio del mensaje reenviado:",
    "-----Mensagem original-----",
    "-------- Mensagem encaminhada --------",
    "-------- Mensagem reencaminhada --------",
    "Início da mensagem reencaminhada:",
    "Início da mensagem encaminhada:",
    "-----Oorspronkelijk bericht-----",
    "-------- Doorgestuurd bericht --------",
    "Begin doorgestuurd bericht:",
    "-----Oryginalna wiadomość-----",
    "-------- Treść przekazanej wiadomości --------",
    "-------- Przekazana wiadomość --------",
    "Początek przekazywanej wiadomości:",
    "-----Oprindelig meddelelse-----",
    "-------- Oprindelig besked --------",
    "-------- Videresendt meddelelse --------",
    "Start på videresendt besked:",
    "-----Ursprungligt meddelande-----",
    "-------- Originalmeddelande --------",
    "-------- Vidarebefordrat meddelande --------",
    "Vidarebefordrat brev:",
    "Börja vidarebefordrat meddelande:",
    "---------- Forwarded message ---------",
    "-------- Forwarded Message --------",
    "Begin forwarded message:",
    "-----Original Message-----",
    "-------- Original message --------",
    "-------- Original Message --------",
];

/// What programs and phones add.
const DEVICES: &[&str] = &[
    "Envoyé de mon iPhone",
    "Envoyé depuis mon appareil Galaxy",
    "Envoyé à partir d’Outlook pour Android",
    "Envoyé à partir de Outlook pour iOS<https://example.com/>",
    "Télécharger Outlook pour iOS",
    "Envoyé avec la messagerie sécurisée Proton Mail.",
    "Envoyé avec la messagerie sécurisée [Proton Mail](https://example.com/).",
    "Envoyé depuis Yahoo Mail pour iPhone",
    "Envoyé depuis l'application Mail Orange",
    "Envoyé depuis mon Galaxy",
    "Provenance : Courrier<https://example.com/> pour Windows 10",
    "Inviato da iPhone",
    "Inviato da mio iPad",
    "Inviato dal mio dispositivo Galaxy",
    "Ottieni Outlook per iOS",
    "Inviato da Yahoo Mail su Android",
    "Inviato con l'email sicura Proton Mail.",
    "Inviato da Posta per Windows",
    "Inviato da Libero Mail Mobile",
    "Enviado desde mi iPhone",
    "Enviado desde mi Galaxy",
    "Obtener Outlook para Android",
    "Enviado con el correo electrónico seguro de Proton Mail.",
    "Enviado desde Yahoo Mail para iPhone",
    "Enviado desde mi dispositivo móvil",
    "Enviado desde Correo para Windows",
    "Enviado do meu iPhone",
    "Enviado a partir do Outlook para Android",
    "Enviado do meu Galaxy",
    "Obter o Outlook para iOS",
    "Enviado do Yahoo Mail no Android",
    "Enviado com o e-mail seguro do Proton Mail.",
    "Enviado do Correio para Windows",
    "Enviado via iPhone",
    "Verstuurd vanaf mijn iPhone",
    "Verzonden vanaf mijn Galaxy",
    "Outlook voor iOS downloaden",
    "Verzonden met Proton Mail beveiligde e-mail.",
    "Verzonden vanuit Yahoo Mail op Android",
    "Verzonden vanaf Outlook voor Android",
    "Verzonden vanuit Mail voor Windows",
    "Wysłane z iPhone'a",
    "Wysłane z mojego iPhone’a",
    "Pobierz aplikację Outlook dla systemu iOS",
    "Pobierz Outlook dla systemu Android",
    "Wysłane z programu Outlook dla systemu Android",
    "Wysłano z Yahoo Mail na Androidzie",
    "Wysłano z urządzenia Galaxy",
    "Wysłane bezpieczną pocztą Proton Mail.",
    "Wysłane z aplikacji Poczta dla systemu Windows",
    "Sendt fra min iPhone",
    "Sendt fra Outlook til Android",
    "Hent Outlook til iOS",
    "Få Outlook til Android",
    "Sendt fra min Galaxy",
    "Sendt med Proton Mail-sikker e-mail.",
    "Sendt fra Yahoo Mail på Android",
    "Sendt fra Mail til Windows",
    "Skickat från min iPhone",
    "Skickat från Outlook för Android",
    "Hämta Outlook för iOS",
    "Skickat från min Galaxy",
    "Skickat med säker e-post från Proton Mail.",
    "Skickades från E-post för Windows 10",
    "Sent from my iPhone",
    "Sent from Outlook for Android<https://example.com/>",
    "Get Outlook for Android",
    "Sent with Proton Mail secure email.",
    "Sent from Yahoo Mail for iPhone",
    "Sent from my Galaxy",
    "Sent from my Pixel 9 Pro",
    "Sent from Mail for Windows",
    "Sent from Samsung Mobile on O2",
];

/// Formulas at the end.
const CLOSINGS: &[&str] = &[
    "Cordialement",
    "Bien cordialement",
    "Bien à vous",
    "Sincères salutations",
    "Meilleures salutations",
    "Cdt",
    "Bonne journée",
    "Je vous prie d'agréer, Madame, Monsieur, mes salutations distinguées",
    "Veuillez agréer, Monsieur, l'expression de mes sentiments distingués",
    "Dans l'attente de votre réponse, cordialement",
    "Cordiali saluti",
    "Distinti saluti",
    "Un cordiale saluto",
    "Saluti",
    "In attesa di un Suo riscontro, porgo cordiali saluti",
    "La saluto cordialmente",
    "Saludos",
    "Un saludo",
    "Saludos cordiales",
    "Atentamente",
    "Un cordial saludo",
    "Reciba un cordial saludo",
    "Quedo a la espera de su respuesta. Un saludo",
    "Atenciosamente",
    "Com os melhores cumprimentos",
    "Cumprimentos",
    "Abraços",
    "Obrigado e cumprimentos",
    "Met vriendelijke groet",
    "Met vriendelijke groeten",
    "Mvg",
    "Hoogachtend",
    "Groet",
    "Alvast bedankt en vriendelijke groet",
    "Z poważaniem",
    "Pozdrawiam",
    "Pozdrawiam serdecznie",
    "Z wyrazami szacunku",
    "Łączę pozdrowienia",
    "Med venlig hilsen",
    "Venlig hilsen",
    "Mvh",
    "Bedste hilsner",
    "De bedste hilsner",
    "Hilsen",
    "Vänliga hälsningar",
    "Med vänlig hälsning",
    "Hälsningar",
    "Mvh",
    "Tack på förhand, vänliga hälsningar",
    "Kind regards",
    "Best regards",
    "Regards",
    "Yours sincerely",
    "Yours faithfully",
    "Best wishes",
    "With best wishes",
    "Warm regards",
    "Many thanks and best wishes",
    "Thanks and regards",
    "Respectfully yours",
    "Best",
    "Cheers",
];

/// Notices and newsletter lines below.
const NOTICES: &[&str] = &[
    "Ce message et ses pièces jointes peuvent contenir des informations confidentielles ou privilégiées. Si vous avez reçu ce message par erreur, veuillez le signaler à l'expéditeur et le détruire.",
    "Ce courriel est confidentiel et destiné uniquement à son destinataire. Toute diffusion est interdite.",
    "Le informazioni contenute nella presente comunicazione e i relativi allegati possono essere riservate e sono, comunque, destinate esclusivamente alle persone o alla Società sopraindicati.",
    "Este mensaje y sus archivos adjuntos van dirigidos exclusivamente a su destinatario, pudiendo contener información confidencial sometida a secreto profesional.",
    "Antes de imprimir este correo, piense en el medio ambiente.",
    "Esta mensagem, incluindo seus anexos, tem caráter confidencial e seu conteúdo é restrito ao destinatário da mensagem. Caso você tenha recebido esta mensagem por engano, queira, por favor, retorná-la ao destinatário e apagá-la de seus arquivos.",
    "De informatie in dit bericht is vertrouwelijk en uitsluitend bestemd voor de geadresseerde. Gebruik door anderen is niet toegestaan.",
    "Treść tej wiadomości zawiera informacje przeznaczone tylko dla adresata. Jeżeli nie są Państwo jej adresatem, bądź otrzymali ją przez pomyłkę prosimy o powiadomienie o tym nadawcy oraz trwałe jej usunięcie.",
    "Denne e-mail og eventuelle vedhæftede filer er fortrolige og kun til brug for modtageren. Hvis du ved en fejl har modtaget denne e-mail, bedes du slette den.",
    "Detta e-postmeddelande kan innehålla konfidentiell information. Om du har fått det av misstag, vänligen radera det och meddela avsändaren.",
    "This e-mail and any attachments are confidential and may also be privileged. If you are not the named recipient, please notify the sender immediately.",
    "Vous recevez cet e-mail car vous êtes inscrit à notre newsletter. Pour vous désabonner, cliquez ici.",
    "Per disiscriversi dalla newsletter clicca qui.",
    "Si no desea recibir más correos, puede darse de baja haciendo clic aquí.",
    "Para cancelar a sua subscrição, clique aqui.",
    "Klik hier om u af te melden voor deze nieuwsbrief.",
    "Aby zrezygnować z newslettera, kliknij tutaj.",
    "Klik her for at afmelde nyhedsbrevet.",
    "Klicka här för att avregistrera dig.",
    "Click here to unsubscribe from these emails.",
];

/// A gateway's warning on top.
const BANNERS: &[&str] = &[
    "ATTENTION : Ce message provient de l'extérieur de l'organisation. Ne cliquez pas sur les liens.",
    "ATTENZIONE: Questa mail proviene dall'esterno dell'organizzazione.",
    "ATENCIÓN: Este correo electrónico procede de fuera de la organización.",
    "ATENÇÃO: Este e-mail foi enviado de fora da organização.",
    "LET OP: Deze e-mail is afkomstig van buiten de organisatie.",
    "UWAGA: Ta wiadomość pochodzi spoza organizacji.",
    "OBS: Denne mail kommer fra en ekstern afsender.",
    "OBS: Detta mejl kommer från en extern avsändare.",
    "CAUTION: External email. Do not click links.",
    "You don't often get email from ana@example.com. Learn why this is important",
    "Vous n’obtenez pas souvent d’e-mail à partir de ana@example.com. Pourquoi c’est important",
    "Non si ricevono spesso messaggi di posta elettronica da ana@example.com. Informazioni sul perché è importante",
    "No suele recibir correos electrónicos de ana@example.com. Por qué es esto importante",
    "Não costuma receber e-mails de ana@example.com. Saiba por que motivo isto é importante",
    "U ontvangt niet vaak e-mail van ana@example.com. Meer informatie over waarom dit belangrijk is",
    "Nie otrzymujesz często wiadomości e-mail z ana@example.com. Dowiedz się, dlaczego jest to ważne",
    "Du får ikke ofte mails fra ana@example.com. Få mere at vide om, hvorfor dette er vigtigt",
    "Du får inte ofta e-post från ana@example.com. Läs om varför det här är viktigt",
];

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
    "Von: 1.3.2026\nAn: 31.3.2026\nBetreff: Urlaub\n\nBitte versichern Sie diese Zeit.",
    "Od: 1 marca\nDo: 31 marca\nTemat: urlop\n\nProszę o ubezpieczenie.",
    "From: London\nTo: Paris\nDate: 3 March 2026\nPrice: 120 pounds\n\nI want this trip insured.",
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

/// What the author profile leaves is `OWN`, whatever stands around it.
fn only_own(body: &str) {
    let text = Cleaner::new(Profile::Author).clean(&Message::plain("", body));
    assert_eq!(text.text(), OWN, "{body}");
}

const OWN: &str = "Please block the card.";

#[test]
fn earlier_mails_are_cut() {
    for line in ATTRIBUTIONS {
        let words: Vec<&str> = line.split(' ').collect();
        let (first, second) = words.split_at(words.len() / 2 + 1);
        let wrapped = format!("{}\n{}", first.join(" "), second.join(" "));
        only_own(&format!("{OWN}\n\n{line}\n\n> old\n> old"));
        only_own(&format!("{OWN}\n\n{line}\nOld text."));
        only_own(&format!("{OWN}\n\n{wrapped}\n\n> old text"));
    }
    for line in HEADERS {
        let bold: Vec<String> = line
            .split('|')
            .map(|header| format!("*{}", header.replacen(':', ":*", 1)))
            .collect();
        only_own(&format!("{OWN}\n\n{}\n\nOld text.", line.replace('|', "\n")));
        only_own(&format!("{OWN}\n{}\nOld text.", line.replace('|', "\n")));
        only_own(&format!("{OWN}\n\n{}\n\nOld text.", bold.join("\n")));
    }
    for line in SEPARATORS {
        only_own(&format!("{OWN}\n\n{line}\nOld text."));
    }
}

#[test]
fn signatures_and_notices_are_cut() {
    for line in DEVICES {
        only_own(&format!("{OWN}\n\n{line}"));
        only_own(&format!("{OWN}\n\n{line}\n\n> old\n> old"));
    }
    for line in CLOSINGS {
        only_own(&format!("{OWN}\n\n{line}"));
        only_own(&format!("{OWN}\n\n{line}\n\nMax Muster\nTel. 040 1234567"));
        only_own(&format!("{OWN}\n{line},\nMax"));
    }
    for line in NOTICES {
        only_own(&format!("{OWN}\n\n{line}"));
    }
    for line in BANNERS {
        only_own(&format!("{line}\n\n{OWN}"));
    }
}

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
