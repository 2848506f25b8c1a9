"""Pure: the words by which `answers` and `robots` understand what is written, in Finnish, Swedish and English.

A phrase a line, or several with commas between them. `*` is any ending of a word, `…` up to five words. Whoever knows
one of the languages can mend this file without knowing how it is used; what each list does is said above it.
"""

from __future__ import annotations

import re

_MARKS = re.compile(r"[^\w\s'.-]|(?<=\w)\.(?=\s|$)|(?<!\w)[-'.]|[-'](?!\w)")


def plain(text: str) -> str:
    """In lower case, one apostrophe, single spaces, and no marks but those inside words."""
    text = text.casefold().replace("\u2019", "'").replace("\u00b4", "'").replace("`", "'")
    return " ".join(_MARKS.sub(" ", text).split())


def phrases(*texts: str) -> str:
    """A regular expression for one of these phrases in a text that is `plain`."""
    found = [phrase.strip() for text in texts for phrase in re.split(r"[,\n]", text) if phrase.strip()]
    found.sort(key=len, reverse=True)  # of two that begin alike, the longer one
    return rf"(?<![\w-])(?:{'|'.join(map(_pattern, found))})(?!\w)"


def _pattern(phrase: str) -> str:
    words = re.escape(phrase).replace(r"\*", r"\w*")
    return words.replace(r"\ …\ ", r"(?: \S+){0,5} ").replace(r"\ ", " ")


# What may stand before an answer.
GREETINGS = """
    hei, heippa, moi, moikka, terve, tervehdys, päivää, huomenta, iltaa, hyvää päivää, hyvä vastaanottaja
    hej, hejsan, tjena, god dag, goddag, hallå
    hi, hello, hey, dear *, good morning, good day, dear sir or madam
"""

# Alone in a sentence, a no.
NO = """
    ei, en, emme, älä, älkää, eikä, ei tätä, ei missään tapauksessa, ei todellakaan, en todellakaan
    ei missään nimessä, ei ikinä, ei koskaan, ei kiinnosta
    nej, ej, inte, aldrig, absolut inte, verkligen inte, inte intresserad
    no, nope, never, not, no no, no no no, no i do not, no i don't, no way, absolutely not, certainly not
    not interested, definitely not
"""

# A sentence that begins so is a no, whatever comes after it.
REFUSALS = """
    minua ei kiinnosta, ei saa lisä*, ei käy, ei enää *posti*, ei enää viest*, älkää häiri*, älä häiri*, ei minua
    nej det vill jag inte, det vill jag inte, nej aldrig, vill inte ha, jag avböjer, tack men nej, inte jag
    i'd rather not, i would rather not, thanks but no, thank you but no, hell no, nope, take me off
    ei kiitos, ei kiitti, en kiitos, ei kiinnosta, ei tarvitse, ei ole kiinnostusta
    en halu*, emme halu*, en tahdo*, emme tahdo*, en liity*, emme liity*, en vahvista*, emme vahvista*, en tilaa*
    en oo tilan*, en oo pyytän*, en suostu*, emme suostu*, en hyväksy*, en ole kiinnostunut, en ole halu*
    en ole tilan*, en ole pyytän*
    minä en halu*, mä en halu*, minä en liity*, mä en haluu*, en todellakaan halu*, me emme halu*
    älä lisä*, älkää lisä*, älä lähet*, älkää lähet*, älä liit*, älkää liit*, älä ota yhteyttä, älkää ottako yhteyttä
    älä enää lähet*, älkää enää lähet*, kiellän, kiellämme, vastustan
    nej tack, nä tack, nej tackar, jag vill inte, jag vill absolut inte, jag vill verkligen inte, vi vill inte
    jag vill ej, jag önskar inte, jag bekräftar inte, jag samtycker inte, jag är inte intresserad, jag ska inte
    jag går inte med, jag tänker inte, jag godkänner inte, vill inte, vill ej, inte intresserad
    lägg inte till, skicka inte, skicka aldrig, kontakta inte, kontakta mig inte, skicka mig inte, anmäl mig inte
    jag förbjuder, vi förbjuder, jag motsätter mig, härmed förbjuder jag
    no thanks, no thank you, no thx, no thankyou, not interested, no more, no way
    i do not want, i don't want, i dont want, i do not wish, i don't wish, i do not agree, i don't agree
    i do not consent, i don't consent, i do not confirm, i don't confirm, i would not like, i wouldn't like
    i am not interested, i'm not interested, we do not want, we don't want, we are not interested
    i will not, i won't, i do not like to, i do not subscribe
    do not add, don't add, do not sign, don't sign, do not send, don't send, do not subscribe, don't subscribe
    do not contact, don't contact, do not mail, do not email, don't email, do not e-mail, do not confirm
    please do not, please don't, i forbid, i hereby forbid, i object, i hereby object, we object, i decline, i refuse
"""

