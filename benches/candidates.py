"""Who is measured: each a proxy before the same in-memory origin, as a process whose CPU time is read from /proc."""

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess

import boto3
import rig
from provider import CLIENT, Provider

STATEMENTS = 10
# A policy document has an upper size.
STATEMENTS_OF_A_POLICY = 50
TICK = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count()
ALL_CORES = sorted(os.sched_getaffinity(0))
# Where latency is judged, whoever is measured has the first half; the storage and the load share the rest.
GATEWAY_CORES = set(ALL_CORES[:len(ALL_CORES) // 2] or ALL_CORES)
OTHER_CORES = set(ALL_CORES) - GATEWAY_CORES or GATEWAY_CORES
# Where the files of the origin lie: memory.
MEMORY = pathlib.Path("/dev/shm")


class Certificate:
    """For the TLS ends of all candidates alike: ECDSA P-256."""

    def __init__(self, folder):
        self.cert, self.key = folder / "tls.pem", folder / "tls.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", self.key, "-out", self.cert], check=True, capture_output=True)
        self.key.chmod(0o600)


@dataclasses.dataclass
class Ground:
    """What all candidates stand on."""

    folder: pathlib.Path
    # In memory.
    files: pathlib.Path
    certificate: Certificate
    provider: Provider
    # The storage, its port, and its port with TLS.
    source: rig.Process | None = None
    upstream: int = 0
    upstream_tls: int = 0
    # Whether each request leaves a line in a log of requests; the audit log is another one, and on.
    logged: bool = False

    def for_tls(self, tls):
        return self if tls else dataclasses.replace(self, certificate=None)

    def for_log(self, logged):
        return dataclasses.replace(self, logged=logged)


@contextlib.contextmanager
def on(cores):
    """What is started within runs on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def nginx(folder, name, servers):
    port = rig.free_port()
    configuration = folder / f"{name}.conf"
    temporary = "".join(f"{kind}_temp_path {folder}/{name}-{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    configuration.write_text(f"""
