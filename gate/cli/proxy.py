"""`gate proxy --to URL --save FILE`: passes requests to an OpenAI-compatible server and records chat completions.

HTTP is asyncio's streams with h11, which openai's client brings anyway: h11 finds the end of a message and refuses an
ambiguous one; a proxy with a parser of its own is open to request smuggling. http.server would need a thread per
client; httpx would decompress, follow and rename what has to pass unchanged.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gate.errors import GateError
from gate.system.text import clean

if TYPE_CHECKING:
    import asyncio

    from gate.authoring.proxy.connection import Settings
    from gate.authoring.proxy.server import Relay
    from gate.authoring.proxy.upstream import Target
    from gate.authoring.proxy.writer import Saving

GRACE = 5.0
"""Seconds for answers in flight to end, once the proxy is stopped."""
FLUSH = 10.0
"""Seconds after that to save what is queued."""
DESCRIPTION = """\
Pass requests between a client and an OpenAI-compatible server, and record its chat completions for `gate add`.

Every path and method goes to URL's host, and nowhere else; answers are passed on as they arrive, streamed ones too.
Each POST to …/chat/completions becomes one line of FILE, a streamed answer as one assembled object:

    {"at": "2026-01-01T12:00:00.000+00:00", "seconds": 1.5, "first": 0.2, "status": 200, "request": {…},
     "response": {…}, "streamed": true}

`first` is the seconds to the first byte of the answer's body. A line has "partial": true and "why" if its answer broke
off, or did not reach the client completely. A body that is not a JSON object is {"raw": its text}. Nothing is saved of
any other path. A request is at most 64 MiB (413); of an answer 64 MiB are saved, and all of it is passed on.

No header is ever saved: no key, no cookie. The texts of a conversation are saved unchanged, including secrets, so only
you can read FILE; gate add redacts. A response that cannot be saved (a full disk) still reaches the client. Other
machines cannot reach the proxy, and web pages of other origins get 403. If a client disconnects, its request to the
server is cancelled. A proxy of the environment (HTTPS_PROXY) is not used.

Ctrl-C ends it: answers in flight have 5 seconds to end, and every line is written."""
EPILOG = """\
examples:
  gate proxy --to http://127.0.0.1:8080/v1 --save traffic.jsonl --port 9000
  OPENAI_BASE_URL=http://127.0.0.1:9000/v1 my-agent                  your agent, with another address
  gate proxy --to https://api.example.com/v1 --save traffic.jsonl    the client's own key is passed on
  tail -1 traffic.jsonl | gate add calls.jsonl --pair -              a case from the last line

exit status 1: something could not be saved"""


def add_parsers(commands: Any) -> None:
    """Add `proxy` to the subparsers of the command `gate`."""
    parser = commands.add_parser(
        "proxy",
        help="pass requests to a server and record its chat completions",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("--to", metavar="URL", required=True, help="the server's OpenAI-compatible root")
    parser.add_argument(
        "--save", metavar="FILE", type=Path, required=True, help="file to append to; created with mode 0600"
    )
    parser.add_argument("--port", metavar="N", type=int, default=0, help="default: a free one, printed at the start")
    parser.add_argument(
        "--host", metavar="HOST", default="127.0.0.1", help="address to listen at (default %(default)s)"
    )
    parser.add_argument("--i-know", action="store_true", help="allow a --host that other machines can reach")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=600.0,
        help="longest silence of the server before and within an answer (default: 600)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until a signal arrives, and print how much was saved; 1 if something was lost. Raises GateError."""
    import asyncio

    from gate.authoring.proxy import upstream, writer

    target = upstream.target(args.to)
    _check(args)
    writer.check(args.save)
    saving = writer.Saving(args.save)
    try:
        asyncio.run(_serve(args, target, saving))
    finally:
        saving.close(FLUSH)
    return _summary(saving, args.save)


async def listening(settings: Settings, host: str, port: int) -> tuple[asyncio.Server, Relay]:
    """Listen for clients. Raises GateError if the address cannot be used."""
    import asyncio

    from gate.authoring.proxy.server import Relay

    relay = Relay(settings)
    try:
        return await asyncio.get_running_loop().create_server(relay.protocol, host, port, backlog=512), relay
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise GateError(f"--host {host} --port {port}: cannot listen there: {why}; choose another port") from error


def _check(args: argparse.Namespace) -> None:
    from gate.authoring.proxy.headers import is_loopback

    if not is_loopback(args.host) and not args.i_know:
        raise GateError(
            f"--host {args.host}: other machines could use the server through it, and be recorded; "
            "leave it at 127.0.0.1, or add --i-know"
        )
    if not args.timeout > 0:
        raise GateError(f"--timeout {args.timeout}: give a number of seconds above 0")


async def _serve(args: argparse.Namespace, target: Target, saving: Saving) -> None:
    import ssl

    from gate.authoring.proxy.connection import Settings
    from gate.authoring.proxy.headers import is_loopback

    tls = ssl.create_default_context() if target.tls else None
    settings = Settings(target, tls, args.timeout, is_loopback(args.host), saving.put)
    server, relay = await listening(settings, args.host, args.port)
    port = server.sockets[0].getsockname()[1]
    if port == target.port and is_loopback(target.host):
        server.close()
        raise GateError(f"--port {port}: is the server's own; the proxy would ask itself")
    host = f"[{args.host}]" if ":" in args.host else args.host
    saves = f"{args.save}; Ctrl-C ends"
    print(clean(f"http://{host}:{port}{target.path} -> {args.to}, saved to {saves}"), flush=True)
    await _stopped(relay)
    server.close()
    await relay.stop(GRACE)


async def _stopped(relay: Relay) -> None:
    """Wait for Ctrl-C, SIGTERM or the end of the terminal; a second one aborts what is still in flight."""
    import asyncio

    stopping = asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            relay.cut()
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            asyncio.get_running_loop().add_signal_handler(number, stop)
    await stopping.wait()


def _summary(saving: Saving, path: Path) -> int:
    """Print how much was saved, and return the exit status."""
    why = f" ({saving.why})" if saving.lost else ""
    print(clean(f"gate: {saving.saved} saved to {path}, {saving.lost} lost{why}"), file=sys.stderr)
    return 1 if saving.lost else 0