# A sentence of these words alone asks to be taken off.
TAKE_OFF = """
    unsubscribe, remove, delete, cancel, stop, opt out, optout, opt-out, quit, signoff, sign off, take off, off
    poista, poistakaa, peru, perukaa, peruuta, peruuttakaa, lopeta, lopettakaa, eroa, eroan, perun, peruutan
    ta bort, avregistrera, avsluta, avbeställ, avanmäl, stryk, radera, stoppa, sluta
"""
WITH_IT = """
    me, my, please, pls, kindly, now, this, from, the, list, address, email, e-mail, emails, mail, mails, it, sending
    subscription, all, these, immediately, at, once, mailing, your, database, out, of, and, sir, thanks, thank you, us
    minut, minun, osoitteeni, osoite, sähköpostini, sähköpostiosoitteeni, tilaus, tilaukseni, tilauksen
    listalta, heti
    postituslistalta, tämä, nyt, kiitos, postit, viestit, liittyminen, liittymiseni, rekisteristä, teidän, tästä
    lähettäminen, olkaa hyvä ja, pyydän, hyvä, tämä osoite
    mig, min, mitt, e-post, e-posten, e-postadress, e-postadressen, adress, adressen, från, listan, lista, er, era
    prenumeration, prenumerationen, tack, nu, genast, skicka, detta, det, mejl, snälla, vänligen, var god
"""

# They say that they did not ask.
DISOWNING = """
    en ole tilannut, en ole … tilannut, en ole pyytänyt, en ole … pyytänyt, en ole ilmoittautunut, en ole liittynyt
    en ole rekisteröitynyt, en ole kirjautunut, en ole … liittymässä, en oo tilannut, en oo pyytäny, en pyytänyt
    en tilannut, en liittynyt, en ilmoittautunut, emme ole tilanneet, emme ole pyytäneet, en ollut minä, en ole se
    ei ollut minä, ei tullut minulta, minä en ole tilannut, väärä osoite, väärään osoitteeseen, väärässä osoitteessa
    väärä henkilö, väärä ihminen
    jag har inte bett, jag har aldrig bett, jag har inte beställt, jag har aldrig beställt, jag har inte begärt
    jag har inte anmält, jag har aldrig anmält, jag har inte prenumererat, har inte bett om, har inte anmält mig
    jag bad inte, jag beställde inte, det var inte jag, det var ej jag, fel adress, fel person, fel mottagare
    i did not ask, i didn't ask, i didnt ask, i never asked, i have not asked, i haven't asked, i did not sign up
    i didn't sign up, i never signed up, i have not signed up, i haven't signed up, i did not request
    i didn't request, i never requested, i have never requested, i did not subscribe, i didn't subscribe
    i never subscribed, i did not register, i didn't register, i never registered, i did not order, i never joined
    i did not join, i didn't join, was not me, wasn't me, wrong address, wrong email address, wrong e-mail address
    wrong person, wrong email, wrong e-mail, wrong recipient, not requested by me
"""

