"""What a request waits at half of the gateway's capacity, counted from the moment that it was due.

A load that waits for each answer asks a server that stands still less often, and so hides most of the wait (coordinated omission).
Here requests come due at a fixed rate, and the clock of each starts then, whether or not a connection was free.
"""

import os

import load
from candidates import ALL_CORES, GATEWAY_CORES, OTHER_CORES, daypass, on, pids, plain_nginx
from measure import running
from works import GET

CONNECTIONS = 64


def latency(ground, options):
    # Otherwise what is seen is how the system shares cores between the load, the storage and the candidate.
    with on(GATEWAY_CORES), running(ground, {"nginx": plain_nginx, "daypass": daypass}) as places, on(OTHER_CORES):
        for pid in pids(ground.source):
            os.sched_setaffinity(pid, OTHER_CORES)
        try:
            return waits(ground, options, places)
        finally:
            for pid in pids(ground.source):
                os.sched_setaffinity(pid, ALL_CORES)


def waits(ground, options, places):
    ask = lambda place, *more: load.own(place.process.port, load.prepared(ground.folder, place.signed(GET)), *more, connections=CONNECTIONS, seconds=options.seconds)
    for place in places.values():
        ask(place)
    closed = ask(places["daypass"])
    capacity = closed["requests"] / closed["seconds"]
    found = {name: [] for name in places}
    for _ in range(options.rounds):
        for name, place in places.items():
            found[name].append(ask(place, "--rate", capacity / 2))
    return {"capacity": capacity, "connections": CONNECTIONS, "found": found}
