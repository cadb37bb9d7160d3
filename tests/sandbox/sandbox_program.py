"""One dispatch in a process that notes everything it reaches for: connections, programs, files written.

Reads what to do as JSON from its argument, and writes what it noted, and the result, to standard output.
"""

from __future__ import annotations

import json
import os
import sys

NOTED = frozenset(
    {
        "socket.connect",
        "socket.sendto",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "subprocess.Popen",
        "os.exec",
        "os.posix_spawn",
        "os.spawn",
        "os.system",
        "os.fork",
        "os.forkpty",
        "open",
        "sqlite3.connect",
        "os.rename",
        "os.remove",
        "os.rmdir",
        "os.mkdir",
        "os.link",
        "os.symlink",
        "os.truncate",
        "os.chmod",
        "shutil.rmtree",
        "shutil.move",
        "shutil.copyfile",
        "urllib.Request",
    }
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
noted: list[tuple[str, list[object]]] = []


def note(event: str, arguments: tuple[object, ...]) -> None:
    if event not in NOTED:
        return
    if event == "open" and not _is_write(*arguments):
        return
    noted.append((event, [_told(one) for one in arguments]))


def _is_write(path: object, _mode: object, flags: object) -> bool:
    """A number is what is open already, such as a pipe to a program."""
    return not isinstance(path, int) and isinstance(flags, int) and bool(flags & _WRITING)


def _told(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_told(one) for one in value]
    if isinstance(value, dict):
        return {str(_told(name)): _told(one) for name, one in value.items()}
    if isinstance(value, bytes | os.PathLike):
        return os.fsdecode(value)
    return value if isinstance(value, str | int | float | None) else f"<{type(value).__name__}>"


def research(asked: dict[str, object]) -> dict[str, object]:
    from dispatcher import Limits, Repository, ResearchAction  # noqa: PLC0415 - what is imported is noted, too
    from dispatcher.settings import load_settings  # noqa: PLC0415
    from dispatcher.wiring.serving import build_dispatcher  # noqa: PLC0415

    dispatcher = build_dispatcher(load_settings(**asked["settings"]))
    repository = Repository(path=asked["repository"], github_url=asked["github_url"])
    limits = Limits(**asked["limits"])
    result = dispatcher.dispatch_research(
        ResearchAction(
            question=asked["question"], tenant="acme", variant=asked["variant"], repository=repository, limits=limits
        )
    )
    dispatcher.close()
    return {
        "status": result.status,
        "ended_by": result.ended_by,
        "error": result.error,
        "path": result.decision.path,
        "iterations": result.iterations,
        "cost_nanousd": result.cost_nanousd,
        "report": result.output.model_dump_json() if result.output else None,
        "work": json.dumps(result.work),
    }


def misbehave(asked: dict[str, object]) -> dict[str, object]:
    """Do what research must never do, so that it is seen to be noticed."""
    import socket  # noqa: PLC0415
    import subprocess  # noqa: PLC0415
    from contextlib import suppress  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    with socket.socket() as elsewhere, suppress(OSError):
        elsewhere.connect(("127.0.0.1", 9))
    subprocess.run(["true"], check=True)
    Path(str(asked["repository"]), "owned.txt").write_text("owned")
    return {}


def main() -> None:
    sys.addaudithook(note)
    asked = json.loads(sys.argv[1])
    answered = (misbehave if asked.get("misbehaves") else research)(asked)
    seen = list(noted)
    json.dump({"noted": seen, **answered}, sys.stdout)


if __name__ == "__main__":
    main()
