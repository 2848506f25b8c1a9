"""What refusals mean, in the words that widely used servers and large providers document or are known for."""

from __future__ import annotations

import time

import pytest

from mailinglist.delivery.verdicts import Verdict, judge, status_in, step_in, weigh

# Reply code | enhanced status | words
SAID = {
    Verdict.DEAD: """
550|5.1.1|<matti@example.fi>: Recipient address rejected: User unknown in local recipient table
550|5.1.1|The email account that you tried to reach does not exist.
550|5.5.0|Requested action not taken: mailbox unavailable (S2017062302).
550|5.4.1|Recipient address rejected: Access denied. [AM0EUR02FT012.eop-EUR02.prod.protection.outlook.com]
550|5.1.10|RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup
554||delivery error: dd This user doesn't have a yahoo.com account (matti@yahoo.com) [0] - mta4321.mail.bf1.yahoo.com
552||Requested mail action aborted: mailbox not found
550|5.1.1|No such user!
550||Unrouteable address
550||no mailbox here by that name. (#5.1.1)
553||sorry, no mailbox here by that name (#5.7.1)
550|5.7.1|<matti@example.fi>: Recipient address rejected: user matti@example.fi does not exist
550||Invalid recipient <matti@example.fi> (#5.1.1)
550||<matti@example.fi>: User unknown in virtual mailbox table
550|5.1.6|recipient no longer on server: matti@example.fi
550||#5.1.0 Address rejected.
550|5.1.1|<matti@example.fi> User doesn't exist: matti@example.fi
550|5.7.1|No such user matti@example.fi
550||Message was not accepted -- invalid mailbox.  Local mailbox matti@mail.ru is unavailable: user not found
|5.4.4|Host or domain name not found. Name service error for name=exampel.fi type=A: Host not found
550|5.1.2|Bad destination system address
556|5.1.10|Recipient address has null MX
551||User not local; please try another path
450|4.1.1|<matti@example.fi>: Recipient address rejected: User unknown in virtual alias table
550||User matti (matti@example.fi) not listed in the company's Domino Directory
550|5.1.10|RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup (in reply to end of DATA command)
""",
    Verdict.MAILBOX: """
552|5.2.2|<matti@example.fi>: Recipient address rejected: Mailbox full
552|5.2.2|The email account that you tried to reach is over quota. Please direct the recipient to https://support.google.com/
452|4.2.2|The email account that you tried to reach is over quota and inactive.
550|5.2.1|The email account that you tried to reach is disabled. Learn more at https://support.google.com/
552||Requested mail action aborted: exceeded storage allocation
554|5.2.2|mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded
550||User matti@example.fi has exceeded his mailbox quota
550|5.1.1|<matti@example.fi>: the mailbox is over its quota
452|4.3.1|Insufficient system storage
450|4.2.0|Requested mail action not taken: mailbox unavailable
550|5.2.1|mailbox disabled, not accepting messages
525|5.7.13|User account disabled
421|4.4.2|mx.example.fi Error: timeout exceeded
|4.4.1|connect to mx.example.fi[192.0.2.1]:25: Connection timed out
|4.4.7|delivery time expired
|4.4.3|Host or domain name not found. Name service error for name=example.fi type=MX: Host not found, try again
451|4.3.0|Temporary lookup failure
554|5.4.6|Too many hops
554||This account has been temporarily suspended
550|5.2.1|Mailbox cannot be accessed
554||Sorry, your message to matti@yahoo.com cannot be delivered. This mailbox is disabled (554.30).
450|4.1.1|<matti@example.fi>: Recipient address rejected: unverified address: Address verification in progress
550|5.2.0|User unknown
550||Unknown user matti@example.fi (in reply to end of DATA command)
451|4.1.9|Out of resources, come back later
550||
""",
    Verdict.SENDER: """
550|5.7.1|Service unavailable; client [192.0.2.1] blocked using zen.spamhaus.org
550|5.7.26|This mail has been blocked because the sender is unauthenticated. Gmail requires all senders to authenticate
421|4.7.28|Our system has detected an unusual rate of unsolicited mail originating from your IP address.
550|5.7.1|Unfortunately, messages from [192.0.2.1] weren't sent. Part of their network is on our block list (S3150).
554|5.7.1|<matti@example.fi>: Relay access denied
450|4.7.1|<mx.example.org>: Helo command rejected: Host not found
553|5.1.8|<a@b.example>: Sender address rejected: Domain not found
550|5.1.7|No such domain b.example
450|4.2.0|<matti@example.fi>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/example.fi.html
552|5.3.4|Message size exceeds fixed maximum message size
552|5.2.3|Message exceeds maximum fixed size
554|5.7.1|Message rejected under suspicion of SPAM
550|5.7.1|Delivery not authorized, message refused
421|4.7.0|[TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints - 4.16.55.1
550||Sender verify failed
550||Rejected because 192.0.2.1 is in a black list at bl.spamcop.net
550|5.7.509|Access denied, sending domain example.org does not pass DMARC verification and has a DMARC policy of reject.
552|5.7.0|This message was blocked because its content presents a potential security issue.
554||Transaction failed : Cannot send message due to possible abuse; please visit https://postmaster.1und1.de/
550|5.6.0|Lone CR or LF in headers (see RFC2822 section 2.2)
550||High probability of spam
550|5.7.133|RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; Delivery restriction check failed
571|5.7.1|<matti@example.fi>: Recipient refused to accept your mail
501||Invalid domain name
503|5.5.1|Bad sequence of commands
550||IP frequency limit reached
550||Connection frequency limited
550||The name does not match the client IP 192.0.2.1
550||SMTP error from remote mail server after end of data: 550 From: domain is invalid
""",
}
# What widely used servers document or are known for, by server, and what the languages say. Gmail's answers are in
# support.google.com/a/answer/3726730, Microsoft's in its list of non-delivery reports in Exchange Online and, of old
# Exchange, in article 246881 of its knowledge base, Mimecast's and Yahoo's in their lists of error codes and in Yahoo's
# help (SLN3444), Domino's in what list programs know of it, the others in the programs and their manuals.
# Verdict | reply code | enhanced status | words
DOCUMENTED = {
    "RFC 5321": """
mailbox|450||mailbox unavailable (mailbox busy or temporarily blocked for policy reasons)
mailbox|452||Requested action not taken: insufficient system storage
dead|553||Requested action not taken: mailbox name not allowed
sender|552||Too much mail data
sender|500||Line too long
sender|503||Bad sequence of commands
""",
    "The C library": """
dead|550||Unknown host
dead||5.4.4|Name or service not known
mailbox|452|4.3.1|No space left on device
mailbox|||connect to mx.example.fi: No route to host
""",
    "Postfix": """
mailbox|||Host or domain name not found. Name service error for name=example.fi type=MX: Host not found, try again
dead|550|5.1.1|<matti@example.fi>: Recipient address rejected: User unknown in relay recipient table
dead|550|5.1.1|<matti@example.fi>: Recipient address rejected: undeliverable address: mx.example.fi said: 550 5.1.1 no
dead||5.4.4|Host or domain name not found. Name service error for name=x.fi type=A: Host found but no data record
dead|556|5.1.10|Domain example.fi does not accept mail (nullMX)
mailbox|450|4.1.1|<matti@example.fi>: Recipient address rejected: unverified address: connect to x.fi:25: refused
mailbox|554|5.4.0|Error: too many hops
mailbox||5.4.6|mail for example.fi loops back to myself
sender|554|5.7.1|<mx.example.org[192.0.2.1]>: Client host rejected: Access denied
sender|504|5.5.2|<localhost>: Helo command rejected: need fully-qualified hostname
sender|553|5.7.1|<a@b.example>: Sender address rejected: not owned by user a
sender|450|4.7.25|Client host rejected: cannot find your hostname, [192.0.2.1]
sender|452|4.5.3|Error: too many recipients
sender|552|5.3.4|Error: message file too big
""",
    "Dovecot LMTP": """
mailbox|552|5.2.2|<matti@example.fi> Quota exceeded (mailbox for user is full)
mailbox|451|4.3.0|<matti@example.fi> Temporary internal error
""",
    "Exim": """
dead|550||Unrouteable address
dead|550||Unknown user
sender|550||relay not permitted
sender|550||Administrative prohibition
mailbox|||retry timeout exceeded
mailbox|||mailbox is full (MTA-imposed quota exceeded while writing to file /var/mail/matti)
""",
    "Sendmail": """
sender|452|4.3.2|Connection rate limit exceeded.
dead|550|5.1.1|<matti@example.fi>... User unknown
dead|550|5.1.2|<matti@example.fi>... Host unknown (Name server: example.fi: host not found)
mailbox|554|5.4.6|Too many hops 26 (25 max): from <a@b.example> via mx.example.org
mailbox|452|4.4.5|Insufficient disk space; try again later
sender|550|5.7.1|<matti@example.fi>... Relaying denied
sender|451|4.1.8|Domain of sender address a@b.example does not resolve
""",
    "Courier": """
dead||5.0.0|No such domain.
""",
    "qmail and vpopmail": """
dead|550||Sorry, no mailbox here by that name. vpopmail (#5.1.1)
dead|||Sorry, I couldn't find any host named example.fi. (#5.1.2)
mailbox|||CNAME lookup failed temporarily. (#4.4.3) this message has been in the queue too long.
mailbox|552||The users mailfolder is over the allowed quota (size). (#5.2.2)
sender|553||sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)
sender|552||sorry, that message size exceeds my databytes limit (#5.3.4)
""",
    "Exchange and Microsoft 365": """
dead|||The recipient name is not recognized MSEXCH:IMS:Example:HKI:MX1 0 (000C05A6) Unknown Recipient
dead|550|5.1.1|RESOLVER.ADR.ExRecipNotFound; not found
dead|550|5.4.1|Recipient address rejected: Access denied. AS(201806281)
dead|550|5.4.310|DNS domain example.fi does not exist [Message=InfoDomainNonexistent]
mailbox|432|4.3.2|STOREDRV.Deliver; recipient thread limit exceeded
mailbox|550|5.4.316|Message expired, connection refused
mailbox|550|5.4.300|Message expired -> 451 4.4.0 DNS query failed
sender|550|5.7.54|SMTP; Unable to relay recipient in non-accepted domain
sender|550|5.7.606|Access denied, banned sending IP [192.0.2.1]
sender|451|4.7.500|Server busy. Please try again later from [192.0.2.1]. (AS780090)
sender|550|5.7.708|Service unavailable. Access denied, traffic not accepted from this IP
sender|550|5.7.750|Service unavailable. Client blocked from sending from unregistered domains
""",
    "Gmail": """
dead|550|5.1.1|The email account that you tried to reach does not exist. Please try double-checking the address.
mailbox|452|4.2.2|The recipient's inbox is out of storage space. https://support.google.com/mail/?p=OverQuotaTemp
mailbox|450|4.2.1|The user you are trying to contact is receiving mail too quickly. Please resend at a later time.
sender|421|4.7.0|IP not in whitelist for RCPT domain, closing connection.
sender|550|5.7.1|The user or domain that you are sending to has a policy that prohibited the mail that you sent.
sender|552|5.3.4|Your message exceeded Google's message size limits.
sender|550|5.7.25|The IP address sending this message does not have a PTR record setup
""",
    "Yahoo and AOL": """
dead|554||delivery error: dd This user doesn't have a yahoo.com account (matti@yahoo.com) [0]
sender|553|5.7.1|[BL21] Connections will not be accepted from 192.0.2.1, because the ip is in Spamhaus's list
sender|554|5.7.9|Message not accepted for policy reasons.
mailbox|550|5.2.1|matti : inactive user
""",
    "Apple": """
dead|550|5.1.1|unknown or illegal alias: matti@icloud.com
mailbox|552|5.2.2|<matti@icloud.com>: user is over quota
sender|554|5.7.1|[CS01] Message rejected due to local policy
""",
    "GMX, web.de, T-Online": """
dead|550||Requested action not taken: mailbox unavailable
mailbox|552||Requested mail action aborted: exceeded storage allocation Quota exceeded. The recipient storage limit
sender|554||Transaction failed Reject due to policy restrictions.
sender|554||IP=192.0.2.1 - A problem occurred. (Ask your postmaster for help.)
""",
    "Orange": """
dead|550|5.1.1|Adresse d au moins un destinataire invalide. Invalid recipient. OFR_416
mailbox|552|5.1.1|Boite du destinataire pleine. Recipient overquota. OFR_417
""",
    "Mail.ru, Yandex": """
dead|550|5.7.1|No such user!
sender|550||spam message rejected. Please visit http://help.mail.ru/notspam-support/
""",
    "Domino, CommuniGate, OpenSMTPD, Zimbra": """
dead|||User matti (matti@example.fi) not listed in Domino Directory
dead|||User matti not listed in public Name & Address Book
mailbox||4.4.4|No MX found for domain
dead|550||matti@example.fi unknown user account
dead|550||Invalid recipient: <matti@example.fi>
mailbox|452|4.2.2|Over quota
mailbox|550||matti@example.fi account is full (quota exceeded)
sender|554||Relay rejected for policy reasons.
""",
    "Cisco, Barracuda, Mimecast, Proofpoint, Symantec": """
dead|550||Invalid Recipient - https://community.mimecast.com/docs/DOC-1369#550
sender|554||Your access to this mail system has been rejected due to the sending MTA's poor reputation.
sender|550||permanent failure for one or more recipients (matti@example.fi:blocked)
sender|554||Service unavailable; Client host [mx.example.org] blocked using Barracuda Reputation
sender|550||Rejected by header based Anti-Spoofing policy: a@b.example
sender|550||Administrative prohibition - envelope blocked
sender|554||Email rejected due to security policies
sender|554||Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1
sender|553||Message filtered. Refer to the Troubleshooting page for more information. (#5.7.1)
sender|501||Connection rejected by policy [7.7]
""",
    "Languages": """
dead|550||Käyttäjää ei löytynyt
dead|550||Osoitetta ei löydetty
dead|550||Vastaanottajaa ei tunneta
dead|550||Mottagaren existerar inte
mailbox|550||Inkorgen är full
dead|550||Modtageren findes ikke
mailbox|550||Postkassen er fuld
dead|550||Benutzer nicht gefunden
dead|550||Cuenta no encontrada
dead|550||Destinatário inexistente
dead|550|5.0.0|Vastaanottajaa ei löydy
dead|550||Tuntematon vastaanottaja
dead|550||Käyttäjää ei ole olemassa
dead|550||Osoitetta <matti@example.fi> ei ole olemassa
mailbox|550||Vastaanottajan postilaatikko on täynnä
mailbox|550||Tili on suljettu
dead|550||Okänd mottagare
dead|550||Användaren finns inte
dead|550||Adressen <maja@example.se> hittades inte
mailbox|550||Mottagarens brevlåda är full
dead|550||Ukendt bruger
dead|550||Brukeren finnes ikke
dead|550||Mottaker ukjent
mailbox|550||Postkassen er full
dead|550||Benutzer unbekannt
dead|550||Empfänger existiert nicht
dead|550||Unbekannter Benutzer
mailbox|550||Postfach ist voll
dead|550||Utilisateur inconnu
dead|550||L'adresse du destinataire n'existe pas
mailbox|550||La boîte du destinataire est pleine
dead|550||Usuario desconocido
dead|550||El destinatario no existe
mailbox|550||El buzón está lleno
dead|550||Usuário desconhecido
dead|550||O destinatário não existe
mailbox|550||A caixa de correio está cheia
dead|550||Utente sconosciuto
dead|550||La casella non esiste
mailbox|550||La casella del destinatario è piena
dead|550||Onbekende gebruiker
dead|550||De ontvanger bestaat niet
mailbox|550||De postbus is vol
""",
}
CASES = [(verdict, *line.split("|", 2)) for verdict, lines in SAID.items() for line in lines.strip().splitlines()]


