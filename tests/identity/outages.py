"""What happens to logins and to live sessions when a provider or the directory changes its keys, falls silent, goes away and comes back."""

import base64
import json
import os
import signal
import threading
import time

import botocore.exceptions

import directory
from clients import Place
from gateway import PATIENCE, Gateway
from keycloak import parts_of

COOLDOWN, REFRESH, RECHECK = 1, 10, 1


class Load:
    """Requests with live sessions, from the start of the `with` to its end; how many, how long they took, and what failed."""

    def __init__(self, place, sessions):
        self.world, self.place, self.sessions = place.world, place, sessions
        self.took, self.failed, self.done = [], [], threading.Event()

    def __enter__(self):
        self.threads = [threading.Thread(target=self.work, args=(name, keys)) for name, keys in self.sessions.items()]
        for thread in self.threads:
            thread.start()
        return self

    def work(self, name, keys):
        client = self.world.boto("s3", self.place.endpoint, keys)
        while not self.done.is_set():
            started = time.monotonic()
            try:
                client.put_object(Bucket=self.place.bucket, Key=f"live/{name}", Body=b"x")
                client.get_object(Bucket=self.place.bucket, Key=f"live/{name}")["Body"].read()
            except Exception as error:  # noqa: BLE001: whatever fails is the result
                self.failed.append(f"{name}: {error}")
            self.took.append((time.monotonic() - started) / 2)
            time.sleep(0.02)

    def __exit__(self, *_):
        self.done.set()
        for thread in self.threads:
            thread.join()

    def __str__(self):
        took = sorted(self.took)
        return f"{2 * len(took)} requests of live sessions, median {1000 * took[len(took) // 2]:.0f} ms, slowest {1000 * took[-1]:.0f} ms, {len(self.failed)} failed"


