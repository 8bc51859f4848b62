"""Clients that know what must be stored: each has its own keys, does one thing after the other and compares every answer."""

import hashlib
import itertools
import random
import threading
import time

from drivers import MIB, Answered, Boto, NoAnswer, Presigned, login

SLOTS = 24


class Unsure(Exception):
    """No answer, or 5xx: done or not."""


def digest(body):
    return None if body is None else (hashlib.sha256(body).hexdigest(), len(body))


class Actor(threading.Thread):
    """One client. `endpoints`: of which it takes any one whenever it gets new keys."""

    driver_class, operations, pause = Boto, {}, 0.0
    lifetime = 12.0

    def __init__(self, name, ledger, endpoints, folder, seed):
        super().__init__(name=name, daemon=True)
        self.ledger, self.endpoints = ledger, endpoints
        self.folder = folder / name
        self.folder.mkdir()
        self.random = random.Random(seed)
        self.numbers, self.marks = itertools.count(), itertools.count()
        # What must be stored; and what may be the one or the other, since a write of it was not answered. Those keys are left alone.
        self.model, self.unsure = {}, {}
        self.slots = [self.fresh_key() for _ in range(SLOTS)]
        self.driver, self.until, self.sent = None, 0.0, []
        self.over, self.operation, self.lines = threading.Event(), "start", 1

    def fresh_key(self):
        return f"{self.name}/{next(self.numbers):05d} ü+{self.random.randrange(1000)}"

    # Requests

    def mark(self):
        marker = f"soak/{self.name}/{next(self.marks)}"
        self.sent.append(marker)
        self.ledger.sent(marker, self.operation, self.lines)
        return marker

    def attempt(self, operation, call, lines=1):
        """Its result; `Unsure` when nobody knows, `Answered` when it was refused."""
        self.began = began = time.monotonic()
        self.operation, self.lines, self.sent = operation, lines, []
        try:
            result = call()
        except Answered as error:
            for marker in self.sent:
                self.ledger.answered(marker, lines)
            if error.status >= 500:
                self.ledger.failed(self.name, operation, began, str(error))
                raise Unsure from error
            self.ledger.refused(operation)
            raise
        except NoAnswer as error:
            for marker in self.sent[:-1]:
                self.ledger.answered(marker)
            self.ledger.failed(self.name, operation, began, str(error))
            raise Unsure from error
        for marker in self.sent:
            self.ledger.answered(marker, lines)
        self.ledger.succeeded(operation, time.monotonic() - began)
        return result

    def write(self, operation, key, body, call, lines=1):
        """Something that makes the object this; None makes it absent."""
        new = digest(body)
        try:
            result = self.attempt(operation, call, lines)
        except Unsure:
            self.leave_alone(key, new)
            raise
        self.now_is(key, new)
        return result

    def now_is(self, key, new):
        self.model[key] = new
        if new is None:
            del self.model[key]

    def leave_alone(self, key, new):
        self.unsure[key] = {self.model.pop(key, None), new}
        self.slots[self.slots.index(key)] = self.fresh_key()

    def body(self, most=64 * 1024):
        return self.random.randbytes(self.random.choice((0, 1, self.random.randrange(most), self.random.randrange(2048))))

    # What it does

    def run(self):
        while not self.over.is_set():
            try:
                if time.monotonic() > self.until:
                    self.renew()
                names, weights = zip(*self.operations.items())
                getattr(self, self.random.choices(names, weights)[0])(self.random.choice(self.slots))
            except Unsure:
                # Perhaps another gateway answers.
                self.until = 0.0 if len(self.endpoints) > 1 else self.until
                time.sleep(0.1)
            except Answered as error:
                self.ledger.wrong(f"{self.name}: {self.operation} was refused: {error}")
            except Exception as error:  # noqa: BLE001: an answer that a client cannot read is one too
                self.ledger.wrong(f"{self.name}: {self.operation}: {type(error).__name__}: {error}")
            self.over.wait(self.pause * self.random.random() * 2)

    def renew(self):
        endpoint = self.random.choice(self.endpoints)
        keys = self.attempt("AssumeRole", lambda: login(endpoint, self.mark, name=self.name))
        if self.driver:
            self.driver.close()
        self.driver = self.driver_class(endpoint, keys, self.mark, self.folder)
        self.until = time.monotonic() + self.lifetime * (0.5 + self.random.random())

    def put(self, key):
        body = self.body()
        self.write("put", key, body, lambda: self.driver.put(key, body))

    def get(self, key):
        self.is_as_modelled(key, digest(self.attempt("get", lambda: self.driver.get(key))))

    def is_as_modelled(self, key, found, may=None):
        may = may or {self.model.get(key)}
        if found not in may:
            self.ledger.wrong(f"{self.name}: {key!r} is {found}, not {may}")

    def head(self, key):
        size, wanted = self.attempt("head", lambda: self.driver.head(key)), self.model.get(key)
        if size != (wanted and wanted[1]):
            self.ledger.wrong(f"{self.name}: {key!r} has {size} bytes, not {wanted}")

    def delete(self, key):
        self.write("delete", key, None, lambda: self.driver.delete(key))

    def forbidden(self, key):
        name, body = f"forbidden/{self.name}", self.random.randbytes(self.random.choice((0, 1, 5000, 300_000)))
        for operation, call in (("get forbidden", lambda: self.driver.get(name)), ("put forbidden", lambda: self.driver.put(name, body))):
            try:
                self.attempt(operation, call)
            except Answered as error:
                if error.status == 403:
                    continue
                raise
            self.ledger.wrong(f"{self.name}: {operation} was allowed")

    # The end

    def verify(self):
        """Every key as the model says; how many there were."""
        self.driver_class = Boto
        self.renew()
        for key, may in [(key, {value}) for key, value in self.model.items()] + list(self.unsure.items()):
            try:
                self.is_as_modelled(key, digest(self.attempt("verify", lambda: self.driver.get(key))), may)
            except (Unsure, Answered) as error:
                self.ledger.wrong(f"{self.name}: {key!r} cannot be read at the end: {error}")
        return len(self.model), len(self.unsure)


