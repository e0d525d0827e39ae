from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgw.errors import CredentialUnusable
from llmgw_logins import CredentialFile

ADVICE = "Run: acme login"


def file_of(folder: Path, content: bytes | dict[str, Any] | None) -> CredentialFile:
    path = folder / "auth.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return CredentialFile(path, ADVICE)


def test_what_it_holds(tmp_path: Path) -> None:
    """The JSON object."""
    assert {"a": 1} == file_of(tmp_path, {"a": 1}).read()


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "there is none"), (b"", "corrupt"), (b"{", "corrupt"), (b"[]", "corrupt"), (b"\xff\xfe", "corrupt")],
)
def test_what_cannot_be_used(tmp_path: Path, content: bytes | None, said: str) -> None:
    """It is told why, and which command to run; what the file holds is not repeated."""
    with pytest.raises(CredentialUnusable) as raised:
        file_of(tmp_path, content).read()
    assert said in raised.value.message and raised.value.message.endswith(ADVICE)
    assert (401, "authentication") == (raised.value.status, raised.value.kind)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """What cannot be read is told by the system's own word."""
    with pytest.raises(CredentialUnusable, match=r"cannot be read \(Is a directory\)"):
        CredentialFile(tmp_path, ADVICE).read()


def test_it_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    """Also where the new content has the same size, or came by a rename with the old time."""
    one = file_of(tmp_path, {"a": 1})
    first = one.read()
    assert first is one.read()
    about = one.path.stat()
    other = tmp_path / "other"
    other.write_text('{"a": 2}')
    os.utime(other, ns=(about.st_atime_ns, about.st_mtime_ns))
    other.replace(one.path)
    assert {"a": 2} == one.read()


def test_a_file_that_comes_back(tmp_path: Path) -> None:
    """Between a logout and a login nothing is remembered."""
    one = file_of(tmp_path, {"a": 1})
    one.read()
    one.path.unlink()
    with pytest.raises(CredentialUnusable):
        one.read()
    file_of(tmp_path, {"a": 3})
    assert {"a": 3} == one.read()


def test_merging_keeps_what_others_wrote_meanwhile(tmp_path: Path) -> None:
    """The change is made to what the file holds at that moment; unknown keys and their order stay."""
    one = file_of(tmp_path, {"z": 1, "a": {"token": "old"}, "m": [1, 2]})
    one.read()
    file_of(tmp_path, {"z": 1, "a": {"token": "old"}, "new": True, "m": [1, 2]})
    one.merge(lambda tree: {**tree, "a": {"token": "fresh"}})
    assert '{"z":1,"a":{"token":"fresh"},"new":true,"m":[1,2]}' == one.path.read_text().replace(" ", "")


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_only_its_owner_may_read_it(tmp_path: Path, mode: int) -> None:
    """Whatever its mode was before."""
    one = file_of(tmp_path, {"a": 1})
    one.path.chmod(mode)
    one.merge(lambda tree: tree)
    assert 0o600 == one.path.stat().st_mode & 0o777


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """What it points to is written."""
    (tmp_path / "elsewhere").mkdir()
    there = file_of(tmp_path / "elsewhere", {"a": 1})
    link = tmp_path / "link.json"
    link.symlink_to(there.path)
    CredentialFile(link, ADVICE).merge(lambda tree: {"a": 2})
    assert link.is_symlink() and {"a": 2} == json.loads(there.path.read_bytes())


