"""Reading a large flag file: in a child process, as strictly as a small one is read here."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection
from dataclasses import replace

from dispatcher.errors import InvalidFlags
from dispatcher.routing.flags.child import LARGE, in_child
from dispatcher.routing.flags.document import FlagDocument
from dispatcher.routing.flags.reader import document_version, read_flag_document
from dispatcher.routing.flags.sift import sift_here

_REFUSED = 3


def read_flag_file(content: bytes, subject: str, routed: Collection[str]) -> FlagDocument:
    """As `read_flag_document`; of a large one, the flags that don't concern the routed ones are judged and left out."""
    ran = in_child("dispatcher.routing.flags.large", [subject, *routed], content) if len(content) >= LARGE else None
    if ran is not None:
        status, told = ran
        if status == _REFUSED:
            raise InvalidFlags(subject, json.loads(told))
        if told.endswith(b"\n"):
            return replace(read_flag_document(told, subject, routed), version=document_version(content))
    return read_flag_document(content, subject, routed)


def main() -> int:
    """The child: subject and routed flags as arguments; what concerns them, or every problem, on standard output."""
    os.nice(5)
    content, subject, routed = sys.stdin.buffer.read(), sys.argv[1], sys.argv[2:]
    try:
        read_flag_document(content, subject, routed)
    except InvalidFlags as error:
        sys.stdout.write(json.dumps(error.problems))
        return _REFUSED
    # The line end says that this is all of it.
    sys.stdout.buffer.write(sift_here(content, routed) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
