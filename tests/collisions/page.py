"""What docs/collisions.md quotes, compared with what was seen.

A block of the page stands under a comment that names the cell it quotes. Each of its lines must stand
in what that cell said, in this order; a line that is only an ellipsis stands for any others.
What differs from one build to the next, such as hashes in names of files, is an ellipsis too.
"""

import re

HASHES = [(r"-[0-9a-f]{16}\b", ""), (r"\b[0-9a-z]{24,25}\b(\.[0-9a-z]{7}\b)?", "…")]
BLOCK = re.compile(r"^<!-- said by: (.*?) -->\n```text\n(.*?)^```$", re.M | re.S)


def compare(path, seen, absent):
    """Prints what is not so, and returns how many blocks are wrong. `absent` linkers are not asked."""
    blocks = BLOCK.findall(path.read_text())
    asked = [(key, block) for key, block in blocks if not key.endswith(tuple(absent))]
    wrong = [fault for key, block in asked if (fault := fault_of(key, block, seen))]
    print(f"\n{path.name}: {len(asked)} of {len(blocks)} quotes compared, {len(wrong)} wrong")
    for fault in wrong:
        print(f"  {fault}")
    return len(wrong) or int(not blocks)


def fault_of(key, block, seen):
    if key not in seen:
        return f"no cell is called `{key}`"
    said = seen[key]
    for pattern, instead in HASHES:
        said = re.sub(pattern, instead, said)
    lines = iter([line.rstrip() for line in said.splitlines()])
    for line in block.splitlines():
        wanted = line.rstrip()
        if wanted.strip() != "…" and not any(wanted == other for other in lines):
            shown = "\n".join(f"    | {line}" for line in said.splitlines())
            return f"`{key}` does not say, at or after its place: {wanted}\n{shown}"
    return None
