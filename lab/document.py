"""Commands out of a document: fenced blocks below a line `<!-- lab: WHO -->`."""
import re

BLOCK = re.compile(r"<!-- lab: (?P<who>[^>]+?) -->\n```sh\n(?P<text>.*?)```", re.S)


def blocks(path):
    """Pairs of who and the lines to run, in the order of the document."""
    with open(path) as file:
        return [(found["who"], found["text"]) for found in BLOCK.finditer(file.read())]


def machines(world, who):
    """Who a block is for."""
    kind, _, name = who.partition(" ")
    if kind == "host":
        return [world[name]]
    if kind.startswith("group"):
        return world.group(int(kind.removeprefix("group")))
    if kind == "client":
        return [world.client]
    return world.of(kind.removesuffix("s"))


def procedure(path, name):
    """A block that is run later, by name."""
    found = [text for who, text in blocks(path) if who == f"procedure {name}"]
    assert len(found) == 1, f"{path} has no procedure {name}"
    return found[0]
