"""The Compose file and its example of settings, as text: Compose itself is not at hand where the tests run."""

from __future__ import annotations

import re

from commanding import ROOT

COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")


def test_the_example_begins_with_the_trial_and_names_each_profile() -> None:
    profiles = {name for names in re.findall(r"profiles: \[(.*)\]", COMPOSE) for name in names.split(", ")}
    assert profiles == {"inbound", "trial"}
    assert re.search(r"^COMPOSE_PROFILES=(.*)$", EXAMPLE, re.MULTILINE)[1] == "trial"
    assert all(f"`{name}`" in EXAMPLE for name in profiles)


def test_nothing_starts_without_what_has_no_default() -> None:
    for name in ("SITE", "POSTGRES_PASSWORD"):
        found = re.findall(rf"\$\{{{name}[^}}]*\}}", COMPOSE)
        assert found
        assert set(found) == {f"${{{name}:?fill it in .env}}"}
