"""What examples/monitoring/ holds is right: promtool reads it and its alerts fire when they should, every name in it is a metric
that docs/metrics.md knows, and the page of a running gateway is one that Prometheus reads."""

import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples/monitoring"
NAME = re.compile(r"\b((?:daypass|process)_[a-z0-9_]+)")
failed = []


def check(what, problems):
    print(f"  {'failed' if problems else 'ok':8}{what}", flush=True)
    failed.extend(f"{what}: {problem}" for problem in problems)


def promtool(*arguments, **more):
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, **more)
    return [] if done.returncode == 0 else [done.stdout + done.stderr]


def documented():
    """Every series' name: a histogram has three."""
    names = set()
    for name, kind in re.findall(r"^\| `((?:daypass|process)_\w+)` \| (\w+) \|", (ROOT / "docs/metrics.md").read_text(), re.M):
        names |= {name + end for end in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
    return names


def expressions(value):
    """What a dashboard asks Prometheus for."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("expr", "query") and isinstance(inner, str):
                yield inner
            else:
                yield from expressions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from expressions(inner)


def dashboard_is_whole(names):
    dashboard = json.loads((EXAMPLES / "dashboard.json").read_text())
    asked = list(expressions(dashboard))
    problems = [f"{name} is no metric" for text in asked for name in NAME.findall(text) if name not in names]
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(set(ids)) != len(ids):
        problems.append("two panels have one id")
    problems += [f"panel {panel['title']!r} asks for nothing" for panel in panels if not panel.get("targets")]
    # Prometheus' own parser reads each, with what Grafana puts in the variables' place.
    with tempfile.TemporaryDirectory() as folder:
        rules = pathlib.Path(folder, "rules.yml")
        for panel in panels:
            for target in panel["targets"]:
                expr = target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*")
                rule = {"groups": [{"name": "g", "rules": [{"record": "r", "expr": expr}]}]}
                rules.write_text(json.dumps(rule))
                problems += [f"{panel['title']}: {said}" for said in promtool("check", "rules", rules)]
    shown = {name for text in asked for name in NAME.findall(text)}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}
    unseen = {family for family in families if not any(name.startswith(family) for name in shown)}
    problems += [f"{family} is on no panel" for family in sorted(unseen - {"process_virtual_memory_bytes", "process_start_time_seconds"})]
    return problems


def rules_are_known(names):
    text = (EXAMPLES / "daypass.rules.yml").read_text()
    problems = [f"{name} is no metric" for line in text.splitlines() if "alert:" not in line for name in NAME.findall(line) if name not in names]
    alerts = re.findall(r"alert: (\w+)", text)
    document = (ROOT / "docs/metrics.md").read_text()
    problems += [f"docs/metrics.md says nothing of {alert}" for alert in alerts if f"`{alert}`" not in document]
    tests = (ROOT / "tests/ops/daypass.rules.test.yml").read_text()
    return problems + [f"no test makes {alert} fire" for alert in alerts if f"alertname: {alert}\n        exp_alerts:" not in tests]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(url, what):
    for _ in range(100):
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                text = answer.read().decode()
                if what(text):
                    return text
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{url} does not answer as it should")


def a_real_prometheus_reads_a_real_gateway(folder):
    """Also with the example's own configuration, but for the address."""
    gateway, admin, web = free_port(), free_port(), free_port()
    keys = subprocess.run([ROOT / "target/debug/daypass", "keygen"], capture_output=True, text=True, check=True).stdout
    (folder / "daypass.toml").write_text(f"""
[listen]
address = "127.0.0.1:{gateway}"
[admin]
address = "127.0.0.1:{admin}"
[backend]
endpoint = "http://127.0.0.1:{free_port()}"
access_key_id = "ROOT"
secret_access_key = "root-secret"
[sts]
sealing_keys = \"\"\"{keys}\"\"\"
[[policy]]
name = "all"
document = '{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"*","Resource":"*"}}}}'
[[user]]
name = "alice"
access_key_id = "ALICEACCESSKEY000001"
secret_access_key = "alice-secret-alice-secret"
policies = ["all"]
""")
    text = (EXAMPLES / "prometheus.yml").read_text().replace("127.0.0.1:9001", f"127.0.0.1:{admin}").replace("15s", "1s")
    (folder / "prometheus.yml").write_text(text)
    (folder / "daypass.rules.yml").write_text((EXAMPLES / "daypass.rules.yml").read_text())
    programs = [[ROOT / "target/debug/daypass", "serve", "--config", folder / "daypass.toml"],
                ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb", f"--web.listen-address=127.0.0.1:{web}"]]
    running = [subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for program in programs]
    try:
        page = wait_for(f"http://127.0.0.1:{admin}/metrics", lambda text: text.endswith("# EOF\n"))
        api = f"http://127.0.0.1:{web}/api/v1"
        wait_for(f"{api}/query?query=daypass_build_info", lambda text: '"version":' in text)
        stored = json.loads(wait_for(f"{api}/label/__name__/values", lambda text: "daypass_" in text))["data"]
        served = {line.split("{")[0].split(" ")[0] for line in page.splitlines() if not line.startswith("#")}
        problems = [f"Prometheus has no {name}" for name in sorted(served - set(stored))]
        target = json.loads(wait_for(f"{api}/targets", lambda text: '"health":' in text))["data"]["activeTargets"][0]
        return problems + ([target["lastError"]] if target["lastError"] else [])
    finally:
        for program in running:
            program.terminate()
        for program in running:
            program.wait(30)


def main():
    print("monitoring")
    names = documented()
    check("promtool check config", promtool("check", "config", EXAMPLES / "prometheus.yml"))
    check("promtool check rules", promtool("check", "rules", EXAMPLES / "daypass.rules.yml"))
    check("promtool test rules", promtool("test", "rules", ROOT / "tests/ops/daypass.rules.test.yml"))
    check("the rules name metrics that exist, each alert is documented and tested", rules_are_known(names))
    check("the dashboard is whole and names metrics that exist", dashboard_is_whole(names))
    with tempfile.TemporaryDirectory() as folder:
        check("a real Prometheus reads a real gateway", a_real_prometheus_reads_a_real_gateway(pathlib.Path(folder)))
    if failed:
        sys.exit("\n".join(["", *failed]))


if __name__ == "__main__":
    main()
