"""Every client of the proxy: how their connections begin, and how all of them end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gate.authoring.proxy.connection import Link, Settings
from gate.authoring.proxy.upstream import CHUNK


class Relay:
    """Every client's connection, and how all of them end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._links: dict[asyncio.Task[None], Link] = {}

    def protocol(self) -> asyncio.Protocol:
        """What loop.create_server asks for each client."""
        return _Watched(Link(self._settings), self._begin)

    async def stop(self, seconds: float) -> None:
        """Let what is under way end, for so many seconds at most, and cut the rest."""
        for link in self._links.values():
            link.stop()
        if self._links:
            await asyncio.wait(list(self._links), timeout=seconds)
        self.cut()
        if self._links:
            await asyncio.wait(list(self._links), timeout=1)

    def cut(self) -> None:
        """End everything now. What came of an answer is kept."""
        for task in self._links:
            task.cancel()

    def _begin(self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link.attach(reader, writer)
        task = asyncio.get_running_loop().create_task(link.serve())
        self._links[task] = link
        task.add_done_callback(self._links.pop)


class _Watched(asyncio.StreamReaderProtocol):
    """Tells at once when a client goes, also while nobody reads from it."""

    def __init__(self, link: Link, begin: Callable[[Link, asyncio.StreamReader, asyncio.StreamWriter], None]) -> None:
        super().__init__(asyncio.StreamReader(limit=CHUNK), lambda reader, writer: begin(link, reader, writer))
        self._link = link

    def eof_received(self) -> bool | None:
        self._link.left()
        return super().eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        self._link.left()
        super().connection_lost(error)
