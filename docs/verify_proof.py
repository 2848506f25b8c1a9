#!/usr/bin/env python3
# ruff: noqa: T201
"""Checks a proof of consent that `mailinglist ledger proof ADDRESS --out FILE` made.

    python3 verify_proof.py FILE [--key HEX]

Needs Python 3.9 or later and nothing else: not the program, not its database, not the network. Exit 0: the proof
holds; 1: it does not, and the reason is said; 2: called wrongly.

What is checked:

1. The file is written in its one way (JSON, sorted keys, indented by one space, UTF-8, a line break at the end), and
   its signature (Ed25519, RFC 8032) is over all of it but the signature: so no byte was changed.
2. In each chain, each entry holds the SHA-256 of the one before and itself; the entries are numbered without gaps.
3. Where an address was corrected, the history lies in several chains. Each chain that an entry says it comes from is
   there, up to the entry that says where it went; and there is no chain that nothing leads to.
4. Texts, privacy notices and evidence are those whose SHA-256 the entries name.
5. Where a chain is sealed: the seal's signature holds; and from the chain, its number of entries and its last hash, a
   path leads to the Merkle root that the seal names (RFC 6962 section 2.1, RFC 9162 section 2.1.3.2). So of the entries
   that this chain had at the time of the seal none was changed, left out or put in, not even by whoever signed the
   file.

What it can't know:

- Whose the key is. Compare the key that it prints with the one that the sender of the mails gives you in another way,
  or hand it in with --key.
- What came after the seal. Those entries stand on the signature of the file alone: whoever signed could leave the last
  of them out.
- Whether the address has another chain, that no entry in this file names; and that the address belongs to the keyed
  digest in the entries. Both are said by whoever signed: the digest's own key is secret, so that nobody can test
  addresses against it.
"""

import hashlib
import html
import json
import re
import sys

FORMAT = "mailinglist consent proof 1"
PARTS = {
    "address",
    "chains",
    "evidence",
    "evidence_not_kept",
    "format",
    "key",
    "made_at",
    "notices",
    "seals",
    "signature",
    "subject",
    "texts",
}


class Wrong(Exception):
    """Something does not hold."""


def main(arguments):
    key = None
    if len(arguments) == 3 and arguments[1] == "--key":
        key = arguments.pop().lower()
        arguments.pop()
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: verify_proof.py FILE [--key HEX]", file=sys.stderr)
        return 2
    try:
        with open(arguments[0], "rb") as file:
            content = file.read()
    except OSError as error:
        print(f"{arguments[0]}: {error.strerror}", file=sys.stderr)
        return 2
    try:
        lines = check(content, key)
    except Wrong as wrong:
        print(f"The proof does NOT hold: {wrong}")
        return 1
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        print("The proof does NOT hold: the file can't be read as one.")
        return 1
    for line in lines:  # control characters could steer a terminal
        print("".join(c if c.isprintable() else " " for c in line))
    return 0


def check(content, key=None):
    """What the proof says, in lines. Raises Wrong, or what Python raises at nonsense."""
    proof = json.loads(content.decode("utf-8"))
    if written(proof) != content or set(proof) != PARTS or proof["format"] != FORMAT:
        raise Wrong("the file is not written as a proof is written.")
    signed = {name: value for name, value in proof.items() if name != "signature"}
    if not holds(proof["key"], proof["signature"], b"mailinglist proof 1\n" + written(signed)):
        raise Wrong("the signature of the file does not fit: something in it was changed.")
    if key is not None and key != proof["key"]:
        raise Wrong("it was signed with another key than the one given.")
    seals = check_seals(proof["seals"])
    lines, bodies, used, chains = [], [], set(), {}
    for chain in proof["chains"]:
        hashes = check_chain(chain)
        own = [(entry["number"], json.loads(entry["body"])) for entry in chain["entries"]]
        if chain["chain"] in chains:
            raise Wrong("it holds a chain twice.")
        chains[chain["chain"]] = [body for _, body in own]
        bodies += own
        lines.append(check_head(chain, hashes, seals, used))
    if used != set(seals):
        raise Wrong("it holds a seal that no chain stands in.")
    check_texts(proof, [body for _, body in bodies])
    if proof["subject"] not in {body["subject"] for _, body in bodies}:
        raise Wrong("no entry is about this address.")
    lines += check_ways(proof["subject"], chains)
    told = [line for _, body in sorted(bodies, key=lambda item: item[0]) for line in tell(body, proof)]
    keys = {seal["key"] for seal in proof["seals"]} - {proof["key"]}
    return [
        f"The proof holds. It was made {proof['made_at']} about {proof['address']}.",
        f"Signed with the key {proof['key']}",
        *(f"A seal is signed with the key {each}" for each in sorted(keys)),
        *lines,
        "",
        *told,
        *(line for notice in proof["notices"] for line in ("", *words_of(notice))),
    ]