class Outages:
    def __init__(self, world, backend, gateway, folder):
        self.world, self.backend, self.gateway, self.folder = world, backend, gateway, folder
        self.place = Place(world, gateway, "outages", has_roles=True)
        self.wrong, self.gateways = [], []

    def run(self):
        sessions = {name: answer.keys for name, answer in (("oidc", self.oidc()), ("ldap", self.ldap())) if self.expect(f"{name}: a live session", answer, "200")}
        for part in (self.keys_rotate, self.provider_falls_silent, self.provider_goes_away, self.directory_falls_silent,
                     self.directory_goes_away, self.people_leave, self.passwords_are_guessed):
            started = time.monotonic()
            with Load(self.place, sessions) as load:
                try:
                    part()
                except Exception as error:  # noqa: BLE001: whatever fails is the result
                    self.wrong.append(f"{part.__name__}: {type(error).__name__}: {error}")
            if load.failed:
                self.wrong.append(f"{part.__name__}: live sessions: {load.failed[0]} and {len(load.failed) - 1} more")
            if max(load.took) > PATIENCE:
                self.wrong.append(f"{part.__name__}: a request of a live session took {max(load.took):.1f} s")
            print(f"  {part.__name__.replace('_', ' '):24} {time.monotonic() - started:5.1f} s; {load}", flush=True)
        return self.wrong

    # What is asked again and again

    def oidc(self, token=None, gateway=None):
        return self.world.login((gateway or self.gateway).endpoint, "AssumeRoleWithWebIdentity", WebIdentityToken=token or self.world.keycloak.token(user="alice"))

    def ldap(self, login="alice", gateway=None):
        return self.world.login((gateway or self.gateway).endpoint, "AssumeRoleWithLDAPIdentity", LDAPUsername=login, LDAPPassword=directory.PASSWORDS[login])

    def new_gateway(self, name, **more):
        """One that has asked nobody yet."""
        gateway = Gateway(self.folder, self.world, self.backend, name=name, **more)
        self.gateways.append(gateway)
        return gateway

    def expect(self, what, answer, *outcomes):
        found = f"{answer.status} {answer.code}" if answer.code else str(answer.status)
        if found not in outcomes:
            self.wrong.append(f"{what}: {answer}; not {' or '.join(outcomes)}")
        return found in outcomes

    def timed(self, what, call, *outcomes, within=PATIENCE):
        started = time.monotonic()
        self.expect(what, call(), *outcomes)
        took = time.monotonic() - started
        print(f"    {what}: {took:.2f} s", flush=True)
        if took > within:
            self.wrong.append(f"{what}: took {took:.1f} s, more than {within} s")

    def until(self, what, call, outcome, within):
        """It comes to this, and says when."""
        started, answer = time.monotonic(), call()
        while str(answer.status) + (f" {answer.code}" if answer.code else "") != outcome:
            if time.monotonic() - started > within:
                self.wrong.append(f"{what}: after {within} s still {answer}")
                return
            time.sleep(0.1)
            answer = call()
        print(f"    {what}: after {time.monotonic() - started:.2f} s", flush=True)

    # The provider

    def keys_rotate(self):
        keycloak = self.world.keycloak
        old = keycloak.token(user="alice")
        self.expect("login with the first key", self.oidc(old), "200")
        for kind in ("RS256", "ES256"):
            time.sleep(COOLDOWN + 0.2)
            keycloak.rotate_keys(kind)
            new = keycloak.token(user="alice")
            head = parts_of(new)[0]
            if head["kid"] == parts_of(old)[0]["kid"] or head["alg"] != kind:
                self.wrong.append(f"Keycloak did not rotate to {kind}: {head}")
            self.timed(f"login with a new {kind} key", lambda token=new: self.oidc(token), "200", within=2)
        self.expect("login with the first key, still published", self.oidc(old), "200")
        keycloak.withdraw_old_keys("RS256")
        self.until("a key that is withdrawn is refused", lambda: self.oidc(old), "400 InvalidIdentityToken", within=REFRESH + 3)

    def provider_falls_silent(self):
        keycloak = self.world.keycloak
        good, stranger = keycloak.token(user="alice"), with_key_id(keycloak.token(user="alice"), "unknown")
        fresh = self.new_gateway("daypass-silent-provider", start_tls=True).start()
        os.killpg(keycloak.process.pid, signal.SIGSTOP)
        try:
            self.timed("silent provider: keys that are known", lambda: self.oidc(good), "200", within=1)
            # It may have such a key by now, or not.
            self.timed("silent provider: a key that is not", lambda: self.oidc(stranger), "400 IDPCommunicationError", "400 InvalidIdentityToken")
            self.timed("silent provider: a gateway that knows no keys", lambda: self.oidc(good, fresh), "400 IDPCommunicationError")
            self.timed("silent provider: the directory, with StartTLS", lambda: self.ldap(gateway=fresh), "200", within=2)
        finally:
            os.killpg(keycloak.process.pid, signal.SIGCONT)
        self.until("it speaks again: login", lambda: self.oidc(good, fresh), "200", within=10)
        self.works(self.oidc(good, fresh), fresh)
        self.works(self.ldap("zoe", fresh), fresh)
        fresh.stop()

    def provider_goes_away(self):
        keycloak = self.world.keycloak
        good = keycloak.token(user="alice")
        keycloak.stop(kill=True)
        fresh = self.new_gateway("daypass-no-provider").start()
        self.timed("no provider: keys that are known", lambda: self.oidc(good), "200", within=1)
        self.timed("no provider: a gateway that knows no keys", lambda: self.oidc(good, fresh), "400 IDPCommunicationError")
        keycloak.start()
        self.until("it is back: login", lambda: self.oidc(good, fresh), "200", within=10)
        self.expect("it is back: a new token", self.oidc(), "200")
        fresh.stop()

    # The directory

    def directory_falls_silent(self):
        people = self.world.people
        os.killpg(people.process.pid, signal.SIGSTOP)
        try:
            for attempt in ("first", "second", "third"):
                self.timed(f"silent directory: {attempt} login", self.ldap, "500 InternalFailure")
            time.sleep(2 * RECHECK)
        finally:
            os.killpg(people.process.pid, signal.SIGCONT)
        self.until("it speaks again: login", self.ldap, "200", within=15)

    def directory_goes_away(self):
        people = self.world.people
        people.stop(kill=True)
        self.timed("no directory: login", self.ldap, "500 InternalFailure")
        self.timed("no directory: login with an OpenID token", self.oidc, "200", within=1)
        time.sleep(2 * RECHECK)
        people.start()
        self.until("it is back: login", self.ldap, "200", within=15)

    def people_leave(self):
        """A live session ends when the directory no longer says what it rests on."""
        people = self.world.people
        live = {login: self.world.boto("s3", self.gateway.endpoint, self.ldap(login).keys) for login in ("jane", "plus", "zoe")}
        for client in live.values():
            client.list_objects_v2(Bucket=self.place.bucket)
        people.leave_group("jane", "cn=analysts")
        people.remove("plus")
        try:
            for login in ("jane", "plus"):
                self.until(f"{login} left: a live session is refused", lambda login=login: Refusal(live[login], self.place.bucket), "403 AccessDenied"
                           if login == "jane" else "400 InvalidToken", within=RECHECK + 5)
            live["zoe"].list_objects_v2(Bucket=self.place.bucket)
        finally:
            # The group kept the name of the one who was removed.
            people.join_group("jane", "cn=analysts")
            people.restore("plus")

    def passwords_are_guessed(self):
        """Guessing stops here, before the directory locks somebody out."""
        fresh = self.new_gateway("daypass-guessed").start()
        guess = lambda login: self.world.login(fresh.endpoint, "AssumeRoleWithLDAPIdentity", LDAPUsername=login, LDAPPassword="a-wrong-guess-1")
        for _ in range(5):
            self.expect("a guess", guess("alice"), "403 AccessDenied")
        self.expect("a guess too many", guess("alice"), "400 Throttling")
        self.expect("the right password after it", self.ldap("alice", fresh), "400 Throttling")
        self.expect("somebody else", self.ldap("jane", fresh), "200")
        fresh.stop()

    def works(self, answer, gateway):
        if answer.status != 200:
            self.wrong.append(f"no keys: {answer}")
            return
        client = self.world.boto("s3", gateway.endpoint, answer.keys)
        client.put_object(Bucket=self.place.bucket, Key="works", Body=b"works")
        assert client.get_object(Bucket=self.place.bucket, Key="works")["Body"].read() == b"works"


class Refusal:
    """How a list ends, in the shape of an answer."""

    def __init__(self, client, bucket):
        self.status, self.code = 200, None
        try:
            client.list_objects_v2(Bucket=bucket)
        except botocore.exceptions.ClientError as error:
            self.status, self.code = error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]

    def __str__(self):
        return f"{self.status} {self.code}"


def with_key_id(token, key_id):
    head, body, signature = token.split(".")
    head = base64.urlsafe_b64encode(json.dumps(parts_of(token)[0] | {"kid": key_id}).encode()).decode().rstrip("=")
    return ".".join((head, body, signature))
