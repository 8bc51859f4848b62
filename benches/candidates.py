"""Who is measured: each a proxy before the same in-memory origin, as a process whose CPU time is read from /proc."""

import json
import os
import pathlib
import subprocess

import rig

STATEMENTS = 10
TICK = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count()
# Where the files of the origin lie: memory.
MEMORY = pathlib.Path("/dev/shm")


class Certificate:
    """For the TLS ends of all candidates alike: ECDSA P-256."""

    def __init__(self, folder):
        self.cert, self.key = folder / "tls.pem", folder / "tls.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", self.key, "-out", self.cert], check=True, capture_output=True)
        self.key.chmod(0o600)


def nginx(folder, name, servers):
    port = rig.free_port()
    configuration = folder / f"{name}.conf"
    temporary = "".join(f"{kind}_temp_path {folder}/{name}-{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    configuration.write_text(f"""
worker_processes {CORES};
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


def origin(folder, files):
    """A storage that has its answers in memory and drops what it is sent."""
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
    listen 127.0.0.1:PORT backlog=4096; sendfile on; open_file_cache max=16; etag off;
    location = /bench/small {{ default_type application/octet-stream; {etag} return 200 "{'x' * 1024}"; }}
    location = /bench/large {{ default_type application/octet-stream; {etag} alias {files}/large; }}
    location = /bench {{ default_type application/xml; alias {files}/list; }}
    location = /bench/ {{ default_type application/xml; alias {files}/list; }}
    # The whole body comes in before there is an answer.
    location = /bench/put {{ client_body_buffer_size 80m; proxy_pass http://127.0.0.1:PORT/stored; proxy_pass_request_body off; proxy_set_header Content-Length ""; }}
    location = /stored {{ {etag} return 200; }}
  }}""")


def plain_nginx(folder, upstream, certificate):
    tls = f"listen 127.0.0.1:PORT ssl backlog=4096; ssl_certificate {certificate.cert}; ssl_certificate_key {certificate.key};" if certificate else "listen 127.0.0.1:PORT backlog=4096;"
    return nginx(folder, "nginx", f"""
  upstream storage {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 10000000; }}
  server {{
    {tls}
    location / {{ proxy_pass http://storage; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; proxy_request_buffering off; }}
  }}""")


def haproxy(folder, upstream, _):
    port = rig.free_port()
    configuration = folder / "haproxy.cfg"
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
  server origin 127.0.0.1:{upstream} pool-max-conn 512
""")
    return rig.Process(["haproxy", "-f", configuration], port, rig.clean_environment(), folder / "haproxy.log")


def bare_hyper(folder, upstream, _):
    port = rig.free_port()
    return rig.Process([rig.DAYPASS.parent / "examples/bare_proxy", f"127.0.0.1:{port}", f"127.0.0.1:{upstream}"], port, rig.clean_environment(), folder / "bare.log")


def policy():
    statements = [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::other-{n}/*"} for n in range(STATEMENTS - 2)]
    statements += [{"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::payroll/*"}, {"Effect": "Allow", "Action": "*", "Resource": "*"}]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def daypass(folder, upstream, certificate):
    class Backend:
        kind, endpoint = "minio", f"http://127.0.0.1:{upstream}"

    gateway = rig.Gateway(Backend, folder, certificate)
    gateway.stop()
    more = f'[admin]\naddress = "127.0.0.1:{rig.free_port()}"\n[audit]\nfile = "{folder / "audit.jsonl"}"\n'
    text = gateway.configuration.read_text().replace(rig.ALL, policy()) + more
    gateway.configuration.write_text(text)
    again = rig.Process([rig.DAYPASS, "serve", "--config", gateway.configuration], gateway.port, rig.clean_environment(), gateway.log)
    again.endpoint = gateway.endpoint
    return again


def versitygw(folder, upstream, _):
    port = rig.free_port()
    command = [rig.BIN / "versitygw", "--port", f"127.0.0.1:{port}", "--quiet", "s3", "--access", rig.ROOT_KEY, "--secret", rig.ROOT_SECRET,
               "--endpoint", f"http://127.0.0.1:{upstream}", "--region", "us-east-1", "--disable-checksum"]
    environment = rig.clean_environment(ROOT_ACCESS_KEY=rig.ROOT_KEY, ROOT_SECRET_KEY=rig.ROOT_SECRET)
    return rig.Process(command, port, environment, folder / "versitygw.log")


CANDIDATES = {"nginx": plain_nginx, "haproxy": haproxy, "bare hyper": bare_hyper, "daypass": daypass, "versitygw": versitygw}


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
