"""What `cargo check` of a changed program takes: with seven primitives of five operations each, with one
more, and with the question of the whole program. Medians; the machine's noise is in them, so run it
when nothing else runs.
"""

import os
import resource
import statistics
import subprocess
import time

from graph import Graph, Settings, template

ROUNDS = 5


def measure(directory, target):
    graph = Graph(directory / "times", target)
    packages = [
        (f"{name}-{'asked' if asked else 'plain'}", count, asked)
        for name, count in [("none", 0), ("seven", 7), ("eight", 8)]
        for asked in (False, True)
    ]
    for name, count, asked in packages:
        graph.package(name, files={f"{name}/src/main.rs": source(count, asked)})
    graph.set(Settings("dev", 16, True))
    print(f"{'primitives':>10}  {'asked':5}  {'seconds':>7}  {'of a core':>9}")
    for name, count, asked in packages:
        graph.cargo("check", name)
        wall, core = zip(*(check(graph, name) for _ in range(ROUNDS)))
        wall, core = statistics.median(wall), statistics.median(core)
        print(f"{count:10}  {'yes' if asked else 'no':5}  {wall:7.3f}  {core:9.3f}", flush=True)
    return 0


def source(count, asked):
    text = "//! A program whose check is timed.\n\nuse freehold::prelude::*;\n\n"
    text += "freehold::assert_no_collisions!();\n\n" if asked else ""
    for number in range(count):
        first = 0x80 + 5 * number
        operations = {f"WAL_{index}": f"{first + index:#04x}" for index in range(5)}
        claim = {"ID": f"{0x80 + number:#04x}", "WAL": f"{first:#04x}..={first + 4:#04x}"}
        text += template("timed.rs", NUMBER=str(number), **claim, **operations) + "\n"
    return text + "fn main() {}\n"


def check(graph, name):
    """Seconds by the clock, and of processor time."""
    os.utime(graph.directory / name / "src/main.rs")
    before, start = used(), time.monotonic()
    words = ["cargo", "check", "--offline", "--quiet", "--package", name]
    done = subprocess.run(
        words, cwd=graph.directory, env=graph.environment(), capture_output=True, text=True
    )
    taken = time.monotonic() - start
    assert done.returncode == 0, done.stderr
    return taken, used() - before


def used():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
