"""One window a user and home: a second start hands its arguments to the first."""

from __future__ import annotations

import getpass
import hashlib
import json
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtNetwork import QLocalServer, QLocalSocket

_WAIT_MS = 1000
_LIMIT = 1_000_000


def server_name(home: Path) -> str:
    """A name that only this user and this home have."""
    key = f"{getpass.getuser()}\0{home.resolve()}"
    return f"deltaworks-{hashlib.blake2b(key.encode(), digest_size=8).hexdigest()}"


def hand_over(name: str, message: dict[str, Any]) -> bool:
    """Give a message to the window that is already there; False when there is none."""
    socket = QLocalSocket()
    socket.connectToServer(name)
    if not socket.waitForConnected(_WAIT_MS):
        return False
    socket.write(json.dumps(message).encode() + b"\n")
    socket.waitForBytesWritten(_WAIT_MS)
    taken = socket.waitForReadyRead(_WAIT_MS) and socket.readAll().data() == b"ok\n"
    socket.disconnectFromServer()
    return taken


class InstanceServer(QObject):
    """The first window's ear.

    Signals:
        received: a message of another start.
    """

    received = Signal(object)

    def __init__(self, name: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._server = QLocalServer(self)
        self._server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        if not self._server.listen(name):
            # Nobody answered at this name before, so its socket is a leftover.
            QLocalServer.removeServer(name)
            self._server.listen(name)
        self._server.newConnection.connect(self._on_connection)

    @property
    def is_listening(self) -> bool:
        """Whether other starts can be heard."""
        return self._server.isListening()

    def close(self) -> None:
        """Hear no more."""
        self._server.close()

    @Slot()
    def _on_connection(self) -> None:
        while (socket := self._server.nextPendingConnection()) is not None:
            socket.readyRead.connect(self._on_ready)
            socket.disconnected.connect(socket.deleteLater)
            if socket.bytesAvailable():
                self._take(socket)

    @Slot()
    def _on_ready(self) -> None:
        socket = self.sender()
        if isinstance(socket, QLocalSocket):
            self._take(socket)

    def _take(self, socket: QLocalSocket) -> None:
        if not socket.canReadLine():
            if socket.bytesAvailable() > _LIMIT:
                socket.abort()
            return
        try:
            message = json.loads(bytes(socket.readLine().data()))
        except ValueError:
            socket.abort()
            return
        socket.write(b"ok\n")
        socket.flush()
        if isinstance(message, dict):
            self.received.emit(message)
