"""A command on a pseudo-terminal, and the screen that a terminal emulator shows for it."""

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator

import pyte


class Terminal:
    """The screen of a running command.

    :param process: the command.
    :param master: the descriptor of the terminal's other end.
    """

    def __init__(self, process: asyncio.subprocess.Process, master: int, slave: int) -> None:
        self.process = process
        self.screen = pyte.Screen(100, 30)
        self.output = b""
        self._stream = pyte.ByteStream(self.screen)
        self._master = master
        self._is_closed = False
        self._slave = slave
        self._attributes = termios.tcgetattr(slave)
        asyncio.get_running_loop().add_reader(master, self._read)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: the command has ended
            data = os.read(self._master, 65536)
            self.output += data
            self._stream.feed(data)

    @property
    def lines(self) -> list[str]:
        """The lines of the screen that are not blank."""
        return [line.rstrip() for line in self.screen.display if line.strip()]

    @property
    def text(self) -> str:
        """The screen as text."""
        return "\n".join(self.lines)

    def resize(self, columns: int, lines: int) -> None:
        """Change the size of the terminal, as a window does."""
        set_size(self._slave, columns, lines)
        self.screen.resize(lines, columns)
        self.process.send_signal(signal.SIGWINCH)

    def press(self, keys: bytes) -> None:
        """Press keys; Ctrl-C is ``\\x03``."""
        os.write(self._master, keys)

    @property
    def is_clean(self) -> bool:
        """Whether the terminal is as it was before the command.

        The cursor is visible, the attributes are unchanged, and text has its default colour.
        """
        cursor = self.screen.cursor
        return (
            not cursor.hidden
            and cursor.attrs == pyte.screens.Char(" ")
            and self._attributes == termios.tcgetattr(self._slave)
        )

    def close(self) -> None:
        """Close the terminal, as its window is closed."""
        if self._is_closed:
            return
        self._is_closed = True
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)


def set_size(descriptor: int, columns: int, lines: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


@contextlib.asynccontextmanager
async def on_terminal(*words: str, **variables: str) -> AsyncIterator[Terminal]:
    """Start ``fastcoord`` on a new pseudo-terminal of 100 columns and 30 lines.

    :param variables: further environment variables.
    """
    master, slave = pty.openpty()
    set_size(slave, 100, 30)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fastcoord", *words),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**environment(), "TERM": "xterm-256color", **variables},
        preexec_fn=take_terminal,
    )
    terminal = Terminal(process, master, slave)
    try:
        yield terminal
    except BaseException:
        # pytest shows this beside the error.
        print(f"exit code {process.returncode}; the screen:\n{terminal.text}")
        raise
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        terminal.close()


def take_terminal() -> None:
    """Make the terminal on standard input the controlling one, so that Ctrl-C is a signal."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def environment() -> dict[str, str]:
    """Return the variables without those that change what rich prints."""
    changing = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM")
    return {name: value for name, value in os.environ.items() if name not in changing}
