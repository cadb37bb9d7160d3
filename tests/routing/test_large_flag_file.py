"""A large flag file is read off the threads that evaluate, as strictly as a small one, and its flips take effect."""

from __future__ import annotations

import copy
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from flag_server_world import ACME, until
from routing_documents import FLAG, KILL, document, only, rule, text

from dispatcher.errors import InvalidFlags
from dispatcher.routing.flags.child import LARGE
from dispatcher.routing.flags.file import EmbeddedFlags
from dispatcher.routing.flags.large import read_flag_file
from dispatcher.routing.flags.reader import read_flag_document


def large(variant: str = "a", flags: int = 2000, **rules: Any) -> dict[str, Any]:
    """A file in which the flag is one of many."""
    content = document(rule(only("acme"), variants={variant: 1}), **rules)
    other = document(rule(only("globex"), title="another"))["features"][1]
    content["features"] += [{**other, "name": f"other-{number}"} for number in range(flags)]
    return content


def answered(flags: EmbeddedFlags) -> str | None:
    return flags.evaluate(FLAG, ACME).variant


def test_a_large_file_is_read_as_a_small_one_is() -> None:
    content = text({**large(), "segments": [{"id": 1, "name": "s", "constraints": [only("x")]}]})
    assert len(content) > LARGE
    read, here = read_flag_file(content, "flags.json", [FLAG]), read_flag_document(content, "flags.json", [FLAG])

    assert read.version == here.version
    assert dict(read.features) == {name: here.features[name] for name in (FLAG, KILL)}


def test_everything_that_is_wrong_in_a_large_file_is_told_also_of_other_flags() -> None:
    content = large()
    wrong = copy.deepcopy(content["features"][1])
    wrong["strategies"][0]["constrants"] = []
    content["features"][-1] = {**wrong, "name": "wrong"}
    content["features"][-2] = {**wrong, "name": "wrong-too"}
    found = []
    for reader in (read_flag_file, read_flag_document):
        with pytest.raises(InvalidFlags) as refused:
            reader(text(content), "flags.json", [FLAG])
        found.append(refused.value.problems)

    assert found[0] == found[1]
    assert len(found[0]) == 2


def test_an_edit_of_a_large_file_takes_effect_and_no_evaluation_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    path.write_bytes(text(large("a")))
    flags = EmbeddedFlags(path, [FLAG])
    began, mine = threading.Event(), threading.get_ident()
    readers: set[int] = set()
    read = flags._read

    def watched(now: float) -> None:
        readers.add(threading.get_ident())
        began.set()
        read(now)

    flags._read = watched  # type: ignore[method-assign]
    path.write_bytes(text(large("b")))
    until(lambda: answered(flags) == "b")
    path.write_bytes(text(large("b"))[:-20])
    until(lambda: flags.evaluate(FLAG, ACME).stale)

    assert answered(flags) == "b"
    assert began.is_set()
    assert mine not in readers


def test_a_child_forked_while_a_large_file_is_read_sees_the_next_flip(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    path.write_bytes(text(large("a")))
    flags = EmbeddedFlags(path, [FLAG])
    path.write_bytes(text(large("b")))
    time.sleep(0.25)  # the file is looked at again, on use
    flags.evaluate(FLAG, ACME)
    child = os.fork()
    if not child:
        seen = False
        try:
            flags.after_fork()
            until(lambda: answered(flags) == "b")
            seen = True
        finally:
            os._exit(0 if seen else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
