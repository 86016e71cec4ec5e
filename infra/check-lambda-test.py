#!/usr/bin/env python3
"""What check-lambda.py refuses, on ELF files made here."""

import importlib.util
import struct
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).with_name("check-lambda.py")
spec = importlib.util.spec_from_file_location("check_lambda", SCRIPT)
check_lambda = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_lambda)

BASE = 0x10000  # Addresses differ from offsets, as they do in real programs.


def elf(libraries=("libc.so.6",), versions=("GLIBC_2.34",), machine=62):
    """A program of nothing but what the dynamic linker reads."""
    strings, indices = b"\0", {}
    for text in (*libraries, *versions):
        indices[text] = len(strings)
        strings += text.encode() + b"\0"
    header, segment = 64, 56
    verneed = header + 2 * segment
    need = struct.pack("<HHIII", 1, len(versions), 0, 16, 0)
    for n, version in enumerate(versions):
        following = 16 if n + 1 < len(versions) else 0
        need += struct.pack("<IHHII", 0, 0, 2, indices[version], following)
    strtab = verneed + len(need)
    dynamic_at = strtab + len(strings)
    dynamic = [(1, indices[library]) for library in libraries]
    dynamic += [(5, BASE + strtab), (0x6FFFFFFE, BASE + verneed), (0x6FFFFFFF, 1), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in dynamic)
    size = dynamic_at + len(dynamic)
    start = b"\x7fELF\x02\x01\x01" + bytes(9)
    start += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, header, 0, 0, 64, segment, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 4, 0, BASE, BASE, size, size, 4096)
    dyn = struct.pack("<IIQQQQQQ", 2, 4, dynamic_at, BASE + dynamic_at, BASE, len(dynamic), len(dynamic), 8)
    return start + load + dyn + need + strings + dynamic


class CheckLambda(unittest.TestCase):
    def assert_refused(self, data, *words, name="user-sync-consumer", architecture="x86-64"):
        problems = check_lambda.problems(name, data, architecture)
        self.assertEqual(len(problems), 1, problems)
        for word in words:
            self.assertIn(word, problems[0])

    def test_what_amazon_linux_has_is_taken(self):
        libraries = ("libgcc_s.so.1", "libm.so.6", "libc.so.6", "ld-linux-x86-64.so.2")
        data = elf(libraries, ("GLIBC_2.2.5", "GLIBC_2.34", "GCC_4.2.0"))
        self.assertEqual(check_lambda.problems("user-sync-consumer", data, "x86-64"), [])

    def test_a_newer_glibc_is_refused(self):
        self.assert_refused(elf(versions=("GLIBC_2.9", "GLIBC_2.35")), "GLIBC_2.35,", "2.34")
        self.assert_refused(elf(versions=("GLIBC_2.34.1",)), "GLIBC_2.34.1")
        self.assert_refused(elf(versions=("GLIBC_3.0",)), "GLIBC_3.0")
        self.assert_refused(elf(versions=("GLIBC_PRIVATE",)), "GLIBC_PRIVATE")

    def test_a_library_that_is_not_there_is_refused(self):
        self.assert_refused(elf(("libssl.so.3", "libc.so.6")), "libssl.so.3")

    def test_a_large_program_is_refused(self):
        trigger = elf() + bytes(4_000_000)
        self.assert_refused(trigger, "4000000", name="user-sync-trigger")
        self.assertEqual(check_lambda.problems("user-sync-consumer", trigger, "x86-64"), [])
        self.assert_refused(elf() + bytes(25_000_000), "25000000")

    def test_another_processor_is_refused(self):
        self.assert_refused(elf(), "arm64", architecture="arm64")
        self.assert_refused(elf(machine=183), "x86-64")

    def test_what_is_no_program_is_refused(self):
        for data in (b"", b"#!/bin/sh\n", elf()[:70]):
            self.assert_refused(data, "cannot be read")

    def test_a_bootstrap_has_the_name_and_the_processor_of_its_folders(self):
        with tempfile.TemporaryDirectory() as folder:
            for start, machine in (("lambda", 62), ("lambda-arm64", 183)):
                program = Path(folder, start, "user-sync-trigger", "bootstrap")
                program.parent.mkdir(parents=True)
                program.write_bytes(elf(machine=machine))
                self.assertEqual(check_lambda.check(program)[0], [])
                program.write_bytes(elf(machine=machine) + bytes(4_000_000))
                self.assertIn(f"{program}: has ", check_lambda.main([program]))
            missing = check_lambda.main([Path(folder, "gone")])
            self.assertIn("No such file", missing)


if __name__ == "__main__":
    unittest.main()
