"""Secrets are found by what they look like, ordinary text is left alone, and a placeholder stays the same."""

from __future__ import annotations

import base64
import json
import random
import string
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.authoring.redaction import scan
from gate.authoring.redaction.redactor import Redactor, redacted
from gate.authoring.redaction.vendors import KEYS

LETTERS = string.ascii_letters + string.digits
RANDOM = random.Random(7)


def fake(length: int, alphabet: str = LETTERS) -> str:
    """A made-up key, different each time: nothing that a scanner of this repository could find."""
    return "7a" + "".join(RANDOM.choice(alphabet) for _ in range(length - 2))


def hexed(length: int) -> str:
    return fake(length, "0123456789abcdef")


def jwt() -> str:
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": 1}, {"a": 2})
    ]
    return f"{parts[0]}.{parts[1]}.{fake(20)}"


VENDORS = {
    "openai": ("sk" + "-", fake(48)),
    "openai project": ("sk" + "-proj-", fake(60)),
    "anthropic": ("sk" + "-ant-api03-", fake(90)),
    "openrouter": ("sk" + "-or-v1-", hexed(64)),
    **{f"github {kind}": (f"gh{kind}" + "_", fake(36)) for kind in "pousr"},
    "github fine-grained": ("github" + "_pat_", fake(82)),
    "gitlab": ("gl" + "pat-", fake(20)),
    "aws": ("AK" + "IA", fake(16, string.ascii_uppercase + string.digits).upper()),
    "google": ("AI" + "za", fake(35)),
    "google oauth": ("ya" + "29.", fake(60)),
    "slack": ("xo" + "xb-", f"1234567890-{fake(24)}"),
    "stripe": ("sk" + "_live_", fake(24)),
    "stripe hook": ("wh" + "sec_", fake(32)),
    "hugging face": ("hf" + "_", fake(34)),
    "npm": ("np" + "m_", fake(36)),
    "pypi": ("py" + "pi-", fake(160)),
    "sendgrid": ("S" + "G.", f"{fake(22)}.{fake(43)}"),
    "twilio": ("A" + "C", hexed(32)),
    "groq": ("gs" + "k_", fake(52)),
    "xai": ("xa" + "i-", fake(80)),
    "replicate": ("r" + "8_", fake(37)),
    "perplexity": ("pp" + "lx-", fake(48)),
    "nvidia": ("nv" + "api-", fake(64)),
    "tavily": ("tv" + "ly-", fake(32)),
    "databricks": ("da" + "pi", hexed(32)),
    "digitalocean": ("do" + "p_v1_", hexed(64)),
    "shopify": ("sh" + "pat_", hexed(32)),
    "square": ("sq" + "0atp-", fake(22)),
    "vault": ("hv" + "s.", fake(24)),
    "linear": ("li" + "n_api_", fake(40)),
    "notion": ("nt" + "n_", fake(46)),
    "figma": ("fi" + "gd_", fake(40)),
    "atlassian": ("AT" + "ATT3", fake(180)),
    "langsmith": ("ls" + "v2_pt_", f"{hexed(32)}_{hexed(10)}"),
    **{
        f"new relic {kind}": (f"NR{kind}" + "-", fake(28, string.ascii_uppercase).upper())
        for kind in ("AK", "II", "AL", "RA")
    },
    "brevo": ("xkey" + "sib-", f"{hexed(64)}-{fake(16)}"),
    "brevo smtp": ("xsmtp" + "sib-", f"{hexed(64)}-{fake(16)}"),
    "heroku": ("HR" + "KU-", f"{hexed(8)}-{hexed(4)}-{hexed(4)}-{hexed(4)}-{hexed(12)}"),
    "pulumi": ("pu" + "l-", hexed(40)),
    "artifactory": ("AK" + "Cp8", fake(64)),
    "nomic": ("n" + "k-", fake(40)),
    "age": ("AGE-" + "SECRET-KEY-", fake(58, string.ascii_uppercase + string.digits).upper()),
    "slack hook": ("https://hooks.sl" + "ack.com/services/", f"T0123456/B0123456/{fake(24)}"),
    "discord hook": ("https://disc" + "ord.com/api/webhooks/123456789012/", fake(68)),
}
SETTINGS = ("{}", "run it with {} now", '"{}"', "key={}", "`{}`.", "X: {},", "a\\n{}\\nb", "({})")


