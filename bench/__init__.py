"""Measurements, as ratios against something that stands beside this program in the same run: `./dev bench send`.

They stand on the servers that the tests use. No test stands on a benchmark.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
