"""Packs are plain tar files, and a change of the set moves few of them."""

import random
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagemill import packs
from imagemill.errors import BuildError
from imagemill.packs import Member, Pack
from tests import make

AVERAGE = 4096


def content(member: Member) -> bytes:
    """Bytes that follow from the name; their hash is the member's digest."""
    return (member.name.encode() * (member.length // len(member.name.encode()) + 1))[
        : member.length
    ]


def member(name: str, length: int) -> Member:
    draft = Member(name, "", length)
    return Member(name, make.sha(content(draft)), length)


def written(folder: Path, *members: Member) -> Pack:
    pack = Pack(tuple(members))
    packs.write(pack, folder, content)
    return pack


NAMES = [
    "a.img",
    "cat/b c.png",
    "x" * 100,
    "y" * 101,
    "snö/日本.png",
    "z/" * 90 + "long.jpg",
    "é" * 60,
]


def test_a_pack_is_read_by_tarfile_with_normalised_headers(tmp_path):
    members = [member(name, 500 + 512 * n) for n, name in enumerate(NAMES)] + [member("empty", 0)]
    pack = written(tmp_path, *members)
    with tarfile.open(tmp_path / pack.name, "r:") as tar:
        found = tar.getmembers()
        held = [tar.extractfile(each).read() for each in found]
    assert [(each.name, each.size) for each in found] == [(m.name, m.length) for m in members]
    assert held == [content(m) for m in members]
    assert {(e.mtime, e.mode, e.uid, e.gid, e.uname, e.gname) for e in found} == {
        (0, 0o644, 0, 0, "", "")
    }


@given(
    st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1, max_size=100),
    st.integers(0, 8**11 - 1),
)
def test_the_fast_header_is_what_tarfile_writes(name, length):
    made = packs.header(Member(name, "", length))
    info = tarfile.TarInfo(name)
    info.size = length
    assert made == info.tobuf(tarfile.PAX_FORMAT)


@pytest.mark.parametrize(("length", "blocks"), [(8**11 - 1, 1), (8**11, 3)])
def test_a_length_beyond_a_plain_header_gets_a_longer_one(length, blocks):
    huge = Member("huge", "", length)
    assert len(packs.header(huge)) == blocks * packs.BLOCK
    assert next(Pack((huge,)).offsets())[1] == blocks * packs.BLOCK


