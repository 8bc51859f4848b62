"""Whom the documents talk about, and the gateway that they talk to."""

import concurrent.futures
import contextlib

import botocore.exceptions

import rig
from component import Authority  # noqa: F401: World makes one
from directory import Directory
from gateway import Gateway
from keycloak import Keycloak
from oidc_provider import OidcProvider
from webhook import Webhook
from world import World

BUCKET = "documented"
NOTHING = '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}'


class DocumentedWorld(World):
    """Keycloak, the directory and the webhook alone: no document talks about the others."""

    def __enter__(self):
        contextlib.ExitStack.__enter__(self)
        try:
            self.keycloak, self.people = Keycloak(self.folder, self.authority), Directory(self.folder, self.authority)
            # In the configuration, and never asked.
            self.provider = OidcProvider(self.folder, self.authority)
            self.webhook = self.enter_context(Webhook(self.authority))
            for part in (self.keycloak, self.people):
                self.callback(part.stop)
            with concurrent.futures.ThreadPoolExecutor() as pool:
                for started in [pool.submit(part.start) for part in (self.keycloak, self.people)]:
                    started.result()
        except BaseException:
            self.close()
            raise
        return self


class Documented(Gateway):
    """The user of the rig may assume the role of the documents, too."""

    def settings(self, key, start_tls):
        return super().settings(key, start_tls).replace('name = "analyst"\npolicies = ["readwrite"]\n',
                                                        'name = "analyst"\npolicies = ["readwrite"]\n  [[role.trust]]\n  users = ["rig"]\n', 1)

    def prepare(self):
        with contextlib.suppress(botocore.exceptions.ClientError):
            self.client(self.session(), "s3").create_bucket(Bucket=BUCKET)

    def client(self, keys, service):
        return self.world.boto(service, self.endpoint, keys)

    def session(self, **parameters):
        sts = self.client((rig.USER_KEY, rig.USER_SECRET, None), "sts")
        given = sts.assume_role(RoleArn="arn:aws:iam::000000000000:role/analyst", RoleSessionName="rig", **parameters)["Credentials"]
        return [given[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")]

    def denial(self):
        """The encoded message of a denial."""
        try:
            self.client(self.session(Policy=NOTHING), "s3").list_objects_v2(Bucket=BUCKET)
        except botocore.exceptions.ClientError as error:
            return error.response["Error"]["EncodedAuthorizationMessage"]
        raise AssertionError("nobody was denied")

    def put_and_get(self, keys, name):
        s3 = self.client(keys, "s3")
        s3.put_object(Bucket=BUCKET, Key=name, Body=name.encode())
        assert s3.get_object(Bucket=BUCKET, Key=name)["Body"].read() == name.encode()

    def for_documents(self):
        """Its configuration, with who stands in the rules of the documents beside it."""
        return self.configuration.read_text() + '''
[[user]]
name = "ci"
access_key_id = "AKIADOCUMENTEDCI0001"
secret_access_key = "documented-ci-secret-1"
[[role]]
name = "operator"
policies = ["readwrite"]
  [[role.trust]]
  users = ["ci"]
'''
