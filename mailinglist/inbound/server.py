"""The listener: takes mail for our addresses from the relay, by LMTP or SMTP, and keeps it before it says so.

    conversation.py   pure: the protocol
    server.py         connections, time-outs, limits; who is ours; keeping

One thread speaks to all clients (asyncio), another keeps: it gathers what waits and commits it at once, so that a
thousand mails a second cost some dozens of commits. `250` is said when the commit is on the disk. While the database is
down, or slow, clients hear 451 and come again.

Bounded: connections, octets in memory over all connections, seconds for a command, for a mail, and for a conversation.

Known limits: no TLS and no sign-in. It is for the relay on this machine or in a net of its own (docs/operating.md).
"""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from flask import Flask
from sqlalchemy.exc import DataError, SQLAlchemyError

from .. import db, observe
from ..consent import lists
from ..settings import SETTINGS, Settings
from . import spool
from .addresses import Addresses
from .conversation import Asked, Conversation, Given
from .senders import addresses_of
from .spool import Arrived

_log = observe.logger(__name__)

UNKNOWN = "550 5.1.1 There is no such address here"
_KEPT = "250 2.0.0 Kept"
_LATER = "451 4.3.0 It can't be kept now; send it again later"
_FULL = "452 4.3.1 There is no room for it now; send it again later"
_CHUNK = 65_536
_BATCH = 200
_BATCH_OCTETS = 16 * 1024 * 1024
_FRESH = 5.0
"""Seconds for which the names and the senders of the lists are taken to be those that they were."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may cost. Times in seconds."""

    connections: int = 100
    octets: int = 96 * 1024 * 1024
    """Of mails in memory, over all connections, until they are kept."""
    command: float = 120.0
    """For a command; RFC 5321 §4.5.3.2.7 says 300, which is for strangers."""
    content: float = 600.0
    """For a whole mail."""
    conversation: float = 3600.0
    leaving: float = 10.0
    """For those that are being served when the listener is to stop."""


@dataclass(slots=True)
class _Wanted:
    """A mail that waits to be kept."""

    mails: Sequence[Arrived]
    answer: asyncio.Future[bool]
    octets: int = field(default=0)


