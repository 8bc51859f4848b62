"""Mixed clients against two Daypass under random faults, for as long as you like.

    python tests/fleet/soak.py [--seconds 3600] [--seed X]

At the end every stored object is what the clients know, requests failed during faults that explain it alone, memory and file
descriptors are flat, no log speaks of a defect, and the audit logs have each request as often as they should. The figures go to
standard output, as Markdown, and to target/soak.json.
"""

import argparse
import collections
import gc
import json
import pathlib
import random
import secrets
import shutil
import sys
import time

import drivers
import evidence
from actors import BotoActor, PresignedActor, SlowActor
from evidence import Samples, descriptors
from fleet import Fleet, rig, sealing_key
from hostile import HostileActor
from ledger import Ledger, table
from run import AwsCliActor, MinioActor, nothing_forbidden_was_stored, prepare

# From the end of a fault until requests must succeed again.
GRACE = 3.0
# No session of a client lives longer without new keys.
LONGEST_SESSION = 60.0
# What may stay open when nobody asks any more: connections that are being closed.
SPARE_DESCRIPTORS = 4


class CliActor(AwsCliActor):
    pause = 4.0


CLIENTS = [("boto", BotoActor)] * 3 + [("minio-py", MinioActor), ("presigned", PresignedActor), ("slow", SlowActor), ("hostile", HostileActor), ("aws-cli", CliActor)]


class Faults:
    """Each is a method; those that may fail requests say when."""

    def __init__(self, fleet, ledger, chance):
        self.fleet, self.ledger, self.random = fleet, ledger, chance
        # Each once, in any order, then again.
        # Of those that were: when each began and ended, its name, and whether it may fail requests.
        self.next, self.past = [], []
        self.revoked, self.rings = [], [(0.0, key) for key in fleet.keys]

    def one(self):
        if not self.next:
            names = [name for name in vars(Faults) if name.startswith("fault_")]
            self.next = self.random.sample(names, len(names))
        name = self.next.pop()
        began = time.monotonic()
        explains = getattr(self, name)()
        self.past.append((began, time.monotonic(), name.removeprefix("fault_").replace("_", " "), explains))

    def counts(self):
        return collections.Counter(said for _, _, said, _ in self.past)

    def explains(self, began, ended):
        return any(explains and began <= over + GRACE and since <= ended for since, over, _, explains in self.past)

    def before(self, at):
        """The last ones that had begun by then."""
        return "; ".join(f"{said} from {at - began:.1f} to {at - ended:.1f} s before" for began, ended, said, _ in self.past if began <= at < began + 30)

    # The first one is never killed: its memory is looked at over the whole run.

    def fault_kill_of_a_gateway(self):
        replica = self.fleet.replicas[1]
        replica.stop(kill=True)
        time.sleep(self.random.random() * 2)
        replica.start()
        return True

    def fault_restart_of_a_gateway(self):
        replica = self.fleet.replicas[1]
        replica.stop()
        replica.start()
        return True

    def fault_kill_of_the_storage(self):
        storage = self.fleet.storage
        storage.stop(kill=True)
        time.sleep(self.random.random() * 3)
        storage.start()
        return True

    def fault_restart_of_valkey(self):
        shared = self.fleet.shared
        shared.stop(kill=self.random.random() < 0.5)
        time.sleep(self.random.random() * 4)
        shared.start()

    def fault_reload(self):
        for replica in self.fleet.replicas:
            replica.configure(duration=f"{self.random.randrange(1000, 3600)}s")
            replica.reload_and_wait()

    def fault_reload_of_a_broken_file(self):
        replica = self.random.choice(self.fleet.replicas)
        before, text = replica.generation(), replica.configuration.read_text()
        replica.put(replica.configuration, text.replace("[[policy]]", "[[polcy]]"))
        replica.reload()
        time.sleep(3)
        if replica.generation() != before:
            self.ledger.wrong(f"{replica.name} took a broken configuration")
        replica.put(replica.configuration, text)
        replica.reload()

    def fault_rotation_of_the_key(self):
        """It opens everywhere, then it seals; what no session can be sealed with any more goes."""
        now, new = time.monotonic(), sealing_key()
        kept = [(since, key) for since, key in self.rings if since == 0.0 or now - since < LONGEST_SESSION]
        for ring in ([key for _, key in kept] + [new], [new] + [key for _, key in kept]):
            for replica in self.random.sample(self.fleet.replicas, len(self.fleet.replicas)):
                replica.use_keys(ring)
                replica.reload_and_wait()
        # Since when it seals no more; 0 is the one that seals.
        demoted = time.monotonic()
        self.rings = [(0.0, new)] + [(since or demoted, key) for since, key in kept]

    def fault_revocation(self):
        replicas = self.fleet.replicas
        keys = drivers.login(replicas[0].endpoint, lambda: "fleet/login")
        urls = [drivers.presigned_get(replica.endpoint, keys, "seen/by/all", 7200) for replica in replicas]
        if [status(url) for url in urls] != ["ok", "ok"]:
            self.ledger.wrong(f"a new session is answered {[status(url) for url in urls]}")
        told, until = self.random.choice(replicas), time.monotonic() + 15
        answered, answer = told.revoke(kind="session", value=keys[0])
        while answered != 201 and time.monotonic() < until:
            # Valkey came back a moment ago, and not everybody is connected yet.
            time.sleep(0.5)
            answered, answer = told.revoke(kind="session", value=keys[0])
        if answered != 201:
            self.ledger.wrong(f"a revocation was answered {answered} {answer}")
        time.sleep(1)
        self.revoked.append(urls)
        self.are_refused([urls])

    def are_refused(self, sessions):
        """A key that was dropped from the ring refuses, too, with the same code."""
        for urls in sessions:
            for url in urls:
                if status(url) != "InvalidToken":
                    self.ledger.wrong(f"a revoked session is answered {status(url)}")


