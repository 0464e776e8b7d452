"""Crates that collide, written from templates, and cargo run on them.

- Everything is written below one directory of the target directory, which stays: freehold is compiled
  once for each profile, and a file that did not change is not written again.
- Nothing is downloaded: the dependencies are those of the repository's Cargo.lock, and cargo is
  offline.
- The profiles' settings hold for the tiny crates alone. What they depend on is always compiled alike.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
PLACES = ("root", "nested", "function")

# The first type ID, and WAL type, of each crate's three primitives. All are distinct.
FIRST = {"left": 0x80, "right": 0x90, "left-2": 0xA0, "own": 0xB0}

# Where they are written; `own` is a program's module.
SOURCES = {
    "left": ["left/src/lib.rs", "same/src/left.rs"],
    "right": ["right/src/lib.rs"],
    "left-2": ["left-2/src/lib.rs"],
    "own": ["same/src/own.rs", "depends/src/own.rs"],
}


@dataclass(frozen=True)
class Collision:
    """What a crate claims that is `left`'s: at one place, a WAL type, a type ID, a name, or all."""

    place: str
    kind: str = "WAL type"

    def words(self):
        """As every net says it, as far as the kind tells."""
        number = FIRST["left"] + 4 * PLACES.index(self.place)
        return {
            "WAL type": f"WAL type {number + 1:#04x} is claimed by two primitives",
            "type ID": f"type ID {number:#04x} is claimed by two primitives",
            "name": f"the name left-{self.place} is claimed by two primitives",
            "all": "is claimed by two primitives",
        }[self.kind]


def claims(crate, collision=None):
    """What the crate's three primitives claim: for each place id, WAL types, name."""
    claimed = {}
    for index, place in enumerate(PLACES):
        number, lefts = FIRST[crate] + 4 * index, FIRST["left"] + 4 * index
        type_id, wal, name = number, [number, number + 1, number + 2], f"{crate}-{place}"
        if collision and collision.place == place:
            if collision.kind == "WAL type":
                wal = [number, lefts + 1]
            elif collision.kind == "type ID":
                type_id = lefts
            elif collision.kind == "name":
                name = f"left-{place}"
            else:
                type_id, wal, name = lefts, [lefts, lefts + 1, lefts + 2], f"left-{place}"
        claimed[place] = (type_id, wal, name)
    return claimed


def primitives(crate, collision=None):
    """The source of the crate's three primitives."""
    text = template("primitives.rs")
    for place, (type_id, wal, name) in claims(crate, collision).items():
        first, last = wal[0], wal[-1]
        written = f"{first:#04x}..={last:#04x}" if len(wal) == 3 else f"[{first:#04x}, {last:#04x}]"
        attribute = f'id = {type_id:#04x}, wal = {written}, name = "{name}"'
        text = text.replace(f"@{place.upper()}@", attribute)
        text = text.replace(f"@{place.upper()}_OPERATION@", f"{first:#04x}")
    return text


def registry(*crates):
    """What a program prints that links these crates, none of which collide."""
    rows = sorted(row for crate in crates for row in claims(crate).values())
    return [
        f"{type_id:#04x} {name} [{', '.join(f'{byte:x}' for byte in wal)}]"
        for type_id, wal, name in rows
    ]


def template(name, **values):
    text = (HERE / "templates" / name).read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text


def write(path, text):
    """Writes what is new, and leaves the time of the rest, by which cargo judges."""
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def copy_of_freehold(directory, version, change):
    """The tree as another release of freehold. `change` is given each text, and its path."""
    files = [path for path in REPOSITORY.iterdir() if path.is_file()]
    for name in ("src", "macros", "examples", "tests"):
        files += [path for path in (REPOSITORY / name).rglob("*") if path.is_file()]
    copied = set()
    for path in files:
        relative = path.relative_to(REPOSITORY)
        if not {"ui", "outside", "collisions", "data", "golden", "target", "__pycache__"}.isdisjoint(relative.parts):
            continue
        text = path.read_text()
        if path.name == "Cargo.toml":
            text = re.sub(r'^version = "0\..*"$', f'version = "{version}"', text, flags=re.M)
            text = re.sub(r'version = "=0\.[0-9.]+"', f'version = "={version}"', text)
        write(directory / relative, change(relative, text))
        copied.add(directory / relative)
    for path in directory.rglob("*"):
        if path.is_file() and path not in copied:
            path.unlink()
    return directory


