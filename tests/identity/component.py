"""Programs that run for the time of a test: started on a free port of the loopback, ready before they are used, stopped by their pid."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import ssl

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "clients"))

import rig  # noqa: E402: the rig of tests/clients is ours too


class Component:
    """A program with its log; it may be stopped and started again in between."""

    name = "component"
    patience = 30.0

    def __init__(self, folder):
        self.folder = folder
        self.log = folder / f"{self.name}.log"
        self.process, self.is_prepared = None, False

    def command(self):
        raise NotImplementedError

    def environment(self):
        return rig.clean_environment()

    def is_ready(self):
        """True once it answers; OSError counts as not yet."""
        raise NotImplementedError

    def prepare(self):
        """What is done once, after the first start."""

    def start(self):
        started = time.monotonic()
        with open(self.log, "ab") as out:
            # A session of its own: a script that starts a program is then stopped with it.
            self.process = subprocess.Popen([str(part) for part in self.command()], env=self.environment(), stdout=out, stderr=out,
                                            stdin=subprocess.DEVNULL, cwd=self.folder, start_new_session=True)
        while not self.answers():
            if self.process.poll() is not None:
                self.fail(f"ended with {self.process.returncode} before it was ready")
            if time.monotonic() - started > self.patience:
                self.stop()
                self.fail(f"was not ready after {self.patience:.0f} s")
            time.sleep(0.05)
        if not self.is_prepared:
            self.prepare()
            self.is_prepared = True
        self.start_took = time.monotonic() - started
        return self

    def answers(self):
        try:
            return self.is_ready()
        except OSError:
            return False

    def fail(self, what):
        tail = self.log.read_text(errors="replace")[-3000:]
        raise RuntimeError(f"{self.name} {what}; the end of its log ({self.log}):\n{tail}")

    def stop(self, kill=False):
        """Ends it and whatever it started; returns when they are gone."""
        process, self.process = self.process, None
        if process is None:
            return
        for order, patience in ((signal.SIGKILL if kill else signal.SIGTERM, 20), (signal.SIGKILL, 5)):
            until = time.monotonic() + patience
            try:
                os.killpg(process.pid, order)
                while time.monotonic() < until:
                    process.poll()
                    os.killpg(process.pid, 0)
                    time.sleep(0.02)
            except ProcessLookupError:
                process.wait()
                return
        self.fail("does not end")

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()


def run(*command, folder=None, environment=None, given=None, seconds=120):
    """What a program prints; it must succeed."""
    done = subprocess.run([str(part) for part in command], cwd=folder, env=environment or rig.clean_environment(), capture_output=True,
                          text=True, input=given, timeout=seconds)
    if done.returncode != 0:
        raise AssertionError(f"{pathlib.Path(str(command[0])).name}: exit code {done.returncode}\n{done.stdout[-1500:]}{done.stderr[-2500:]}")
    return done.stdout


class Authority(rig.Certificates):
    """The certificate authority of this run: one certificate for all servers, and client certificates on demand."""

    def __init__(self, folder):
        folder.mkdir()
        super().__init__(folder)
        self.trust = ssl.create_default_context(cafile=str(self.ca))

    def client(self, file, subject, names="", days=2, usage="clientAuth"):
        """(certificate, key) of a client; `names` are subjectAltNames as openssl writes them."""
        certificate, key = self.folder / f"{file}.pem", self.folder / f"{file}.key"
        extensions = [f"extendedKeyUsage={usage}", "basicConstraints=CA:FALSE"] + ([f"subjectAltName={names}"] if names else [])
        (self.folder / f"{file}.ext").write_text("\n".join(extensions) + "\n")
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-utf8", "-keyout", key, "-out", f"{file}.csr", "-subj", subject, folder=self.folder)
        run("openssl", "x509", "-req", "-in", f"{file}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", days,
            "-out", certificate, "-extfile", f"{file}.ext", folder=self.folder)
        key.chmod(0o600)
        return certificate, key


def fetch(url, trust, form=None, body=None, headers=None, method=None):
    """(status, headers, bytes) of a request; a status is a result, no error."""
    if form is not None:
        body = urllib.parse.urlencode(form).encode()
    elif body is not None and not isinstance(body, bytes):
        body, headers = json.dumps(body).encode(), {"Content-Type": "application/json"} | (headers or {})
    request = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30, context=trust if url.startswith("https") else None) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def fetch_json(url, trust, **more):
    status, _, body = fetch(url, trust, **more)
    if status // 100 != 2:
        raise AssertionError(f"{url.split('?')[0]}: {status} {body[:500]!r}")
    return json.loads(body) if body else None