def status(url):
    try:
        drivers.plain("GET", url, "fleet/probe")
    except drivers.Answered as error:
        return error.code
    return "ok"


class Soak:
    def __init__(self, fleet, folder, seed):
        self.fleet, self.ledger = fleet, Ledger()
        self.root = prepare(fleet)
        self.faults = Faults(fleet, self.ledger, random.Random(seed))
        endpoints = [replica.endpoint for replica in fleet.replicas]
        self.clients = [kind(f"{name}-{number}", self.ledger, endpoints, folder, f"{seed} {number}") for number, (name, kind) in enumerate(CLIENTS)]
        self.idle = {replica.name: descriptors(replica.process.pid) for replica in fleet.replicas}

    def go_through(self, seconds):
        samples = Samples(self.fleet.replicas, min(10.0, max(1.0, seconds / 60)))
        samples.start()
        self.ledger.phase("soak")
        until = time.monotonic() + seconds
        for client in self.clients:
            client.start()
        while time.monotonic() < until:
            time.sleep(min(max(0.0, until - time.monotonic()), self.faults.random.uniform(3, 12)))
            if time.monotonic() < until - 5:
                self.faults.one()
        time.sleep(GRACE)
        samples.over.set()
        self.ledger.phase("end")
        counts = self.stop_clients()
        nothing_forbidden_was_stored(self.root, self.ledger)
        self.faults.are_refused(self.faults.revoked)
        self.failures_are_explained()
        leftover = self.descriptors_go_back()
        for replica in self.fleet.replicas:
            for line in replica.defects():
                self.ledger.wrong(f"{replica.name}: {line}")
        memory = list(samples.rows())
        for row in memory:
            if not row["flat"]:
                self.ledger.wrong(f"memory grows: {row}")
        return self.figures(seconds, counts, leftover), memory

    def stop_clients(self):
        for client in self.clients:
            client.over.set()
        for client in self.clients:
            client.join(100)
            if client.is_alive():
                self.ledger.wrong(f"{client.name}: {client.operation} has no answer yet after {time.monotonic() - client.began:.0f} s")
        counts = [client.verify() for client in self.clients]
        for client in self.clients:
            client.driver.close()
            client.driver = None
        gc.collect()
        return counts

    def failures_are_explained(self):
        for phase in self.ledger.phases:
            for client, operation, began, ended, what in phase.failed:
                if not self.faults.explains(began, ended):
                    self.ledger.wrong(f"at {began - self.ledger.began:.1f} s: {client}: {operation} failed after {ended - began:.2f} s with no fault near ({self.faults.before(began)}): {what}")

    def descriptors_go_back(self):
        """To what they were before the first request, once idle connections to the storage are closed."""
        until = time.monotonic() + 60
        while True:
            left = {replica.name: descriptors(replica.process.pid) - self.idle[replica.name] for replica in self.fleet.replicas}
            if max(left.values()) <= SPARE_DESCRIPTORS:
                return left
            if time.monotonic() > until:
                self.ledger.wrong(f"file descriptors stay open: {left}")
                return left
            time.sleep(1)

    def figures(self, seconds, counts, leftover):
        took, phases = sum(len(phase.took) for phase in self.ledger.phases), self.ledger.phases
        return {
            "Length": f"{seconds:.0f} s",
            "Requests answered": took,
            "Failed during a fault": sum(len(phase.failed) for phase in phases),
            "Longest answer": f"{max(max(phase.took, default=0) for phase in phases):.1f} s",
            "Faults": ", ".join(f"{count} × {name}" for name, count in sorted(self.faults.counts().items())),
            "Objects compared at the end": sum(known for known, _ in counts),
            "Writes without an answer, found old or new": sum(unsure for _, unsure in counts),
            "Sessions revoked, still refused at the end": len(self.faults.revoked),
            "File descriptors more than before the load": ", ".join(f"{name} {count}" for name, count in leftover.items()),
        }


