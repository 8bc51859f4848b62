"""A fleet of three Daypass behind HAProxy under load and faults: what may fail, and nothing else does.

    python tests/fleet/run.py [--phases calm,killed,...] [--logs FOLDER]

Each client keeps a model of what it stored and compares every answer. Wrong is: other bytes, a denial of what is allowed, an
allow of what is forbidden, a lost write. Clients do not try again, so that a request that fails is seen.
"""

import argparse
import pathlib
import random
import secrets
import shutil
import sys
import threading
import time

import boto3

import drivers
from actors import BotoActor, PresignedActor, SimpleActor, SlowActor
from fleet import BUCKET, Fleet, rig, sealing_key
from ledger import Ledger, distribution, table

REVOCATIONS = 50
# What is promised of a revocation at every other gateway, in seconds from its answer.
WITHIN = 1.0


class MinioActor(SimpleActor):
    driver_class = drivers.MinioPy


class AwsCliActor(SimpleActor):
    driver_class, pause, lifetime = drivers.AwsCli, 2.0, 10.0


class Run:
    def __init__(self, fleet, ledger):
        self.fleet, self.ledger = fleet, ledger
        self.kills, self.revoked, self.figures = [], [], {}

    # Phases

    def calm(self):
        time.sleep(10)

    def killed(self):
        """Each once by kill -9, under load."""
        for replica in self.fleet.replicas:
            self.kills.append((time.monotonic(), int(self.fleet.balancer.servers()[replica.name]["scur"])))
            replica.stop(kill=True)
            time.sleep(1)
            self.comes_back(replica)

    def comes_back(self, replica):
        self.fleet.balancer.wait_for(replica.name, "DOWN")
        replica.start()
        self.fleet.balancer.wait_for(replica.name, "UP")
        time.sleep(1)

    def without_valkey(self):
        """A restart, then some seconds without it; what is revoked meanwhile is known to all once it is back."""
        shared, one = self.fleet.shared, self.fleet.replicas[0]
        shared.stop()
        shared.start()
        time.sleep(2)
        session = self.session()
        shared.stop(kill=True)
        time.sleep(2)
        status, answer = one.revoke(kind="session", value=session.keys[0])
        if (status, answer.get("error", {}).get("code")) != (503, "NotShared"):
            self.ledger.wrong(f"a revocation without Valkey was answered {status} {answer}")
        if session.status(one) != "InvalidToken":
            self.ledger.wrong("a revocation without Valkey does not hold where it was said")
        time.sleep(2)
        shared.start()
        back = time.monotonic()
        late = [session.refused_at(replica, 15) - back for replica in self.fleet.replicas]
        self.revoked.append(session)
        self.figures["after Valkey is back"] = f"{max(late):.1f} s"
        time.sleep(1)

    def rolling_restart(self):
        """SIGTERM, start, next, as docs/operations.md says."""
        for replica in self.fleet.replicas:
            replica.stop()
            self.comes_back(replica)

    def key_rotation(self):
        """A new key opens everywhere before it seals anywhere; the replicas in any order."""
        old, new = self.fleet.keys, sealing_key()
        for ring in ([*old, new], [new, *old]):
            for replica in random.sample(self.fleet.replicas, len(self.fleet.replicas)):
                replica.use_keys(ring)
                replica.reload_and_wait()
                time.sleep(1)
            time.sleep(1)
        self.fleet.keys = [new, *old]

    def reloads(self):
        """Another configuration each second, at all of them."""
        before = [replica.generation() for replica in self.fleet.replicas]
        for number in range(10):
            for replica in self.fleet.replicas:
                replica.configure(duration=("50m", "1h")[number % 2])
                replica.reload()
            time.sleep(1)
        for replica, was in zip(self.fleet.replicas, before):
            if replica.generation() - was < 10:
                self.ledger.wrong(f"{replica.name} took {replica.generation() - was} of 10 configurations")

    def revocations(self):
        """Fifty sessions, each revoked at any one replica; asked at every one until it refuses."""
        from_asking, from_answer, elsewhere = [], [], []
        for _ in range(REVOCATIONS):
            session = self.session()
            told = random.choice(self.fleet.replicas)
            refused = {}
            watching = [threading.Thread(target=lambda one=one: refused.update({one: session.refused_at(one, 10)})) for one in self.fleet.replicas]
            for thread in watching:
                thread.start()
            time.sleep(0.05)
            asked = time.monotonic()
            status, answer = told.revoke(kind="session", value=session.keys[0])
            answered = time.monotonic()
            if status != 201:
                self.ledger.wrong(f"a revocation was answered {status} {answer}")
            for thread in watching:
                thread.join()
            from_asking += [at - asked for at in refused.values()]
            from_answer += [max(0.0, at - answered) for at in refused.values()]
            elsewhere += [at - asked for one, at in refused.items() if one is not told]
            self.revoked.append(session)
        for what, seconds in (("from the call, at all", from_asking), ("from the call, at the others", elsewhere), ("from its answer, at all", from_answer)):
            self.figures[what] = distribution(seconds)
        if max(from_answer) > WITHIN:
            self.ledger.wrong(f"a revocation that was answered took {max(from_answer):.2f} s more")

    def revoked_stay_revoked(self):
        """Also at one that has just started."""
        self.fleet.replicas[0].stop()
        self.comes_back(self.fleet.replicas[0])
        for session in self.revoked:
            for replica in self.fleet.replicas:
                if session.status(replica) != "InvalidToken":
                    self.ledger.wrong(f"a revoked session is answered {session.status(replica)} by {replica.name}")

    def session(self):
        """One that every replica has in its cache."""
        session = Session(self.fleet)
        for replica in self.fleet.replicas:
            if session.status(replica) != "ok":
                self.ledger.wrong(f"a new session is answered {session.status(replica)} by {replica.name}")
        return session