@pytest.mark.parametrize("name", VENDORS)
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_vendors_key_keeps_its_beginning_alone(name: str, setting: str) -> None:
    start, rest = VENDORS[name]
    done = redacted(setting.replace("{}", start + rest))
    assert f"{start}REDACTED" in done
    assert not any(rest[at : at + 8] in done for at in range(len(rest) - 8))


def test_every_vendor_in_the_table_is_tried_here() -> None:
    tried = "".join(start for start, _ in VENDORS.values())
    family = (
        "gl",
        "A",
        "SK",
        "key-",
        "xapp-",
        "GOCSPX-",
        "api_org_",
        "rk_",
        "pk_",
        "sk_test",
        "do",
        "shp",
        "csk-",
        "fw_",
    )
    rest = ("hvb.", "glsa_", "glc_", "sbp_", "PMAK-", "secret_")
    assert not [start for start, _, _ in KEYS if start not in tried and not start.startswith(family + rest)]


PEM = "-----BEGIN RSA PRIV" + "ATE KEY-----\n" + fake(64) + "\n" + fake(64) + "\n-----END RSA PRIV" + "ATE KEY-----"
OTHERS = [
    (PEM, "<PEM_1>"),
    (PEM.replace("\n", "\\n"), "<PEM_1>"),
    (PEM.partition("-----END")[0] + " ", "<PEM_1>"),
    (jwt(), "<JWT_1>"),
    ("Authorization: Bea" + f"rer {fake(16)}", "Authorization: Bearer <CREDENTIAL_1>"),
    ("curl -H 'authorization: Ba" + f"sic {fake(16)}==' x", "curl -H 'authorization: Basic <CREDENTIAL_1>' x"),
    ('{"Authorization": "Bea' + f'rer {fake(30)}"}}', '{"Authorization": "Bearer <CREDENTIAL_1>"}'),
    (f"X-Api-Key: {fake(12)}", "X-Api-Key: <CREDENTIAL_1>"),
    ("Cookie: session=" + fake(14) + "; theme=dark", "Cookie: <CREDENTIAL_1>"),
    ("postgres://ana:h3rring@db.firm/x", "postgres://ana:<PASSWORD_1>@db.firm/x"),
    ("https://a:p@ss@host/x", "https://a:<PASSWORD_1>@host/x"),
    ("password=hunter2", "password=<PASSWORD_1>"),
    ('{"password": "herring"}', '{"password": "<PASSWORD_1>"}'),
    ('"{\\"password\\": \\"herring\\"}"', '"{\\"password\\": \\"<PASSWORD_1>\\"}"'),
    ("export DB_PASSWORD=herring", "export DB_PASSWORD=<PASSWORD_1>"),
    ("the password is hunter2.", "the password is <PASSWORD_1>."),
    ("mysql --password hunter2 -u root", "mysql --password <PASSWORD_1> -u root"),
    ("/login?user=a&password=herring", "/login?user=a&password=<PASSWORD_1>"),
    ("api_key: 'abcd1234'", "api_key: '<TOKEN_1>'"),
    ("--api-key abcd1234", "--api-key <TOKEN_1>"),
    (f"it is {fake(24)}", "it is <RANDOM_1>"),
    ("write to Ana.Maria+x@mail.firm.org!", "write to <EMAIL_1>!"),
    ('"a\\nana@firm.org"', '"a\\n<EMAIL_1>"'),
    ("ssh root@10.20.30.40", "ssh root@<IP_1>"),
    ("ping 8.8.8.8.", "ping <IP_1>."),
    ("fe80::c685:8ff:fe45:641 is up", "<IP_1> is up"),
    ("2001:db8::7", "<IP_1>"),
    ("call +49 170 1234567, please", "call <PHONE_1>, please"),
    ("+1 (555) 123-4567", "<PHONE_1>"),
    ("+442071838750", "<PHONE_1>"),
    ("cat /home/ana/notes.txt", "cat ~/notes.txt"),
    ("ls /Users/ana.maria", "ls ~"),
    ("C:\\Users\\Ana\\notes.txt", "~\\notes.txt"),
    ('"C:\\\\Users\\\\Ana Maria\\\\x"', '"~\\\\x"'),
    ("file:///home/ana/x", "file://~/x"),
    ("/mnt/c/Users/ana/x", "~/x"),
    ("/home/ana/a and /home/bo/b", "~/a and ~user2/b"),
]


