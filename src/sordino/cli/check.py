"""``sordino check``: test whether a method, network, loss, metric or source meets the requirements of its kind."""

from __future__ import annotations

from argparse import Namespace

from sordino.cli.base import Answer, Command, flag
from sordino.cli.progress import Display
from sordino.errors import needs_training_tier
from sordino.plugins.catalogue import KINDS


def check(given: Namespace) -> Answer:
    needs_training_tier()
    from sordino.experiments.check import check as check_named
    from sordino.report.table import Table

    with Display() as show:
        kind, results = check_named(given.name, given.kind, given.overrides, show.status)
    failed = [result for result in results if result.outcome == "fails"]
    verdict = f"{len(failed)} of {len(results)} fail" if failed else "nothing fails"
    rows = [[result.check, result.outcome, result.remark] for result in results]
    table = Table.of([f"{kind} {given.name}", "", ""], rows, [verdict]).to_text().rstrip()
    return {"kind": kind, "ok": not failed, "checks": [result._asdict() for result in results]}, table


CHECK = Command(
    check,
    (
        flag("name", help="my_package:MyClass, installed or in this folder, or a name that recipes use"),
        flag("--kind", choices=tuple(KINDS), help="kind of the class; recognised automatically if left out"),
    ),
    "Check a method, network, loss, metric or source. key=value after the name sets an argument of its constructor.\n"
    "The exit code is 1 if something fails.",
    lambda: "examples:\n  sordino check my_network:GruMask hidden=16\n  sordino check fitnets",
)
