"""Blocks of code in a document that a test runs. One that runs carries its name: ```sh test=start."""

import re

BLOCK = re.compile(r"^```(\w+)[ \t]*(\S*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
RUNNABLE = ("sh", "bash", "python", "go")


def blocks(document):
    """(language, name, text) of each block; the name is empty where there is none."""
    return [(language, mark.removeprefix("test="), text) for language, mark, text in BLOCK.findall(document)]


def complaints(document, known=()):
    """What is wrong with the names of the blocks; `known` are those that a test has something to say about."""
    found = blocks(document)
    names = [name for _, name, _ in found if name]
    wrong = [f"a block in {language} has no name and is not tested:\n{text}" for language, name, text in found if language in RUNNABLE and not name]
    wrong += [f"two blocks are called {name}" for name in set(names) if names.count(name) > 1 and name != "no"]
    return wrong + [f"{name} is no block of the document" for name in known if name not in names]
