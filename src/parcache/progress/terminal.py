"""A pseudo-terminal in front of the real one, so that a live display and all other output can share it.

While it is taken, standard output and standard error lead into the pseudo-terminal: whoever writes there, this
process, its workers, C code, subprocesses, writes to a terminal as before. A process of its own,
``parcache.progress.screen``, passes everything on to the real terminal, above the live lines. It is no thread, because
a thread cannot read while C code that holds the interpreter's lock waits for its output to be read; and because what a
crashing process writes last (``faulthandler``, ``abort``) has to arrive. It also needs no signal handlers in the
user's process, nor rich.

Workers keep the pseudo-terminal for as long as they live, so it is kept from batch to batch, and the other process
ends when nobody can write to it any more.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import select
import socket
import subprocess
import sys
import termios
import threading
import tty
from typing import Any, Final

# Word by word: -c would put the working directory on the path, where user's modules may shadow those that it needs.
_BOOT: Final = "import sys, json; a = json.loads(sys.argv[1]); sys.path[:] = a.pop('path'); "
_RUN: Final = "from parcache.progress.screen import main; main(**a)"
_ANSWER_S: Final = 20.0
_ENDED_S: Final = 5.0
ANSWER: Final = b"."
STAYING: Final = b"+"
_FIRST_FD: Final = 10  # shells and scripts use those below


def mark(token: str, word: str) -> bytes:
    """Return what says a word in the stream of output itself, so that it is known what came before it.

    It is an application program command: terminals ignore it, should one ever see it.
    """
    return b"\x1b_parcache;%s;%s\x1b\\" % (token.encode("ascii"), word.encode("ascii"))


class Terminal:
    """The pseudo-terminal and the process that empties it."""

    def __init__(self, encoding: str) -> None:
        """Make both.

        Raises:
            OSError: There is no pseudo-terminal to be had, or no process.
        """
        self._token = secrets.token_hex(8)
        self._saved: dict[int, int] = {}
        self._is_broken = False
        self._real = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, _FIRST_FD)
        opened = [self._real]
        try:
            self._master, self._slave = os.openpty()
            opened += [self._master, self._slave]
            tty.setraw(self._slave, termios.TCSANOW)
            copy_size(self._real, self._slave)
            self._control, theirs = socket.socketpair()
            with theirs:
                self._process = self._start(theirs.fileno(), encoding)
        except (OSError, termios.error) as error:
            for fd in opened:
                os.close(fd)
            raise OSError(*error.args) from error

    def _start(self, control: int, encoding: str) -> subprocess.Popen[bytes]:
        arguments = {
            "path": [os.path.abspath(entry) for entry in sys.path],
            "real": self._real,
            "master": self._master,
            "control": control,
            "token": self._token,
            "encoding": encoding,
            "parent": os.getpid(),
        }
        return subprocess.Popen(  # noqa: S603 - this interpreter, running this package
            [sys.executable, "-I", "-S", "-c", _BOOT + _RUN, json.dumps(arguments)],
            stdin=subprocess.DEVNULL,
            stdout=self._real,
            stderr=self._real,
            pass_fds=(self._real, self._master, control),
        )

    def take(self) -> None:
        """Lead standard output, and standard error where it is the same terminal, into the pseudo-terminal.

        Raises:
            OSError: There is no process any more that would pass output on.
        """
        if self._is_broken:
            raise OSError("the process that passes output on was killed")
        if self._saved:
            return
        device = os.fstat(self._real).st_rdev
        for fd in (1, 2):
            if _is_device(fd, device):
                self._saved[fd] = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FD)
                os.dup2(self._slave, fd)

    def give_back(self) -> None:
        """Lead them where they led before, but for those that somebody has led elsewhere meanwhile."""
        ours = os.fstat(self._slave).st_rdev
        while True:
            try:  # by two threads at once, where the other process was killed
                fd, saved = self._saved.popitem()
            except KeyError:
                return
            if _is_device(fd, ours):
                os.dup2(saved, fd)
            os.close(saved)

    def say(self, word: str) -> None:
        """Say a word after all that has been written so far."""
        if not self._is_broken:
            os.write(self._slave, mark(self._token, word))

    def send(self, message: dict[str, Any]) -> None:
        """Send what is to be shown."""
        try:
            self._control.sendall(json.dumps(message).encode("ascii") + b"\n")
        except OSError:
            self._take_over()

    def await_answer(self) -> None:
        """Wait until all that was written before the last word is on the real terminal."""
        if self._is_broken:
            return
        try:
            if select.select([self._control], [], [], _ANSWER_S)[0] and not self._control.recv(1):
                self._take_over()
        except OSError:
            self._take_over()

    def close(self) -> None:
        """Give the terminal back. The other process ends when no worker can write to it any more."""
        self.give_back()
        os.close(self._slave)
        said = ANSWER  # one that came too late to be waited for
        with self._control:
            self._control.settimeout(_ENDED_S)
            try:
                self._control.sendall(b'{"bye": true}\n')
                while said == ANSWER:
                    said = self._control.recv(1)
            except TimeoutError:  # it is stopped, or has a slow terminal: it may be about to say that it stays
                said = STAYING
            except OSError:  # it has ended at once
                said = b""
        if said == STAYING:
            # Something that was started meanwhile can still print (a process that a job has left behind, the resource
            # tracker of multiprocessing): it goes on passing that on, and ends with it.
            self._process.returncode = 0
        else:
            self._process.wait()
        if not self._is_broken:
            os.close(self._master)
            os.close(self._real)

    def _take_over(self) -> None:
        """Pass output on from here: the other process was killed, and without it all that prints would wait forever."""
        if not self._is_broken:
            self._is_broken = True
            self.give_back()
            threading.Thread(target=self._pass_on, name="parcache-terminal", daemon=True).start()

    def _pass_on(self) -> None:
        try:
            while data := os.read(self._master, 65536):
                while data:
                    data = data[os.write(self._real, data) :]
        except OSError:  # nobody can write to it any more
            for fd in (self._master, self._real):
                os.close(fd)


def copy_size(source: int, target: int) -> None:
    """Give a terminal the size of another."""
    fcntl.ioctl(target, termios.TIOCSWINSZ, fcntl.ioctl(source, termios.TIOCGWINSZ, bytes(8)))


def _is_device(fd: int, device: int) -> bool:
    try:
        return os.isatty(fd) and os.fstat(fd).st_rdev == device
    except OSError:  # closed
        return False
