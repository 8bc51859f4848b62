"""Keys outlive the process that issued them; without right sealing keys there is no process.

    python tests/clients/restart.py
"""

import base64
import pathlib
import secrets
import subprocess

import rig
from checks import Place, same
from run import session_of


def keys_survive_kill_minus_nine(backend, folder):
    ring = f"{secrets.token_hex(4)}:{base64.b64encode(secrets.token_bytes(32)).decode()}"
    first = rig.Gateway(backend, folder, sealing_keys=ring).wait_until_it_listens()
    place = Place("first", first.endpoint, "restart", session_of(first, None), folder, None, first)
    place.boto().create_bucket(Bucket="restart")
    place.boto().put_object(Bucket="restart", Key="k", Body=b"before")
    first.stop(kill=True)
    with rig.Gateway(backend, folder, sealing_keys=ring) as second:
        after = Place("second", second.endpoint, "restart", place.keys, folder, None, second)
        same(after.boto().get_object(Bucket="restart", Key="k")["Body"].read(), b"before")
    print("  keys issued before kill -9 work after the restart")


def no_start_without_right_sealing_keys(backend, folder):
    gateway = rig.Gateway(backend, folder).wait_until_it_listens()
    gateway.stop()
    text = gateway.configuration.read_text()
    line = next(line for line in text.splitlines() if line.startswith("sealing_keys"))
    keys = folder / "sealing.keys"
    keys.write_text(line.split('"""')[1])
    keys.chmod(0o644)
    for replacement, expected in [
        ("", "sealing_keys"),
        ('sealing_keys_file = "nowhere"', "cannot be read"),
        ('sealing_keys = "wrong"', "daypass keygen"),
        (f'sealing_keys_file = "{keys}"', "chmod o-rwx"),
    ]:
        file = folder / "wrong.toml"
        file.write_text(text.replace(line, replacement))
        for command in ("serve", "check"):
            done = subprocess.run([rig.DAYPASS, command, "--config", file], capture_output=True, text=True, timeout=20, env=rig.clean_environment())
            same(done.returncode, 1, f"exit code of {command}")
            assert expected in done.stderr, done.stderr
    keys.chmod(0o600)
    done = subprocess.run([rig.DAYPASS, "check", "--config", file], capture_output=True, text=True, timeout=20, env=rig.clean_environment())
    same((done.returncode, done.stderr), (0, ""))
    print("  sealing keys that are absent, wrong or open to others: no start, and the reason")


def main():
    with rig.folder() as folder:
        folder = pathlib.Path(folder)
        with rig.Backend("minio", folder) as backend:
            keys_survive_kill_minus_nine(backend, folder)
            no_start_without_right_sealing_keys(backend, folder)


if __name__ == "__main__":
    main()
