"""A model in its own process: a photo that crashes it, or never ends, affects nothing else.

A hang in native code cannot be interrupted within its process, so the process is killed, and a new one opens the model again.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO, Any

_LENGTH = struct.Struct("<Q")

#: Seconds after which a process whose owner is gone ends itself, in addition to those that its work may take.
_GRACE = 60.0


class Died(Exception):
    """The process ended before it answered."""


class Late(Exception):
    """The process had not answered in time, and was killed."""


class Isolated:
    """A process that answers questions, one after the other.

    Parameters
    ----------
    make : function of a module that a new process can import
        Called there with ``arguments``; returns the function that answers, and the value of :attr:`first`.
    seconds : float
        Maximum time for ``make``.

    Raises
    ------
    Died, Late, or an exception of ``make``.
    """

    def __init__(self, make: Callable[..., tuple[Callable[[Any], Any], Any]], arguments: tuple[Any, ...], seconds: float) -> None:
        # The owner's module search path; its own ``__main__`` is not run again.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from candor._isolated import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        try:
            self.first: Any = self.ask((make, arguments), seconds)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Process ID."""
        return self._process.pid

    def ask(self, question: Any, seconds: float) -> Any:
        """The answer to a question; exceptions raised there are raised here. After Died or Late the process is gone."""
        late = threading.Event()

        def end() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            assert self._process.stdin is not None and self._process.stdout is not None
            _send(self._process.stdin, question, seconds)
            answered, answer = _receive(self._process.stdout)[0]
        except (EOFError, OSError):
            self.close()
            if late.is_set():
                raise Late(f"was ended after {seconds:g} s") from None
            raise Died(_ending(self._process.returncode)) from None
        except BaseException:
            # Unread data in the pipes belongs to this question.
            self.close()
            raise
        finally:
            timer.cancel()
        if not answered:
            raise answer
        return answer

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:
                pass
        self._process.wait()

    def __del__(self) -> None:
        if hasattr(self, "_process"):
            self.close()


def _ending(code: int) -> str:
    if code >= 0:
        return f"its process ended with code {code}"
    try:
        return f"its process was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"its process was ended by signal {-code}"


def _send(pipe: IO[bytes], value: Any, seconds: float = 0.0) -> None:
    content = pickle.dumps((value, seconds), protocol=pickle.HIGHEST_PROTOCOL)
    pipe.write(_LENGTH.pack(len(content)))
    pipe.write(content)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> Any:
    return pickle.loads(_exactly(pipe, _LENGTH.unpack(_exactly(pipe, _LENGTH.size))[0]))


def _exactly(pipe: IO[bytes], count: int) -> bytes:
    content = pipe.read(count)
    if len(content) < count:
        raise EOFError
    return content


def serve() -> None:
    """The process's main function: answers until its owner is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the owner, which ends this process
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output printed by libraries must not mix with answers
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(questions, waiting), daemon=True).start()
    nowhere = open(os.devnull, "w", encoding="utf-8")
    answer: Callable[[Any], Any] | None = None
    while True:
        question, seconds = waiting.get()
        # Ends this process even if native code hangs while it holds the GIL, so that the listening thread cannot run.
        faulthandler.dump_traceback_later(seconds + _GRACE, exit=True, file=nowhere)
        try:
            if answer is None:
                make, arguments = question
                answer, found = make(*arguments)
            else:
                found = answer(question)
            reply = (True, found)
        except Exception as error:
            reply = (False, portable(error))
        faulthandler.cancel_dump_traceback_later()
        _send(answers, reply)


def _listen(pipe: IO[bytes], waiting: queue.SimpleQueue[Any]) -> None:
    while True:
        try:
            waiting.put(_receive(pipe))
        except EOFError:
            os._exit(0)  # the owner is gone, whatever this process is doing


def portable(error: Exception) -> Exception:
    """The exception, if it can be pickled for another process; else one with its text."""
    error.__traceback__ = error.__cause__ = error.__context__ = None
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {' '.join(str(error).split())}")
    return error
