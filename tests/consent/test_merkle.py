"""The trees of RFC 6962, held against its own recursive definition."""

from __future__ import annotations

import hashlib

import pytest

from mailinglist.consent import merkle, seals

# RFC 6962 has no vectors; these are of the trees that Certificate Transparency's own tests are made with.
LEAVES = [bytes.fromhex(each) for each in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657",
                                           "606162636465666768696a6b6c6d6e6f")]  # fmt: skip
ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def by_definition(hashes: list[bytes]) -> bytes:
    """MTH as section 2.1 writes it."""
    if len(hashes) < 2:
        return hashes[0] if hashes else hashlib.sha256(b"").digest()
    half = 1
    while half * 2 < len(hashes):
        half *= 2
    return merkle.node(by_definition(hashes[:half]), by_definition(hashes[half:]))


@pytest.mark.parametrize("size", ROOTS)
def test_roots_are_those_that_others_make(size: int):
    assert merkle.root([merkle.leaf(each) for each in LEAVES[:size]]).hex() == ROOTS[size]


def test_roots_and_paths_of_every_size():
    for size in range(70):
        hashes = [merkle.leaf(bytes([n])) for n in range(size)]
        root = by_definition(hashes)
        assert merkle.root(hashes) == root
        # Blocks of a power of two are nodes of the same tree.
        blocks = [merkle.root(hashes[start : start + 8]) for start in range(0, size, 8)]
        assert merkle.root(blocks) == root
        for index in range(size):
            way = [*merkle.path(hashes[index // 8 * 8 :][:8], index % 8), *merkle.path(blocks, index // 8)]
            assert way == merkle.path(hashes, index)
            assert merkle.root_by_path(hashes[index], index, size, way) == root


def test_a_path_leads_from_one_place_only():
    hashes = [merkle.leaf(bytes([n])) for n in range(11)]
    root = merkle.root(hashes)
    for index in range(11):
        way = merkle.path(hashes, index)
        for other in range(-1, 12):
            assert (merkle.root_by_path(hashes[index], other, 11, way) == root) is (other == index)
        assert merkle.root_by_path(hashes[index], index, 11, way[:-1]) != root
        assert merkle.root_by_path(hashes[index], index, 11, [*way, root]) is None
        assert merkle.root_by_path(hashes[index - 1], index, 11, way) != root


def test_blocks_keep_their_shape():
    leaves = [(n.to_bytes(16, "big"), n, bytes(32)) for n in range(2 * seals.BLOCK + 1)]
    blocks = seals.Blocks.of(leaves)
    packed = blocks.pack()
    assert [first for first, _ in seals.unpack(packed)] == [leaves[n][0] for n in (0, seals.BLOCK, 2 * seals.BLOCK)]
    assert blocks.size == len(leaves)
    assert seals.root_of(packed) == merkle.root([seals.leaf_of(leaf) for leaf in leaves])
    with pytest.raises(ValueError, match="another length"):
        seals.unpack(packed[:-1])
