"""For whom a mail was, and who gets its reports, where no conversation said so: from what servers wrote on top."""

from __future__ import annotations

from .addresses import Addresses
from .reading import Mail

_TRACES = (
    "X-Original-To", "Delivered-To", "Envelope-To", "X-Envelope-To", "X-Delivered-To", "X-Forwarded-To",
    "X-Original-Recipient", "Apparently-To",
)  # fmt: skip
_WRITTEN = ("To", "Cc", "Resent-To")
_MOST = 50


def recipient_of(mail: Mail, addresses: Addresses) -> str | None:
    """The first address of ours that the mail names: as servers delivered it, else as its writer addressed it. None: it
    names none."""
    named = [address for name in (*_TRACES, *_WRITTEN) for address in mail.addresses(name)]
    return next((address for address in named[:_MOST] if addresses.read(address) is not None), None)


def addressed_to(mail: Mail) -> str:
    """The first address that the mail names, whoever's it is; empty: it names none."""
    return next((address for name in (*_TRACES, *_WRITTEN) for address in mail.addresses(name)), "")


def return_path_of(mail: Mail) -> str | None:
    """The return path that the last server noted (RFC 5321 §4.4); empty: the null one. None: it noted none."""
    noted = mail.header("Return-Path")
    if noted is None:
        return None
    return next(iter(mail.addresses("Return-Path")), "")


def sender_of(mail: Mail) -> str:
    """The same; where none was noted, the address of who wrote the mail, since nobody said that it is a report."""
    noted = return_path_of(mail)
    return noted if noted is not None else next(iter(mail.addresses("From")), "unknown")


def with_crlf(raw: bytes) -> bytes:
    """A mail as it goes over the net: a pipe and a file have the line ends of the machine, and perhaps the line that
    mbox files put in front."""
    if raw.startswith((b"From ", b">From ")):
        raw = raw.partition(b"\n")[2]
    return raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