# Beside one of these, a text is left to a person: a no somewhere inside.
NEGATIONS = """
    ei, eikä, emme, ette, eivät, älä, älkää, älköön, ikinä, koskaan, enkä, eipä, enpä, eihän, enhän, eikö
    ettekä, etkö
    ei kai, enempää, tarpeeton, turha
    inte, ej, icke, aldrig, inga, inget, ingen, ingenting, nej, nä, utan, knappast, varken
    no, not, never, none, nothing, nope, neither, nor, without, cannot, can't, cant, don't, dont, doesn't, didn't
    didnt, won't, wont, isn't, wasn't, haven't, hasn't, ain't, couldn't, wouldn't, shouldn't, hardly, nobody
    pas, jamais, nunca, mitte, ära, nein, nicht, kein*, non, ikke, nei, niet, geen, nie, nu, não, nee, нет, не, ні
"""

# … a doubt, a condition, a question without its mark, a reproach.
DOUBTS = """
    valitt*, rauhassa, rauhaan, rahat, rahani
    pengar*, slippa, borttag*, bort*, veta mer, förklara, undrar, ring
    refund*, money, want out, bye, apolog*, know more, explain*, call me
    mutta, vaikka, ehkä, kenties, miksi, miks, kuka, ketkä, kenen, keneltä, mikä, mitä, mistä, mihin, miten
    milloin, millä
    väär*, virhe*, erehdy*, vahing*, roskapost*, spämm*, huija*, huijau*, kalastelu*, poista*, poisto*, peru, perukaa
    perun, perut*, peruuta*, peruisi*, poistu*, haista*, saisinko, saanko, voinko, voisinko, voitteko, onko, olisiko
    oletteko, paljonko, lisätie*, lopet*, eroa*, erota, kiell*, kielt*, vastusta*, valita*, valitus*, poliis*
    lakimie*, tietosuoj*, odota*, odotta*, myöhemmin, harkits*, harkit*, mieti*, epäile*, anteeksi, pahoittel*
    kuollut
    kuolleen, eläkkeellä, häirin*, luvatta, ilman lupaa, rikos*, estä*, jos, kunnes, sijaan, toistaiseksi, vasta
    kyllästy*, lopuksi pois, pois, laitto*, jätä, jättäkää rauhaan
    kan jag, kan ni, får jag, finns det, mer info*, vet inte, men, kanske, varför, vem, vilka, vilken, vad, hur
    när, fel, felaktig*, misstag*, skräp*, bluff*, bedräger*
    nätfiske*, ta bort, tas bort, tagit bort, bort, radera*, avsluta*, avregistrer*, avanmäl*, avbeställ*
    stryk*, sluta
    stoppa*, förbjud*, förbud*, vägra*, avböj*, avstå*, motsätt*, invänd*, polis*, jurist*, dataskydd*, vänta*, senare
    fundera*, tveka*, tyvärr, ursäkta, förlåt, avliden, avlidit, pensionera*, ifall, tills, istället, lov
    olaglig*, om ni
    can i, can you, could you, may i, is this, is it, do you, are you, more info*, more about, tell me, remind*
    but, however, unless, maybe, perhaps, unsure, why, who, what, which, whose, how come, how did, how do
    how much, wrong
    mistake*, error*, spam*, scam*, fraud*, phish*, junk, unsubscri*, unwanted, unsolicited, remove*, remov*, delet*
    cancel*, stop*, opt out, opt-out, optout, opting out, quit, complain*, report*, illegal*, police, lawyer*, gdpr
    forbid*, refus*, declin*, reject*, object*, wait*, later, until, instead, doubt*, consider*, think about, sorry
    unknown, deceased, retired, died, leave, leaving, fwd, fw, vl, vb, block*, abus*, harass*, permission, forget
    if, only, first, someone else, somebody else, no one, off
"""

