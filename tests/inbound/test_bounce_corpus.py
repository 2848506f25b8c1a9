"""The labelled reports of real servers, where `TEST_BOUNCE_CORPUS` names a folder with them and labels.json; nothing
of them is kept here. `pytest -s` prints what was missed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from mailinglist.delivery.verdicts import Verdict
from mailinglist.inbound.feedback import complaint
from mailinglist.inbound.reading import read
from mailinglist.inbound.reports import report

NAME = "TEST_BOUNCE_CORPUS"


@pytest.fixture(scope="module")
def answers() -> list[tuple[str, Verdict, Verdict, str]]:
    """File, label, verdict, the server's words."""
    folder = os.environ.get(NAME)
    if not folder:
        pytest.skip(f"{NAME} names no folder with labelled reports")
    labels = json.loads((Path(folder) / "labels.json").read_text())
    return [
        (name, Verdict(label), *judged((Path(folder) / name).read_bytes())) for name, label in sorted(labels.items())
    ]


def judged(raw: bytes) -> tuple[Verdict, str]:
    mail = read(raw)
    if complaint(mail):
        return Verdict.COMPLAINT, ""
    found = report(mail)
    return (found.verdict, found.words) if found else (Verdict.NO_FAILURE, "no report")


def test_at_least_95_in_100_are_right(answers: list[tuple[str, Verdict, Verdict, str]]) -> None:
    missed = [answer for answer in answers if answer[1] is not answer[2]]
    table = [f"{name:28} {label:10} judged {verdict:10} {words[:120]}" for name, label, verdict, words in missed]
    table.append(f"{len(answers) - len(missed)} of {len(answers)} are right")
    sys.stdout.write("\n".join(["", *table, ""]))
    assert len(missed) <= 0.05 * len(answers)


def test_fewer_than_1_in_100_are_called_dead_and_are_not(answers: list[tuple[str, Verdict, Verdict, str]]) -> None:
    others = [answer for answer in answers if answer[1] is not Verdict.DEAD]
    wrong = [name for name, _, verdict, _ in others if verdict is Verdict.DEAD]
    assert len(wrong) < 0.01 * len(others), wrong


def test_each_fifth_is_about_as_good(answers: list[tuple[str, Verdict, Verdict, str]]) -> None:
    for first in range(5):
        fifth = answers[first::5]
        assert sum(label is verdict for _, label, verdict, _ in fifth) >= 0.9 * len(fifth)
