"""Words of several languages that subjects are read by: months, greetings, labels, reply marks.

English, Italian, German, French, Spanish, Portuguese, Dutch, Polish, Czech, Swedish, Danish,
Norwegian, Finnish, Hungarian, Romanian, Turkish, Greek and Russian, in lower case. Data only;
`smtpplus.rules.subject_patterns` uses it.
"""

# ruff: noqa: RUF001, SIM905 - words of many alphabets, in lists that are read as text

from __future__ import annotations

__all__ = [
    "AMBIGUOUS_MONTHS",
    "CURRENCIES",
    "FUNCTION_WORDS",
    "GREETINGS",
    "LABELS",
    "MONTHS",
    "REPLY_MARKS",
    "TITLES",
    "WEEKDAYS",
]

# What Gmail, Outlook and others put before the subject of a reply or a forward.
REPLY_MARKS = (
    "re fw fwd aw wg wtr sv vs vl antw doorst tr rif i r rv res enc odp pd ynt ilt atb bls"
).split()

MONTHS = (
    "january february april june july august september october november december "
    "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre "
    "januar jänner februar märz juni juli oktober dezember "
    "janvier février avril juin juillet août septembre octobre décembre "
    "enero febrero abril mayo junio julio septiembre setiembre octubre noviembre diciembre "
    "janeiro fevereiro março maio junho julho setembro outubro novembro dezembro "
    "januari februari maart augustus "
    "styczeń stycznia luty lutego marzec marca kwiecień kwietnia maja czerwiec czerwca lipiec "
    "lipca sierpień sierpnia wrzesień września październik października listopad listopada "
    "grudzień grudnia "
    "leden ledna únor února březen března duben dubna květen května červen června červenec "
    "července srpen srpna září říjen října prosinec prosince "
    "augusti maj desember "
    "tammikuu helmikuu maaliskuu huhtikuu toukokuu kesäkuu heinäkuu elokuu syyskuu lokakuu "
    "marraskuu joulukuu "
    "január február március április május június július augusztus szeptember október "
    "ianuarie februarie martie aprilie iunie iulie septembrie octombrie noiembrie decembrie "
    "ocak şubat nisan mayıs haziran temmuz ağustos eylül ekim kasım aralık "
    "ιανουάριος ιανουαρίου φεβρουάριος φεβρουαρίου μάρτιος μαρτίου απρίλιος απριλίου μάιος μαΐου "
    "ιούνιος ιουνίου ιούλιος ιουλίου αύγουστος αυγούστου σεπτέμβριος σεπτεμβρίου οκτώβριος "
    "οκτωβρίου νοέμβριος νοεμβρίου δεκέμβριος δεκεμβρίου "
    "январь января февраль февраля апрель апреля июнь июня июль июля август августа "
    "сентябрь сентября октябрь октября ноябрь ноября декабрь декабря"
).split()
# Words with another meaning: a month only beside a number.
AMBIGUOUS_MONTHS = (
    "may march mar mars mai mei mart marts марта март мая май jan feb apr jun jul aug sep sept oct "
    "nov dec okt dez mrz set ott giu lug ago gen mag dic janv févr avr juil abr ene"
).split()

WEEKDAYS = (
    "monday tuesday wednesday thursday friday saturday sunday "
    "lunedì martedì mercoledì giovedì venerdì sabato domenica "
    "montag dienstag mittwoch donnerstag freitag samstag sonnabend sonntag "
    "lundi mardi mercredi jeudi vendredi samedi dimanche "
    "lunes martes miércoles jueves viernes sábado domingo "
    "segunda-feira terça-feira quarta-feira quinta-feira sexta-feira "
    "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag "
    "poniedziałek wtorek środa czwartek piątek sobota niedziela "
    "måndag tisdag onsdag torsdag fredag lördag söndag mandag tirsdag lørdag søndag "
    "maanantai tiistai keskiviikko torstai perjantai lauantai sunnuntai "
    "pazartesi salı çarşamba perşembe cuma cumartesi pazar "
    "понедельник вторник среда четверг пятница суббота воскресенье"
).split()