# … what programs write that do not say that they are programs.
PROGRAMS = """
    automaatti*, out of office, out of the office, lomalla, vuosilom*, kesälom*, poissa, matkoilla
    tavoitettav*, palaan
    vastaanot*, otettu vastaan, saapunut, tukipyyn*, palvelupyyn*, tapausnumero, tiketti
    mahdollisimman pian, kiireel*, kiireisis*, postilaatik*, yhteydenot*, käsitel*, käsittel*, vastaamme, ruuhka*
    automat*, autosvar*, mottag*, tagit emot, ärende*, så snart som, snarast, semester*, bortrest, ledig, frånvar*
    åter, tillbaka, brådskand*, brevlåd*, återkommer, vi svarar, behandla*
    to confirm your, your message, your email, your e-mail, please reply, reply to this, ditt meddelande, viestisi
    auto-repl*, autorepl*, vacation, on holiday, on leave, annual leave, am away, i'm away, am out, i'm out, be back
    travelling, traveling, ticket*, case number, case id, reference number, received, receipt
    thank you for your email, thank you for your e-mail
    thank you for your message
    as soon as possible, urgent*, verify*, verification, captcha, human, robot*, deliver*, undeliver*, mailbox*
    no longer, contacting, quarantin*, whitelist*, we will, we'll, will respond, will reply, will get back
    inquiry, enquiry
    business hours, working days, auto-response, autorespon*, auto-respon*
"""

# A text is a yes only with one of these in it …
ASSENTS = """
    kyllä, kyl, joo*, juu*, jees, jep*, ok, okei, okay, selvä, toki, totta kai, tottakai, ilman muuta, mielelläni
    mielellään, liityn, liitymme, liittyä, liittyisin, liittykää, liittäkää, liitä
    liitytään, liittymiseni, liittymisen, lisää, lisätkää, lisätä, vahvistan, vahvistamme, vahvistettu, hyväksyn
    suostun, tilaan, tilaisin, mukaan, mukana, listalle, postituslistalle, ottakaa, laita, laittakaa, sopii, käy
    kunnossa, pyysin, pyyntöni, pyyntö on minun, pyyntö tuli minulta, tilasin, ilmoittauduin, minä se olin
    se olin minä
    olen pyytänyt, olen tilannut, pitää paikkansa, oikein, kiinnostaa, kiinnostunut, mielenkiin*, mahtava*, loistava*
    absolut, gärna, självklart, visst, naturligtvis, okej, javisst, jajamän, jodå, japp, bekräftar, bekräftas, bekräfta
    bekräftat, anmäler mig, anmäl mig, gå med, går med, lägg till, lägga till, skriv upp
    med på listan, vara med, samtycker, godkänner, prenumerera, prenumererar, på listan, det går bra, det var jag
    stämmer, intresserad, kör på
    yes, yep, yeah, yup, sure, of course, certainly, gladly, happy to, fine, confirm, confirmed, confirming, agree
    agreed, approve, i'd love, add me, add us
    sign me up, sign us up, subscribe, join, joining, count me in, go ahead, it was me, that was me, it is me, it's me
    absolutely, definitely, indeed, sounds good, correct, interested
    haluan liittyä, haluan saada, haluan kuulla, haluan tilata, haluan lukea, haluan tiedot*, haluan uutis*
    haluan teidän, haluaisin saada, haluaisin kuulla, haluaisin tiedot*, haluamme saada, hyväksytty, olen tilaaja
    det vill jag, jag vill ha er, jag vill ha era, jag vill ha ert, jag vill ha nyhets*, jag vill ha utskick*
    jag vill få, jag vill läsa, jag vill bli medlem, bekräftelse
    i want to receive, i want to get, i want to read, i want to hear, i want to be on, i want your, i want the
    i would like to receive, i would like to get, i would like to read, i would like to hear, i would like to be on
    i would like your, i'd like to receive, i'd like to get, i'd like to read, i'd like to hear, i'd like to be on
    we want to receive, we would like to receive, i'm the one, i am the one
"""
# … or with one of these at the beginning of a sentence: elsewhere they mean something else.
ASSENTS_FIRST = """
    ja, jo, jes, jaa, y, bra, kör, toppen, fint, hyvä, hienoa, great, good, perfect, wonderful, right, true, please do
"""

