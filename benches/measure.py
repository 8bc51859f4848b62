"""One figure: CPU seconds of a candidate's processes, from /proc, over the requests that were answered meanwhile."""

import contextlib
import statistics

import load
import rig
from candidates import cpu_seconds
from run import session_of
from works import Signed


class Place:
    """A candidate that runs, with keys for it."""

    def __init__(self, name, ground, process):
        tls = ground.certificate is not None
        self.name, self.process, self.ground = name, process, ground
        self.endpoint = f"http{'s' if tls else ''}://{'localhost' if tls else '127.0.0.1'}:{process.port}"
        # All but ours are before a storage that believes them, or know its root key.
        self.verifies = name.startswith("daypass")
        self.session = None

    def keys(self, work):
        if work.payload == "web_identity":
            return self.ground.provider.token()
        if not self.verifies:
            return rig.ROOT_KEY, rig.ROOT_SECRET, None
        if work.payload == "sts":
            return rig.USER_KEY, rig.USER_SECRET, None
        if self.session is None:
            class Authority:
                ca = self.ground.certificate and self.ground.certificate.cert

            self.session = session_of(self, Authority if Authority.ca else None)
        return self.session

    def signed(self, work):
        """Afresh each time: a signature is good for fifteen minutes."""
        return Signed(work, self.endpoint, self.keys(work))

    def cost(self, work, seconds):
        signed = self.signed(work)
        load.repeat(self.ground.folder, signed, 1)
        # Uploads that the end cuts off have cost and do not count: four, which must be few of all.
        if work.is_large:
            seconds = max(seconds, min(5 * seconds, 5))
        return self.counted(lambda: load.repeat(self.ground.folder, signed, seconds))

    def counted(self, send):
        before = cpu_seconds(self.process)
        sent = send()
        used = cpu_seconds(self.process) - before
        return {"micros": used / sent["requests"] * 1e6, "rps": sent["requests"] / sent["seconds"], "p99": sent["p99"]}


@contextlib.contextmanager
def running(ground, starters):
    """Candidates by name, each started by its function, until the end of the `with`."""
    places = {}
    try:
        for name, start in starters.items():
            process = start(ground)
            places[name] = Place(name, ground, process)
            process.wait_until_it_listens()
        yield places
    finally:
        for place in places.values():
            place.process.stop()
        for log in ground.folder.glob("audit-*.jsonl"):
            log.unlink()


def rounds(places, count, once):
    """What `once` gives for each, in turn, so that what the machine does meanwhile happens to all."""
    found = {name: [] for name in places}
    for _ in range(count):
        for name, place in places.items():
            found[name].append(once(place))
    return found


def middle(found, what="micros"):
    return statistics.median(one[what] for one in found)


def ratios(found, base, what="micros"):
    return [mine[what] / theirs[what] for mine, theirs in zip(found, base)]


def spread(values):
    """The median with the least and the greatest."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} – {max(values):.2f})"
