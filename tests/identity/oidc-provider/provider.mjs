// An OpenID provider: JWT access tokens for programs, ID tokens for people who log in with any password.
//   node provider.mjs PORT CERTIFICATE KEY
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import https from "node:https";
import Provider from "oidc-provider";

const [port, certificate, key] = process.argv.slice(2);
const issuer = `https://127.0.0.1:${port}`;
const jwk = (kid, alg, type, options) =>
  ({ ...generateKeyPairSync(type, options).privateKey.export({ format: "jwk" }), kid, alg, use: "sig" });

const ALGORITHMS = ["RS256", "PS256", "ES256", "ES384", "EdDSA"];
const keys = [
  jwk("rsa", "RS256", "rsa", { modulusLength: 2048 }),
  jwk("rsa-pss", "PS256", "rsa", { modulusLength: 2048 }),
  jwk("p256", "ES256", "ec", { namedCurve: "P-256" }),
  jwk("p384", "ES384", "ec", { namedCurve: "P-384" }),
  jwk("ed25519", "EdDSA", "ed25519", {}),
];

// One program per algorithm, program-rs256 to program-eddsa, and one whose tokens are no JWTs.
const programs = [...ALGORITHMS, "opaque"].map((kind) => ({
  client_id: `program-${kind.toLowerCase()}`, client_secret: "oidc-provider-program-secret-1", grant_types: ["client_credentials"],
  redirect_uris: [], response_types: [],
}));

const provider = new Provider(issuer, {
  jwks: { keys },
  clients: [...programs, {
    client_id: "daypass", client_secret: "oidc-provider-client-secret-1", grant_types: ["authorization_code"],
    redirect_uris: ["http://127.0.0.1:9/callback"], response_types: ["code"],
  }],
  scopes: ["openid", "email", "groups"],
  claims: { openid: ["sub"], email: ["email"], groups: ["groups", "policy"] },
  conformIdTokenClaims: false,
  findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@example.org`, groups: ["readers"], policy: "readwrite" }) }),
  enabledJWA: { idTokenSigningAlgValues: ALGORITHMS },
  extraTokenClaims: () => ({ policy: "readwrite", groups: ["readers"] }),
  pkce: { required: () => false },
  cookies: { keys: ["only for this run"] },
  ttl: { IdToken: 1800, ClientCredentials: 1800 },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => "urn:daypass",
      useGrantedResource: () => true,
      getResourceServerInfo: (_context, resource, client) => ({
        scope: "s3", audience: "daypass", accessTokenTTL: 1800, accessTokenFormat: client.clientId === "program-opaque" ? "opaque" : "jwt",
        jwt: { sign: { alg: ALGORITHMS.find((alg) => client.clientId === `program-${alg.toLowerCase()}`) ?? "RS256" } },
      }),
    },
  },
});

https.createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, provider.callback()).listen(Number(port), "127.0.0.1");
