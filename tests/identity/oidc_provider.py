"""The npm package oidc-provider over TLS."""

import base64
import html.parser
import http.cookiejar
import shutil
import urllib.error
import urllib.parse
import urllib.request

import rig
from component import HERE, Component, fetch_json

PROGRAM_SECRET, CLIENT_SECRET = "oidc-provider-program-secret-1", "oidc-provider-client-secret-1"
ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "EdDSA")
CALLBACK = "http://127.0.0.1:9/callback"


class OidcProvider(Component):
    name = "oidc-provider"

    def __init__(self, folder, authority):
        super().__init__(folder)
        self.authority, self.port = authority, rig.free_port()
        self.issuer = f"https://127.0.0.1:{self.port}"
        self.secrets = {PROGRAM_SECRET, CLIENT_SECRET}

    def command(self):
        # Beside its node_modules, where Node looks for them.
        program = rig.CACHE / "oidc-provider" / "provider.mjs"
        shutil.copyfile(HERE / "oidc-provider" / "provider.mjs", program)
        return ["node", program, self.port, self.authority.cert, self.authority.key]

    def is_ready(self):
        return fetch_json(f"{self.issuer}/.well-known/openid-configuration", self.authority.trust)["issuer"] == self.issuer

    def exchange(self, client, secret, form):
        basic = base64.b64encode(f"{client}:{secret}".encode()).decode()
        answer = fetch_json(f"{self.issuer}/token", self.authority.trust, form=form, headers={"Authorization": f"Basic {basic}"})
        self.secrets.update(value for name, value in answer.items() if name.endswith("_token"))
        return answer

    def program_token(self, kind):
        """An access token of client credentials: a JWT signed with this algorithm, or one that is "opaque"."""
        return self.exchange(f"program-{kind.lower()}", PROGRAM_SECRET, {
            "grant_type": "client_credentials", "resource": "urn:daypass", "scope": "s3"})["access_token"]

    def id_token(self, person):
        """The ID token of a person who goes through login and consent in a browser, which is us."""
        browser = Browser(self.authority.trust)
        place = browser.open(f"{self.issuer}/auth?" + urllib.parse.urlencode({
            "client_id": "daypass", "response_type": "code", "scope": "openid email groups", "redirect_uri": CALLBACK, "state": "here"}))
        for _ in range(6):
            if place.startswith(CALLBACK):
                break
            form = Form(browser.page)
            place = browser.open(urllib.parse.urljoin(place, form.action), form.fields | ({"login": person, "password": "any"} if "login" in form.fields else {}))
        code = urllib.parse.parse_qs(urllib.parse.urlsplit(place).query)["code"][0]
        return self.exchange("daypass", CLIENT_SECRET, {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK})["id_token"]


class Browser:
    """Follows redirects with cookies, up to the one that leaves the provider."""

    def __init__(self, trust):
        class UpToTheCallback(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, request, answer, code, message, headers, url):
                return None if url.startswith(CALLBACK) else super().redirect_request(request, answer, code, message, headers, url)

        self.opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()), urllib.request.HTTPSHandler(context=trust), UpToTheCallback)

    def open(self, url, form=None):
        """Where it ended up; the page is kept."""
        try:
            with self.opener.open(url, urllib.parse.urlencode(form).encode() if form else None, timeout=30) as answer:
                self.page = answer.read().decode()
                return answer.url
        except urllib.error.HTTPError as error:
            if error.code // 100 == 3:
                return error.headers["Location"]
            raise AssertionError(f"{url.split('?')[0]}: {error.code} {error.read()[:500]!r}") from None


class Form(html.parser.HTMLParser):
    """The form of a page: where it goes, and its fields."""

    def __init__(self, page):
        super().__init__()
        self.action, self.fields = None, {}
        self.feed(page)
        if self.action is None:
            raise AssertionError(f"no form in {page[:500]!r}")

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form" and self.action is None:
            self.action = attributes["action"]
        elif tag == "input" and "name" in attributes:
            self.fields[attributes["name"]] = attributes.get("value") or ""
