"""How the keys of well-known vendors begin, and what must follow."""

from __future__ import annotations

KEYS = (
    ("sk-", r"(?:ant-(?:api\d\d-)?|proj-|svcacct-|admin-|or-v1-)?", r"(?=[\w-]*\d)[\w-]{20}"),
    *[(f"gh{kind}_", "", r"[A-Za-z0-9]{30}") for kind in "pousr"],
    ("github_pat_", "", r"\w{22}"),
    *[(f"gl{kind}-", "", r"[\w.-]{20}") for kind in ("pat", "ptt", "dt", "rt", "cbt", "oas", "soat", "ft", "agent")],
    *[(kind, "", r"[A-Z0-9]{16}(?![A-Za-z0-9])") for kind in ("AKIA", "ASIA", "AIDA", "AROA", "ABIA", "ACCA")],
    ("AIza", "", r"[\w-]{35}"),
    ("ya29.", "", r"[\w-]{20}"),
    ("GOCSPX-", "", r"[\w-]{20}"),
    ("xox", r"[abeoprs]-", r"(?=[\w-]*\d)[\w-]{10}"),
    ("xapp-", "", r"(?=[\w-]*\d)[\w-]{16}"),
    *[(f"{kind}_{use}_", "", r"[A-Za-z0-9]{16}") for kind in ("sk", "rk", "pk") for use in ("live", "test")],
    ("whsec_", "", r"[\w+/=-]{24}"),
    ("hf_", "", r"[A-Za-z0-9]{30}"),
    ("api_org_", "", r"[A-Za-z0-9]{30}"),
    ("npm_", "", r"[A-Za-z0-9]{36}"),
    ("pypi-", "", r"[\w-]{50}"),
    ("SG.", "", r"[\w-]{16,}\.[\w-]{16}"),
    *[(kind, "", r"[0-9a-f]{32}(?![A-Za-z0-9])") for kind in ("AC", "SK", "key-", "dapi")],
    *[
        (kind, "", r"(?=[\w-]*\d)[\w-]{30}")
        for kind in ("gsk_", "xai-", "r8_", "pplx-", "nvapi-", "csk-", "ntn_", "figd_")
    ],
    *[
        (kind, "", r"(?=[\w-]*\d)[\w-]{20}")
        for kind in ("tvly-", "fw_", "hvs.", "hvb.", "glsa_", "glc_", "sbp_", "PMAK-")
    ],
    ("lsv2_", r"(?:pt|sk)_", r"[0-9a-f]{32}"),
    *[(f"NR{kind}-", "", r"(?=[A-Z]*\d)[A-Z0-9]{24}") for kind in ("AK", "II", "AL", "RA")],
    *[(kind, "", r"[0-9a-f]{64}") for kind in ("xkeysib-", "xsmtpsib-")],
    ("HRKU-", "", r"[\w-]{30}"),
    ("pul-", "", r"[0-9a-f]{40}"),
    ("AKCp", r"\d", r"[A-Za-z0-9]{20}"),
    ("nk-", "", r"(?=[a-zA-Z]*\d)[A-Za-z0-9_]{20}"),
    ("secret_", "", r"[A-Za-z0-9]{40}"),
    ("lin_api_", "", r"[A-Za-z0-9]{30}"),
    *[(f"do{kind}_v1_", "", r"[0-9a-f]{64}") for kind in "opr"],
    *[(f"shp{kind}_", "", r"[0-9a-fA-F]{32}") for kind in ("at", "ca", "pa", "ss")],
    ("sq0", r"(?:atp|csp)-", r"[\w-]{22}"),
    ("ATATT3", "", r"[\w=-]{50}"),
    ("AGE-SECRET-KEY-", "", r"[A-Z0-9]{50}"),
    ("https://hooks.slack.com/", r"(?:services|workflows|triggers)/", r"[\w/-]{16}"),
    ("https://discord", r"(?:app)?\.com/api/webhooks/\d+/", r"[\w-]{16}"),
)
"""(what a key begins with, a pattern of how that goes on, a pattern of what must follow)"""
