"""The same STS calls at MinIO's own STS and at Daypass, with the same tokens and people: what differs must be in the list, with its reason."""

import base64
import hmac
import json

import directory
import webhook
from clients import WEBHOOK_ROLE
from keycloak import CLIENT_SECRETS

NARROW = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::*"}]})
BROKEN = '{"Version":"2012-10-17","Statement":[{"Effect":"Perhaps","Action":"s3:GetObject","Resource":"*"}]}'
OIDC_ACTIONS = {"AssumeRoleWithWebIdentity": "WebIdentityToken", "AssumeRoleWithClientGrants": "Token"}


def bent(token, **claims):
    """The token with other claims and the old signature."""
    head, body, signature = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))) | claims
    return ".".join((head, base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("="), signature))


def signed_with_the_client_secret(token):
    """What anybody can make who knows the secret of a client: MinIO takes it for a token of the provider."""
    coded = lambda data: base64.urlsafe_b64encode(data).decode().rstrip("=")
    head = coded(json.dumps({"alg": "HS256", "typ": "JWT", "kid": "daypass"}).encode())
    text = f"{head}.{token.split('.')[1]}"
    return f"{text}.{coded(hmac.digest(CLIENT_SECRETS['daypass'].encode(), text.encode(), 'sha256'))}"


def cases(world):
    """name: (reference, action, {what `login` takes})."""
    alice = world.keycloak.token(user="alice")
    found = {}
    for action, name in OIDC_ACTIONS.items():
        short = action.removeprefix("AssumeRoleWith")

        def case(what, more=None, **given):
            found[f"{short}: {what}"] = (world.minio, action, {name: given.pop("token", alice)} | given | (more or {}))

        case("form")
        case("query", way="query")
        case("access token of client credentials", token=world.keycloak.token("machine"))
        case("ID token", token=world.keycloak.token(user="alice", kind="id_token"))
        case("900 seconds", DurationSeconds="900")
        case("session policy", Policy=NARROW)
        case("placeholder RoleArn", RoleArn="arn:xxx:xxx:xxx:xxxx", RoleSessionName="rig")
        case("policies of which one exists", token=world.keycloak.token(user="carol"))
        case("no policy claim", token=world.keycloak.token(user="bob"))
        case("no token", token="")
        case("garbage", token="garbage")
        case("bent claims", token=bent(alice, policy="consoleAdmin"))
        case("HS256 with the client secret", token=signed_with_the_client_secret(alice))
        case("expired", token=world.expired())
        case("duration not a number", DurationSeconds="soon")
        case("duration of a year and a day", DurationSeconds=str(366 * 86400))
        case("broken session policy", Policy=BROKEN)
        case("another version", Version="2010-05-08")
        case("no version", Version=None)
    people = {
        "form": ("alice", None, {}),
        "query": ("alice", None, {"way": "query"}),
        "name with a comma": ("jane", None, {}),
        "name with quotes": ("bobby", None, {}),
        "name of two parts": ("plus", None, {}),
        "name beyond ASCII": ("zoe", None, {}),
        "name with a backslash": ("slash", None, {}),
        "login with filter characters": ("o'neil (hr)*", None, {}),
        "900 seconds": ("alice", None, {"DurationSeconds": "900"}),
        "session policy": ("alice", None, {"Policy": NARROW}),
        "group within a group": ("nested", None, {}),
        "no policy": ("bob", None, {}),
        "wrong password": ("alice", "wrong-password-1", {}),
        "unknown user": ("nobody", "wrong-password-1", {}),
        "filter in the login": ("al*", directory.PASSWORDS["alice"], {}),
        "empty password": ("alice", "", {}),
        "password that begins with NUL": ("alice", "\0" + directory.PASSWORDS["alice"], {}),
        "empty login": ("", "wrong-password-1", {}),
        "duration not a number": ("alice", None, {"DurationSeconds": "soon"}),
        "broken session policy": ("alice", None, {"Policy": BROKEN}),
    }
    for what, (login, password, more) in people.items():
        password = directory.PASSWORDS[login] if password is None else password
        found[f"LDAPIdentity: {what}"] = (world.minio_ldap, "AssumeRoleWithLDAPIdentity", {"LDAPUsername": login, "LDAPPassword": password} | more)
    certificates = world.certificates | {"none": None}
    for what, (certificate, more) in {
        "query": ("by common name", {}),
        "form": ("by common name", {"way": "form"}),
        "900 seconds": ("by common name", {"DurationSeconds": "900"}),
        "session policy": ("by common name", {"Policy": NARROW}),
        "no certificate": ("none", {}),
        "common name of no policy": ("of nobody", {}),
        "common name of two policies": ("by two names", {}),
        "certificate of a server": ("of a server", {}),
        "duration not a number": ("by common name", {"DurationSeconds": "soon"}),
    }.items():
        found[f"Certificate: {what}"] = (world.minio, "AssumeRoleWithCertificate", {"way": "query", "certificate": certificates[certificate]} | more)
    tokens = {
        "query": ("custom-token-of-alice-1", {}),
        "form": ("custom-token-of-alice-1", {"way": "form"}),
        "session policy": ("custom-token-of-alice-1", {"Policy": NARROW}),
        "900 seconds": ("custom-token-of-alice-1", {"DurationSeconds": "900"}),
        "no token": ("", {}),
        "refused": ("custom-token-refused-1", {}),
        "no user": ("custom-token-without-user-1", {}),
        "no validity": ("custom-token-for-no-time-1", {}),
        "nonsense": ("custom-token-nonsense-1", {}),
        "webhook fails": ("custom-token-broken-1", {}),
        "answer of megabytes": ("custom-token-huge-1", {}),
        "webhook does not answer": ("custom-token-slow-1", {}),
    }
    for what, (token, more) in tokens.items():
        found[f"CustomToken: {what}"] = (world.minio, "AssumeRoleWithCustomToken", {"way": "query", "Token": token, "RoleArn": WEBHOOK_ROLE} | more)
    found["AssumeRole: not signed"] = (world.minio, "AssumeRole", {})
    found["AssumeRoleWithSAML: not there"] = (world.minio, "AssumeRoleWithSAML", {"SAMLAssertion": "x"})
    return found


