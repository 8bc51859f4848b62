"""A slapd with LDAPS, StartTLS, memberOf, people whose names need escaping, and groups within groups."""

import base64
import shutil
import socket

import rig
from component import Component, run

SUFFIX = "dc=example,dc=org"
ADMIN, ADMIN_PASSWORD = f"cn=admin,{SUFFIX}", "slapd-admin-password-1"
SERVICE, SERVICE_PASSWORD = f"cn=daypass,ou=services,{SUFFIX}", "slapd-service-password-1"
PEOPLE, GROUPS = f"ou=people,{SUFFIX}", f"ou=groups,{SUFFIX}"

# login: (RDN as it is written in LDIF, common name). Each DN needs another kind of escaping.
PERSONS = {
    "alice": ("uid=alice", "Alice Example"),
    "bob": ("uid=bob", "Bob Without Groups"),
    "jane": (r"cn=Doe\, Jane", "Doe, Jane"),
    "bobby": (r"cn=Bobby \"Tables\"", 'Bobby "Tables"'),
    "plus": (r"cn=C\+\+ Team+uid=plus", "C++ Team"),
    "zoe": ("cn=Zoë Žižek", "Zoë Žižek"),
    "slash": (r"cn=back\\slash\, \#1", r"back\slash, #1"),
    "o'neil (hr)*": ("uid=o'neil (hr)*", "O'Neil (HR)*"),
    "nested": ("uid=nested", "Of A Nested Group"),
}
PASSWORDS = {login: f"slapd-{number}-päss \"wörd\\" for number, login in enumerate(PERSONS)}

# group: (RDN, members as logins or as RDNs of groups)
MEMBERS = {
    r"cn=analysts": ["alice", "jane", "bobby", "plus", "zoe", "slash", "o'neil (hr)*"],
    r"cn=Ops\, \"night\" \+ é": ["alice"],
    "cn=inner": ["nested"],
    "cn=outer": ["cn=inner"],
}


def person(login):
    return f"{PERSONS[login][0]},{PEOPLE}"


def group(rdn):
    return f"{rdn},{GROUPS}"


class Directory(Component):
    name = "slapd"

    def __init__(self, folder, authority):
        super().__init__(folder)
        self.authority = authority
        self.plain, self.tls = rig.free_port(), rig.free_port()
        self.url, self.start_tls_url = f"ldaps://127.0.0.1:{self.tls}", f"ldap://127.0.0.1:{self.plain}"
        self.secrets = {ADMIN_PASSWORD, SERVICE_PASSWORD, *PASSWORDS.values()}
        (folder / "slapd-db").mkdir()
        self.configuration = folder / "slapd.conf"
        self.configuration.write_text(f'''
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile {folder}/slapd.pid
TLSCACertificateFile {authority.ca}
TLSCertificateFile {authority.cert}
TLSCertificateKeyFile {authority.key}
database mdb
suffix "{SUFFIX}"
rootdn "{ADMIN}"
rootpw {ADMIN_PASSWORD}
directory {folder}/slapd-db
index objectClass,uid,cn,member eq
overlay memberof
memberof-group-oc groupOfNames
memberof-member-ad member
memberof-memberof-ad memberOf
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{SERVICE}" read by self read by anonymous auth by * none
''')

    def command(self):
        slapd = shutil.which("slapd") or "/usr/sbin/slapd"
        # In the foreground, so that the pid is ours.
        return [slapd, "-f", self.configuration, "-h", f"{self.start_tls_url} {self.url}", "-d", "stats"]

    def is_ready(self):
        for port in (self.plain, self.tls):
            with socket.create_connection(("127.0.0.1", port), timeout=2):
                pass
        return True

    def prepare(self):
        # memberOf is kept for groups that are added while it runs, so this goes over the wire.
        self.change("ldapadd", ldif())

    def change(self, program, text):
        """`ldapadd` or `ldapmodify` with this LDIF, as the administrator."""
        run(program, "-x", "-H", self.url, "-D", ADMIN, "-w", ADMIN_PASSWORD, given=text, environment=self.client_environment())

    def search(self, name, password, base, *what):
        return run("ldapsearch", "-LLL", "-x", "-ZZ", "-H", self.start_tls_url, "-o", "ldif-wrap=no", "-D", name, "-w", password, "-b", base, *what,
                   environment=self.client_environment())

    def client_environment(self):
        return rig.clean_environment(LDAPTLS_CACERT=self.authority.ca)

    def leave_group(self, login, rdn):
        self.change("ldapmodify", entry(group(rdn), ("changetype", "modify"), ("delete", "member"), ("member", person(login))))

    def join_group(self, login, rdn):
        self.change("ldapmodify", entry(group(rdn), ("changetype", "modify"), ("add", "member"), ("member", person(login))))

    def remove(self, login):
        self.change("ldapmodify", entry(person(login), ("changetype", "delete")))

    def restore(self, login):
        self.change("ldapadd", person_entry(login))


def entry(name, *lines):
    """An entry or a change in LDIF; values go as base64 where LDIF wants that, and never hurt from it."""
    coded = lambda value: base64.b64encode(value.encode()).decode()
    plain = ("changetype", "delete", "add")
    return "\n".join([f"dn:: {coded(name)}"] + [f"{key}: {value}" if key in plain else f"{key}:: {coded(value)}" for key, value in lines]) + "\n\n"


def person_entry(login):
    return entry(person(login), ("objectClass", "inetOrgPerson"), ("uid", login), ("cn", PERSONS[login][1]), ("sn", "Example"),
                 ("userPassword", PASSWORDS[login]), ("mail", f"{login.split(chr(39))[0]}@example.org"))


def ldif():
    text = entry(SUFFIX, ("objectClass", "dcObject"), ("objectClass", "organization"), ("dc", "example"), ("o", "Example"))
    for unit in ("people", "groups", "services"):
        text += entry(f"ou={unit},{SUFFIX}", ("objectClass", "organizationalUnit"), ("ou", unit))
    text += entry(SERVICE, ("objectClass", "organizationalRole"), ("objectClass", "simpleSecurityObject"), ("cn", "daypass"), ("userPassword", SERVICE_PASSWORD))
    text += "".join(person_entry(login) for login in PERSONS)
    for rdn, members in MEMBERS.items():
        names = [group(one) if one.startswith("cn=") else person(one) for one in members]
        text += entry(group(rdn), ("objectClass", "groupOfNames"), *(("member", name) for name in names))
    return text