@dataclass(frozen=True)
class Settings:
    """How the tiny crates are compiled. `units` and `incremental` are the profile's."""

    profile: str = "dev"
    units: int = 16
    incremental: bool = False

    def manifest(self, two_versions):
        incremental = str(self.incremental).lower()
        own = f"codegen-units = {self.units}\nincremental = {incremental}\n"
        others = "codegen-units = 16\nincremental = false\ndebug = false\n"
        inherits = {"thin": 'inherits = "release"\nlto = "thin"\n'}
        inherits["fat"] = inherits["thin"].replace("thin", "fat")
        # Outside the workspace stands one of the tiny crates, so that two can have one name.
        return (
            f"[profile.{self.profile}]\n{inherits.get(self.profile, '')}{own}\n"
            f'[profile.{self.profile}.package."*"]\n{others}\n'
            + (f'[profile.{self.profile}.package."left@2.0.0"]\n{own}' if two_versions else "")
        )


@dataclass
class Answer:
    """What cargo, and then the program, said."""

    built: bool
    said: str
    artifact: str | None = None


class Graph:
    """A workspace of tiny crates on one freehold."""

    def __init__(self, directory, target, freehold=REPOSITORY):
        self.directory, self.target, self.freehold = directory, target, freehold
        self.packages = []
        self.settings = None

    def package(self, name, dependencies=(), files=(), extra="", version="1.0.0", member=True):
        """A package that depends on freehold and, by path, on other packages."""
        if member:
            self.packages.append(name)
        section = "dev-dependencies" if name == "tested" else "dependencies"
        lines = "".join(f"{line}\n" for line in dependencies)
        manifest = (
            f'[package]\nname = "{name.removesuffix("-2")}"\nversion = "{version}"\n'
            f'edition = "2024"\npublish = false\n\n{extra}\n[{section}]\n'
            f'freehold = {{ path = "{self.freehold}" }}\n{lines}'
        )
        write(self.directory / name / "Cargo.toml", manifest)
        for path, text in dict(files).items():
            write(self.directory / path, text)

    def set(self, settings):
        """Writes the workspace. All its packages are known by now."""
        self.settings = settings
        members = ", ".join(f'"{name}"' for name in self.packages)
        write(
            self.directory / "Cargo.toml",
            f'[workspace]\nmembers = [{members}]\nexclude = ["left-2"]\nresolver = "3"\n\n'
            + settings.manifest((self.directory / "left-2").exists()),
        )
        lock = self.directory / "Cargo.lock"
        if not lock.exists() or lock.stat().st_mtime < (REPOSITORY / "Cargo.lock").stat().st_mtime:
            shutil.copy(REPOSITORY / "Cargo.lock", lock)

    def collide(self, crate, collision):
        """Writes the crate's primitives, with a collision or (`None`) without."""
        for path in SOURCES[crate]:
            if (self.directory / path).parent.exists():
                write(self.directory / path, primitives(crate, collision))

    def cargo(self, command, package, target=(), rustc=()):
        """Runs cargo and tells what it said, and what it made."""
        words = ["cargo", command, "--offline", "--package", package, *target]
        words += ["--profile", self.settings.profile]
        if command != "check":
            words += ["--message-format", "json-render-diagnostics", "--", *rustc]
        done = subprocess.run(
            words, cwd=self.directory, env=self.environment(), capture_output=True, text=True
        )
        made = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        made = [each for each in made if each.get("reason") == "compiler-artifact"]
        artifact = (made[-1].get("executable") or made[-1]["filenames"][0]) if made else None
        return Answer(done.returncode == 0, self.plain(done.stderr), artifact)

    def environment(self):
        """Without what would change the profiles, or the words."""
        ours = {name: value for name, value in os.environ.items() if not is_overriding(name)}
        return ours | {"CARGO_TARGET_DIR": str(self.target), "CARGO_TERM_COLOR": "never"}

    def plain(self, said):
        """Without the paths of this machine."""
        for path, shown in [(self.directory, ""), (self.target, "target/"), (self.freehold, "freehold/")]:
            said = said.replace(f"{path}/", shown)
        return said


def is_overriding(name):
    return (
        name.startswith(("CARGO_PROFILE_", "CARGO_BUILD_", "CARGO_TARGET_"))
        or name in ("CARGO_INCREMENTAL", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER")
    )


def run(artifact, *arguments):
    """Runs a program, or calls `print_registry` of a shared library."""
    if artifact.endswith(".so"):
        call = "import ctypes, sys; ctypes.CDLL(sys.argv[1]).print_registry()"
        words = [sys.executable, "-c", call, artifact]
    else:
        words = [artifact, *arguments]
    done = subprocess.run(words, capture_output=True, text=True)
    return done.returncode == 0, done.stdout + done.stderr