def test_nothing_is_left_where_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old file stays, and no other beside it."""
    one = file_of(tmp_path, {"a": 1})

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CredentialUnusable, match="No space left"):
        one.merge(lambda tree: {"a": 2})
    assert ([one.path], {"a": 1}) == (list(tmp_path.iterdir()), json.loads(one.path.read_bytes()))


def test_nobody_ever_sees_half_a_file(tmp_path: Path) -> None:
    """Whoever reads while it is written has the old or the new, whole."""
    one = file_of(tmp_path, {"n": 0, "filler": "x" * 50_000})
    done = threading.Event()
    seen: list[int] = []

    def reading() -> None:
        while not done.is_set():
            seen.append(json.loads(one.path.read_bytes())["n"])

    reader = threading.Thread(target=reading)
    reader.start()
    try:
        for n in range(1, 60):
            one.merge(lambda tree, n=n: {**tree, "n": n})  # type: ignore[misc]
    finally:
        done.set()
        reader.join()
    assert seen == sorted(seen) and len(seen) > 5


def test_where_it_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a person would write it, and never whose machine this is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "~/.acme/auth.json" == CredentialFile(tmp_path / ".acme/auth.json", ADVICE).shown
    monkeypatch.setenv("HOME", "/nowhere")
    assert "auth.json" == CredentialFile(tmp_path / ".acme/auth.json", ADVICE).shown


def test_what_is_left_as_it_is(tmp_path: Path) -> None:
    """A change that is none writes nothing."""
    one = file_of(tmp_path, {"a": 1})
    before = one.path.stat().st_ino
    assert {"a": 1} == one.merge(lambda tree: None)
    assert (before, [one.path]) == (one.path.stat().st_ino, list(tmp_path.iterdir()))


def test_somebody_writes_between_reading_and_writing(tmp_path: Path) -> None:
    """Without a lock too nothing of theirs is lost: the change is made once more, to what they wrote."""
    one, tries = file_of(tmp_path, {"n": 0}), list[int]()

    def change(tree: dict[str, Any]) -> dict[str, Any]:
        tries.append(tree["n"])
        if len(tries) < 3:
            file_of(tmp_path, {"n": len(tries), "filler": "x" * len(tries)})
        return {**tree, "ours": True}

    one.merge(change)
    assert ([0, 1, 2], {"n": 2, "filler": "xx", "ours": True}) == (tries, json.loads(one.path.read_bytes()))


def test_many_who_write_at_once(tmp_path: Path) -> None:
    """Each in its own thread, as many processes would: no temporary file stays, and the file is always whole."""
    path = file_of(tmp_path, {}).path

    def writing(number: int) -> None:
        for _ in range(10):
            CredentialFile(path, ADVICE).merge(lambda tree: {**tree, str(number): tree.get(str(number), 0) + 1})

    threads = [threading.Thread(target=writing, args=(number,)) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert [path] == list(tmp_path.iterdir()) and {"0", "1", "2", "3"} >= set(json.loads(path.read_bytes()))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_it_stays_its_owners(tmp_path: Path) -> None:
    """A gateway that runs as root must not take a person's login away from them."""
    one = file_of(tmp_path, {"a": 1})
    os.chown(one.path, 1234, 2345)
    one.merge(lambda tree: {"a": 2})
    about = one.path.stat()
    assert (1234, 2345, 0o600) == (about.st_uid, about.st_gid, about.st_mode & 0o777)


TREES = st.dictionaries(
    st.text(),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=10,
    ),
    max_size=6,
)


@given(TREES)
def test_what_we_do_not_know_stays(tree: dict[str, Any]) -> None:
    """Every key, its value and its place."""
    with TemporaryDirectory() as folder:
        one = file_of(Path(folder), tree)
        one.merge(lambda held: {**held, "ours": 1})
        written = json.loads(one.path.read_bytes())
    assert list({**tree, "ours": 1}.items()) == list(written.items())


@given(st.text("abcXYZ0189._-", min_size=8), st.sampled_from(['{"a": "%s"', '"%s"', '["%s"]', "%s", '{"%s": 1}x']))
def test_no_message_shows_what_it_holds(token: str, held: str) -> None:
    """Not even of a corrupt one, where it would help to see it."""
    with TemporaryDirectory() as folder:
        one = file_of(Path(folder), held.replace("%s", token).encode())
        with pytest.raises(CredentialUnusable) as raised:
            one.read()
        assert token not in f"{raised.value!r} {one!r}"
