"""Starts, stops and shows a real Unleash; see scripts/unleash."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from local_process import ROOT, Unusable, locked
from postgres_server import Postgres
from unleash_install import HOME, install
from unleash_processes import ROLE, Secrets, Server, free_port, healthy, refuse_taken
from unleash_seed import Admin, seed

_PORT = 4242
_LAST_PORT = 65535
_NOT_RUNNING = 3


class Unleash:
    """The real Unleash of one data folder."""

    def __init__(self, folder: Path) -> None:
        programs = install()
        self._folder = folder
        self.postgres = Postgres(
            programs.postgres, folder / "postgres", role=ROLE, way_out="scripts/unleash reset begins anew"
        )
        self.server = Server(programs.server, folder)

    def start(self, port: int | None) -> None:
        """Start what isn't running, seed what isn't there. Raises Unusable."""
        running = self.ready
        if running and port not in (None, 0, self.server.port):
            raise Unusable(f"it is running already, on port {self.server.port}; stop it first: scripts/unleash stop")
        if not running:
            print("Starting PostgreSQL and Unleash (a few seconds) …", file=sys.stderr, flush=True)
            self.server.stop()
            chosen = free_port() if port == 0 else port or self.server.port or _PORT
            refuse_taken(chosen)
            self.server.start(chosen, self.postgres.start(), self.secrets)
        made = seed(Admin(self.url, self.secrets.admin_token), ROOT / "policies" / "flags.json")
        if made:
            print(f"Seeded from policies/flags.json: {', '.join(made)}", file=sys.stderr)

    def stop(self) -> None:
        self.server.stop()
        self.postgres.stop()

    def forget(self) -> None:
        """Delete what start made, and nothing else that may be in the folder."""
        shutil.rmtree(self._folder / "postgres", ignore_errors=True)
        for name in ("secrets.json", "server.json", "server.log"):
            (self._folder / name).unlink(missing_ok=True)

    @property
    def ready(self) -> bool:
        database, port = self.postgres.socket_folder(), self.server.port
        return bool(self.server.pid and database and port and healthy(port))

    @property
    def secrets(self) -> Secrets:
        return Secrets.of(self._folder)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    @property
    def exports(self) -> str:
        settings = {
            "DISPATCHER_UNLEASH_URL": self.url,
            "DISPATCHER_UNLEASH_TOKEN": self.secrets.backend_token,
            "DISPATCHER_UNLEASH_ADMIN_TOKEN": self.secrets.admin_token,
        }
        return "\n".join(f"export {name}='{value}'" for name, value in settings.items())


def start(unleash: Unleash, port: int | None) -> int:
    unleash.start(port)
    print(f"Unleash is ready at {unleash.url} (log: {unleash.server.log})")
    print(f"Sign in as admin with the password {unleash.secrets.password}")
    print("Let dispatcher follow it, in this shell:\n")
    print(unleash.exports)
    return 0


def stop(unleash: Unleash, _port: int | None) -> int:
    unleash.stop()
    print("Unleash is stopped; scripts/unleash start goes on where it was")
    return 0


def status(unleash: Unleash, _port: int | None) -> int:
    database = unleash.postgres.socket_folder()
    print(f"PostgreSQL: {'running' if database else 'not running'}")
    pid = unleash.server.pid
    print(f"Unleash:    {f'running at {unleash.url}, process {pid}' if pid else 'not running'}")
    if pid and not unleash.ready:
        print(f"It doesn't say that it is well; see {unleash.server.log}")
    return 0 if unleash.ready else _NOT_RUNNING


def env(unleash: Unleash, _port: int | None) -> int:
    if not unleash.ready:
        raise Unusable("it isn't running; start it: scripts/unleash start")
    print(unleash.exports)
    return 0


def reset(unleash: Unleash, _port: int | None) -> int:
    unleash.stop()
    unleash.forget()
    print("Unleash is stopped and its database, tokens and password are gone; scripts/unleash start seeds it anew")
    return 0


_VERBS: dict[str, Callable[[Unleash, int | None], int]] = {
    "start": start,
    "stop": stop,
    "status": status,
    "env": env,
    "reset": reset,
}


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: write a number up to {_LAST_PORT}, 0 for any free one")
    return int(text)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/unleash")
    parser.add_argument("verb", choices=[*_VERBS, "install"])
    parser.add_argument("--port", type=_port, metavar="N")
    parser.add_argument("--data", type=Path, metavar="DIR", default=HOME / "data")
    given = parser.parse_args()
    try:
        if given.verb == "install":
            install()
            return 0
        folder = given.data.absolute()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(folder / "lock"):
            return _VERBS[given.verb](Unleash(folder), given.port)
    except Unusable as error:
        print(f"scripts/unleash: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
