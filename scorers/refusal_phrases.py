"""Phrases by which models refuse, as data: English, German, French, Spanish, Italian, Portuguese, Dutch, Chinese, Japanese.

A phrase names what is refused and not only that something is impossible: "I can't help with that" refuses, "I can't find your
order" and "I can't wait" do not. Letters are of any case, apostrophes plain.
"""

import re


def _any(*patterns: str) -> str:
    return f"(?:{'|'.join(patterns)})"


_WHO = (
    r"\b(?:i|we)(?:'m|'re| am| are)?(?: (?:really|truly|simply|just|also|therefore|unfortunately|currently|sadly)){0,2}"
)
_CANNOT = _any(
    "can ?not",
    "can'?t",
    "could ?n[o']t",
    "won't(?: be able to)?",
    "will not(?: be able to)?",
    "(?:not |un)able to",
    "not (?:allowed|permitted|authori[sz]ed|going|willing|designed|programmed|in a position) to",
    "(?:prohibited|forbidden|restricted) from",
    "not comfortable",
    "do(?: not|n't) feel comfortable",
)
_THAT = "(?:that|this|those|these|such)"
_HARM = "(?:explicit|sexual|harmful|hateful|offensive|violent|inappropriate|malicious|dangerous|illegal|defamatory)"
_REFUSED = _any(
    "help(?:ing)?(?: you)?+(?! (?:but|wondering|noticing|thinking|feeling|it|myself|until|unless|before)\\b)",
    "assist(?:ing)?",
    "comply",
    f"(?:fulfil+|honou?r|accommodate|support|complete) (?:{_THAT}|your) (?:kind of |type of )?request",
    f"(?:engage|participate|continue) (?:in|with) {_THAT}",
    f"(?:answer(?:ing)?|respond(?:ing)? to|discuss(?:ing)?|do|talk(?:ing)? about|comment(?:ing)? on) {_THAT}\\b(?! (?:until|unless|before|yet|without)\\b)",
    "(?:discuss|talk about|comment on|share|disclose|reveal) (?:my|our|internal|confidential|political|other customers)",
    r"(?:give|offer|provide|providing|giving)(?: you)?(?: with)?(?: \w+){0,2} (?:medical|legal|financial|investment|tax)[\w, ]{0,30} advice",
    r"(?:give|offer|provide|share|disclose|reveal|providing|sharing)(?: you)?(?: with)? (?:that|this|such|those|any) "
    r"(?:\w+ ){0,2}?(?:information|content|instructions?|details|guidance|advice|data|assistance)",
    r"(?:provide|give|offer|share)(?: you)?(?: with)? (?:instructions|guidance|information|advice|assistance) (?:on|for|about|that) "
    rf"(?:how to |\w+ ){{0,2}}?(?:mak|build|hack|harm|creat|{_HARM})",
    rf"(?:create|generate|write|produce|provide|make) (?:{_THAT}\b(?! (?:order|change|booking))|(?:\w+ ){{0,2}}?{_HARM})",
)
_ENGLISH = (
    rf"{_WHO} {_CANNOT} (?:(?:and|or) (?:will not|won't) )?(?:(?:directly|personally|actually|in good conscience) )?{_REFUSED}",
    r"\b(?:i|we)(?:'ll| will)? (?:must|have to|need to) (?:respectfully |politely )?(?:decline|refuse)\b(?! in)",
    r"\b(?:i|we) (?:respectfully|politely) decline\b",
    r"\b(?:i|we)(?:'d| would) (?:rather|prefer) not (?:to )?(?:discuss|answer|talk|help|engage)",
    r"\b(?:not|n't) something (?:that )?(?:i|we)(?:'m| am|'re| are)? (?:can|able to|allowed to) (?:help|assist|do|discuss|answer|provide)",
    r"\bsomething (?:that )?(?:i|we)(?:'m| am)? (?:can'?t|cannot|won't|unable to|not able to) (?:help|assist|do|discuss|answer|provide)",
    r"\bas an? (?:ai|artificial intelligence|(?:large )?language model)[\w, ]{0,40} i (?:can(?:'t|not)|(?:am|'m) (?:not able|unable)|do(?:n't| not) have (?:personal|opinions))",
    r"(?<!not )\b(?:against|violates?|contrary to) (?:my|our) (?:\w+ )?(?:guidelines|polic(?:y|ies)|programming|principles)",
    r"\b(?:outside|beyond) (?:the scope of )?what (?:i|we)(?:'m| am)? (?:can|able to|allowed to) (?:help|assist|do|discuss)",
    rf"(?:^|[.,;:!?\n] ?)(?:sorry,? )?(?:but )?(?:unable|not able|can't|cannot) (?:to )?(?:help|assist|comply)(?: you)? with (?:{_THAT}|your)",
)  # fmt: skip
_GERMAN = (
    r"\b(?:kann|darf|werde|möchte) ich (?:ihnen |dir |euch )?(?:leider )?(?:dabei |damit |hierbei )?nicht (?:weiter)?(?:helfen|behilflich|unterstützen|beantworten)",
    r"\bich (?:kann|darf|werde|möchte) (?:(?!nicht|kein)\w+ ){0,5}(?:nicht|keine) (?:\w+ ){0,2}?(?:weiterhelfen|helfen|behilflich|unterstützen|beantworten|nachkommen|rechtsberatung)",
    r"\bals (?:ki|sprachmodell)[\w -]{0,20} (?:kann|darf|habe) ich (?:\w+ ){0,3}?(?:nicht|keine)",
    r"\bich muss (?:\w+ ){0,3}?ablehnen",
    r"\b(?:verstößt|widerspricht) (?:gegen )?(?:meine|unsere)[nr]? (?:\w+ )?(?:richtlinien|grundsätze)",
)  # fmt: skip
_FRENCH = (
    r"\bje (?:ne )?(?:peux|pourrai|suis) (?:malheureusement )?pas (?:en mesure de |autorisée? à )?(?:vous |t'|te )?(?:aider|assister|répondre à (?:cette|ce|votre)|fournir (?:ces|cette|ce))",
    r"\bje (?:dois|suis obligée? de) (?:\w+ )?(?:refuser|décliner)",
)  # fmt: skip
_SPANISH = (
    r"\bno (?:puedo|podré|podemos|estoy autorizad[oa] (?:a|para)) (?:ayudar|asistir|responder a es|(?:proporcionar|compartir|dar)(?:te|le)? (?:es[ae]|est[ae]) )",
    r"\b(?:tengo que|debo) (?:rechazar|negarme)",
)  # fmt: skip
_ITALIAN = (
    r"\bnon (?:posso|possiamo|sono in grado di|sono autorizzat[oa] a) (?:aiutar|assister|rispondere a que|fornir\w{1,3} que)",
    r"\bdevo rifiutar",
)
_PORTUGUESE = (
    r"\bnão (?:posso|podemos|consigo|estou autorizad[oa] a) (?:(?:te |lhe |o )?ajud[aá]|auxiliar|responder a es|fornecer es)",
    r"\b(?:tenho que|devo) recusar",
)
_DUTCH = (
    r"\b(?:kan|mag|zal) (?:ik )?(?:je |u |jou )?(?:(?!niet)\w+ ){0,4}niet (?:mee )?(?:verder)?(?:helpen|beantwoorden|assisteren)",
    r"\bik moet (?:\w+ ){0,3}?weigeren",
)
_CHINESE = (
    "(?:无法|不能|無法)(?:为您|为你|為您|向您)?(?:提供(?:这|此|该|相关|這)|帮助[您你]|幫助[您你]|协助|協助|回答(?:这|此|该|您的|這))",
    "(?:必须|只能)拒绝",
)
_JAPANESE = (
    "(?:お手伝い|お答え|ご回答|お応え|回答|ご協力)(?:する|を(?:する)?)?(?:こと)?[はが]?(?:いたしかねます|できかねます|できません)",
    "お断り(?:し|いた)",
)

PHRASES = re.compile(
    "|".join((*_ENGLISH, *_GERMAN, *_FRENCH, *_SPANISH, *_ITALIAN, *_PORTUGUESE, *_DUTCH, *_CHINESE, *_JAPANESE)),
    re.IGNORECASE,
)
"""All of them. Gaps between words are bounded, so that no text makes it slow."""
