"""Credentials in their usual places, keys that a line's end parts, and homes wherever a path begins."""

from __future__ import annotations

import base64

import pytest

from gate.authoring.redaction import scan
from gate.authoring.redaction.redactor import Redactor, redacted

HEX = "9f86d081884c7d65" + "9a2feaa0c55ad015"
LOGIN = base64.b64encode(b"user" + b":pass").decode()
SPLIT = "sk" + "-proj-abcdefghij"
REST = "klmnopqrstuvwxyz0123456789ABCD"
TEXTS = [
    (f"Authorization: Basic {LOGIN}", "Authorization: Basic <CREDENTIAL_1>"),
    ("Authorization: Bearer abcdefghijklmnop", "Authorization: Bearer <CREDENTIAL_1>"),
    ('{"Authorization": "Bearer my' + 'SecretForProd"}', '{"Authorization": "Bearer <CREDENTIAL_1>"}'),
    ("curl -u admin:hunter2secret https://x", "curl -u admin:<PASSWORD_1> https://x"),
    ("curl \\\n  --user ana:Tr0ub4dor x", "curl \\\n  --user ana:<PASSWORD_1> x"),
    ("mysql -u root -pS3cretPw99 db", "mysql -u root -p<PASSWORD_1> db"),
    ("sshpass -p 'hunter2pw' ssh x", "sshpass -p '<PASSWORD_1>' ssh x"),
    ("User: ana\nPassword: correcthorsebattery\nPort: 5", "User: ana\nPassword: <PASSWORD_1>\nPort: 5"),
    ("machine x login ana password hunter", "machine x login ana password <PASSWORD_1>"),
    (f'{{"auth":"{LOGIN}"}}', '{"auth":"<CREDENTIAL_1>"}'),
    ("my api key is abcd1234efgh", "my api key is <TOKEN_1>"),
    (f"my azure openai key is {HEX}, use it", "my azure openai key is <TOKEN_1>, use it"),
    (f"DD_KEY={HEX}", "DD_KEY=<TOKEN_1>"),
    (f"q=x&appid={HEX}", "q=x&appid=<TOKEN_1>"),
    (f"the token: {HEX}{HEX}", "the token: <TOKEN_1>"),
    (f"{HEX}-us6", "<CREDENTIAL_1>"),
    ("it is wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY", "it is <RANDOM_1>"),
    ("postgres://ana:p@ss/w0rd@db.internal:5432/x", "postgres://ana:<PASSWORD_1>@db.internal:5432/x"),
    ("https://x/?u=ana.lopez%40firm.org", "https://x/?u=<EMAIL_1>"),
    (base64.b64encode(b"password=" + b"hunter2").decode(), "<RANDOM_1>"),
    (f"{SPLIT}\n{REST}\nplease", "sk-proj-REDACTED\nplease"),
    (f"{SPLIT}\\n{REST}", "sk-proj-REDACTED"),
    (f"{SPLIT}\\\n  {REST}", "sk-proj-REDACTED"),
    (f'"sk-proj-" + "{REST}"', '"sk-proj-REDACTED"'),
    ("eyJhbGciOiJIUzI1NiJ9.\neyJzdWIiOiIxIn0.\nabcDEF123-_x", "<JWT_1>"),
    (f"sk-proj-\u200babcd\u2060{REST} x", "sk-proj-REDACTED x"),
    ("password\uff1dhunter2x", "password\uff1d<PASSWORD_1>"),
    ("-----BEGIN PRIVATE KEY-----\n" + "Ab3/" * 16 + "\nQyNTUxOQAAACB\nplease use it", "<PEM_1>\nplease use it"),
    ("  -----BEGIN PRIVATE KEY-----\n    " + "Ab3/" * 9 + "\n    AAAA", "  <PEM_1>"),
    ("PuTTY-User-Key-File-2: ssh-rsa\nPrivate-Lines: 1\nAAAAgQCx", "PuTTY-User-Key-File-2: ssh-rsa\n<PEM_1>"),
    ("gcc -I/home/ana/include -L/Users/ana/lib", "gcc -I~/include -L~/lib"),
    ("docker run -v/home/ana:/x", "docker run -v~:/x"),
    ("vscode://file/home/ana/x", "vscode://file~/x"),
    ("/data/home/ana/x", "~/x"),
    ("/cygdrive/c/Users/ana/x", "~/x"),
    ("/Volumes/Macintosh HD/Users/ana/x", "~/x"),
    ("c:\\users\\ana\\x", "~\\x"),
    ("\\\\srv\\Users\\ana\\x", "~\\x"),
    ("cd \\Users\\ana\\x", "cd ~\\x"),
    ("?p=%2Fhome%2Fana%2Fx", "?p=~%2Fx"),
    ("/home/ana and ~/.claude/projects/-Users-ana-proj/x", "~ and ~/.claude/projects/~/x"),
    ("/Users/Ana Lopez/x", "~/x"),
]


@pytest.mark.parametrize(("text", "done"), TEXTS, ids=range(len(TEXTS)))
def test_it_becomes_a_placeholder_and_stays_one(text: str, done: str) -> None:
    assert redacted(text) == done
    assert redacted(done) == done


def test_a_header_in_an_object_is_read_with_its_name() -> None:
    row = {"Authorization": f"Basic {LOGIN}", "appid": HEX, "auth": LOGIN, "sha": HEX[::-1]}
    done = Redactor(row).value(row)
    assert done == {
        "Authorization": "Basic <CREDENTIAL_1>",
        "appid": "<TOKEN_1>",
        "auth": "<CREDENTIAL_1>",
        "sha": HEX[::-1],
    }


def test_what_has_no_width_goes_with_the_key_and_the_rest_keeps_its_place() -> None:
    text = f"a\u200bb sk-proj-\u200b{REST} c\u200bd"
    (found,) = scan.secrets(text)
    assert text[: found.start] == "a\u200bb "
    assert text[found.end :] == " c\u200bd"