# Words that only Swedish has. Beside one, `en` is the article; without, it is the Finnish "I don't".
SWEDISH = """
    jag, mig, och, på, gärna, listan, tack, vill, till, är, det, ja, med, lägg, som, bekräftar, anmäler, ett, för, av
    hälsningar, hej, er, att
"""

# Marketing is forbidden, not only left.
FORBIDDING = """
    kiellän, kiellämme, kiellettävä, markkinointikiel*, suoramarkkinointikiel*, mainoskiel*, vastustan, vastustamme
    ei … markkinoin*, ei … suoramarkkinoin*, ei … mainoks*, ei … mainont*, ei … mainost*, en … markkinoin*
    en … suoramarkkinoin*, en … mainoks*, en … mainont*, en … mainost*, älkää … mainoks*, älkää … markkinoin*
    älkää … suoramarkkinoin*, älä … mainoks*, älkää … mainost*, ei markkinoin*, ei suoramarkkinoin*, ei mainoks*
    ei mainont*, lopettakaa … markkinoin*, lopettakaa … mainost*, markkinoin* kielletty, markkinoin* on kielletty
    suoramarkkinoin* kielletty, suoramarkkinoin* on kielletty, mainokset kielletty
    älkää ikinä, älkää koskaan, älkää enää ikinä, älkää enää koskaan, älä ikinä, älä enää ikinä, älä enää koskaan
    älkää lähettäkö enää ikinä, älkää lähettäkö enää koskaan, älkää … enää koskaan, älkää … enää ikinä
    älkää … enää mitään, älkää enää … mitään, älä … enää mitään
    jag förbjuder, vi förbjuder, förbjuder jag, förbjuder härmed, jag motsätter mig, vi motsätter oss
    marknadsföringsförbud*, reklamförbud*, direktmarknadsföringsförbud*
    inte … marknadsföring*, inte … direktmarknadsföring*, inte … reklam*, ingen … marknadsföring*, ingen … reklam*
    ingen marknadsföring*, ingen direktmarknadsföring*, ingen reklam*, inte marknadsföring*, inte reklam*
    sluta … marknadsföring*, sluta … reklam*, aldrig … reklam*, aldrig mer, aldrig igen, aldrig någonsin
    aldrig … igen
    aldrig … mer
    i forbid, i hereby forbid, we forbid, i object, i hereby object, we object, i prohibit, forbid marketing
    forbid all
    forbid you, no marketing*, no advert*, no promotion*, no more marketing*, no more advert*, no … marketing*
    not … marketing*, don't … marketing*, stop … marketing*, never … marketing*, stop marketing*, stop advert*
    stop … advert*, not … advert*, don't … advert*, opt out of … marketing*, opt out of marketing*
    never … again, don't ever, do not ever, not ever, ever again, never ever
    never write, never mail, never email, never e-mail, never contact, never send
"""
# … on every channel, not only by mail.
EVERYTHING = """
    markkinoin*, markkinointikiel*, suoramarkkinoin*, suoramarkkinointikiel*, mainoks*, mainont*, mainost*
    mainoskiel*
    kaikki, kaiken, kaikkea, kaikenlai*, mitään, missään
    marknadsföring*, direktmarknadsföring*, marknadsföringsförbud*, reklam*, reklamförbud*, allt, all, alla, inget
    ingenting
    marketing, advertising, advertisements, adverts, promotion*, everything, anything, any way
"""
ONLY_BY_MAIL = """
    sähköpostimarkkinoin*, sähköpostimainont*, sähköpostimainoks*, mainossähköpost*, markkinointisähköpost*
    markkinointiviest*, mainosviest*, sähköpostitse, sähköpostilla, markkinoin* sähköpostilla
    e-postmarknadsföring*, e-postreklam*, reklam via e-post, marknadsföring via e-post, reklammejl, reklammail
    email marketing, e-mail marketing, marketing email*, marketing e-mail*, marketing mail*, promotional email*
    advertising email*, by email, by e-mail, via email
"""