@pytest.mark.parametrize(
    ("verdict", "code", "status", "words"), CASES, ids=[case[3][:40] or "nothing" for case in CASES]
)
def test_what_servers_say(verdict: Verdict, code: str, status: str, words: str) -> None:
    assert judge(code=int(code) if code else None, status=status or None, words=words) is verdict
    # The same in one string, as reports have it.
    assert judge(words=f"{code} {status} {words}") is verdict


@pytest.mark.parametrize("server", DOCUMENTED)
def test_what_servers_document(server: str) -> None:
    said = [line.split("|", 3) for line in DOCUMENTED[server].strip().splitlines()]
    expected = [(Verdict(verdict), words) for verdict, _, _, words in said]
    apart = [
        (judge(code=int(code) if code else None, status=status or None, words=words), words)
        for _, code, status, words in said
    ]
    assert apart == expected
    assert [(judge(words=f"{code} {status} {words}"), words) for _, code, status, words in said] == expected


def test_hearsay_is_no_death() -> None:
    assert judge(words="User unknown") is Verdict.MAILBOX
    assert judge(words="User unknown. This is a permanent error.") is Verdict.DEAD
    assert judge(words="550 User unknown") is Verdict.DEAD
    assert judge(words="User matti not listed in public Name & Address Book") is Verdict.DEAD


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        # A refusal of an address, without a word why, is about the address: Cisco, and KumoMTA's table of answers.
        ("550 Address rejected", Verdict.DEAD),
        ("550 #5.1.0 Address rejected. matti@example.fi", Verdict.DEAD),
        ("550 5.0.0 Recipient rejected", Verdict.DEAD),
        # With a word why, the word counts, and what it is worth.
        ("550 5.7.1 <matti@example.fi>: Recipient address rejected: Access denied", Verdict.SENDER),
        ("550 5.0.0 <matti@example.fi>: Recipient address rejected: on hold", Verdict.MAILBOX),
        ("550 Recipient address rejected by the destination", Verdict.MAILBOX),
        ("550 5.1.0 Sender address rejected", Verdict.SENDER),
        # Blocked is said of us, and of an account that is locked.
        ("550 The recipient's account is blocked", Verdict.MAILBOX),
        ("550 User temporarily locked", Verdict.MAILBOX),
        ("550 Your host is blocked", Verdict.SENDER),
        # Where a server looked makes it one that knows; what is not in a place of it is no person.
        ("Recipient not found in the directory", Verdict.DEAD),
        ("Recipient not found", Verdict.MAILBOX),
        # Other lists refuse whom they don't know: fml's and Mailman's words.
        ("You are not a member of this mailing list", Verdict.SENDER),
        ("You are not allowed to post to this mailing list", Verdict.SENDER),
        ("You are not a subscriber here", Verdict.MAILBOX),
        # Who was late did not refuse us.
        ("554 connection timed out", Verdict.MAILBOX),
        ("554 no", Verdict.SENDER),
        # A bare status about the whole address says nothing of the person.
        ("550 5.1.0 no", Verdict.MAILBOX),
    ],
)
def test_what_is_near_to_it(words: str, verdict: Verdict) -> None:
    assert judge(words=words) is verdict


