"""Nothing that proves somebody may be in a log, at any level, nor in anything else that a gateway and its commands show."""

import json
import pathlib
import re
import subprocess
import urllib.parse

import component  # first: it finds the rig
import rig

ACTIONS = [f"AssumeRoleWith{way}" for way in ("WebIdentity", "ClientGrants", "LDAPIdentity", "Certificate", "CustomToken")]


def forms(secret):
    """How it might be written: as it is, as it stands in a URL, in JSON or in a quoted Rust string."""
    quoted = json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]
    return {secret, urllib.parse.quote(secret), urllib.parse.quote_plus(secret), urllib.parse.quote(secret, safe=""), *quoted}


# What is always secret, whoever had it: the body of a JWT, and a long opaque token.
SHAPES = {"a JWT": re.compile(r"eyJ[A-Za-z0-9_-]{8,}"), "a long opaque value": re.compile(r"[A-Za-z0-9_+/=-]{200,}")}


def search(logs, secrets, folder):
    """(what was found where, how many values were looked for)."""
    wanted = {form: secret for secret in secrets for form in forms(secret)}
    if any(len(form) < 8 for form in wanted):
        raise AssertionError("too short to be looked for")
    patterns = folder / "canary-patterns"
    patterns.write_text("\n".join(wanted) + "\n")
    found = []
    for log in logs:
        # Thousands of values in megabytes of log: grep takes them in one pass.
        done = subprocess.run(["grep", "--text", "--fixed-strings", "--only-matching", f"--file={patterns}", log], capture_output=True, text=True)
        if done.returncode > 1:
            raise AssertionError(f"grep: {done.stderr}")
        found += [f"{log.name}: {wanted[form][:16]!r}…" for form in set(done.stdout.splitlines())]
        text = log.read_text(errors="replace")
        found += [f"{log.name}: {what}: {hit[:24]}…" for what, shape in SHAPES.items() for hit in set(shape.findall(text))]
    return found, len(wanted)


COMMANDS = {
    "check": ["check"], "explain": ["explain", "--role", "analyst", "--action", "s3:GetObject", "--resource", "arn:aws:s3:::data/x"],
    "revoked": ["revoke", "--session", "ASIACANARY0000000001"], "list": ["revoke", "--list"], "health": ["health"],
    "refused": ["revoke", "--identity", "nobody"]}


def shown(gateway):
    """Files with all that a running gateway and its commands show, but its log: what is there by then, so at the end of a run."""
    files = [gateway.audit, gateway.revocations]

    def keep(name, text):
        assert text, f"{name} shows nothing"
        files.append(gateway.folder / f"{gateway.name}-{name}.shown")
        files[-1].write_text(text)

    for name, command in COMMANDS.items():
        done = subprocess.run([rig.DAYPASS, *command, "--config", gateway.configuration], capture_output=True, text=True, env=rig.clean_environment())
        assert (done.returncode == 0) == (name != "refused"), f"{name}: {done.stdout}{done.stderr}"
        keep(name, done.stdout + done.stderr)
    keep("cmdline", pathlib.Path(f"/proc/{gateway.process.pid}/cmdline").read_text().replace("\0", "\n"))
    headers = {"Authorization": f"Bearer {gateway.admin_token}"}
    for name, path in (("metrics", "/metrics"), ("ready", "/health/ready?verbose"), ("api", "/v1/revocations"), ("nothing", "/v1/nothing")):
        keep(name, component.fetch(gateway.admin + path, None, headers=headers)[2].decode())
    keep("error", misused(gateway))
    return files


def misused(gateway):
    """What strangers get for credentials that are nearly right."""
    told = []
    for secret in sorted(gateway.world.secrets)[:10]:
        for way, field in (("WebIdentity", "WebIdentityToken"), ("ClientGrants", "Token"), ("LDAPIdentity", "LDAPPassword")):
            form = {"Action": f"AssumeRoleWith{way}", "Version": "2011-06-15", field: secret, "LDAPUsername": "nobody"}
            status, _, body = gateway.world.ask(gateway.endpoint, form=form)
            assert status >= 400, body
            told.append(body.decode())
    return "\n".join(told)


def check(logs, secrets, folder, actions=ACTIONS):
    """What is wrong; the search itself is proven first, on a log that holds something."""
    planted = folder / "planted.log"
    for secret in sorted(secrets)[:5]:
        planted.write_text(f"TRACE query=\"Token={urllib.parse.quote_plus(secret)}&x=y\"\n")
        if not search([planted], secrets, folder)[0]:
            return [f"the search does not find {secret[:16]!r}"]
    planted.unlink()
    # Silence proves nothing: the logs must be those of a run in which every action was asked for.
    lines = {action: sum(log.read_text(errors="replace").count(action) for log in logs) for action in actions}
    if not all(lines.values()):
        return [f"the logs are not those of this run: {lines}"]
    found, count = search(logs, secrets, folder)
    size = sum(log.stat().st_size for log in logs)
    print(f"{len(secrets)} secrets in {count} forms were looked for in {len(logs)} logs of {size // 1024} KiB ({sum(lines.values())} lines of logins): {len(found)} found")
    return [f"in a log: {one}" for one in found]
