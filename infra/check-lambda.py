#!/usr/bin/env python3
"""Checks that programs run on Amazon Linux 2023, Lambda's `provided.al2023`, and are small.

Each argument is a program for x86-64, or for arm64 where a folder of its path ends with `-arm64`. Reads the ELF
file itself, so that no binutils are needed.
"""

import struct
import sys
from pathlib import Path

# "Glibc version in Amazon Linux 2023" (Amazon Linux 2023 User Guide).
GLIBC = (2, 34)
# What glibc and the compiler bring; everything else would have to be in the package.
LIBRARIES = {
    "libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1",
}
# Bytes, by the program's name. A larger program starts later, which matters least to the worker: it starts once, and has
# every command with it, and so the SDK's clients of Lambda and of SSM; the console, with its pages and the clients of
# CloudWatch and of ECS.
LIMITS = {"user-sync-trigger": 4_000_000, "user-sync": 38_000_000}
LIMIT = 25_000_000

MACHINES = {"x86-64": 62, "arm64": 183}
PT_LOAD, PT_DYNAMIC = 1, 2
DT_NULL, DT_NEEDED, DT_STRTAB, DT_VERNEED, DT_VERNEEDNUM = 0, 1, 5, 0x6FFFFFFE, 0x6FFFFFFF


class Elf:
    """The parts of a 64-bit little-endian ELF file that say what it needs."""

    def __init__(self, data):
        if data[:6] != b"\x7fELF\x02\x01":
            raise ValueError("not a 64-bit little-endian ELF file")
        self.data = data
        self.machine, = struct.unpack_from("<H", data, 18)
        start, = struct.unpack_from("<Q", data, 32)
        size, count = struct.unpack_from("<HH", data, 54)
        self.segments = [struct.unpack_from("<IIQQQQ", data, start + size * n) for n in range(count)]
        self.dynamic = self._dynamic()

    def _dynamic(self):
        entries = []
        for kind, _, offset, _, _, size in self.segments:
            if kind == PT_DYNAMIC:
                entries = list(struct.iter_unpack("<QQ", self.data[offset:offset + size]))
        end = next((n for n, (tag, _) in enumerate(entries) if tag == DT_NULL), len(entries))
        return entries[:end]

    def _one(self, tag):
        return next((value for found, value in self.dynamic if found == tag), None)

    def _offset(self, address):
        for kind, _, offset, start, _, size in self.segments:
            if kind == PT_LOAD and start <= address < start + size:
                return offset + address - start
        raise ValueError(f"no segment of the file holds address {address:#x}")

    def _text(self, index):
        start = self._offset(self._one(DT_STRTAB)) + index
        return self.data[start:self.data.index(b"\0", start)].decode()

    def libraries(self):
        return [self._text(value) for tag, value in self.dynamic if tag == DT_NEEDED]

    def versions(self):
        """The names of the versions that it needs of its libraries, such as GLIBC_2.34."""
        if self._one(DT_VERNEED) is None:
            return []
        found, need = [], self._offset(self._one(DT_VERNEED))
        for _ in range(self._one(DT_VERNEEDNUM)):
            _, count, _, aux, following = struct.unpack_from("<HHIII", self.data, need)
            entry = need + aux
            for _ in range(count):
                _, _, _, name, after = struct.unpack_from("<IHHII", self.data, entry)
                found.append(self._text(name))
                entry += after
            need += following
        return found


def too_new(version):
    library, _, number = version.partition("_")
    if library != "GLIBC":
        return False
    numbers = number.split(".")
    # GLIBC_PRIVATE and GLIBC_ABI_… are promised by no release.
    return not all(part.isdigit() for part in numbers) or tuple(map(int, numbers)) > GLIBC


def problems(name, data, architecture):
    """What keeps the program from being deployed."""
    try:
        elf = Elf(data)
        libraries, versions = elf.libraries(), elf.versions()
    except (ValueError, struct.error) as error:
        return [f"cannot be read: {error}"]
    limit = LIMITS.get(name, LIMIT)
    found = []
    if elf.machine != MACHINES[architecture]:
        found.append(f"is not for {architecture}, but for ELF machine {elf.machine}")
    foreign = sorted(set(libraries) - LIBRARIES)
    if foreign:
        found.append(f"needs {', '.join(foreign)}, which the function's package would have to bring")
    new = sorted(set(filter(too_new, versions)))
    if new:
        found.append(
            f"needs {', '.join(new)}, and Amazon Linux 2023 has glibc {GLIBC[0]}.{GLIBC[1]}: "
            "build it on Amazon Linux 2023, or where glibc is as old"
        )
    if len(data) > limit:
        found.append(f"has {len(data)} bytes, and may have {limit}: see LIMITS in infra/check-lambda.py")
    return found


def check(path):
    # Lambda calls every program `bootstrap`: its folder has the name.
    name = path.parent.name if path.name == "bootstrap" else path.name
    architecture = "arm64" if any(part.endswith("-arm64") for part in path.parts) else "x86-64"
    try:
        data = path.read_bytes()
    except OSError as error:
        return [f"{path}: cannot be read: {error.strerror}"], None
    return [f"{path}: {problem}" for problem in problems(name, data, architecture)], len(data)


def main(paths):
    if not paths:
        return "usage: check-lambda.py PROGRAM…"
    failed = []
    for path in map(Path, paths):
        found, size = check(path)
        failed += found
        if not found:
            print(f"{path}: {size / 1e6:.1f} MB, runs on Amazon Linux 2023")
    return "\n".join(failed) or None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