class Session:
    """Temporary keys, asked at each replica with a URL of its own."""

    def __init__(self, fleet):
        self.keys = drivers.login(fleet.balancer.endpoint, lambda: "fleet/login")
        self.urls = {replica: drivers.presigned_get(replica.endpoint, self.keys, "seen/by/all") for replica in fleet.replicas}

    def status(self, replica):
        """"ok" or the code of the error."""
        try:
            drivers.plain("GET", self.urls[replica], "fleet/probe")
        except drivers.Answered as error:
            return error.code
        return "ok"

    def refused_at(self, replica, patience):
        until = time.monotonic() + patience
        while self.status(replica) != "InvalidToken":
            if time.monotonic() > until:
                break
        return time.monotonic()


def failures_are_explained(run, ledger):
    """Requests fail at a kill -9 alone: those that the killed one had in hand."""
    for phase in ledger.phases:
        for client, operation, began, ended, what in phase.failed:
            at = [when for when, _ in run.kills if began - 0.05 <= when <= ended]
            if not at:
                ledger.wrong(f"in {phase.name} at {began - ledger.began:.1f} s: {client}: {operation} failed after {ended - began:.2f} s: {what}")
    in_hand = sum(count for _, count in run.kills)
    failed = sum(len(phase.failed) for phase in ledger.phases)
    run.figures["failed at kill -9, of those in hand"] = f"{failed} of about {in_hand}"


PHASES = ["calm", "killed", "without_valkey", "rolling_restart", "key_rotation", "reloads", "revocations", "revoked_stay_revoked"]


def prepare(fleet):
    root = boto3.client("s3", endpoint_url=fleet.storage.endpoint, region_name="us-east-1", aws_access_key_id=rig.ROOT_KEY, aws_secret_access_key=rig.ROOT_SECRET)
    root.create_bucket(Bucket=BUCKET)
    root.put_object(Bucket=BUCKET, Key="seen/by/all", Body=b"seen")
    return root


def nothing_forbidden_was_stored(root, ledger):
    found = root.list_objects_v2(Bucket=BUCKET, Prefix="forbidden/").get("Contents", [])
    if found:
        ledger.wrong(f"stored although forbidden: {found}")


def actors(ledger, endpoints, folder, seed):
    kinds = [("boto", BotoActor)] * 4 + [("minio-py", MinioActor)] * 2 + [("presigned", PresignedActor)] + [("slow", SlowActor)] * 2 + [("aws-cli", AwsCliActor)]
    return [kind(f"{name}-{number}", ledger, endpoints, folder, f"{seed} {number}") for number, (name, kind) in enumerate(kinds)]


def go_through(fleet, folder, phases, seed):
    ledger = Ledger()
    run, root = Run(fleet, ledger), prepare(fleet)
    clients = actors(ledger, [fleet.balancer.endpoint], folder, seed)
    for client in clients:
        client.start()
    time.sleep(2)
    for name in phases:
        phase = ledger.phase(name.replace("_", " "))
        getattr(run, name)()
        print(f"  {phase.name:24} {phase.seconds():5.1f} s  {len(phase.took):6} answered, {len(phase.failed)} failed, {phase.wrong} wrong", flush=True)
    ledger.phase("end")
    for client in clients:
        client.over.set()
    for client in clients:
        client.join(30)
        if client.is_alive():
            ledger.wrong(f"{client.name}: {client.operation} has no answer yet after {time.monotonic() - client.began:.0f} s")
    counts = [client.verify() for client in clients]
    nothing_forbidden_was_stored(root, ledger)
    for replica in fleet.replicas:
        for line in replica.defects():
            ledger.wrong(f"{replica.name}: {line}")
    ledger.phases[-1].ended = time.monotonic()
    run.figures["objects compared at the end"] = sum(known for known, _ in counts)
    run.figures["of unanswered writes, old or new"] = sum(unsure for _, unsure in counts)
    rows = fleet.balancer.servers().values()
    run.figures["HAProxy: tried again, at another"] = f"{sum(int(row['wretr']) for row in rows)}, {sum(int(row['wredis']) for row in rows)}"
    failures_are_explained(run, ledger)
    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phases", default=",".join(PHASES))
    parser.add_argument("--seed", default=secrets.token_hex(4))
    parser.add_argument("--logs", type=pathlib.Path, help="a folder that gets the logs")
    arguments = parser.parse_args()
    print(f"fleet (seed {arguments.seed})")
    with rig.folder() as name:
        folder = pathlib.Path(name)
        with Fleet(folder) as fleet:
            run = go_through(fleet, folder, arguments.phases.split(","), arguments.seed)
        for one in fleet.all() if arguments.logs else []:
            shutil.copy(one.log, arguments.logs)
    print()
    print(table([phase.figures() for phase in run.ledger.phases]))
    print()
    for what, figure in run.figures.items():
        print(f"  {what}: {figure if not isinstance(figure, dict) else ', '.join(f'{name} {value}' for name, value in figure.items())}")
    if run.ledger.violations:
        sys.exit("\n" + "\n".join(run.ledger.violations[:60]))


if __name__ == "__main__":
    main()
