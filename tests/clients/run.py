"""Real clients against real storages, directly and through Daypass, over plain HTTP and over TLS.

What passes directly must pass through the gateway. The table at the end is the report; docs/compatibility.md explains it.

    python tests/clients/run.py [--backends minio,versitygw] [--checks boto3_copy,mc] [--schemes http]
"""

import argparse
import pathlib
import sys
import time
import traceback

import boto3

import rig
from checks import CHECKS, Place

# What a storage cannot do by itself; whoever asks it through the gateway gets its refusal. (storage, check): reason.
BEYOND_THE_STORAGE = {
    ("s3s-fs", "boto3_object_tagging"): "s3s-fs has no tagging",
    ("s3s-fs", "boto3_versions"): "s3s-fs has no versions",
    ("s3s-fs", "boto3_bucket_policy_and_tags"): "s3s-fs has no bucket configuration",
    ("s3s-fs", "boto3_multipart_by_hand"): "s3s-fs answers ListParts of an aborted upload",
    ("s3s-fs", "minio_go"): "s3s-fs ignores encoding-type in lists, so that keys with + come back wrong",
    ("s3s-fs", "boto3_not_modified"): "s3s-fs ignores If-None-Match on GET",
    ("s3s-fs", "boto3_range_and_conditions"): "s3s-fs ignores If-Match on GET",
}


def session_of(gateway, certificates):
    sts = boto3.client("sts", endpoint_url=gateway.endpoint, region_name="us-east-1", aws_access_key_id=rig.USER_KEY,
                       aws_secret_access_key=rig.USER_SECRET, verify=str(certificates.ca) if certificates else None)
    keys = sts.assume_role(RoleArn="arn:aws:iam::000000000000:role/everything", RoleSessionName="rig", DurationSeconds=3600)["Credentials"]
    return keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]


def run_check(name, place):
    started = time.time()
    try:
        CHECKS[name](place)
        outcome = None
    except Exception as error:  # noqa: BLE001: any failure of a client is a result
        outcome = f"{type(error).__name__}: {error}" or traceback.format_exc()
    print(f"  {place.name:24} {name:40} {'ok' if outcome is None else 'FAILED'} {time.time() - started:6.1f} s", flush=True)
    return outcome


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", default=",".join(rig.BACKENDS))
    parser.add_argument("--checks", default=",".join(CHECKS))
    parser.add_argument("--schemes", default="http,https")
    arguments = parser.parse_args()
    names, schemes = arguments.checks.split(","), arguments.schemes.split(",")
    results, wrong = {}, []

    with rig.folder() as folder:
        folder = pathlib.Path(folder)
        certificates = rig.Certificates(folder)
        for kind in arguments.backends.split(","):
            with rig.Backend(kind, folder) as backend:
                def place(name, endpoint, keys, tls=None, gateway=None):
                    home = folder / name
                    home.mkdir()
                    made = Place(name, endpoint, name.replace(" ", "-"), keys, home, tls, gateway)
                    made.boto().create_bucket(Bucket=made.bucket)
                    return made

                for scheme in schemes:
                    tls = certificates if scheme == "https" else None
                    with rig.Gateway(backend, folder, tls) as gateway:
                        through = place(f"{kind} {scheme}", gateway.endpoint, session_of(gateway, tls), tls, gateway)
                        for name in names:
                            results[kind, scheme, name] = run_check(name, through)
                        if any(results[kind, scheme, name] for name in names):
                            print("\n".join(line for line in gateway.log.read_text().splitlines() if "ERROR" in line)[-3000:])
                # Whose failure is it? What fails through the gateway is tried without it.
                failed = [name for name in names if any(results[kind, scheme, name] for scheme in schemes)]
                direct = place(f"{kind} direct", backend.endpoint, (rig.ROOT_KEY, rig.ROOT_SECRET, None))
                for name in failed:
                    results[kind, "direct", name] = run_check(name, direct)

    columns = [(kind, way) for kind in arguments.backends.split(",") for way in schemes + ["direct"]]
    print(f"\n{'':42}" + "".join(f"{kind} {way}".ljust(18) for kind, way in columns))
    for name in names:
        cells = ["-" if (*column, name) not in results else "ok" if results[*column, name] is None else "failed" for column in columns]
        print(f"{name:42}" + "".join(cell.ljust(18) for cell in cells))
    for (kind, way, name), failure in results.items():
        if failure is None:
            continue
        known = BEYOND_THE_STORAGE.get((kind, name))
        passes_directly = results[kind, "direct", name] is None
        if way != "direct" and (passes_directly or not known):
            wrong.append(f"{kind} over {way}: {name}: {failure}")
        elif way == "direct" and not known:
            print(f"\n{kind} itself fails {name}: {failure}")
    if wrong:
        print("\nPasses directly, fails through Daypass, or fails for no known reason:\n" + "\n".join(wrong))
        sys.exit(1)
    print("\nWhat passes directly passes through Daypass.")


if __name__ == "__main__":
    main()
