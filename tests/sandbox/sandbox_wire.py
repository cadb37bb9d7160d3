"""A wire-tap between a client and the simulator: everything the client sends goes on as it is, and is kept."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self


class WireTap:
    """Listens on a loopback port of its own and passes connections on to port `onward`."""

    def __init__(self) -> None:
        self.onward = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._sent: list[bytearray] = []
        self._open: list[socket.socket] = [self._listening]

    @property
    def port(self) -> int:
        """Where clients connect to."""
        return int(self._listening.getsockname()[1])

    @property
    def sent(self) -> bytes:
        """Everything that clients have sent, a connection after the other."""
        return b"\n".join(bytes(one) for one in self._sent)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self.onward))
                self._open += [client, server]
                kept = bytearray()
                self._sent.append(kept)
                threading.Thread(target=_pass_on, args=(client, server, kept), daemon=True).start()
                threading.Thread(target=_pass_on, args=(server, client, None), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket, kept: bytearray | None) -> None:
    with suppress(OSError):
        while chunk := source.recv(65_536):
            if kept is not None:
                kept += chunk
            target.sendall(chunk)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
