"""What operators are told about the real ones: `daypass check --online` and `daypass explain`, when all is well and when something is wrong."""

import subprocess

import directory
import rig


class Operators:
    def __init__(self, world, gateway):
        self.world, self.gateway, self.wrong = world, gateway, []

    def run(self):
        settings = self.gateway.configuration.read_text()
        world = self.world
        self.check("all is well", settings, 0, "oidc.keycloak: it answers", "oidc.oidc-provider: it answers", "ldap: people and groups can be searched",
                   "webhook: it answers")
        other = str(world.authority.folder / "other.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", other + ".key", "-out", other, "-days", "2", "-subj", "/CN=other"],
                       check=True, capture_output=True)
        provider = f'issuer = "{world.keycloak.issuer}"'
        trusted = f'ca_file = "{world.authority.ca}"'
        for what, (before, after), *words in (
            ("another realm", (provider, f'issuer = "{world.keycloak.address}/realms/other"'), "oidc.keycloak: problem", "404"),
            ("an issuer with a slash", (provider, f'issuer = "{world.keycloak.issuer}/"'), "oidc.keycloak: problem", "calls itself"),
            ("another authority", (trusted, f'ca_file = "{other}"'), "oidc.keycloak: problem", "UnknownIssuer", "ldap: problem: its certificate is not trusted", "webhook: problem"),
            ("the service account's password", (f'"{directory.SERVICE_PASSWORD}"', '"another-password-1"'), "ldap: problem", "bind_password", "webhook: it answers"),
            ("a base that is not there", (f'user_base = "{directory.PEOPLE}"', 'user_base = "ou=nobody,dc=example,dc=org"'), "ldap: problem", "user_base"),
            ("a port where nothing listens", (f":{world.people.tls}", f":{rig.free_port()}"), "ldap: problem", "cannot be reached"),
        ):
            if before not in settings:
                raise AssertionError(f"{before} is not in the configuration")
            self.check(what, settings.replace(before, after), 1, *words)
        self.explain("alice", ["--token", self.token("alice")], 0, "jwt:groups", "analysts", "readwrite", "analyst")
        self.explain("bob, who is in no group", ["--token", self.token("bob")], 3, "jwt:groups", "analyst")
        self.explain("jane", ["--ldap-user", "jane"], 0, "cn=analysts", "readwrite", "analyst")
        self.explain("somebody of a nested group", ["--ldap-user", "nested"], 0, "cn=outer", "nested")
        self.explain("bob of the directory", ["--ldap-user", "bob"], 3, "analyst")
        self.explain("nobody", ["--ldap-user", "nobody"], 3)
        return self.wrong

    def token(self, user):
        file = self.world.folder / f"token-of-{user}"
        file.write_text(self.world.keycloak.token(user=user))
        return file

    def check(self, what, settings, code, *words):
        file = self.gateway.folder / "operators.toml"
        file.write_text(settings)
        file.chmod(0o600)
        self.says(f"check, {what}", ["check", "--online", "--config", file], code, words)

    def explain(self, who, arguments, code, *words):
        self.says(f"explain, {who}", ["explain", "--config", self.gateway.configuration, *arguments], code, words)

    def says(self, what, arguments, code, words):
        done = subprocess.run([str(part) for part in (rig.DAYPASS, *arguments)], capture_output=True, text=True, timeout=60, env=rig.clean_environment())
        text = done.stdout + done.stderr
        missing = [word for word in words if word not in text]
        if missing or done.returncode != code:
            self.wrong.append(f"{what}: exit code {done.returncode}, without {missing}:\n{text}")
        leaked = [secret[:12] for secret in self.world.all_secrets(self.gateway) if secret in text]
        if leaked:
            self.wrong.append(f"{what}: tells {leaked}")
        print(f"    {what}: exit code {done.returncode}", flush=True)
