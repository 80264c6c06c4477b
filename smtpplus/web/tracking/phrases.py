"""What the unsubscribe page says, in the languages of those who may read it.

Guarantees: every language has every phrase (checked when the module is loaded). `{list}` and
`{address}` are filled in by the page, which escapes them.
"""

# ruff: noqa: RUF001  # the typographic apostrophe is the right one

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["LANGUAGES", "REASONS", "language_for"]

# What an unsubscriber may say: the value of the form, as it is kept.
REASONS: Final = ("too often", "not interesting", "never asked for it", "other")

_RANGE = re.compile(r"([a-z]{2,3})(?:-[a-z0-9-]*)?(?:;q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?))?")
_MOST_RANGES = 20

_ENGLISH = {
    "ask": "Unsubscribe from “{list}”?",
    "ask_text": "You will not get any more of these mails at {address}.",
    "why": "Would you tell us why? (optional)",
    "too often": "They come too often",
    "not interesting": "They do not interest me",
    "never asked for it": "I never asked for them",
    "other": "Another reason",
    "unsubscribe": "Unsubscribe",
    "done": "You are unsubscribed",
    "done_text": "No more mails of “{list}” will be sent to {address}.",
    "undo": "Undo: subscribe again",
    "back": "You are subscribed",
    "back_text": "Mails of “{list}” will go on to be sent to {address}.",
    "others": "Other mails from the same sender",
    "active": "subscribed",
    "inactive": "unsubscribed",
    "stop": "Unsubscribe",
    "resume": "Subscribe",
    "broken": "This link does not work",
    "broken_text": "It was cut short or altered on its way. Open it again from the mail, or write"
    " to who sent it.",
    "old": "This link is too old",
    "old_text": "The mail it came with is no longer known here. Use the link of a newer mail, or"
    " write to who sent it.",
    "unclear": "Nothing was changed",
    "unclear_text": "The request did not say what to do. Open the link of the mail and press the"
    " button.",
    "busy": "Please try again in a moment",
    "busy_text": "Your wish could not be written down just now, nothing was changed. Wait a"
    " minute, then try again.",
    "many": "Too many requests",
    "many_text": "Too many requests came from your network. Wait a minute, then try again.",
}
_GERMAN = {
    "ask": "Von „{list}“ abmelden?",
    "ask_text": "Sie erhalten dann keine dieser E-Mails mehr an {address}.",
    "why": "Möchten Sie uns den Grund nennen? (freiwillig)",
    "too often": "Sie kommen zu oft",
    "not interesting": "Sie interessieren mich nicht",
    "never asked for it": "Ich habe sie nie bestellt",
    "other": "Ein anderer Grund",
    "unsubscribe": "Abmelden",
    "done": "Sie sind abgemeldet",
    "done_text": "An {address} werden keine E-Mails von „{list}“ mehr gesendet.",
    "undo": "Rückgängig: wieder anmelden",
    "back": "Sie sind angemeldet",
    "back_text": "E-Mails von „{list}“ werden weiter an {address} gesendet.",
    "others": "Weitere E-Mails desselben Absenders",
    "active": "angemeldet",
    "inactive": "abgemeldet",
    "stop": "Abmelden",
    "resume": "Anmelden",
    "broken": "Dieser Link funktioniert nicht",
    "broken_text": "Er wurde unterwegs gekürzt oder verändert. Öffnen Sie ihn noch einmal aus der"
    " E-Mail, oder schreiben Sie dem Absender.",
    "old": "Dieser Link ist zu alt",
    "old_text": "Die zugehörige E-Mail ist hier nicht mehr bekannt. Nehmen Sie den Link einer"
    " neueren E-Mail, oder schreiben Sie dem Absender.",
    "unclear": "Es wurde nichts geändert",
    "unclear_text": "Die Anfrage sagte nicht, was zu tun ist. Öffnen Sie den Link der E-Mail und"
    " drücken Sie den Knopf.",
    "busy": "Bitte versuchen Sie es gleich noch einmal",
    "busy_text": "Ihr Wunsch konnte gerade nicht festgehalten werden, es wurde nichts geändert."
    " Warten Sie eine Minute und versuchen Sie es dann noch einmal.",
    "many": "Zu viele Anfragen",
    "many_text": "Aus Ihrem Netz kamen zu viele Anfragen. Warten Sie eine Minute und versuchen Sie"
    " es dann noch einmal.",
}
_ITALIAN = {
    "ask": "Annullare l’iscrizione a «{list}»?",
    "ask_text": "Non riceverà più queste e-mail all’indirizzo {address}.",
    "why": "Vuole dirci il motivo? (facoltativo)",
    "too often": "Arrivano troppo spesso",
    "not interesting": "Non mi interessano",
    "never asked for it": "Non le ho mai richieste",
    "other": "Un altro motivo",
    "unsubscribe": "Annulla l’iscrizione",
    "done": "L’iscrizione è annullata",
    "done_text": "Le e-mail di «{list}» non saranno più inviate a {address}.",
    "undo": "Ripristina: iscriviti di nuovo",
    "back": "L’iscrizione è attiva",
    "back_text": "Le e-mail di «{list}» continueranno a essere inviate a {address}.",
    "others": "Altre e-mail dello stesso mittente",
    "active": "iscritto",
    "inactive": "non iscritto",
    "stop": "Annulla l’iscrizione",
    "resume": "Iscriviti",
    "broken": "Questo link non funziona",
    "broken_text": "È stato troncato o modificato lungo il percorso. Lo apra di nuovo dall’e-mail,"
    " oppure scriva al mittente.",
    "old": "Questo link è troppo vecchio",
    "old_text": "L’e-mail a cui appartiene non è più nota qui. Usi il link di un’e-mail più"
    " recente, oppure scriva al mittente.",
    "unclear": "Non è stato modificato nulla",
    "unclear_text": "La richiesta non diceva che cosa fare. Apra il link dell’e-mail e prema il"
    " pulsante.",
    "busy": "Riprovi tra un momento",
    "busy_text": "La sua richiesta non ha potuto essere registrata e nulla è stato modificato."
    " Attenda un minuto e riprovi.",
    "many": "Troppe richieste",
    "many_text": "Dalla sua rete sono arrivate troppe richieste. Attenda un minuto e riprovi.",
}
_FRENCH = {
    "ask": "Se désinscrire de « {list} » ?",
    "ask_text": "Vous ne recevrez plus ces e-mails à l’adresse {address}.",
    "why": "Souhaitez-vous nous dire pourquoi ? (facultatif)",
    "too often": "Ils arrivent trop souvent",
    "not interesting": "Ils ne m’intéressent pas",
    "never asked for it": "Je ne les ai jamais demandés",
    "other": "Une autre raison",
    "unsubscribe": "Se désinscrire",
    "done": "Vous êtes désinscrit",
    "done_text": "Les e-mails de « {list} » ne seront plus envoyés à {address}.",
    "undo": "Annuler : se réinscrire",
    "back": "Vous êtes inscrit",
    "back_text": "Les e-mails de « {list} » continueront d’être envoyés à {address}.",
    "others": "Autres e-mails du même expéditeur",
    "active": "inscrit",
    "inactive": "désinscrit",
    "stop": "Se désinscrire",
    "resume": "S’inscrire",
    "broken": "Ce lien ne fonctionne pas",
    "broken_text": "Il a été coupé ou modifié en chemin. Ouvrez-le de nouveau depuis l’e-mail, ou"
    " écrivez à l’expéditeur.",
    "old": "Ce lien est trop ancien",
    "old_text": "L’e-mail correspondant n’est plus connu ici. Utilisez le lien d’un e-mail plus"
    " récent, ou écrivez à l’expéditeur.",
    "unclear": "Rien n’a été modifié",
    "unclear_text": "La demande ne disait pas quoi faire. Ouvrez le lien de l’e-mail et appuyez"
    " sur le bouton.",
    "busy": "Veuillez réessayer dans un instant",
    "busy_text": "Votre demande n’a pas pu être enregistrée, rien n’a été modifié. Attendez une"
    " minute, puis réessayez.",
    "many": "Trop de demandes",
    "many_text": "Trop de demandes sont venues de votre réseau. Attendez une minute, puis"
    " réessayez.",
}
_SPANISH = {
    "ask": "¿Darse de baja de «{list}»?",
    "ask_text": "No recibirá más estos correos en {address}.",
    "why": "¿Quiere decirnos por qué? (opcional)",
    "too often": "Llegan con demasiada frecuencia",
    "not interesting": "No me interesan",
    "never asked for it": "Nunca los pedí",
    "other": "Otro motivo",
    "unsubscribe": "Darse de baja",
    "done": "Se ha dado de baja",
    "done_text": "Los correos de «{list}» ya no se enviarán a {address}.",
    "undo": "Deshacer: suscribirse de nuevo",
    "back": "La suscripción está activa",
    "back_text": "Los correos de «{list}» se seguirán enviando a {address}.",
    "others": "Otros correos del mismo remitente",
    "active": "de alta",
    "inactive": "de baja",
    "stop": "Darse de baja",
    "resume": "Suscribirse",
    "broken": "Este enlace no funciona",
    "broken_text": "Se cortó o se modificó en el camino. Ábralo de nuevo desde el correo, o"
    " escriba a quien lo envió.",
    "old": "Este enlace es demasiado antiguo",
    "old_text": "El correo al que pertenece ya no se conoce aquí. Use el enlace de un correo más"
    " reciente, o escriba a quien lo envió.",
    "unclear": "No se ha cambiado nada",
    "unclear_text": "La solicitud no decía qué hacer. Abra el enlace del correo y pulse el botón.",
    "busy": "Inténtelo de nuevo en un momento",
    "busy_text": "Su petición no pudo registrarse ahora y no se ha cambiado nada. Espere un minuto"
    " e inténtelo de nuevo.",
    "many": "Demasiadas solicitudes",
    "many_text": "Llegaron demasiadas solicitudes desde su red. Espere un minuto e inténtelo de"
    " nuevo.",
}
LANGUAGES: Final[Mapping[str, Mapping[str, str]]] = {
    "en": _ENGLISH,
    "de": _GERMAN,
    "it": _ITALIAN,
    "fr": _FRENCH,
    "es": _SPANISH,
}


def language_for(accepted: str) -> str:
    """The language that an Accept-Language header (RFC 9110 §12.5.4) likes best of ours."""
    best, weight = "en", 0.0
    for part in accepted.lower().replace(" ", "").split(",")[:_MOST_RANGES]:
        match = _RANGE.fullmatch(part)
        if match is not None and match[1] in LANGUAGES:
            likes = 1.0 if match[2] is None else float(match[2])
            if likes > weight:
                best, weight = match[1], likes
    return best


def _check() -> None:
    for language, phrases in LANGUAGES.items():
        if phrases.keys() != _ENGLISH.keys():
            missing = phrases.keys() ^ _ENGLISH.keys()
            raise ValueError(f"the phrases of {language} are not complete: {sorted(missing)}")


_check()
