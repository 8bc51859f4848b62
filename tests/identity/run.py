"""Every login, by every client, through Daypass to real storages; the same at MinIO's own STS; and what happens when those who prove go away.

    python tests/identity/run.py [--backends minio,versitygw] [--checks go_ldap,js] [--without parity,outages,reference]
"""

import argparse
import pathlib
import shutil
import sys
import time

import canary
import component  # noqa: F401: finds the rig
import rig
import logins  # noqa: F401: its checks
from clients import CHECKS, Place
from differences import DIFFERENCES, ELEMENTS
from gateway import Gateway
from told import Operators
from outages import Outages
from parity import compare
from world import World


def run_check(place, name, wrong):
    started = time.monotonic()
    try:
        CHECKS[name][0](place)
        outcome = "ok"
    except Exception as error:  # noqa: BLE001: any failure of a client is a result
        outcome = "FAILED"
        wrong.append(f"{place.name}: {name}: {type(error).__name__}: {error}")
    print(f"  {place.name:24} {name:42} {outcome:6} {time.monotonic() - started:5.1f} s", flush=True)


def report(table, expected):
    print(f"\n{'The same call at MinIO and at Daypass':58}{'MinIO':30}{'Daypass':38}")
    for name, theirs, ours in table:
        print(f"  {name:56}{theirs:30}{ours:38}{expected[name][2] if name in expected else ''}")


def through_daypass(world, backend, gateway, names, without, wrong):
    place = Place(world, gateway, f"through-{backend.kind}", has_roles=True)
    for name in names:
        run_check(place, name, wrong)
    if backend.kind != "minio":
        return
    if "parity" not in without:
        found, table = compare(world, gateway, DIFFERENCES, ELEMENTS)
        report(table, DIFFERENCES)
        wrong += found
    if "operators" not in without:
        wrong += Operators(world, gateway).run()
    if "outages" not in without:
        outages = Outages(world, backend, gateway, world.folder)
        try:
            wrong += outages.run()
        finally:
            world.gateways += outages.gateways
            for one in outages.gateways:
                one.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", default="minio,versitygw")
    parser.add_argument("--checks", default=",".join(CHECKS))
    parser.add_argument("--without", default="", help="parity, operators, outages, reference")
    parser.add_argument("--keep-logs", help="a folder")
    arguments = parser.parse_args()
    names, without, wrong, surfaces = arguments.checks.split(","), arguments.without.split(","), [], []

    with rig.folder() as folder:
        folder = pathlib.Path(folder)
        started = time.monotonic()
        try:
            with World(folder) as world:
                print(f"Keycloak, oidc-provider, slapd, the webhook and MinIO as the reference are up after {time.monotonic() - started:.0f} s", flush=True)
                for reference in (world.minio, world.minio_ldap) if "reference" not in without else ():
                    place = Place(world, reference, reference.name, has_roles=False)
                    for name in names:
                        if CHECKS[name][1] == reference.name:
                            run_check(place, name, wrong)
                for kind in arguments.backends.split(","):
                    with rig.Backend(kind, folder) as backend, Gateway(folder, world, backend) as gateway:
                        world.gateways.append(gateway)
                        through_daypass(world, backend, gateway, names, without, wrong)
                        surfaces += canary.shown(gateway)
                wrong += canary.check([*(gateway.log for gateway in world.gateways), *surfaces], world.all_secrets(*world.gateways), folder,
                                      canary.ACTIONS if names == list(CHECKS) else [])
        finally:
            if arguments.keep_logs:
                for log in folder.glob("*.log"):
                    shutil.copy(log, arguments.keep_logs)
    if wrong:
        print("\nWrong:\n" + "\n".join(wrong))
        sys.exit(1)
    print(f"\nEvery login works, as far as MinIO's own does and further ({time.monotonic() - started:.0f} s).")


if __name__ == "__main__":
    main()
