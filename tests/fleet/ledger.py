"""What was asked and what came of it, by phases; everything that must not happen is a violation with its time."""

import collections
import statistics
import threading
import time


class Phase:
    def __init__(self, name):
        self.name, self.began, self.ended = name, time.monotonic(), None
        self.took, self.failed, self.wrong = [], [], 0

    def seconds(self):
        return (self.ended or time.monotonic()) - self.began

    def figures(self):
        took = sorted(self.took) or [0.0]
        milliseconds = lambda part: round(took[min(len(took) - 1, int(len(took) * part))] * 1000, 1)
        return {"phase": self.name, "seconds": round(self.seconds(), 1), "requests": len(self.took) + len(self.failed),
                "p50 ms": milliseconds(0.5), "p99 ms": milliseconds(0.99), "max ms": milliseconds(1), "failed": len(self.failed), "wrong": self.wrong}


class Ledger:
    def __init__(self):
        self.lock = threading.Lock()
        self.began = time.monotonic()
        self.phases, self.violations = [Phase("start")], []
        # By marker, which is a request's User-Agent: (operation, was it answered, how many decisions it needs).
        self.journal = {}
        self.operations = collections.Counter()

    def phase(self, name):
        with self.lock:
            self.phases[-1].ended = time.monotonic()
            self.phases.append(Phase(name))
            return self.phases[-1]

    def succeeded(self, operation, took):
        with self.lock:
            self.phases[-1].took.append(took)
            self.operations[operation] += 1

    def refused(self, operation):
        with self.lock:
            self.operations[f"{operation} (refused)"] += 1

    def failed(self, client, operation, began, what):
        """It was not answered, or with 5xx: whether that may be is for the phase to say."""
        with self.lock:
            self.phases[-1].failed.append((client, operation, began, time.monotonic(), what))
            self.operations[f"{operation} (failed)"] += 1

    def wrong(self, what):
        with self.lock:
            self.phases[-1].wrong += 1
            self.violations.append(f"{time.monotonic() - self.began:7.1f} s, {self.phases[-1].name}: {what}")

    def sent(self, marker, operation, lines):
        """`lines` of the audit log are what it leads to, if it is decided."""
        with self.lock:
            self.journal[marker] = (operation, False, lines)

    def answered(self, marker, lines=1):
        with self.lock:
            self.journal[marker] = (self.journal[marker][0], True, lines)


def table(rows):
    """Rows of one shape as a table of Markdown."""
    names = list(rows[0])
    cells = [names] + [[str(row[name]) for name in names] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(names))]
    line = lambda row: "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
    return "\n".join([line(cells[0]), "|" + "|".join("-" * (width + 2) for width in widths) + "|"] + [line(row) for row in cells[1:]])


def distribution(seconds):
    """p50, p90 and the longest, in milliseconds."""
    ordered = sorted(seconds)
    return {"count": len(ordered), "p50 ms": round(statistics.median(ordered) * 1000, 1),
            "p90 ms": round(ordered[int(len(ordered) * 0.9)] * 1000, 1), "max ms": round(ordered[-1] * 1000, 1)}
