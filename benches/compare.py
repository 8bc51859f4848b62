"""CPU seconds per request of Daypass beside proxies that verify nothing (nginx) and one that verifies everything (versitygw s3).

All candidates run in turn in one run, before the same in-memory origin, under the same load from the same machine. The
figure is the CPU time of the candidate's processes from /proc, divided by the requests that were answered; what is quoted is
its ratio to nginx in the same round, because machines differ and vary.

    python benches/compare.py [--rounds 5] [--seconds 5] [--connections 32]
"""

import argparse
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import time

import botocore.auth
import botocore.awsrequest
import botocore.credentials

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/clients"))
os.environ.setdefault("DAYPASS_PROFILE", "release")

import rig  # noqa: E402
from run import session_of  # noqa: E402

STATEMENTS = 10
TICK = os.sysconf("SC_CLK_TCK")


def nginx(folder, name, server, workers=2):
    port = rig.free_port()
    configuration = folder / f"{name}.conf"
    configuration.write_text(f"""
worker_processes {workers};
pid {folder}/{name}.pid;
error_log {folder}/{name}.error crit;
daemon off;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path {folder}/{name}-body; proxy_temp_path {folder}/{name}-proxy; fastcgi_temp_path {folder}/{name}-f;
  uwsgi_temp_path {folder}/{name}-u; scgi_temp_path {folder}/{name}-s;
  {server.replace("PORT", str(port))}
}}
""")
    return rig.Process(["nginx", "-p", folder, "-c", configuration], port, rig.clean_environment(), folder / f"{name}.log")


def origin(folder):
    return nginx(folder, "origin", f"""
  server {{
    listen 127.0.0.1:PORT backlog=4096;
    location / {{ default_type application/octet-stream; add_header ETag '"0123456789abcdef0123456789abcdef"'; return 200 "{'x' * 1024}"; }}
  }}""")


def plain_proxy(folder, upstream):
    return nginx(folder, "proxy", f"""
  upstream storage {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:PORT backlog=4096;
    location / {{ proxy_pass http://storage; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }}
  }}""")


def daypass(folder, upstream):
    class Backend:
        kind, endpoint = "minio", f"http://127.0.0.1:{upstream}"

    gateway = rig.Gateway(Backend, folder)
    statements = [{"Effect": "Allow", "Action": f"s3:GetObject", "Resource": f"arn:aws:s3:::other-{n}/*"} for n in range(STATEMENTS - 2)]
    statements += [{"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::payroll/*"}, {"Effect": "Allow", "Action": "*", "Resource": "*"}]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    gateway.stop()
    text = gateway.configuration.read_text().replace(rig.ALL, policy)
    gateway.configuration.write_text(text)
    return rig.Process([rig.DAYPASS, "serve", "--config", gateway.configuration], gateway.port, rig.clean_environment(), gateway.log)


def versitygw(folder, upstream):
    port = rig.free_port()
    command = [rig.BIN / "versitygw", "--port", f"127.0.0.1:{port}", "--quiet", "s3", "--access", rig.ROOT_KEY, "--secret", rig.ROOT_SECRET,
               "--endpoint", f"http://127.0.0.1:{upstream}", "--region", "us-east-1", "--disable-checksum"]
    environment = rig.clean_environment(ROOT_ACCESS_KEY=rig.ROOT_KEY, ROOT_SECRET_KEY=rig.ROOT_SECRET)
    return rig.Process(command, port, environment, folder / "versitygw.log")


def cpu_seconds(process):
    """Of the process and its children, as long as they live."""
    pids = [process.process.pid]
    for pid in pids:
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
        pids += [int(child) for child in children.read_text().split()] if children.exists() else []
    ticks = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICK


def signed(url, keys):
    request = botocore.awsrequest.AWSRequest("GET", url)
    botocore.auth.S3SigV4Auth(botocore.credentials.Credentials(*keys), "s3", "us-east-1").add_auth(request)
    return dict(request.headers.items())


def load(folder, url, headers, seconds, connections):
    script = folder / "wrk.lua"
    script.write_text("".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in headers.items()))
    done = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script, url], capture_output=True, text=True, check=True)
    if "Non-2xx" in done.stdout:
        raise RuntimeError(f"{url}: {done.stdout}")
    requests = int(re.search(r"(\d+) requests in", done.stdout)[1])
    latency = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
    return requests, float(latency[1]) * {"us": 1, "ms": 1000, "s": 1_000_000}[latency[2]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=32)
    arguments = parser.parse_args()
    rows = {}
    with rig.folder() as name:
        folder = pathlib.Path(name)
        with origin(folder) as source:
            with plain_proxy(folder, source.port) as proxy, daypass(folder, source.port) as gateway, versitygw(folder, source.port) as rival:
                gateway.endpoint = f"http://127.0.0.1:{gateway.port}"
                root = (rig.ROOT_KEY, rig.ROOT_SECRET, None)
                candidates = {"nginx, plain proxy": (proxy, root), "daypass": (gateway, session_of(gateway, None)), "versitygw s3": (rival, root)}
                for round_number in range(arguments.rounds):
                    print(f"round {round_number + 1} of {arguments.rounds}", flush=True)
                    for candidate, (process, keys) in candidates.items():
                        url = f"http://127.0.0.1:{process.port}/bench/object-of-1-kib"
                        headers = signed(url, keys)
                        load(folder, url, headers, 1, arguments.connections)
                        before = cpu_seconds(process)
                        requests, p99 = load(folder, url, headers, arguments.seconds, arguments.connections)
                        used = cpu_seconds(process) - before
                        rows.setdefault(candidate, []).append({"micros": used / requests * 1e6, "rps": requests / arguments.seconds, "p99": p99})
    print(f"\n1 KiB GET, header-signed, {arguments.connections} connections, policy of {STATEMENTS} statements; {platform.processor() or platform.machine()}, "
          f"{os.cpu_count()} cores; medians of {arguments.rounds} rounds\n")
    print(f"| {'':20} | CPU per request | ratio to nginx (min - max) | requests/s | p99 |\n|---|---|---|---|---|")
    base = rows["nginx, plain proxy"]
    for candidate, found in rows.items():
        ratios = [mine["micros"] / theirs["micros"] for mine, theirs in zip(found, base)]
        print(f"| {candidate:20} | {statistics.median(r['micros'] for r in found):6.1f} µs | {statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f}) "
              f"| {statistics.median(r['rps'] for r in found):.0f} | {statistics.median(r['p99'] for r in found) / 1000:.1f} ms |")
    (ROOT / "target" / "compare.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