@given(
    st.lists(
        st.tuples(
            st.text(min_size=1, max_size=120).filter(lambda t: t.isprintable()),
            st.integers(0, 2000),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_offsets_and_length_are_those_of_the_file(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("packs")
    pack = written(folder, *[member(name, length) for name, length in rows])
    data = (folder / pack.name).read_bytes()
    assert len(data) == pack.length
    assert all(data[at : at + m.length] == content(m) for m, at in pack.offsets())


def test_equal_sets_give_equal_names_and_bytes(tmp_path):
    members = [member(f"{n}.img", 700) for n in range(9)]
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        for pack in packs.plan(members, AVERAGE):
            packs.write(pack, tmp_path / place, content)
    one, two = (
        {p.name: p.read_bytes() for p in (tmp_path / place).iterdir()} for place in ("one", "two")
    )
    assert one == two
    assert len(one) > 1


@pytest.mark.parametrize(
    "other",
    [
        [member("b", 9), member("a", 9)],
        [member("a", 9)],
        [member("a", 9), member("c", 9)],
        [member("a", 9), member("b", 8)],
    ],
    ids=["order", "fewer", "name", "content"],
)
def test_the_name_of_a_pack_follows_from_names_contents_and_order(other):
    assert Pack((member("a", 9), member("b", 9))).name != Pack(tuple(other)).name


@given(st.lists(st.integers(0, 5 * AVERAGE), max_size=300))
def test_packs_hold_every_member_in_order_and_keep_their_bounds(lengths):
    members = [Member(str(n), make.digest(str(n)), length) for n, length in enumerate(lengths)]
    planned = list(packs.plan(members, AVERAGE))
    assert [m for pack in planned for m in pack.members] == members
    for pack in planned[:-1]:
        sizes = [m.length for m in pack.members]
        assert sum(sizes) >= packs.LEAST * AVERAGE
        assert sum(sizes[:-1]) < packs.MOST * AVERAGE


def corpus(seed: int) -> dict[str, int]:
    """Digests and lengths as of photos: most a twentieth of a pack, some much larger."""
    numbers = np.random.default_rng(seed)
    lengths = numbers.lognormal(np.log(AVERAGE / 20), 0.6, 3000).astype(int)
    return {make.digest(f"{seed} {n}"): int(length) for n, length in enumerate(lengths)}


def single_changes(held: dict[str, int], count: int) -> Iterator[dict[str, int]]:
    chance = random.Random(7)
    for n in range(count):
        edited = dict(held)
        if n % 3:  # delete, or half of a replacement
            del edited[chance.choice(sorted(edited))]
        if n % 3 != 1:
            edited[make.digest(f"new {n}")] = chance.choice(list(held.values()))
        yield edited


def names(held: dict[str, int]) -> set[str]:
    return {
        p.name for p in packs.plan((Member(f"{d}.img", d, held[d]) for d in sorted(held)), AVERAGE)
    }


def test_one_change_of_the_set_rewrites_few_packs():
    rewritten = []
    for seed in range(3):
        held = corpus(seed)
        before = names(held)
        assert len(before) >= 100
        rewritten += [len(names(edited) - before) for edited in single_changes(held, 100)]
    median, most = np.percentile(rewritten, [50, 99], method="higher")
    said = f"median {median}, 99% {most}, most {max(rewritten)}"
    print(f"packs rewritten by {len(rewritten)} single changes: {said}")
    assert median <= 2
    assert most <= 4


def test_a_pack_is_held_only_when_all_of_it_is_there(tmp_path):
    pack = written(tmp_path, *[member(f"{n}.img", 700) for n in range(5)])
    path = tmp_path / pack.name
    whole = path.read_bytes()
    assert packs.holds(tmp_path, pack)
    path.write_bytes(whole[:-1])
    assert not packs.holds(tmp_path, pack)
    path.write_bytes(whole[:3000] + bytes(len(whole) - 3000))
    assert not packs.holds(tmp_path, pack)
    path.unlink()
    assert not packs.holds(tmp_path, pack)


def test_another_file_of_the_same_length_is_not_taken_for_a_pack(tmp_path):
    pack = Pack((member("a.img", 700), member("b.img", 700)))
    other = written(tmp_path, member("a.img", 700), member("c.img", 700))
    (tmp_path / other.name).rename(tmp_path / pack.name)
    assert other.length == pack.length
    assert not packs.holds(tmp_path, pack)


def test_a_pack_whose_content_has_another_length_is_not_written(tmp_path):
    pack = Pack((member("a.img", 700),))
    with pytest.raises(ValueError, match=r"a\.img: 3 bytes, planned 700"):
        packs.write(pack, tmp_path, lambda _: b"abc")
    assert list(tmp_path.iterdir()) == []


def test_a_pack_that_is_not_wanted_in_the_end_leaves_nothing(tmp_path):
    packs.write(Pack((member("a.img", 700),)), tmp_path, content, keep=lambda: False)
    assert list(tmp_path.iterdir()) == []


def test_the_reader_gives_members_and_refuses_damaged_ones(tmp_path):
    pack = written(tmp_path, *[member(f"{n}.img", 700) for n in range(3)])
    path = tmp_path / pack.name
    third, at = list(pack.offsets())[2]
    place = (pack.name, at, third.length)
    with packs.Reader(tmp_path) as reader:
        assert reader.read(*place) == reader.content(third.digest, *place) == content(third)
        data = bytearray(path.read_bytes())
        data[at + 5] ^= 1
        path.write_bytes(data)
        with pytest.raises(
            BuildError, match=rf"{pack.name} is damaged at byte {at:,}\. Delete that file"
        ):
            reader.content(third.digest, *place)
    path.write_bytes(data[: at + 3])
    with packs.Reader(tmp_path) as reader, pytest.raises(BuildError, match="damaged"):
        reader.content(third.digest, *place)


def test_the_reader_opens_few_packs_at_once(tmp_path):
    held = [written(tmp_path, member(f"{n}.img", 40)) for n in range(packs.Reader.MOST + 20)]
    with packs.Reader(tmp_path) as reader:
        for _ in range(2):
            for pack in held:
                assert reader.read(pack.name, packs.BLOCK, 40) == content(pack.members[0])
        assert len(reader._open) == packs.Reader.MOST
    assert reader._open == {}
