"""Options that several commands share."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from gate.registry.slots import REGISTRY

REPORT = "report.json, or a run's folder"


def add_fixtures(parser: ArgumentParser, holds: str = "cases/") -> None:
    """Add --fixtures; `holds` says which of its files the command reads."""
    parser.add_argument(
        "--fixtures",
        metavar="DIR",
        type=Path,
        default=Path("fixtures"),
        help=f"folder with {holds} (default %(default)s)",
    )


def add_registry(parser: ArgumentParser, *, slot: bool = False) -> None:
    """Add --registry, and with `slot` the required --slot."""
    if slot:
        parser.add_argument("--slot", metavar="NAME", required=True, help="the slot's name")
    parser.add_argument(
        "--registry", metavar="DIR", type=Path, default=REGISTRY, help="folder of slots (default %(default)s)"
    )
