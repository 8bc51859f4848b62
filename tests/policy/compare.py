"""The policy engine beside two others: MinIO's policy package and cloud-copilot's simulator of AWS IAM.

    python tests/policy/compare.py [--cases 300000]

Cases come from the policy test (`tests/policy/`), with our decision. Every disagreement must be one of those that
docs/policy.md explains; another one fails.
"""

import argparse
import collections
import fnmatch
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = ROOT / ".cache/bin/minio-policy"
SIMULATE = ROOT / "tests/policy/simulate"


def listed(value):
    return value if isinstance(value, list) else [value]


def statements(case):
    for policy in (case["policy"], case["session"]):
        yield from (policy["Statement"] if policy else [])


def matches(pattern, text):
    pattern = re.sub(r"\$\{[^}]*\}", "*", pattern)
    return re.fullmatch(fnmatch.translate(pattern.replace("[", "[[]")), text) is not None


def resources(statement):
    return listed(statement.get("Resource") or statement.get("NotResource"))


def object_pattern_on_bucket(case):
    """MinIO asks for `bucket/`, so that `arn:aws:s3:::bucket/*` selects actions on the bucket too."""
    bucket = case["resource"]
    return "/" not in bucket and any(
        matches(pattern, bucket + "/") and not matches(pattern, bucket) for one in statements(case) for pattern in resources(one))


def action_star(case):
    """MinIO takes a statement whose actions are `*` for one about STS and does not look at its resources."""
    return any("*" in listed(one.get("Action") or one.get("NotAction")) for one in statements(case))


def another_case(case):
    """Actions are compared without regard to case, but not by MinIO's NotAction."""
    return any(re.match(r"S3:", action) for one in statements(case) for action in listed(one.get("NotAction") or []))


def versions_by_list(case):
    """MinIO lets s3:ListBucket list versions too."""
    return case["action"] == "s3:ListBucketVersions"


def conditions(case):
    for one in statements(case):
        for operator, keys in one.get("Condition", {}).items():
            for key, values in keys.items():
                yield operator, key, listed(values)


def missing_key(case):
    """For MinIO a negated string, IP or date operator, and every other one, has its own answer to a key that is missing."""
    return any(operator != "Null" and not case["context"].get(key) for operator, key, _ in conditions(case))


def variable_without_value(case):
    """MinIO leaves a variable that has no value as it is written; here the statement does not match."""
    used = set(re.findall(r"\$\{([^},*?$]+)", json.dumps([case["policy"], case["session"]])))
    return any(not case["context"].get(key.strip()) for key in used)


def variable_in_value(case):
    """MinIO puts the value of a variable into the pattern, where its `*` is a wildcard, or does not know the variable."""
    return "${" in json.dumps([case["policy"], case["session"]])


def wrong_type(case):
    """A value that is no number: here it fits nothing, so that a negated operator holds; the others refuse or deny."""
    return any("Numeric" in operator and not re.fullmatch(r"-?\d+", (case["context"].get(key) or ["0"])[0])
               for operator, key, _ in conditions(case))


def empty_value(case):
    """MinIO takes an empty value of a key for a missing one."""
    return any("" in (case["context"].get(key) or []) for _, key, _ in conditions(case))


def star_in_request(case):
    """The simulator takes a `*` in the name of the requested object for a wildcard; a key may hold one."""
    return "*" in case["resource"]


EXPLAINED = {
    "minio": [object_pattern_on_bucket, action_star, another_case, versions_by_list, missing_key, variable_without_value,
              variable_in_value, wrong_type, empty_value],
    "simulator": [star_in_request, wrong_type],
}


def answers(command, file):
    with open(file, "rb") as cases:
        return subprocess.run(command, stdin=cases, stdout=subprocess.PIPE, check=True, text=True).stdout.split()


def compare(name, given, cases):
    counts, unexplained, compared = collections.Counter(), [], 0
    for case, answer in zip(cases, given, strict=True):
        if answer == "refused":
            continue
        compared += 1
        ours = case["decision"] if name == "simulator" else {"allow": "allow"}.get(case["decision"], "no")
        if answer == ours:
            continue
        why = next((why for why in EXPLAINED[name] if why(case)), None)
        counts[why.__name__ if why else "UNEXPLAINED"] += 1
        if not why:
            unexplained.append((answer, case))
    print(f"{name}: {compared} of {len(given)} cases compared, {compared - sum(counts.values())} alike")
    for reason, count in counts.most_common():
        print(f"  {count:7} {reason}")
    for answer, case in sorted(unexplained, key=lambda pair: len(json.dumps(pair[1])))[:5]:
        print(f"  {name} says {answer}: {json.dumps(case)}")
    return compared, len(unexplained)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=300_000)
    cases_wanted = parser.parse_args().cases
    subprocess.run(["go", "build", "-o", BIN, "."], cwd=ROOT / "tests/policy/minio", check=True)
    if not (SIMULATE / "node_modules").is_dir():
        subprocess.run(["npm", "ci", "--silent", "--no-fund", "--no-audit"], cwd=SIMULATE, check=True)
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "cases.jsonl"
        environment = {**os.environ, "POLICY_CASES": str(cases_wanted), "POLICY_CASES_FILE": str(file)}
        print(f"{cases_wanted} cases against the slow evaluator (a minute or more)", flush=True)
        subprocess.run(["cargo", "test", "--quiet", "--test", "policy"], cwd=ROOT, env=environment, check=True)
        cases = [json.loads(line) for line in file.open()]
        outcomes = [compare("minio", answers([BIN], file), cases),
                    compare("simulator", answers(["node", SIMULATE / "main.mjs"], file), cases)]
    wanted = min(200_000, cases_wanted // 2)
    if any(compared < wanted for compared, _ in outcomes):
        sys.exit(f"fewer than {wanted} cases could be compared")
    sys.exit(any(unexplained for _, unexplained in outcomes))


if __name__ == "__main__":
    main()
