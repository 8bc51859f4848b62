"""Checks what is packaged, as far as it can be checked without building a package: each function is one promise.

    python tests/packages/run.py [WORD]     # only promises with that word
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DAYPASS = ROOT / "target/debug/daypass"
BIN = ROOT / ".cache/bin"
CHART = ROOT / "packaging/helm/daypass"
MANIFESTS = ROOT / "packaging/kubernetes/daypass.yaml"
UNIT = ROOT / "packaging/systemd/daypass.service"
# What the chart says it needs, and what is new.
KUBERNETES = ("1.30", "1.37")


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, stdin=subprocess.DEVNULL, **options)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def check(text, secrets):
    """`daypass check` of a configuration whose secrets lie in another folder than where they are mounted."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in sorted(set(re.findall(re.escape(secrets) + r"/([\w.-]+)", text))):
            file = folder / name
            file.write_text(run(DAYPASS, "keygen") if name == "sealing.keys" else hashlib.sha256(name.encode()).hexdigest()[:40])
            file.chmod(0o600)
        (folder / "daypass.toml").write_text(text.replace(secrets, str(folder)))
        return run(DAYPASS, "check", "--config", folder / "daypass.toml")


def directives(unit):
    found = {}
    for line in unit.splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def the_unit_is_valid_and_exposes_little():
    with tempfile.TemporaryDirectory() as folder:
        unit = pathlib.Path(folder) / "daypass.service"
        unit.write_text(UNIT.read_text().replace("/usr/bin/daypass", str(DAYPASS)))
        said = run("systemd-analyze", "verify", "--man=no", unit)
        assert "daypass.service" not in said, said
    said = run("systemd-analyze", "security", "--offline=true", "--threshold=15", UNIT)
    score = re.search(r"exposure level for daypass.service: ([\d.]+)", said)[1]
    assert f"`systemd-analyze security` says {score}," in (ROOT / "docs/operations.md").read_text(), score


def the_service_finds_the_secrets_that_its_configuration_names():
    text = (ROOT / "packaging/daypass.toml").read_text()
    check(text, "/run/credentials/daypass.service")
    named = set(re.findall(r"/run/credentials/daypass\.service/([\w.-]+)", text))
    given = {value.split(":")[0] for value in directives(UNIT.read_text())["LoadCredential"]}
    assert named == given, (named, given)


def what_the_service_writes_lies_in_its_own_folder():
    unit = directives(UNIT.read_text())
    assert unit["StateDirectory"] == ["daypass"] and unit["StateDirectoryMode"] == ["0700"] and unit["ProtectSystem"] == ["strict"]
    _, objects = rendered()
    _, kept = rendered("--set", "state.claim=kept,replicas=1")
    pod, with_claim = ([item for item in items if item["kind"] == "Deployment"][0]["spec"]["template"]["spec"] for items in (objects, kept))
    writable = [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["/var/lib/daypass"], writable
    volume = lambda spec: {name: value for item in spec["volumes"] if item["name"] == "state" for name, value in item.items()}
    assert "emptyDir" in volume(pod) and volume(with_claim)["persistentVolumeClaim"] == {"claimName": "kept"}
    (config,) = [item["data"]["daypass.toml"] for item in objects if item["kind"] == "ConfigMap"]
    for text in ((ROOT / "packaging/daypass.toml").read_text(), config):
        files = re.findall(r'^#? ?file = "(.*)"', text, flags=re.MULTILINE)
        assert files and all(file.startswith("/var/lib/daypass/") for file in files), files


def nothing_that_the_program_calls_is_forbidden_to_the_service():
    groups, name = {}, None
    for line in run("systemd-analyze", "syscall-filter").splitlines():
        word = line.strip()
        if line.startswith("@"):
            name = groups.setdefault(word, set())
        elif word and not word.startswith("#") and name is not None:
            name.add(word)
    calls = lambda group: {call for word in groups[group] for call in (calls(word) if word.startswith("@") else [word])}
    unit = directives(UNIT.read_text())
    assert unit["SystemCallFilter"] == ["@system-service", "~@privileged @resources"] and unit["MemoryDenyWriteExecute"] == ["yes"]
    allowed = calls("@system-service") - calls("@privileged") - calls("@resources")
    with tempfile.NamedTemporaryFile() as trace:
        run("strace", "-f", "-qq", "-o", trace.name, DAYPASS, "demo", "--once")
        lines = pathlib.Path(trace.name).read_text(errors="replace").splitlines()
    called = {match[1] for line in lines if (match := re.match(r"\d+ +(?:<\.\.\. )?([a-z0-9_]+)(?:\(| resumed)", line))}
    assert len(called) > 30 and called <= allowed, called - allowed
    assert not [line for line in lines if "PROT_WRITE|PROT_EXEC" in line or re.search(r"socket\(AF_(?!INET|UNIX)", line)]


def rendered(*options):
    text = run(BIN / "helm", "template", "daypass", CHART, "--namespace", "storage", "--kube-version", KUBERNETES[0] + ".0", *options)
    return text, list(yaml.safe_load_all(text))


def the_chart_gives_valid_objects():
    run(BIN / "helm", "lint", "--strict", CHART)
    values = [(), ("--set", "clusterIssuer.enabled=true"), ("--set", "networkPolicy.enabled=false,replicas=5,podAnnotations.a=b,image.tag=1")]
    for options in values:
        text, _ = rendered(*options)
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(text)
            file.flush()
            for version in KUBERNETES:
                run(sys.executable, "-m", "kubernetes_validate", "--strict", "--quiet", "-k", version, file.name)


def a_misspelt_field_is_found():
    text, _ = rendered()
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text.replace("readOnlyRootFilesystem", "readOnlyRootFileSystem"))
        file.flush()
        command = [sys.executable, "-m", "kubernetes_validate", "--strict", "--quiet", "-k", KUBERNETES[0], file.name]
        assert subprocess.run(command, capture_output=True).returncode != 0