class BotoActor(Actor):
    operations = {"put": 25, "get": 30, "head": 10, "delete": 8, "list": 8, "copy": 6, "delete_many": 4, "multipart": 1, "forbidden": 4}

    def list(self, _):
        found, token = {}, None
        while True:
            page, token = self.attempt("list", lambda: self.driver.page(f"{self.name}/", token))
            found |= page
            if not token:
                break
        wanted = {key: size for key, (_, size) in self.model.items()}
        found = {key: size for key, size in found.items() if key not in self.unsure}
        if found != wanted:
            differs = {key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key)}
            self.ledger.wrong(f"{self.name}: the list is wrong about {sorted(differs)[:3]}")

    def copy(self, key):
        if not self.model:
            return
        source = self.random.choice(list(self.model))
        new = self.model[source]
        try:
            self.attempt("copy", lambda: self.driver.copy(source, key), lines=2)
        except Unsure:
            self.leave_alone(key, new)
            raise
        except Answered as error:
            if source == key and error.code == "InvalidRequest":
                return
            raise
        self.now_is(key, new)

    def delete_many(self, _):
        keys = self.random.sample(self.slots, 4)
        try:
            left = self.attempt("delete many", lambda: self.driver.delete_many(keys), lines=len(keys))
        except Unsure:
            left = keys
        else:
            if left:
                self.ledger.failed(self.name, "delete many", time.monotonic(), f"not deleted: {left}")
        for key in keys:
            if key in left:
                self.leave_alone(key, None)
            else:
                self.now_is(key, None)

    def multipart(self, key):
        bodies = [self.random.randbytes(5 * MIB), self.random.randbytes(100_000)]
        # Until it is completed nothing has changed.
        upload = self.attempt("create", lambda: self.driver.create(key))
        tags = [self.attempt("part", lambda: self.driver.part(key, upload, number, body)) for number, body in enumerate(bodies, 1)]
        self.write("complete", key, b"".join(bodies), lambda: self.driver.complete(key, upload, tags))


class PresignedActor(Actor):
    driver_class = Presigned
    operations = {"put": 25, "get": 40, "head": 10, "delete": 8, "forbidden": 3}


class SlowActor(Actor):
    """Uploads that last longer than a replica takes to be restarted in haste."""

    driver_class, operations, lifetime = Presigned, {"put_slowly": 3, "get": 1}, 1.0

    def put_slowly(self, key):
        body = self.random.randbytes(200_000)
        self.write("slow put", key, body, lambda: self.driver.put_slowly(key, body, 4.0))


class SimpleActor(Actor):
    operations = {"put": 25, "get": 30, "head": 10, "delete": 8, "forbidden": 3}
