"""The JSON of an audience."""

from __future__ import annotations

from datetime import date

import pytest

from mailinglist.bulletins import audience
from mailinglist.bulletins.audience import EVERYBODY, Rule
from mailinglist.errors import BadInput

WHOLE = Rule(("fi", "sv"), date(2026, 1, 1), date(2026, 6, 1), ("consent",), "Messut 2026", 3, 4)


@pytest.mark.parametrize("rule", [Rule(), WHOLE, Rule(languages=("en",)), Rule(not_sent=1)])
def test_what_is_written_is_read_the_same(rule: Rule) -> None:
    assert audience.read(audience.write(rule)) == rule
    assert bool(rule) is (rule != Rule())


def test_one_rule_has_one_text() -> None:
    assert audience.write(Rule()) == EVERYBODY
    assert audience.read('{"languages": ["sv", "fi", "sv"], "source": "", "sent": null}') == Rule(("fi", "sv"))
    assert audience.read('{"languages": ["sv", "fi", "en"], "bases": []}') == Rule(), "all is no restriction"
    assert audience.write(WHOLE) == (
        '{"bases":["consent"],"joined_after":"2026-01-01","joined_before":"2026-06-01","languages":["fi","sv"],'
        '"not_sent":4,"sent":3,"source":"Messut 2026"}'
    )


@pytest.mark.parametrize(
    "source",
    [
        '{"joined_after":"0001-01-01"}', '{"joined_before":"9999-12-31"}', '{"joined_after":"1899-12-31"}',
        '{"joined_before":"2200-01-02"}',
        "", "null", "[]", "1", "[" * 100_000, '{"persons":[1]}', '{"languages":"fi"}', '{"languages":["de"]}',
        '{"languages":[1]}', '{"bases":["all"]}', '{"joined_after":"1.1.2026"}', '{"joined_after":5}', '{"sent":"1"}',
        '{"sent":0}', '{"sent":true}', '{"sent":99999999999}', '{"source":["a"]}', '{"source":"a\\u0000"}',
        '{"sent":1,"not_sent":1}', '{"joined_after":"2026-02-01","joined_before":"2026-02-01"}',
    ],
)  # fmt: skip
def test_another_form_is_refused(source: str) -> None:
    with pytest.raises(BadInput):
        audience.read(source)
