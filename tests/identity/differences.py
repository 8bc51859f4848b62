"""Where Daypass answers otherwise than MinIO's own STS does, and why: (MinIO's outcome, ours, reason).

    python tests/identity/differences.py    the list as the table of docs/sts.md
"""

PARAMETER = "400 InvalidParameterValue"
ONE_CODE = "MinIO calls every failure an invalid parameter; AWS's code for a missing one"
NOT_VALID = "AWS's code for a token that proves nobody"
REFUSED = "one answer for whoever is not let in, whatever the reason: unknown user, wrong password, no rights"
NO_RIGHTS = "AWS's code for somebody who is proven and to whom nothing is granted"
BOTH_WAYS = "every action as form and as query; MinIO knows these two as query only"
CANNOT_ASK = "AWS's code for a provider that cannot be asked or makes no sense: retry"

DIFFERENCES = {
    "AssumeRole: not signed": (PARAMETER, "403 MissingAuthenticationToken", "AWS's code; MinIO knows the action only when it is signed"),
    "AssumeRoleWithSAML: not there": (PARAMETER, "400 InvalidAction", "AWS's code for an action that is not there"),
    "LDAPIdentity: group within a group": (PARAMETER, "200", "nested_groups follows groups of groups; MinIO does not"),
    "LDAPIdentity: no policy": (PARAMETER, "403 AccessDenied", REFUSED),
    "LDAPIdentity: wrong password": (PARAMETER, "403 AccessDenied", REFUSED),
    "LDAPIdentity: unknown user": (PARAMETER, "403 AccessDenied", REFUSED),
    "LDAPIdentity: filter in the login": (PARAMETER, "403 AccessDenied", REFUSED),
    "LDAPIdentity: password that begins with NUL": (PARAMETER, "400 MalformedQueryString", "a control character reaches no directory; MinIO binds with it"),
    "LDAPIdentity: duration not a number": (PARAMETER, "400 ValidationError", "AWS's code for a duration that is none"),
    "LDAPIdentity: broken session policy": (PARAMETER, "400 MalformedPolicyDocument", "AWS's code"),
    "Certificate: form": (PARAMETER, "200", BOTH_WAYS),
    "Certificate: common name of no policy": ("500 InternalError", "403 AccessDenied", NO_RIGHTS + "; a 500 makes SDKs try again"),
    "Certificate: common name of two policies": ("200", "400 InvalidClientCertificate", "a common name is one name: MinIO cuts it at its commas"),
    "Certificate: duration not a number": ("400 MissingParameter", "400 ValidationError", "AWS's code for a duration that is none"),
    "CustomToken: form": (PARAMETER, "200", BOTH_WAYS),
    "CustomToken: no token": (PARAMETER, "400 MissingParameter", ONE_CODE),
    "CustomToken: refused": ("500 InternalError", "403 AccessDenied", "a refusal is no failure of ours, and its reason is for the log, not for the caller"),
    "CustomToken: no user": ("500 InternalError", "400 IDPCommunicationError", CANNOT_ASK),
    "CustomToken: no validity": (PARAMETER, "400 IDPCommunicationError", CANNOT_ASK),
    "CustomToken: nonsense": (PARAMETER, "400 IDPCommunicationError", CANNOT_ASK),
    "CustomToken: webhook fails": (PARAMETER, "400 IDPCommunicationError", CANNOT_ASK),
    "CustomToken: answer of megabytes": ("200", "400 IDPCommunicationError", "an answer of the webhook has a limit"),
    "CustomToken: webhook does not answer": (PARAMETER, "400 IDPCommunicationError", CANNOT_ASK),
}

for _action in ("WebIdentity", "ClientGrants"):
    DIFFERENCES |= {
        f"{_action}: no policy claim": (PARAMETER, "403 AccessDenied", NO_RIGHTS),
        f"{_action}: no token": (PARAMETER, "400 MissingParameter", ONE_CODE),
        f"{_action}: garbage": (PARAMETER, "400 InvalidIdentityToken", NOT_VALID),
        f"{_action}: bent claims": (PARAMETER, "400 InvalidIdentityToken", NOT_VALID),
        f"{_action}: HS256 with the client secret": ("200", "400 InvalidIdentityToken", "who knows a client's secret could say to be anybody (CVE-2026-33322)"),
        f"{_action}: expired": (PARAMETER, "400 ExpiredTokenException", "the code on which SDKs get a new token"),
        f"{_action}: duration not a number": (PARAMETER, "400 ValidationError", "AWS's code for a duration that is none"),
        f"{_action}: broken session policy": (PARAMETER, "400 MalformedPolicyDocument", "AWS's code"),
        f"{_action}: another version": ("400 MissingParameter", "400 InvalidAction", "AWS's code"),
    }
DIFFERENCES |= {
    "WebIdentity: duration of a year and a day": (PARAMETER, "400 ValidationError", "AWS's code for a duration out of bounds"),
    "ClientGrants: duration of a year and a day": (PARAMETER, "200", "minio-go sends the lifetime of its token, which nobody chose: the longest session is given"),
}

# Elements that only one of them answers with: (with which actions, reason).
EVERY = {"WebIdentity", "ClientGrants", "LDAPIdentity", "Certificate", "CustomToken"}
TOKENS = {"WebIdentity", "ClientGrants"}
ELEMENTS = {
    "AssumedRoleUser": (EVERY - TOKENS, "who somebody is from now on; MinIO says it with tokens only, and empty"),
    "AssumedRoleUser/Arn": (EVERY - TOKENS, "as above; MinIO's empty one keeps the SDK for Rust from working"),
    "AssumedRoleUser/AssumedRoleId": (EVERY, "AWS's name; MinIO writes AssumeRoleId"),
    "AssumedRoleUser/AssumeRoleId": (TOKENS, "MinIO's spelling, always empty there; no client uses it"),
    "Audience": (TOKENS, "AWS has it, MinIO leaves it out"),
    "Provider": (TOKENS, "AWS has it, MinIO leaves it out"),
    "PackedPolicySize": (EVERY, "AWS has it when there is a session policy, MinIO never"),
}


def table():
    """Rows of docs/sts.md: calls that differ in the same way and for the same reason share one."""
    alike = {}
    for case, outcomes in sorted(DIFFERENCES.items()):
        alike.setdefault(outcomes, []).append(case)
    rows = ["| Call | MinIO | Daypass | Why |", "|---|---|---|---|"]
    for (theirs, ours, reason), cases in alike.items():
        actions = {}
        for case in cases:
            action, _, what = case.partition(": ")
            actions.setdefault(what, []).append(action)
        shared = {}
        for what, names in actions.items():
            shared.setdefault(", ".join(names), []).append(what)
        calls = "; ".join(f"{names}: {', '.join(whats)}" for names, whats in shared.items())
        rows.append(f"| {calls} | `{theirs}` | `{ours}` | {reason} |")
    rows += ["", "| Element | Of | Why only one of them answers with it |", "|---|---|---|"]
    return rows + [f"| `{path}` | {', '.join(sorted(actions))} | {reason} |" for path, (actions, reason) in ELEMENTS.items()]


if __name__ == "__main__":
    print("\n".join(table()))