def audit(soak, files):
    """After the gateways have ended: their logs against what was sent."""
    if not files:
        print("\nTHE AUDIT LOG WAS NOT COMPARED: this daypass has no `audit`\n")
        return {"Audit log": "not compared"}
    problem = evidence.verified(files)
    if problem:
        soak.ledger.wrong(f"daypass audit verify: {problem}")
    figures, differs = evidence.compared(soak.ledger.journal, evidence.marked_lines(files))
    for what in differs[:20]:
        soak.ledger.wrong(f"audit: {what}")
    return {"Audit log": "verified, " + ", ".join(f"{count} {name}" for name, count in figures.items()) + f", {len(differs)} differ"}


def report(soak, figures, memory, arguments):
    print("\n" + table([{"Figure": name, "": value} for name, value in figures.items()]))
    if memory:
        print("\n" + table(memory))
    print("\n" + ", ".join(f"{count} {name}" for name, count in sorted(soak.ledger.operations.items())))
    violations = soak.ledger.violations
    file = rig.ROOT / "target/soak.json"
    file.write_text(json.dumps({"seed": arguments.seed, "figures": figures, "memory": memory, "operations": soak.ledger.operations, "violations": violations}, indent=2))
    print(f"\n{len(violations)} violations; {file.relative_to(rig.ROOT)}")
    if violations:
        sys.exit("\n".join(violations[:60]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", default=secrets.token_hex(4))
    parser.add_argument("--logs", type=pathlib.Path, help="a folder that gets the logs; without it target/soak gets those of a run that fails")
    arguments = parser.parse_args()
    print(f"soak of {arguments.seconds:.0f} s (seed {arguments.seed})", flush=True)
    with rig.folder() as name:
        folder = pathlib.Path(name)
        has_audit = evidence.knows_audit()
        with Fleet(folder, replicas=2, balanced=False, more='[audit]\nfile = "audit.jsonl"\nstrict = true' if has_audit else "") as fleet:
            soak = Soak(fleet, folder, arguments.seed)
            figures, memory = soak.go_through(arguments.seconds)
        figures |= audit(soak, [replica.folder / "audit.jsonl" for replica in fleet.replicas] if has_audit else [])
        # Of a run in which something was wrong they are needed.
        logs = arguments.logs or (rig.ROOT / "target/soak" if soak.ledger.violations else None)
        if logs:
            logs.mkdir(parents=True, exist_ok=True)
            for one in fleet.all():
                shutil.copy(one.log, logs / one.log.name)
            print(f"the logs are in {logs}")
        report(soak, figures, memory, arguments)


if __name__ == "__main__":
    main()
