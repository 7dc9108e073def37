"""A pytest plugin: the package calls the library of another machine, in a process of its own under an emulator.

    EPLB_REMOTE="qemu-aarch64 -L /usr/aarch64-linux-gnu REMOTE_CALLS LIBRARY" pytest -p remote_library FILE...

The types of functions are those of this machine's library, which the package finds as ever. Structs and arrays are
sent as they are, for both machines lay them out in the same way.
"""

import os
import shlex
import struct
import subprocess
import threading

import cffi


class Process:
    """The other machine, see remote_calls.c."""

    def __init__(self, command):
        self._process = subprocess.Popen(shlex.split(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._turn = threading.Lock()

    def call(self, name, arguments):
        """Arguments are integers and buffers, which the call may change. Returns an integer, or the bytes of a text."""
        with self._turn:
            self._send(name, arguments)
            result, length = self._take_ints(2)
            text = self._take(length) if length >= 0 else None
            for argument in arguments:
                if not isinstance(argument, int):
                    after = self._take(len(argument))
                    # A buffer that the call may only read may be one that cannot be written.
                    if after != argument[:]:
                        argument[:] = after
        return result if text is None else text

    def end(self):
        self._process.stdin.close()
        self._process.wait()

    def _send(self, name, arguments):
        pipe = self._process.stdin
        pipe.write(struct.pack("=q", len(name)) + name.encode() + struct.pack("=q", len(arguments)))
        for argument in arguments:
            if isinstance(argument, int):
                pipe.write(struct.pack("=qq", -1, argument))
            else:
                pipe.write(struct.pack("=q", len(argument)))
                pipe.write(argument)
        pipe.flush()

    def _take(self, size):
        taken = self._process.stdout.read(size)
        if len(taken) != size:
            raise RuntimeError(f"the other machine ended with {self._process.wait()}")
        return taken

    def _take_ints(self, count):
        return struct.unpack(f"={count}q", self._take(8 * count))


class Function:
    def __init__(self, ffi, process, name, kind):
        self.kind = kind
        self._ffi, self._process, self._name = ffi, process, name

    def _argument(self, given):
        if not isinstance(given, self._ffi.CData):
            return int(given)
        try:
            return self._ffi.buffer(given)
        except TypeError:  # nothing of known size, such as NULL or a context: the other machine's address
            return int(self._ffi.cast("intptr_t", given))

    def __call__(self, *given):
        found = self._process.call(self._name, [self._argument(each) for each in given])
        if isinstance(found, bytes):
            return self._ffi.new("char[]", found)
        return None if self.kind.result.kind == "void" else int(self._ffi.cast(self.kind.result, found))


class Library:
    """As cffi's object of a library."""

    def __init__(self, ffi, process, here):
        self._ffi, self._process, self.here = ffi, process, here

    def __getattr__(self, name):
        function = Function(self._ffi, self._process, name, self._ffi.typeof(getattr(self.here, name)))
        setattr(self, name, function)
        return function


def pytest_configure(config):
    process = config.remote_process = Process(os.environ["EPLB_REMOTE"])
    open_here, type_of, address_of = cffi.FFI.dlopen, cffi.FFI.typeof, cffi.FFI.addressof

    def open_there(ffi, name, *flags):
        here = open_here(ffi, name, *flags)
        return here if name is None else Library(ffi, process, here)  # None: what this process has loaded

    def address_here(ffi, given, *fields):
        return address_of(ffi, given.here if isinstance(given, Library) else given, *fields)

    cffi.FFI.dlopen, cffi.FFI.addressof = open_there, address_here
    cffi.FFI.typeof = lambda ffi, given: given.kind if isinstance(given, Function) else type_of(ffi, given)


def pytest_unconfigure(config):
    config.remote_process.end()
