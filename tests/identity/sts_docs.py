"""Executes what docs/sts.md tells people to paste, and the examples that a component of the rig can serve.

    python tests/identity/sts_docs.py [--only ldap] [--without ldap,examples]

A block carries a name: ```sh test=web-identity-curl. It runs as it stands, in a folder with the files that the document names. Keys that it prints, or that its
provider holds, must put and get an object. A block in a language that can be run and without a name is an error.
"""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap

import component  # noqa: F401: finds the rig
import rig
import canary
import differences
import directory
import documented_examples
import documents
from clients import CUSTOM_TOKEN
from component import HERE, run
from documented_world import BUCKET, Documented, DocumentedWorld

DOCUMENT = rig.ROOT / "docs/sts.md"
# What blocks print that give no keys.
PRINTED = {
    "web-identity-aws": "hello", "caller-identity-curl": "user/rig", "caller-identity-aws": "user/rig", "access-key-info-curl": "000000000000",
    "access-key-info-aws": "000000000000", "decode-curl": "explicitDeny", "decode-aws": "explicitDeny",
    "revoke-session-curl": "<RevokeSessionResponse"}
# How keys are called in XML and in the JSON of aws-cli.
KEYS = [re.compile(rf'(?:<{name}>|"{name}": ")([^<"]+)') for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")]

# A provider of minio-go puts and gets by itself.
GO = """package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

var _ = tls.LoadX509KeyPair
var _ = os.ReadFile

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	endpoint, bucket := os.Getenv("ENDPOINT"), os.Getenv("BUCKET")
%s
	must(err)
	place, err := url.Parse(endpoint)
	must(err)
	client, err := minio.New(place.Host, &minio.Options{Creds: provider, Secure: true, Region: "us-east-1"})
	must(err)
	_, err = client.PutObject(context.Background(), bucket, "go", strings.NewReader("from go"), 7, minio.PutObjectOptions{})
	must(err)
	object, err := client.GetObject(context.Background(), bucket, "go", minio.GetObjectOptions{})
	must(err)
	found, err := io.ReadAll(object)
	must(err)
	fmt.Println(string(found))
}
"""

PYTHON = """
import json, os
import boto3, minio, minio.credentials
endpoint = os.environ["ENDPOINT"]
{block}
if isinstance(credentials, dict):
    keys = {{name: credentials[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")}}
else:
    keys = {{"AccessKeyId": credentials.access_key, "SecretAccessKey": credentials.secret_key, "SessionToken": credentials.session_token}}
print(json.dumps(keys))
"""


def complaints(document):
    """What is wrong with the document itself."""
    wrong = documents.complaints(document, PRINTED)
    wrong += [f"docs/sts.md lacks what tests/identity/differences.py says: {row}" for row in differences.table() if row not in document.splitlines()]
    return wrong


class Desk:
    """The folder in which somebody pastes."""

    def __init__(self, world, gateway):
        self.world, self.gateway = world, gateway
        self.folder = world.folder / "desk"
        self.folder.mkdir()
        write = lambda name, text: (self.folder / name).write_text(text)
        write("token.jwt", world.keycloak.token(user="alice"))
        write("app.jwt", world.keycloak.token("machine"))
        write("password", directory.PASSWORDS["alice"])
        write("custom-token", CUSTOM_TOKEN)
        write("message", gateway.denial())
        for name, which in (("client", "by SPIFFE id"), ("cn", "by common name")):
            for file, ending in zip(world.certificates[which], ("pem", "key")):
                shutil.copy(file, self.folder / f"{name}.{ending}")

    def environment(self, language, text):
        ca = self.world.authority.ca
        path = f"{rig.CACHE / 'venv/bin'}:{rig.clean_environment()['PATH']}"
        found = rig.clean_environment(PATH=path, HOME=self.folder, ENDPOINT=self.gateway.endpoint, BUCKET=BUCKET, AWS_DEFAULT_REGION="us-east-1",
                                      AWS_EC2_METADATA_DISABLED="true", AWS_MAX_ATTEMPTS="1", CURL_CA_BUNDLE=ca, AWS_CA_BUNDLE=ca, SSL_CERT_FILE=ca)
        if language == "go":
            found |= {name: run("go", "env", name).strip() for name in ("GOCACHE", "GOMODCACHE", "GOPATH")} | {"GOFLAGS": "-mod=mod", "GOPROXY": "off"}
        # A long-term key in the environment would go before a web identity.
        if "AWS_WEB_IDENTITY_TOKEN_FILE" not in text:
            found |= {"AWS_ACCESS_KEY_ID": rig.USER_KEY, "AWS_SECRET_ACCESS_KEY": rig.USER_SECRET}
        return found

    def command(self, language, name, text):
        if language == "python":
            return [rig.CACHE / "venv/bin/python", "-c", PYTHON.format(block=text)]
        if language == "go":
            program = self.folder / name
            program.mkdir()
            for file in ("go.mod", "go.sum"):
                shutil.copy(HERE / "go" / file, program)
            (program / "main.go").write_text(GO % textwrap.indent(text, "\t"))
            run("go", "build", "-o", f"../{name}.bin", ".", folder=program, environment=self.environment(language, text), seconds=600)
            return [self.folder / f"{name}.bin"]
        return ["bash", "-euo", "pipefail", "-c", text]

    def execute(self, language, name, text):
        printed = run(*self.command(language, name, text), folder=self.folder, environment=self.environment(language, text))
        if name in PRINTED:
            assert PRINTED[name] in printed, f"it prints {printed[:500]!r}"
        elif language == "go":
            assert printed == "from go\n", printed
        else:
            found = [pattern.search(printed) for pattern in KEYS]
            assert all(found), f"there are no keys in {printed[:500]!r}"
            keys = [match[1] for match in found]
            self.world.secrets.update(keys[1:])
            self.gateway.put_and_get(keys, f"docs/{name}")


def load_trust(gateway, text):
    """The rules of the document stand in a configuration that loads."""
    file = gateway.configuration.with_name("documented-trust.toml")
    file.write_text(gateway.for_documents() + text)
    file.chmod(0o600)
    done = subprocess.run([rig.DAYPASS, "check", "--config", file], capture_output=True, text=True, env=rig.clean_environment())
    assert done.returncode == 0, done.stdout + done.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="blocks and examples whose names begin so")
    parser.add_argument("--without", default="", help="the same, with commas")
    arguments = parser.parse_args()
    without = tuple(filter(None, arguments.without.split(",")))
    document = DOCUMENT.read_text()
    wrong, count = complaints(document), 0
    assert complaints(document + "```sh\ncurl\n```\n") != wrong, "a block without a name would not be seen"

    def attempt(name, step):
        nonlocal count
        if not name.startswith(arguments.only) or name.startswith(without or ("\0",)):
            return
        count += 1
        try:
            step()
            print(f"  {name:36} ok", flush=True)
        except Exception as error:  # noqa: BLE001: any failure of a line is a result
            print(f"  {name:36} FAILED", flush=True)
            wrong.append(f"{name}: {type(error).__name__}: {error}")

    with rig.folder() as folder, DocumentedWorld(pathlib.Path(folder)) as world, rig.Backend("minio", world.folder) as backend:
        with Documented(world.folder, world, backend) as gateway:
            desk = Desk(world, gateway)
            for language, name, text in documents.blocks(document):
                if language == "toml" and name:
                    attempt(name, lambda: load_trust(gateway, text))
                elif name:
                    attempt(name, lambda: desk.execute(language, name, text))
            surfaces = canary.shown(gateway)
        if not arguments.only and not without:
            wrong += canary.check([gateway.log, *surfaces], world.all_secrets(gateway), world.folder)
        for name, example in documented_examples.EXAMPLES.items():
            attempt(name, lambda: example(world, backend))
    if wrong:
        print("\nWrong:\n" + "\n".join(wrong))
        sys.exit(1)
    print(f"\nAll {count} blocks of docs/sts.md and examples do what they say.")


if __name__ == "__main__":
    main()
