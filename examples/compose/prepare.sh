#!/bin/sh
# Makes what compose.yaml mounts: random secrets, a realm for Keycloak with the client of ../keycloak, and people for OpenLDAP.
# Again: keeps what is there. DAYPASS: how to run daypass.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
random() { od -An -N20 -tx1 /dev/urandom | tr -d ' \n'; }
for name in root-password user-secret ldap-admin ldap-reader keycloak-admin client-secret alice-password; do
    [ -s "secrets/$name" ] || random >"secrets/$name"
done
[ -s secrets/sealing.keys ] || ${DAYPASS:-docker run --rm daypass} keygen >secrets/sealing.keys

# The client as it is, with a secret and the grant by password, so that a token can be had without a browser.
client=$(sed "s/\"publicClient\": false,/&\n  \"secret\": \"$(cat secrets/client-secret)\",\n  \"directAccessGrantsEnabled\": true,/" ../keycloak/client.json)
cat >secrets/realm.json <<END
{"realm": "main", "enabled": true, "groups": [{"name": "analysts"}], "clients": [$client],
 "users": [{"username": "alice", "enabled": true, "email": "alice@example.org", "emailVerified": true, "firstName": "Alice", "lastName": "Example",
            "groups": ["/analysts"], "credentials": [{"type": "password", "value": "$(cat secrets/alice-password)"}]}]}
END
cat >secrets/people.ldif <<END
dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=org
objectClass: organizationalUnit
ou: groups

dn: uid=alice,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: alice
cn: Alice
sn: Example
mail: alice@example.org
userPassword: $(cat secrets/alice-password)

dn: cn=analysts,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: analysts
member: uid=alice,ou=people,dc=example,dc=org
END

# The gateway and Keycloak read the files as their owner, who is not root.
owner=$(id -u)
if [ "$owner" = 0 ]; then
    owner=65532
    chown -R "$owner" secrets
fi
echo "OWNER=$owner" >.env