# What the subjects of automatic answers begin with (Exchange, Gmail, and the usual programs).
AWAY = """
    automaattinen vastaus, automaattinen viesti, automaattinen kuittaus, automaattinen poissa*, automaattivastaus
    poissaolo*, lomavastaus, poissa, olen poissa, olen lomalla, olen matkoilla, lomalla, kesälomalla, vuosilomalla
    viestisi on vastaanotettu, lukukuittaus, olemme vastaanottaneet
    autosvar, auto-svar, auto svar, automatiskt svar, automatiskt meddelande, automatiskt e-post*, frånvaro
    frånvaromeddelande, frånvarande, ej på plats, semestersvar, semestermeddelande, på semester, jag är på semester
    jag är bortrest, jag är ledig, jag är inte på, tjänsteledig, läskvitto
    automatic reply, automatic response, automatic answer, automatic email, automatic e-mail, automatic message
    automated reply, automated response, automated message, automated email, automated e-mail, auto reply, auto-reply
    autoreply, auto response, auto-response, autoresponse, autoresponder, auto-responder, auto respond*, auto ack*
    out of office, out-of-office, out of the office, out-of-the-office, out of town, ooo, oof, away from, on vacation
    on holiday*, on leave, annual leave, parental leave, maternity leave, paternity leave, sick leave, vacation reply
    vacation notice, vacation message, vacation re, i am away, i'm away, i am out, i'm out, i am on vacation
    i'm on vacation, i am on holiday, i'm on holiday, i am on leave, i'm on leave, absence, thank you for contacting
    thank you for your email, thank you for your e-mail, we have received your, we received your
    your message has been
    read receipt, delivery status, delivery failure, delivery receipt, returned mail, return receipt
    abwesenheit*, abwesend, automatische antwort, automatisch generierte, autoantwort, nicht im büro, nicht im buero
    im urlaub, ich bin im urlaub
    réponse automatique, absence du bureau, respuesta automática, risposta automatica, resposta automática
    automatisk svar, fravær*, automatisch antwoord, afwezig*, automaatvastus, automātiskā atbilde
"""

# A line that begins so ends what somebody says; below it stands who they are.
VALEDICTIONS = """
    terveisin, ystävällisin terveisin, parhain terveisin, parhaimmin terveisin, lämpimin terveisin, iloisin terveisin
    kunnioittaen, ystävällisesti, terkuin, terv, yst terv, t, tv, kesäisin terveisin, syysterveisin, talviterveisin
    yhteistyöterveisin, kiittäen
    hälsningar, med vänlig hälsning, med vänliga hälsningar, vänliga hälsningar, vänlig hälsning, bästa hälsningar
    med bästa hälsningar, många hälsningar, varma hälsningar, hälsar, mvh, vänligen, vh
    regards, best regards, kind regards, warm regards, with best regards, with kind regards, many regards, best wishes
    with best wishes, kindest regards, sincerely, yours, yours sincerely, cheers, br, kr, rgds, all the best
    mit freundlichen
"""

# A long paragraph with one of these was put below by a mail server.
DISCLAIMERS = """
    confidential*, intended recipient*, privileged, disclaimer, before printing, virus*
    luottamukselli*, tarkoitettu vain, tarkoitettu ainoastaan, ennen tulostamista
    konfidentiell*, endast avse*, avsedd endast, avsett för, avsedd för, innan du skriver ut
"""
