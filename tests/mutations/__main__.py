"""Break the good artifacts in every way, and print which check saw it."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

from tests.mutations import MUTATIONS, caught
from tests.mutations.good import make


def main() -> int:
    """Print the table; the number of mutations that survived is the exit status."""
    rows, survivors = [], 0
    chosen = [one for one in MUTATIONS if not sys.argv[1:] or one.name in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as root:
        good = make(Path(root))
        for number, one in enumerate(chosen, 1):
            place = Path(root) / "places" / one.name
            place.mkdir(parents=True)
            began = time.monotonic()
            check = caught(one, good.at(place))
            survivors += check.status != "found"
            seen = check.found[0][:70] if check.found else ""
            rows.append([one.name, f"{check.id} {check.name}", check.severity, check.status, seen])
            print(
                f"{number}/{len(chosen)} {one.name}: {check.status}, {time.monotonic() - began:.1f} s", file=sys.stderr
            )
    print(tabulate(rows, ["mutation", "check", "severity", "", "what it says"]))
    print(f"\n{len(rows)} mutations, {survivors} survived")
    return min(survivors, 100)


if __name__ == "__main__":
    sys.exit(main())