@pytest.mark.parametrize(("text", "done"), OTHERS, ids=[done for _, done in OTHERS])
def test_each_kind_becomes_its_placeholder(text: str, done: str) -> None:
    assert redacted(text).strip() == done


ORDINARY = [
    "git show 4fc02e0a1b2c3d4e5f60718293a4b5c6d7e8f901 and 4fc02e0",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "https://github.com/owner/project/blob/de190154c85d20e24dbeae8c8af1849402ae5098/common/regex-partial.cpp",
    "550e8400-e29b-41d4-a716-446655440000",
    "507f1f77bcf86cd799439011",
    "SmolLM2-135M-Instruct-Q4_K_M.gguf Qwen2.5-Coder-32B-Instruct-GPTQ-Int4 DeepSeek-R1-Distill-Qwen-1.5B",
    "Qwen2MoeSparseMoeBlockForConditionalGeneration Lfm2MoeDecoderLayer",
    "getHTTP2ResponseFromServerV3 test_calls_the_right_tool_2024_01 AbstractSingletonProxyFactoryBean2",
    "20260101-120000-smollm2-135m-q4km",
    "token = tokenizer.encode(text); max_tokens=4096; next_token_id: int; password: str; secret = get_secret2()",
    "connect(user=user, password=password); password=my_password2; api_key=os.environ['KEY1234']; token=$TOKEN12",
    "Enter your password: and choose a token, please. The secret is out. Password: required",
    '{"password": {"type": "string"}, "token": {"type": "string"}}',
    "the authorization: OAuth2; basic authentication; a bearer of news",
    "127.0.0.1 0.0.0.0 ::1 255.255.255.0 localhost:8080",
    "version 1.2.3.4, v10.0.19041.1, Chrome/120.0.0.0, 1.3.6.1.4.1",
    "at 12:30:45, a[1::2], std::vector<int>, x[::2], aa:bb:cc:dd:ee:ff, Foo::Bar",
    "git@github.com:owner/project.git, logo@2x.png, @pytest.fixture, npm i left-pad@1.3.0",
    "1 + 2345678901; @@ -1,3 +12345678,8 @@; 2026-01-01 00:00:00 +0200; call 555 1234567",
    "https://firm.org/home/index.html, /home/, /Users/Shared/x, ~/x, $HOME/x, /var/log/x, ./home/ana",
    "call_9pw1qnYScqvGrCH58HWCvFH6 chatcmpl-9pw1qnYScqvGrCH58HWCvFH6",
    "sk-fading-circle-container-wide, task-1234567890-abcdefghij-klmnop, risk-adjusted-returns-2024-overview",
    "def _value(expected: Any, pick: int) -> Any:\n    return {key: expected[key] for key in ('$text', '$number')}",
    "Donaudampfschifffahrtsgesellschaftskapitän und Rindfleischetikettierungsüberwachungsaufgabe 2",
    "aGVsbG8gd29ybGQgaG93IGFyZSB5b3UgdG9kYXk= dGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVy eyJuYW1lIjoieCIsIm4iOjEyfQ==",
    "the cache key 9f86d081884c7d659a2feaa0c55ad015, the md5 of the key: 9f86d081884c7d659a2feaa0c55ad015",
    "commit 4fc02e0a1b2c3d4e5f60718293a4b5c6d7e8f901 mends the key. A monkey 9f86d081884c7d659a2feaa0c55ad015",
    "The secret: practice. A password: letters and digits. Key: value. basic training, bearer instruments",
    "docker run -u 1000:1000 -p 8080:80 image; curl -u $USER:$PASS x; mysql -p db; mkdir -p folder; cp -a one two",
    "curl -H 'Authorization: Bearer $TOKEN' x; Authorization: Bearer authentication is used; Bearer token",
    "postgres://user:$PGPASS@host/db http://localhost:3000/@vite/client https://medium.com:443/@someone/x",
    "look in /home, /Users, /home/ or C:\\Users; src/home/index.ts; /app/home/index.html; C:\\Users\\Public\\x",
    "the login machine has a password rule; sk-learn\nrequirements-dev-2024-updates; the api key is required",
    "src/components/ButtonGroup2/index/Tester1 application/vnd/openxmlformats/document1",
    "sha512-" + "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA" + "==",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays(text: str) -> None:
    assert redacted(text) == text


def test_prose_about_this_project_holds_next_to_nothing(request: pytest.FixtureRequest) -> None:
    """The README is full of hashes, models, code and paths."""
    text = (request.config.rootpath / "README.md").read_text(encoding="utf-8")
    assert [each.value for each in scan.secrets(text) if not scan.reserved(each)] == []


def test_an_expectation_still_fits_the_question() -> None:
    row = {
        "messages": [{"content": "Log in as ana@firm.org, the password is s3cret99, from /home/ana/x"}],
        "expect": {
            "login": {"password": {"$regex": "s3cret99"}, "user": {"$regex": r"ana@firm\.org"}, "cwd": "/home/ana"}
        },
    }
    done = Redactor(row).value(row)
    assert done["messages"][0]["content"] == "Log in as <EMAIL_1>, the password is <PASSWORD_1>, from ~/x"
    assert done["expect"]["login"] == {
        "password": {"$regex": "<PASSWORD_1>"},
        "user": {"$regex": "<EMAIL_1>"},
        "cwd": "~",
    }


def test_a_short_password_is_not_taken_out_of_ordinary_words() -> None:
    assert redacted("https://a:cat@host/x concatenates cat") == "https://a:<PASSWORD_1>@host/x concatenates cat"


def test_different_secrets_have_different_placeholders_and_equal_ones_the_same() -> None:
    assert redacted("a@b.org c@d.org a@b.org") == "<EMAIL_1> <EMAIL_2> <EMAIL_1>"
    one, two = ("sk" + "-" + fake(40) for _ in range(2))
    assert redacted(f"{one} {two} {one}") == "sk-REDACTED sk-REDACTED_2 sk-REDACTED"


def test_a_placeholder_that_is_there_is_never_given_to_another() -> None:
    assert redacted("<EMAIL_1> and a@b.org") == "<EMAIL_1> and <EMAIL_2>"


def test_the_keys_of_objects_are_texts_too() -> None:
    row = {"a@b.org": {"x": "a@b.org"}}
    assert Redactor(row).value(row) == {"<EMAIL_1>": {"x": "<EMAIL_1>"}}


def test_what_was_taken_out_is_told_by_kind_and_place_and_never_itself() -> None:
    row = {"messages": [{"content": "a@b.org c@d.org"}], "expect": {"to": "a@b.org", "password": "herring"}}
    redactor = Redactor(row)
    redactor.value(row)
    assert redactor.summary() == ["EMAIL 3x: messages[0].content, expect.to", "PASSWORD 1x: expect.password"]


def test_addresses_for_documentation_are_known() -> None:
    (mail, address) = scan.secrets("a@example.org 192.0.2.7")
    (other,) = scan.secrets("a@firm.org")
    assert scan.reserved(mail)
    assert scan.reserved(address)
    assert not scan.reserved(other)


PIECES = st.sampled_from(
    [
        *(text for text, _ in OTHERS),
        *ORDINARY,
        *(a + b for a, b in VENDORS.values()),
        " ",
        "\n",
        '"',
        "=",
        "/",
        ": ",
        "\\n",
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.lists(PIECES, max_size=4).map("".join), st.text(max_size=20), st.integers(), st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["password", "x", "$regex", "token"]), inner, max_size=3),
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_redacting_twice_changes_nothing_more(value: Any) -> None:
    once = Redactor(value).value(value)
    assert Redactor(once).value(once) == once


@settings(max_examples=100, deadline=None)
@given(st.lists(PIECES, max_size=5).map(" ".join))
def test_what_is_redacted_holds_no_secret(text: str) -> None:
    assert scan.secrets(redacted(text)) == ()


@pytest.mark.parametrize(
    "text",
    [
        "a" * 1_000_000,
        "-----BEGIN A-----\n" * 5_000,
        "a@" * 50_000,
        "password " * 10_000,
        "1." * 50_000,
        "http://a:" * 10_000,
        *(
            "A1b" * 330_000,
            *("key 0123456789abcdef0123456789abcdef " * 27_000, "sk-proj-abcdef1234\n" * 50_000, "\u200b" * 1_000_000),
            *("mysql -p " * 11_000, "eyJaaaaaaaa.\n" * 80_000, 'sk-abcde1" + "' * 70_000, "%2Fhome" * 140_000),
            "::" * 50_000,
            "+1 " * 30_000,
            "/home/" * 16_000,
            "eyJ" * 33_000,
            "--" * 50_000,
            "\\" * 100_000,
        ),
    ],
    ids=range(20),
)
def test_no_text_takes_long(text: str) -> None:
    started = time.process_time()
    scan.secrets(text)
    assert time.process_time() - started < 6