def test_what_says_nothing() -> None:
    assert weigh() is None
    assert weigh(words="We are sorry to inform you.") is None
    assert judge() is Verdict.MAILBOX


def test_what_is_only_late_is_never_dead() -> None:
    words = "550 5.1.1 No such user"
    assert judge(words=words, action="failed") is Verdict.DEAD
    assert judge(words=words, action="delayed") is Verdict.MAILBOX
    assert judge(words="450 4.7.1 Greylisted", action="delayed") is Verdict.SENDER


@pytest.mark.parametrize("action", ["delivered", "relayed", "expanded"])
def test_what_arrived_is_no_failure(action: str) -> None:
    assert judge(status="2.1.5", words="250 ok", action=action) is Verdict.NO_FAILURE


def test_a_refusal_before_anybody_was_named_is_about_us() -> None:
    said = "SMTP error from remote mail server after MAIL FROM:<a@b.example>: 550 5.1.1 No such user here"
    assert judge(words=said) is Verdict.SENDER
    assert judge(words="host mx.example.fi refused to talk to me: 421 too busy") is Verdict.MAILBOX


@pytest.mark.parametrize(
    ("notice", "step"),
    [
        ("said: 550 no (in reply to end of DATA command)", "reply to end of data"),
        ("said: 550 no (in reply\n    to MAIL FROM command)", "reply to mail from"),
        ("error from remote mail server after pipelined EHLO x: 550 no", "after pipelined ehlo"),
        ("Command: DATA", "command: data"),
        ("said: 550 no (in reply to RCPT TO command)", ""),
        ("refused", ""),
    ],
)
def test_at_which_step_a_server_refused(notice: str, step: str) -> None:
    assert step_in(notice) == step