def written(value):
    return (json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode("utf-8")


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def sha256(content):
    return hashlib.sha256(content).digest()


def check_chain(chain):
    """The hash after each entry."""
    last, hashes = bytes(32), []
    for place, entry in enumerate(chain["entries"], 1):
        body = json.loads(entry["body"])
        if compact(body) != entry["body"] or body["chain"] != chain["chain"] or body["seq"] != place:
            raise Wrong(f"entry {entry['number']} does not stand in its place.")
        last = sha256(last + entry["body"].encode("utf-8"))
        hashes.append(last)
    if not hashes:
        raise Wrong("a chain has no entries.")
    return hashes


def check_seals(rows):
    """What each seal says, by its number."""
    seals = {}
    for row in rows:
        seal = json.loads(row["content"])
        if compact(seal) != row["content"] or seal["v"] != 1 or seal["number"] in seals:
            raise Wrong("a seal can't be read.")
        if not holds(row["key"], row["signature"], b"mailinglist seal 1\n" + row["content"].encode("utf-8")):
            raise Wrong(f"the signature of seal {seal['number']} does not fit.")
        seals[seal["number"]] = seal
    return seals


def check_head(chain, hashes, seals, used):
    """Where the chain stands in its seal, as a line."""
    name = f"Chain {chain['chain']}: {len(hashes)} {'entry' if len(hashes) == 1 else 'entries'}"
    place = chain["sealed"]
    if place is None:
        return f"{name}, not sealed yet."
    seal, count = seals[place["seal"]], place["entries"]
    used.add(place["seal"])
    if not 1 <= count <= len(hashes):
        raise Wrong(f"seal {place['seal']} binds {count} entries of a chain, and the proof holds {len(hashes)}.")
    content = bytes.fromhex(chain["chain"]) + count.to_bytes(8, "big") + hashes[count - 1]
    path = [bytes.fromhex(each) for each in place["path"]]
    if root_by_path(sha256(b"\x00" + content), place["index"], seal["chains"], path) != bytes.fromhex(seal["root"]):
        raise Wrong(f"the chain does not stand in seal {place['seal']}.")
    since = len(hashes) - count
    told = f"{name}; {count} of them, and no others, were there when seal {seal['number']} was made, {seal['at']}"
    return f"{told}; {since} since, as whoever signed says." if since else f"{told}."


def root_by_path(found, index, size, path):
    """The Merkle root that the path leads to (RFC 9162 section 2.1.3.2)."""
    at, last = index, size - 1
    if not 0 <= at <= last:
        return None
    for beside in path:
        if last == 0:
            return None
        if at % 2 or at == last:
            found = sha256(b"\x01" + beside + found)
            while at % 2 == 0 and at:
                at, last = at // 2, last // 2
        else:
            found = sha256(b"\x01" + found + beside)
        at, last = at // 2, last // 2
    return found if last == 0 else None


def check_ways(subject, chains):
    """Which chain goes on from which, as lines: none that is named may be missing, and none be there for nothing."""
    lines = []
    reached = [name for name, bodies in chains.items() if subject in {body["subject"] for body in bodies}]
    for name in reached:  # grows on the way
        for origin in dict.fromkeys(body["other_chain"] for body in chains[name] if body["event"] == "readdressed"):
            went = {body["other_chain"] for body in chains.get(origin, ()) if body["event"] == "moved"}
            if name not in went:
                raise Wrong(f"the history from before the address was corrected is missing: chain {origin}.")
            lines.append(f"Chain {name} goes on from chain {origin}: the address was corrected.")
            if origin not in reached:
                reached.append(origin)
        goals = dict.fromkeys(body["other_chain"] for body in chains[name] if body["event"] == "moved")
        lines += [
            f"Somebody's history goes on from chain {name} in chain {goal}, which is not in this file."
            for goal in goals
            if goal not in chains
        ]
    if set(reached) != set(chains):
        raise Wrong("it holds a chain that is not of this address, and that nothing leads to.")
    return lines


def check_texts(proof, bodies):
    """Texts, notices and evidence must be those that the entries name."""
    for part, name in (("texts", "text"), ("notices", "notice")):
        held = {sha256(f"{text['language']}\n{text['body']}".encode()).hex() for text in proof[part]}
        if held != {body[name] for body in bodies if name in body}:
            raise Wrong(f"its {part} are not those that the entries name.")
    held = {sha256(content.encode("utf-8")).hex() for content in proof["evidence"]}
    if held | set(proof["evidence_not_kept"]) != {body["evidence"] for body in bodies if "evidence" in body}:
        raise Wrong("its evidence is not what the entries name.")


def tell(body, proof):
    """One entry in lines."""
    yield f"{body['at']}  {body['event']}"
    for name in ("list", "before", "state", "basis", "source"):
        if name in body:
            yield f"    {name}: {body[name]}"
    if "channels" in body:
        yield f"    channels: {', '.join(body['channels'])}"
    for text in proof["texts"]:
        if body.get("text") == sha256(f"{text['language']}\n{text['body']}".encode()).hex():
            yield f"    text shown, version {text['version']} ({text['language']}):"
            yield from (f"        {line}" for line in text["body"].splitlines())
    for notice in proof["notices"]:
        if body.get("notice") == sha256(f"{notice['language']}\n{notice['body']}".encode()).hex():
            yield f"    privacy notice in force, below: {name_of(notice)}"
    for content in proof["evidence"]:
        if body.get("evidence") == sha256(content.encode("utf-8")).hex():
            yield f"    evidence: {content}"
    if body.get("evidence") in proof["evidence_not_kept"]:
        yield "    evidence: not kept any more"


def name_of(notice):
    digest = sha256(f"{notice['language']}\n{notice['body']}".encode()).hex()
    return f"version {notice['version']} ({notice['language']}), SHA-256 {digest}"


def words_of(notice):
    """A privacy notice in lines, without its HTML."""
    yield f"The privacy notice, {name_of(notice)}:"
    words = html.unescape(re.sub(r"<[^>]*>", "", notice["body"].replace("<br>", "\n")))
    yield from (f"    {line.strip()}" for line in words.splitlines() if line.strip())


# Ed25519, checking only (RFC 8032 sections 5.1 and 6). Slow, and not for secrets: there are none here.

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def add(one, other):
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c = 2 * one[3] * other[3] * D % P
    d = 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(number, point):
    found = (0, 1, 1, 0)
    while number:
        if number & 1:
            found = add(found, point)
        point = add(point, point)
        number >>= 1
    return found


def point_of(raw):
    """The point that 32 bytes stand for; None: there is none."""
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if len(raw) != 32 or y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = point_of((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def holds(key, signature, content):
    """Whether `signature` of `content` is by the owner of `key` (both in lower-case hex)."""
    raw, made = bytes.fromhex(key), bytes.fromhex(signature)
    if (raw.hex(), made.hex()) != (key, signature) or len(made) != 64:
        return False
    owner, start, number = point_of(raw), point_of(made[:32]), int.from_bytes(made[32:], "little")
    if owner is None or start is None or number >= L:
        return False
    bound = int.from_bytes(hashlib.sha512(made[:32] + raw + content).digest(), "little") % L
    left, right = times(number, BASE), add(start, times(bound, owner))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