GREETINGS = (
    "hi|hello|hey|dear|welcome|welcome back|good morning|good afternoon|good evening"
    "|congratulations|thanks|thank you|happy birthday"
    "|ciao|salve|buongiorno|buonasera|caro|cara|gentile|egregio|benvenuto|benvenuta|bentornato"
    "|bentornata|grazie|buon compleanno|complimenti"
    "|hallo|liebe|lieber|guten morgen|guten tag|guten abend|sehr geehrter|sehr geehrte|willkommen"
    "|moin|servus|grüezi|danke|herzlichen glückwunsch"
    "|bonjour|bonsoir|salut|cher|chère|bienvenue|merci|félicitations|joyeux anniversaire"
    "|hola|estimado|estimada|querido|querida|buenos días|buenas tardes|bienvenido|bienvenida"
    "|gracias|enhorabuena|feliz cumpleaños"
    "|olá|oi|prezado|prezada|bem-vindo|bem-vinda|bom dia|boa tarde|obrigado|obrigada|parabéns"
    "|hoi|beste|geachte|welkom|goedemorgen|goedemiddag|bedankt|gefeliciteerd"
    "|cześć|witaj|dzień dobry|szanowny|szanowna|drogi|droga|dziękujemy"
    "|ahoj|dobrý den|vážený|vážená|milý|milá"
    "|hej|hei|hejsan|kære|kjære|käre|kära|välkommen|velkommen|tack|takk"
    "|moi|terve|tervetuloa|kiitos|szia|kedves|üdvözöljük|köszönjük"
    "|bună|dragă|stimate|stimată|bun venit|mulțumim"
    "|merhaba|sayın|sevgili|hoş geldiniz|teşekkürler"
    "|γεια|γεια σας|αγαπητέ|αγαπητή|καλώς ήρθες"
    "|здравствуйте|привет|уважаемый|уважаемая|дорогой|дорогая|добрый день|добро пожаловать"
).split("|")
TITLES = (
    "mr mrs ms miss dr prof sir herr herrn frau sig sig.ra sigra signor signora dott dott.ssa ing "
    "avv monsieur madame mme mlle sr sra srta señor señora senhor senhora dhr mevr mevrouw pan pani"
).split()
CURRENCIES = (
    "eur usd gbp chf jpy cny inr aud cad nzd sek nok dkk pln czk huf ron bgn try rub brl mxn zar "
    "sgd hkd krw ils aed sar uah euro euros dollar dollars kr zł zl kč ft lei"
).split()
# In no name of several words; words that are somebody's name or part of one (an, su, von) are not here.
FUNCTION_WORDS = frozenset(
    (
        "a the for to from your our my their its of on in at by with and or we you us it is are this "
        "that not about has have "
        "für zum zur im ihr ihre ihrer ihren ihrem dein deine deiner deinen und oder bitte mit auf aus "
        "votre vos pour chez dans sur avec et nos notre un une est "
        "per il un una nel nella con tuo tua suo sua vostro vostra nostro nostra alla "
        "para sus tus el los las por en seu seus sua em "
        "voor je uw op met het een"
    ).split()
)
# What a mail is about, and what belongs to a greeting (hello again): nobody's name, nor in one.
LABELS = frozenset(
    (
        "again back aboard onboard here there now new all please today tomorrow tonight everyone "
        "everybody team friends don't forget goodbye bye farewell sorry attention important urgent "
        "action required warning alert alerts reminder notice notification update updates news "
        "newsletter message messages comment reply report summary statement order orders invoice "
        "receipt payment refund delivery shipment package parcel shipped delivered received "
        "confirmed confirmation completed approved declined failed cancelled canceled expired ready "
        "ticket request appointment booking reservation subscription account password security "
        "verification code login offer offers sale deal deals discount exclusive free limited "
        "special final invitation event webinar survey feedback review happy christmas easter "
        "holidays year friday thanks welcome congratulations "
        "zurück wieder heute jetzt neue tschüss wiedersehen entschuldigung achtung wichtig dringend "
        "warnung hinweis erinnerung mahnung mitteilung nachricht nachrichten neuigkeiten bericht "
        "übersicht bestellung auftrag rechnung zahlung erstattung lieferung versand paket sendung "
        "bestätigung bestätigt versandt versendet geliefert eingegangen erhalten bezahlt storniert "
        "termin buchung reservierung konto passwort sicherheit anmeldung angebot angebote rabatt "
        "aktion gutschein einladung umfrage bewertung weihnachten ostern glückwunsch "
        "oggi domani arrivederci addio scusa attenzione importante urgente avviso promemoria "
        "sollecito novità notizie messaggio messaggi ordine ordini fattura ricevuta pagamento "
        "rimborso consegna spedizione pacco spedito spedita consegnato consegnata ricevuto conferma "
        "confermato confermata richiesta appuntamento prenotazione abbonamento sicurezza codice "
        "accesso offerta offerte sconto saldi invito sondaggio recensione "
        "aujourd'hui demain retour revoir désolé rappel nouveautés nouvelles commande facture "
        "reçu paiement remboursement livraison colis expédié expédiée livré livrée confirmé "
        "confirmée demande rendez-vous réservation abonnement compte sécurité offre offres promo "
        "soldes remise enquête "
        "hoy mañana adiós atención aviso recordatorio novedades noticias mensaje pedido pedidos "
        "factura recibo pago reembolso entrega envío paquete enviado enviada entregado entregada "
        "recibido confirmación confirmado confirmada solicitud cita reserva suscripción cuenta "
        "contraseña seguridad código oferta ofertas descuento rebajas invitación encuesta "
        "hoje amanhã adeus atenção lembrete novidades notícias mensagem encomenda fatura entregue "
        "pacote confirmação agendamento assinatura conta senha segurança desconto promoção convite "
        "terug vandaag ziens belangrijk herinnering nieuws bericht bestelling factuur betaling "
        "levering pakket verzonden bezorgd bevestiging bevestigd afspraak boeking reservering "
        "abonnement wachtwoord beveiliging aanbieding korting uitnodiging enquête "
        "ważne przypomnienie wiadomość zamówienie faktura płatność dostawa paczka wysłane "
        "potwierdzenie oferta rabat zaproszenie "
        "připomínka zpráva objednávka platba zásilka odesláno doručeno potvrzení nabídka sleva "
        "pozvánka "
        "viktigt viktig påminnelse påmindelse nyheter nyheder meddelande melding besked beställning "
        "bestilling ordre betalning leverans pakke bekräftelse bekreftelse bekræftelse erbjudande "
        "tilbud inbjudan "
        "tärkeää muistutus uutiset viesti tilaus lasku maksu toimitus paketti vahvistus tarjous "
        "kutsu fontos emlékeztető hírek üzenet rendelés számla fizetés szállítás csomag "
        "visszaigazolás ajánlat meghívó "
        "comandă comanda factură plată livrare colet confirmare ofertă știri mesaj invitație "
        "önemli hatırlatma haberler mesaj sipariş siparişiniz fatura ödeme kargo teslimat onay "
        "teklif indirim davet "
        "υπενθύμιση παραγγελία τιμολόγιο πληρωμή αποστολή παράδοση επιβεβαίωση προσφορά "
        "важно напоминание новости сообщение заказ счёт счет оплата доставка посылка подтверждение "
        "предложение скидка приглашение"
    ).split()
)