class Keeper:
    """Keeps mails in a thread of its own: what waits when a commit ends is the next."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._waiting: queue.SimpleQueue[_Wanted | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="keeper", daemon=True)
        self._thread.start()

    async def keep(self, mails: Sequence[Arrived]) -> bool:
        """Whether they are kept, on the disk."""
        wanted = _Wanted(mails, asyncio.get_running_loop().create_future(), sum(len(mail.raw) for mail in mails))
        self._waiting.put(wanted)
        return await wanted.answer

    def close(self) -> None:
        """Keep what waits, and end."""
        self._waiting.put(None)
        self._thread.join(30)

    def _serve(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch, over = [first], False
            octets = first.octets
            while len(batch) < _BATCH and octets < _BATCH_OCTETS:
                try:
                    more = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    over = True
                    break
                batch.append(more)
                octets += more.octets
            self._keep(batch)
            if over:
                return

    def _keep(self, batch: Sequence[_Wanted]) -> None:
        try:
            with self._app.app_context(), db.transaction() as session:
                spool.keep_many(session, [mail for wanted in batch for mail in wanted.mails])
        except DataError as error:
            if len(batch) > 1:  # one that no database takes must not hold up the others
                for wanted in batch:
                    self._keep([wanted])
                return
            self._failed(batch, error)
        except Exception as error:  # whatever it was: nothing is kept, and the thread goes on
            self._failed(batch, error)
        else:
            observe.count("inbound_kept", len(batch))
            _answer(batch, kept=True)

    def _failed(self, batch: Sequence[_Wanted], error: Exception) -> None:
        _log.error("inbound_not_kept", mails=len(batch), error=type(error).__name__)
        _answer(batch, kept=False)


def _answer(batch: Sequence[_Wanted], *, kept: bool) -> None:
    def tell() -> None:
        for wanted in batch:
            if not wanted.answer.done():
                wanted.answer.set_result(kept)

    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        batch[0].answer.get_loop().call_soon_threadsafe(tell)


class Listener:
    """Serves one listening socket, for the application's database."""

    def __init__(self, app: Flask, *, limits: Limits = Limits()) -> None:
        self._app = app
        self._limits = limits
        settings: Settings = app.config[SETTINGS]
        self._settings = settings
        self._name = settings.return_domain.encode("idna").decode("ascii")
        self._domain = settings.return_domain
        with app.app_context(), db.reading() as session:
            self._addresses = addresses_of(session, settings)
        self._slugs: frozenset[str] = frozenset()
        self._looked_at = float("-inf")
        self._looking = asyncio.Lock()
        self._keeper = Keeper(app)
        self._clients: dict[asyncio.Task[None], Conversation] = {}
        self.held = 0
        """Octets in memory, of all connections."""

    async def serve(self, opened: socket.socket, stop: asyncio.Event) -> None:
        """Until `stop`; then who is being served has a while to finish."""
        server = await asyncio.start_server(self._client, sock=opened, limit=_CHUNK, backlog=512)
        await stop.wait()
        server.close()
        for task, conversation in self._clients.items():
            if not conversation.busy:
                task.cancel()
        if self._clients:
            await asyncio.wait(self._clients, timeout=self._limits.leaving)
        for task in self._clients:
            task.cancel()
        await asyncio.to_thread(self._keeper.close)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        conversation = Conversation(self._name)
        if len(self._clients) >= self._limits.connections:
            conversation.take()
            conversation.close("421 4.3.2 Too many connections; come again later")
        self._clients[task] = conversation
        weight = _Weight(self)
        try:
            await self._converse(conversation, reader, writer, weight)
        except (OSError, TimeoutError):
            pass  # who went away, or does not read what we say
        except Exception as error:
            _log.error("inbound_conversation_failed", error=type(error).__name__, exc_info=error)
        finally:
            weight.set(0)
            del self._clients[task]
            writer.close()

    async def _converse(
        self, conversation: Conversation, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, weight: _Weight
    ) -> None:
        began = turned = time.monotonic()
        turns = 0
        while True:
            if said := conversation.take():
                writer.write(said)
                async with asyncio.timeout(self._limits.command):
                    await writer.drain()
            if conversation.over:
                return
            patience = self._limits.content if conversation.in_content else self._limits.command
            ends = min(turned + patience, began + self._limits.conversation)
            try:
                async with asyncio.timeout(max(ends - time.monotonic(), 0)):
                    octets = await reader.read(_CHUNK)
            except TimeoutError:
                conversation.close("421 4.4.2 That took too long; closing the connection")
                continue
            if not octets:
                return
            conversation.receive(octets)
            weight.set(conversation.held)
            if self.held > self._limits.octets and conversation.in_content:
                conversation.let_go(_FULL)
            while step := conversation.next():
                if isinstance(step, Asked):
                    conversation.admit(await self._refusal(step.recipient))
                else:
                    weight.set(conversation.held + len(step.raw))
                    conversation.settle(await self._kept(step))
            weight.set(conversation.held)
            if conversation.turns != turns:
                turns, turned = conversation.turns, time.monotonic()

    async def _refusal(self, recipient: str) -> str | None:
        """Why a recipient is not taken; None: it is one of ours."""
        if "@" not in recipient:  # RFC 5321 §4.1.1.3: postmaster needs no domain
            recipient = f"{recipient}@{self._domain}"
        to = self._addresses.read(recipient)
        if to is not None and to.slug is None:
            return None
        if not self._addresses.in_domain(recipient):
            return UNKNOWN
        try:
            await self._look()
        except SQLAlchemyError as error:
            _log.warning("inbound_recipient_not_looked_up", error=type(error).__name__)
            return _LATER
        to = self._addresses.read(recipient)
        return None if to is not None and to.slug in self._slugs else UNKNOWN

    async def _look(self) -> None:
        """Know the lists as they are, or were a few seconds ago."""
        async with self._looking:
            if time.monotonic() - self._looked_at > _FRESH:
                self._addresses, self._slugs = await asyncio.to_thread(self._known)
                self._looked_at = time.monotonic()

    def _known(self) -> tuple[Addresses, frozenset[str]]:
        with self._app.app_context(), db.reading() as session:
            known = addresses_of(session, self._settings)
            return known, frozenset(row.slug.lower() for row in lists.every(session))

    async def _kept(self, given: Given) -> list[str]:
        """The reply for each recipient, once the mail is on the disk for all of them, or for none."""
        now = db.utcnow()
        mails = [
            Arrived(self._whole(recipient), given.sender, given.via, given.raw, now)
            for recipient in dict.fromkeys(given.recipients)
        ]
        kept = await self._keeper.keep(mails)
        return [_KEPT if kept else _LATER for _ in given.recipients]

    def _whole(self, recipient: str) -> str:
        return recipient if "@" in recipient else f"{recipient}@{self._domain}"


class _Weight:
    """What one connection holds of the listener's memory, in octets."""

    def __init__(self, listener: Listener) -> None:
        self._listener, self._octets = listener, 0

    def set(self, octets: int) -> None:
        """So many from now on."""
        self._listener.held += octets - self._octets
        self._octets = octets
