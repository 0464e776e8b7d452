"""The symbols of a claim for object files that nobody here has: Mach-O, COFF, ELF of other machines.

The assembler is given the very text that the attributes expand to. Two such objects must be refused by
the format's linker in the words of the message, and one must link. Needs clang, and the linker that
comes with Rust.
"""

import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from graph import REPOSITORY

TEXTS = REPOSITORY / "macros/src/expand/symbols"
SYMBOL = "freehold/1: WAL type 0x81 is claimed by two primitives"

DARWIN = ["darwin", "-platform_version", "macos", "11.0", "11.0", "-dylib", "-arch"]
WINDOWS = ["link", "/dll", "/noentry"]
TARGETS = [
    ("macho.s", "x86_64-apple-macos11", [*DARWIN, "x86_64"]),
    ("macho.s", "arm64-apple-macos11", [*DARWIN, "arm64"]),
    ("coff.s", "x86_64-pc-windows-msvc", WINDOWS),
    ("coff.s", "i686-pc-windows-msvc", [*WINDOWS, "/safeseh:no"]),
    ("coff.s", "aarch64-pc-windows-msvc", WINDOWS),
    ("coff.s", "x86_64-pc-windows-gnu", ["gnu", "-m", "i386pep", "-shared", "-Xlink=/noentry"]),
    ("elf.s", "x86_64-unknown-linux-gnu", ["gnu", "-shared"]),
    ("elf.s", "aarch64-unknown-linux-gnu", ["gnu", "-shared"]),
    ("elf.s", "armv7-unknown-linux-gnueabihf", ["gnu", "-shared"]),
    ("elf.s", "riscv64-unknown-linux-gnu", ["gnu", "-shared"]),
]


def check():
    """Prints a row for each target, and returns how many are wrong."""
    linker = rusts_linker()
    if not shutil.which("clang") or not linker:
        missing = "the linker that comes with Rust" if shutil.which("clang") else "clang"
        print(f"\nsymbols for other object files: not checked, since {missing} is not installed")
        return 0
    print("\nsymbols for other object files, assembled by clang, linked by rust-lld:")
    wrong = 0
    with tempfile.TemporaryDirectory() as directory:
        for text, target, flavour in TARGETS:
            said = refused(Path(directory), text, target, [linker, "-flavor", *flavour])
            good = said.endswith(SYMBOL)
            wrong += not good
            print(f"  {target:30}  {'' if good else 'WRONG: '}{said}")
    return wrong


def refused(directory, text, target, link):
    """What the linker says of two objects; it must take one."""
    source = directory / text
    form = (TEXTS / text).read_text()
    source.write_text(form.replace("NAME", "left-root").replace("SYMBOL", SYMBOL))
    objects = [str(directory / name) for name in ("left.o", "right.o")]
    for each in objects:
        done = command("clang", "-target", target, "-c", str(source), "-o", each)
        if done.returncode:
            return f"does not assemble: {done.stderr}"
    output = str(directory / "linked")
    to = [f"/out:{output}"] if "link" in link else ["-o", output]
    alone = command(*link, objects[0], *to)
    if alone.returncode:
        return f"one object does not link: {alone.stderr}"
    both = command(*link, *objects, *to)
    if both.returncode == 0:
        return "two objects link"
    return next((line for line in both.stderr.splitlines() if SYMBOL in line), both.stderr)


def rusts_linker():
    sysroot = Path(command("rustc", "--print", "sysroot").stdout.strip())
    found = sorted(sysroot.glob(f"lib/rustlib/{platform.machine()}-*/bin/rust-lld"))
    return str(found[0]) if found else None


def command(*words):
    return subprocess.run(words, capture_output=True, text=True)
