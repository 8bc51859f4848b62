"""Logins without a client library: every algorithm, every trust rule, session policies on every action."""

import botocore.exceptions

import directory
from clients import CUSTOM_TOKEN, check
from gateway import ROLE
from oidc_provider import ALGORITHMS
from parity import NARROW, outcome


def works(place, answer, key):
    """Its keys put, get and list."""
    assert answer.status == 200, answer
    client = place.world.boto("s3", place.endpoint, answer.keys)
    client.put_object(Bucket=place.bucket, Key=f"logins/{key}", Body=key.encode())
    assert client.get_object(Bucket=place.bucket, Key=f"logins/{key}")["Body"].read() == key.encode()
    assert [item["Key"] for item in client.list_objects_v2(Bucket=place.bucket, Prefix=f"logins/{key}")["Contents"]] == [f"logins/{key}"]


def ways(world):
    """name: (action, {what `login` takes}) of somebody who has rights without a role, too."""
    return {
        "oidc": ("AssumeRoleWithWebIdentity", {"WebIdentityToken": world.keycloak.token(user="alice")}),
        "grants": ("AssumeRoleWithClientGrants", {"Token": world.keycloak.token("machine")}),
        "ldap": ("AssumeRoleWithLDAPIdentity", {"LDAPUsername": "alice", "LDAPPassword": directory.PASSWORDS["alice"]}),
        "certificate": ("AssumeRoleWithCertificate", {"certificate": world.certificates["by common name"]}),
        "webhook": ("AssumeRoleWithCustomToken", {"Token": CUSTOM_TOKEN}),
    }


@check(at=None)
def every_action_as_form_and_as_query(place):
    for name, (action, given) in ways(place.world).items():
        for way in ("form", "query"):
            works(place, place.world.login(place.endpoint, action, way=way, **given), f"{name}-{way}")


@check(at=None)
def every_algorithm_of_oidc_provider(place):
    provider = place.world.provider
    for algorithm in ALGORITHMS:
        works(place, place.world.login(place.endpoint, "AssumeRoleWithClientGrants", Token=provider.program_token(algorithm)), algorithm)
    answer = place.world.login(place.endpoint, "AssumeRoleWithWebIdentity", WebIdentityToken=provider.id_token("anna"))
    works(place, answer, "id-token")
    said = {name: answer.value(name) for name in ("SubjectFromWebIdentityToken", "Audience", "Provider")}
    assert said == {"SubjectFromWebIdentityToken": "anna", "Audience": "daypass", "Provider": provider.issuer}, said


@check(at=None)
def opaque_access_tokens(place):
    token = place.world.provider.program_token("opaque")
    assert "." not in token and len(token) < 100, "it is no opaque token"
    works(place, place.world.login(place.endpoint, "AssumeRoleWithClientGrants", Token=token), "opaque")
    answer = place.world.login(place.endpoint, "AssumeRoleWithClientGrants", Token=token[:-1] + ("a" if token[-1] != "a" else "b"))
    assert outcome(answer) == "400 InvalidIdentityToken", answer


@check(at=None)
def every_way_into_a_role(place):
    world, analyst = place.world, {"RoleArn": ROLE + "analyst", "RoleSessionName": "rig"}
    within = ways(world) | {"certificate": ("AssumeRoleWithCertificate", {"certificate": world.certificates["by SPIFFE id"]})}
    del within["grants"]  # a program is in no group
    for name, (action, given) in within.items():
        answer = world.login(place.endpoint, action, **given, **analyst)
        works(place, answer, f"role-{name}")
        arn = world.boto("sts", place.endpoint, answer.keys).get_caller_identity()["Arn"]
        assert arn.startswith("arn:aws:sts::000000000000:assumed-role/analyst/"), arn
    without = {
        "oidc": ("AssumeRoleWithWebIdentity", {"WebIdentityToken": world.keycloak.token(user="carol")}),
        "grants": ("AssumeRoleWithClientGrants", {"Token": world.keycloak.token("machine")}),
        "ldap": ("AssumeRoleWithLDAPIdentity", {"LDAPUsername": "nested", "LDAPPassword": directory.PASSWORDS["nested"]}),
        "certificate": ("AssumeRoleWithCertificate", {"certificate": world.certificates["by common name"]}),
        "webhook": ("AssumeRoleWithCustomToken", {"Token": "custom-token-of-bob-1"}),
    }
    for name, (action, given) in without.items():
        answer = world.login(place.endpoint, action, **given, **analyst)
        assert outcome(answer) == "403 AccessDenied", f"{name}: {answer}"
    nested = world.login(place.endpoint, "AssumeRoleWithLDAPIdentity", LDAPUsername="nested", LDAPPassword=directory.PASSWORDS["nested"], RoleArn=ROLE + "nested")
    works(place, nested, "group-in-group")


@check(at=None)
def session_policies_narrow_every_action(place):
    for name, (action, given) in ways(place.world).items():
        works(place, place.world.login(place.endpoint, action, **given), "narrow")
        answer = place.world.login(place.endpoint, action, Policy=NARROW, **given)
        assert answer.status == 200, f"{name}: {answer}"
        client = place.world.boto("s3", place.endpoint, answer.keys)
        assert client.get_object(Bucket=place.bucket, Key="logins/narrow")["Body"].read() == b"narrow", name
        try:
            client.put_object(Bucket=place.bucket, Key="logins/narrow", Body=b"x")
        except botocore.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDenied", f"{name}: {error}"
        else:
            raise AssertionError(f"{name}: the session policy does not count")
