"""A dispatcher appends to the log what it sees of the flag that decides, once for all that see it."""

from __future__ import annotations

import json
import os
import time

from dispatcher.wiring.serving import build_dispatcher

COLUMNS = "source, flag, sequence, from_fingerprint, to_fingerprint, standing"
CHANGES = f"SELECT {COLUMNS} FROM flag_changes ORDER BY sequence"


def wait_for(rows, count):
    """The changes, as soon as so many are there."""
    for _ in range(1000):
        if len(found := rows(CHANGES)) >= count:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{len(found)} changes were recorded, not {count}")


def switch(settings, *, enabled):
    file = settings.policies_dir / "flags.json"
    document = json.loads(file.read_text())
    next(flag for flag in document["features"] if flag["name"] == "agent-research")["enabled"] = enabled
    (settings.policies_dir / "flags.new").write_text(json.dumps(document))
    (settings.policies_dir / "flags.new").replace(file)


def test_two_dispatchers_and_a_forked_child_record_a_flip_once(live_settings, ask, rows):
    dispatchers = [build_dispatcher(live_settings) for _ in range(2)]
    (first,) = wait_for(rows, 1)
    switch(live_settings, enabled=False)
    for dispatcher in dispatchers:
        while dispatcher.dispatch_research(ask("acme")).decision.reason != "off":
            time.sleep(0.05)
    child = os.fork()
    if not child:
        code = 1
        try:
            # The child sees another flip, which its parent never asks about.
            switch(live_settings, enabled=True)
            while dispatchers[0].dispatch_research(ask("acme")).decision.reason != "flag":
                time.sleep(0.05)
            wait_for(rows, 3)
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for dispatcher in dispatchers:
        dispatcher.close()

    changes = wait_for(rows, 3)
    assert [(change["source"], change["flag"], change["sequence"]) for change in changes] == [
        ("file", "agent-research", number) for number in (1, 2, 3)
    ]
    states = [change["to_fingerprint"] for change in changes]
    assert [change["from_fingerprint"] for change in changes] == [None, *states[:2]]
    assert states[0] == states[2] == first["to_fingerprint"] != states[1]
    assert [json.loads(change["standing"])["on"] for change in changes] == [True, False, True]