def test_who_is_unknown_after_the_mail_was_taken_is_not_dead() -> None:
    assert judge(words="550 user unknown (in reply to end of DATA command)") is Verdict.MAILBOX
    assert judge(words="550 5.1.1 user unknown (in reply to end of DATA command)") is Verdict.DEAD
    assert judge(words="550 user unknown (in reply to RCPT TO command)") is Verdict.DEAD


def test_addresses_are_not_read_as_words() -> None:
    assert judge(words="550 <spam.policy.dmarc@example.fi>: User unknown") is Verdict.DEAD
    assert judge(words="550 <mailbox-full@quota.example>: No such user") is Verdict.DEAD


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("550 5.1.1 no", "5.1.1"),
        ("Status: 5.0.0; 554 5.7.1 denied", "5.7.1"),
        ("(#5.4.4)", "5.4.4"),
        ("5.0.0", "5.0.0"),
        ("250 2.0.0 ok", None),
        ("host 5.1.1.9 and version 5.2.3.4", None),
        ("", None),
    ],
)
def test_the_status_in_words(words: str, status: str | None) -> None:
    assert status_in(words) == status


def test_long_words_take_no_longer() -> None:
    for piece in ("user ", "no such ", "mailbox is ", "5.1.1 ", "550 ", "a@", "@", "<", "unknown ", "ä", "reply to "):
        began = time.process_time()
        judge(code=550, words=piece * 200_000)
        assert time.process_time() - began < 1