def outcome(answer):
    """How it ended, in a word: the status and the code, or the status alone."""
    if not answer.status:
        return "refused by TLS"
    return f"{answer.status} {answer.code}" if answer.code else str(answer.status)


def compare(world, gateway, expected, elements):
    """Every difference that the lists do not hold, or hold and did not show; and the table for the documents.

    `expected`: {case: (MinIO's outcome, ours, reason)}; `elements`: {path: (actions, reason)} that only one of them answers with.
    """
    wrong, table, seen = [], [], {}
    for name, (reference, action, more) in cases(world).items():
        theirs, ours = (world.login(server.endpoint, action, **more) for server in (reference, gateway))
        check_form(name, action, theirs, ours, wrong)
        pair = outcome(theirs), outcome(ours)
        table.append((name, *pair))
        if name in expected:
            if pair != expected[name][:2]:
                wrong.append(f"{name}: MinIO {theirs}; Daypass {ours}; expected {expected[name][:2]}")
        elif pair[0] != pair[1]:
            wrong.append(f"{name}: MinIO {theirs}; Daypass {ours}; no difference is expected")
        if theirs.status == ours.status == 200:
            for path in theirs.paths ^ ours.paths:
                seen.setdefault(path, set()).add(name.partition(":")[0])
    wrong += [f"{name}: no such case" for name in expected.keys() - {row[0] for row in table}]
    for path in seen.keys() | elements.keys():
        found, listed = seen.get(path, set()), elements.get(path, (set(), ""))[0]
        if found != listed:
            wrong.append(f"{path}: only one of them answers with it for {sorted(found)}, expected for {sorted(listed)}")
    return wrong, table


def check_form(name, action, theirs, ours, wrong):
    """A client that can read MinIO's answer can read ours: the same root, and in an error what a client looks for."""
    namespace = "{https://sts.amazonaws.com/doc/2011-06-15/}"
    for who, answer in (("MinIO", theirs), ("Daypass", ours)):
        wanted = f"{namespace}{action}Response" if answer.status == 200 else f"{namespace}ErrorResponse"
        if answer.status and answer.root != wanted:
            wrong.append(f"{name}: {who} answers with the root {answer.root}: {answer.body[:300]!r}")
    if ours.status not in (0, 200) and ours.value("Error/Type") not in ("Sender", "Receiver"):
        wrong.append(f"{name}: the type of error is {ours.value('Error/Type')!r}")
    if webhook.REASON.encode() in ours.body:
        wrong.append(f"{name}: the webhook's reason reaches the caller")