worker_processes {len(os.sched_getaffinity(0))};
worker_rlimit_nofile 16384;
pid {folder}/{name}.pid;
error_log {folder}/{name}.error crit;
daemon off;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 10000000; client_max_body_size 0; {temporary}
  {servers.replace("PORT", str(port))}
}}
""")
    return rig.Process(["nginx", "-p", folder, "-c", configuration], port, rig.clean_environment(), folder / f"{name}.log")


def origin(ground):
    """A storage that has its answers in memory and drops what it is sent; and the keys of a provider of identities."""
    folder, files, certificate = ground.folder, ground.files, ground.certificate
    ground.upstream_tls = rig.free_port()
    (files / "jwks").write_text(ground.provider.keys())
    (files / "small").write_bytes(b"x" * 1024)
    with open(files / "large", "wb") as large:
        for _ in range(64):
            large.write(os.urandom(1 << 20))
    rows = "".join(f"<Contents><Key>folder/object-{n:05}</Key><LastModified>2026-11-27T00:00:00.000Z</LastModified><ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag>"
                   f"<Size>1024</Size><StorageClass>STANDARD</StorageClass></Contents>" for n in range(1000))
    (files / "list").write_text('<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bench</Name><Prefix></Prefix>'
                                f"<KeyCount>1000</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>")
    etag = 'add_header ETag \'"0123456789abcdef0123456789abcdef"\';'
    return nginx(folder, "origin", f"""
  server {{
    listen 127.0.0.1:PORT backlog=4096; listen 127.0.0.1:{ground.upstream_tls} ssl; ssl_certificate {certificate.cert}; ssl_certificate_key {certificate.key}; sendfile on; open_file_cache max=16; etag off;
    location = /bench/small {{ default_type application/octet-stream; {etag} return 200 "{'x' * 1024}"; }}
    location = /bench/large {{ default_type application/octet-stream; {etag} alias {files}/large; }}
    location = /bench {{ default_type application/xml; alias {files}/list; }}
    location = /bench/ {{ default_type application/xml; alias {files}/list; }}
    # The whole body comes in before there is an answer.
    location = /bench/put {{ client_body_buffer_size 80m; proxy_pass http://127.0.0.1:PORT/stored; proxy_pass_request_body off; proxy_set_header Content-Length ""; }}
    location = /stored {{ {etag} return 200; }}
    location = /jwks {{ default_type application/json; alias {files}/jwks; }}
  }}""")


def plain_nginx(ground):
    certificate = ground.certificate
    tls = f"listen 127.0.0.1:PORT ssl backlog=4096; ssl_certificate {certificate.cert}; ssl_certificate_key {certificate.key};" if certificate else "listen 127.0.0.1:PORT backlog=4096;"
    log = f" access_log {ground.folder}/nginx-access.log combined buffer=64k flush=1s;" if ground.logged else ""
    # With its own buffers of 4 KiB a large object costs it twice as much; a small one costs the same.
    buffers = "proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k; client_body_buffer_size 64k;"
    return nginx(ground.folder, "nginx", f"""
  upstream storage {{ server 127.0.0.1:{ground.upstream}; keepalive 128; keepalive_requests 10000000; }}
  server {{
    {tls}{log}
    location / {{ proxy_pass http://storage; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; proxy_request_buffering off; {buffers} }}
  }}""")


def haproxy(ground):
    port = rig.free_port()
    configuration = ground.folder / "haproxy.cfg"
    configuration.write_text(f"""
global
  nbthread {CORES}
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend in
  bind 127.0.0.1:{port}
  default_backend storage
backend storage
  server origin 127.0.0.1:{ground.upstream} pool-max-conn 512
""")
    return rig.Process(["haproxy", "-f", configuration], port, rig.clean_environment(), ground.folder / "haproxy.log")


def bare_hyper(ground):
    port = rig.free_port()
    command = [rig.DAYPASS.parent / "examples/bare_proxy", f"127.0.0.1:{port}", f"127.0.0.1:{ground.upstream}"]
    return rig.Process(command, port, rig.clean_environment(), ground.folder / "bare.log")


def policies(count):
    """So many statements as documents; the last one allows what is asked, and the two before it can match as well."""
    statements = [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::other-{n}/*"} for n in range(max(count - 3, 0))]
    statements += [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::bench/folder/*"}, {"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::bench/payroll/*"},
                   {"Effect": "Allow", "Action": "*", "Resource": "*"}][-count:]
    parts = [statements[start:start + STATEMENTS_OF_A_POLICY] for start in range(0, count, STATEMENTS_OF_A_POLICY)]
    return [json.dumps({"Version": "2012-10-17", "Statement": part}) for part in parts]


def daypass(ground, statements=STATEMENTS, limits="", prefix=()):
    """With metrics, audit log and a provider of identities; the role `everything` has so many statements."""
    class Backend:
        kind, endpoint = "minio", f"http://127.0.0.1:{ground.upstream}"

    gateway = rig.Gateway(Backend, ground.folder, ground.certificate, limits=limits)
    gateway.stop()
    documents = policies(statements)
    # Also nginx logs no request, unless both do.
    more = "" if ground.logged else '[log]\nlevel = "warn"\n'
    more += f'[admin]\naddress = "127.0.0.1:{rig.free_port()}"\n[audit]\nfile = "{ground.folder / f"audit-{gateway.port}.jsonl"}"\n'
    more += f'[[oidc]]\nname = "bench"\nissuer = "{ground.provider.issuer}"\njwks_url = "http://127.0.0.1:{ground.upstream}/jwks"\nallow_http = true\n'
    more += f'client_ids = ["{CLIENT}"]\npolicy_claim = "policy"\n'
    more += "".join(f"[[policy]]\nname = \"part-{number}\"\ndocument = '''{document}'''\n" for number, document in enumerate(documents))
    named = json.dumps([f"part-{number}" for number in range(len(documents))])
    text = gateway.configuration.read_text().replace('policies = ["all"]', f"policies = {named}") + more
    gateway.configuration.write_text(text)
    command = [*prefix, rig.DAYPASS, "serve", "--config", gateway.configuration]
    again = rig.Process(command, gateway.port, rig.clean_environment(), gateway.log)
    again.endpoint, again.configuration = gateway.endpoint, gateway.configuration
    return again


def versitygw(ground, more=("--disable-checksum",), endpoint=None):
    port = rig.free_port()
    endpoint = endpoint or f"http://127.0.0.1:{ground.upstream}"
    command = [rig.BIN / "versitygw", "--port", f"127.0.0.1:{port}", "--quiet", "s3", "--access", rig.ROOT_KEY, "--secret", rig.ROOT_SECRET,
               "--endpoint", endpoint, "--region", "us-east-1", *more]
    environment = rig.clean_environment(ROOT_ACCESS_KEY=rig.ROOT_KEY, ROOT_SECRET_KEY=rig.ROOT_SECRET)
    return rig.Process(command, port, environment, ground.folder / "versitygw.log")


def versitygw_tls(ground):
    """Uploads need TLS to the storage: its SDK sends no body that it cannot rewind over a plain link, and has none that it can."""
    return versitygw(ground, ("--disable-checksum", "--ssl-skip-verify"), f"https://127.0.0.1:{ground.upstream_tls}")


def minio(ground):
    """No proxy but a storage, which verifies too: what is left when nothing stands before it. Its data lies in memory."""
    folder = ground.files / f"minio-{rig.free_port()}"
    folder.mkdir()
    storage = rig.Backend("minio", folder).wait_until_it_listens()
    client = boto3.client("s3", endpoint_url=storage.endpoint, region_name="us-east-1", aws_access_key_id=rig.ROOT_KEY, aws_secret_access_key=rig.ROOT_SECRET)
    client.create_bucket(Bucket="bench")
    for name in ("small", "large"):
        client.upload_file(ground.files / name, "bench", name)
    return storage


CANDIDATES = {"nginx": plain_nginx, "haproxy": haproxy, "bare hyper": bare_hyper, "daypass": daypass, "versitygw": versitygw, "minio": minio}


def starter(name, work):
    return versitygw_tls if name == "versitygw" and work.method == "PUT" else CANDIDATES[name]


def pids(process):
    """The process and its children, as long as they live."""
    found = [process.process.pid]
    for pid in found:
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
        found += [int(child) for child in children.read_text().split()] if children.exists() else []
    return found


def cpu_seconds(process):
    ticks = 0
    for pid in pids(process):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICK


def resident(process):
    """KiB of memory that are not files: what grows with connections and sessions."""
    found = 0
    for pid in pids(process):
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
        found += sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))
    return found