def the_manifests_are_those_of_the_chart():
    text, objects = rendered("--set", "clusterIssuer.enabled=true")
    ours = MANIFESTS.read_text()
    if "--write" in sys.argv:
        head = ours[: ours.index("---")] if "---" in ours else ""
        text = re.sub(r"^# Source: .*\n", "", text, flags=re.MULTILINE).replace("app.kubernetes.io/managed-by: Helm", "app.kubernetes.io/managed-by: kubectl")
        MANIFESTS.write_text(head + text)
        ours = MANIFESTS.read_text()
    same = json.loads(json.dumps(objects).replace('managed-by": "Helm"', 'managed-by": "kubectl"'))
    assert list(yaml.safe_load_all(ours)) == same, "make them again: .cache/venv/bin/python tests/packages/run.py manifests --write"


def a_pod_can_do_little_and_tells_how_it_is():
    _, objects = rendered()
    one = {item["kind"]: item for item in objects}
    pod = one["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert one["Deployment"]["spec"]["replicas"] >= 2 and pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert all(container[probe]["httpGet"]["port"] == "admin" for probe in ("startupProbe", "livenessProbe", "readinessProbe"))
    assert not any("subPath" in mount for mount in container["volumeMounts"]), "such a file never changes"
    # The drain of the configuration and the pause before it fit in.
    assert pod["terminationGracePeriodSeconds"] >= 60 + container["lifecycle"]["preStop"]["sleep"]["seconds"]
    labels = one["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for selector in (one["Service"]["spec"]["selector"], *(one[kind]["spec"][key]["matchLabels"] for kind, key in
                     (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector"), ("Deployment", "selector")))):
        assert selector.items() <= labels.items()
    assert "Secret" not in one
    assert "0 hints" in check(one["ConfigMap"]["data"]["daypass.toml"], "/run/secrets/daypass")


def the_compose_file_mounts_what_is_there():
    with tempfile.TemporaryDirectory() as folder:
        examples = pathlib.Path(folder) / "examples"
        shutil.copytree(ROOT / "examples", examples, ignore=shutil.ignore_patterns("secrets", ".env"))
        here = examples / "compose"
        environment = {**os.environ, "DAYPASS": f"{DAYPASS}"}
        run(here / "prepare.sh", env=environment)
        before = {file.name: file.read_text() for file in (here / "secrets").iterdir()}
        run(here / "prepare.sh", env=environment)
        assert before == {file.name: file.read_text() for file in (here / "secrets").iterdir()}, "prepare.sh keeps what is there"
        assert all(file.stat().st_mode & 0o077 == 0 for file in (here / "secrets").iterdir())
        compose = yaml.safe_load((here / "compose.yaml").read_text())
        for secret in compose["secrets"].values():
            assert (here / secret["file"]).read_text().strip()
        for name, service in compose["services"].items():
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                assert source in compose["volumes"] or (here / source).is_file(), volume
            assert set(service.get("secrets", [])) <= compose["secrets"].keys() and set(service["networks"]) <= compose["networks"].keys()
            assert name == "daypass" or re.search(r":[\w.-]*\d", service["image"]), f"{name} is not pinned"
            assert not re.search(r"(?i)(password|secret)\S*: +[^/\s]", yaml.dump(service.get("environment", {}))), f"a secret of {name}"
        health = compose["services"]["daypass"]["healthcheck"]["test"]
        assert health[:3] == ["CMD", "/usr/bin/daypass", "health"] and health[-1] in "".join(compose["services"]["daypass"]["volumes"])
        assert "ports" not in compose["services"]["minio"] and compose["networks"]["storage"]["internal"]
        text = (here / "daypass.toml").read_text()
        mounted = set(re.findall(r"/run/secrets/([\w.-]+)", text))
        assert mounted == set(compose["services"]["daypass"]["secrets"])
        for name in mounted:
            text = text.replace(f"/run/secrets/{name}", str(here / "secrets" / name))
        (here / "checked.toml").write_text(text)
        run(DAYPASS, "check", "--config", here / "checked.toml")
        realm = json.loads(before["realm.json"])
        client = json.loads((ROOT / "examples/keycloak/client.json").read_text())
        assert client.items() <= realm["clients"][0].items() and realm["clients"][0]["secret"] == before["client-secret"]
        run("sh", "-n", here / "prepare.sh")


def the_image_is_small_and_nobody_s():
    joined = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.split(None, 1) for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    stages = [arguments for word, arguments in lines if word == "FROM"]
    assert len(stages) == 2 and all(re.match(r"[\w.-]+\.[\w.-]+/[\w./-]+:(?!latest)\S+", stage) for stage in stages), stages
    assert stages[0].split()[0].endswith(f":{rust_version()}-bookworm"), "the compiler is the one that Cargo.toml asks for"
    last = {}
    for word, arguments in lines:
        last = {} if word == "FROM" else {**last, word: arguments}
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last["USER"]) and last["ENTRYPOINT"].startswith("[") and last["CMD"].startswith("[")
    assert "RUN" not in last, "there is no shell"
    options, command = last["HEALTHCHECK"].split("CMD ")
    asks = json.loads(command)
    assert asks[0] == json.loads(last["ENTRYPOINT"])[0] and "--timeout=" in options, "without a shell, and it ends"
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as nobody:
        nobody.write('[admin]\naddress = "127.0.0.1:1"\n')
        nobody.flush()
        said = subprocess.run([DAYPASS, *asks[1:-1], nobody.name], capture_output=True, text=True)
    assert said.returncode == 1 and "cannot be reached" in said.stderr, said
    assert not [arguments for word, arguments in lines if word in ("ENV", "ARG", "ADD")]


def the_image_is_built_from_what_dockerignore_lets_through():
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    with tempfile.TemporaryDirectory() as folder:
        context = pathlib.Path(folder) / "context"
        context.mkdir()
        for rule in rules[1:]:
            for source in ROOT.glob(rule.lstrip("!")):
                place = context / source.relative_to(ROOT)
                if not rule.startswith("!"):
                    shutil.rmtree(place, ignore_errors=True)
                elif source.is_dir():
                    shutil.copytree(source, place)
                else:
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(source, place)
        run("cargo", "metadata", "--locked", "--offline", "--format-version=1", "--no-deps", cwd=context)
        assert "cargo build --release" in run("make", "--dry-run", "release", cwd=context)
        for source in re.findall(r"include_(?:str|bytes)!\(\"([^\"]+)", "".join(f.read_text() for f in (context / "src").rglob("*.rs"))):
            assert ".." not in source, f"{source} may not be in the image's sources"
        assert not (context / "config/secrets").exists() and not (context / "target").exists()


def rust_version():
    return re.search(r'rust-version = "([\d.]+)"', (ROOT / "Cargo.toml").read_text())[1]


def shells_complete_commands_and_options():
    with tempfile.TemporaryDirectory() as folder:
        script = {}
        for shell in ("bash", "zsh", "fish"):
            script[shell] = pathlib.Path(folder) / shell
            script[shell].write_text(run(DAYPASS, "completions", shell))
        ask = 'set -eu; . "$0"; COMP_WORDS=(daypass %s); COMP_CWORD=%d; _daypass daypass "%s" "%s"; echo "${COMPREPLY[@]}"'
        assert run("bash", "-c", ask % ("ch", 1, "ch", "daypass"), script["bash"]) == "check\n"
        assert run("bash", "-c", ask % ("check --onl", 2, "--onl", "check"), script["bash"]) == "--online\n"
        run("zsh", "-n", script["zsh"])
        told = run("fish", "--no-config", "-c", 'source $argv[1]; complete -C "daypass ch"', script["fish"], env={**os.environ, "HOME": folder})
        assert told.startswith("check\t"), told


def the_manual_renders_without_warnings():
    with tempfile.TemporaryDirectory() as folder:
        run(DAYPASS, "man", folder)
        pages = sorted(pathlib.Path(folder).iterdir())
        assert {"daypass.1", "daypass-serve.1", "daypass-check.1"} <= {page.name for page in pages}
        for page in pages:
            assert run("mandoc", "-T", "lint", "-W", "warning", page) == ""
            # A choice of nine options is one word that 78 columns cannot justify.
            assert run("sh", "-c", 'MANWIDTH=160 man --warnings -l "$0" >/dev/null', page) == ""
            assert "completions" not in page.read_text()


def main():
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    promises = [value for name, value in list(globals().items()) if callable(value) and "_" in name and not name.startswith("_") and name != "rust_version"]
    failed = 0
    for promise in promises:
        if all(word in promise.__name__ for word in words):
            try:
                promise()
                print(f"ok      {promise.__name__.replace('_', ' ')}", flush=True)
            except AssertionError as wrong:
                failed += 1
                print(f"FAILED  {promise.__name__.replace('_', ' ')}\n{wrong}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
