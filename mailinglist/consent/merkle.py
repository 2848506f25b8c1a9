"""Pure: Merkle trees, as in RFC 6962 §2.1 (the same in RFC 9162 §2.1): roots, audit paths, and how a path is checked.

Leaves and nodes are hashed with different prefixes, so that no node can be shown as a leaf. A tree splits at the
largest power of two below its size; so the roots of blocks of 2^n leaves are themselves the nodes of a tree with the
same root.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

_LEAF, _NODE = b"\x00", b"\x01"


def leaf(content: bytes) -> bytes:
    """The hash of a leaf."""
    return hashlib.sha256(_LEAF + content).digest()


def node(left: bytes, right: bytes) -> bytes:
    """The hash of what stands above two nodes."""
    return hashlib.sha256(_NODE + left + right).digest()


def root(hashes: Sequence[bytes]) -> bytes:
    """The root of the tree over these leaf hashes (or roots of whole blocks), MTH in the RFC; of none: SHA-256 of
    nothing."""
    level = list(hashes)
    if not level:
        return hashlib.sha256(b"").digest()
    while len(level) > 1:
        above = [node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            above.append(level[-1])  # the odd one goes up as it is: the split at a power of two, seen from below
        level = above
    return level[0]


def path(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of the leaf at `index`, from below: what its root can be made from, with the leaf (PATH)."""
    found, level = [], list(hashes)
    while len(level) > 1:
        beside = index ^ 1
        if beside < len(level):
            found.append(level[beside])
        above = [node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            above.append(level[-1])
        level, index = above, index // 2
    return found


def root_by_path(leaf_hash: bytes, index: int, size: int, way: Sequence[bytes]) -> bytes | None:
    """The root that this path leads to from the leaf at `index` of `size` (RFC 9162 §2.1.3.2); None: it fits no such
    place."""
    if not 0 <= index < size:
        return None
    at, last, found = index, size - 1, leaf_hash
    for beside in way:
        if last == 0:
            return None
        if at % 2 or at == last:
            found = node(beside, found)
            while not at % 2 and at:
                at, last = at // 2, last // 2
        else:
            found = node(found, beside)
        at, last = at // 2, last // 2
    return found if last == 0 else None
