"""How risky a payload looks: named, weighted signals of a taxonomy, summed into a level.

The weights are ours, chosen so that one signal of a kind that is rarely meant well reaches `high`,
and two reach `critical`. They are a second look, not a sandbox: risk can only tighten an outcome.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from onpurpose.core.decision import Signal
from onpurpose.core.facts import ANYTHING, Answer, Facts
from onpurpose.core.numbers import exact
from onpurpose.core.policy import RiskLevel
from onpurpose.core.text import fold

LEVELS = (RiskLevel.LOW, RiskLevel.MEDIUM, RiskLevel.HIGH, RiskLevel.CRITICAL)
THRESHOLDS = ((70, RiskLevel.CRITICAL), (40, RiskLevel.HIGH), (15, RiskLevel.MEDIUM), (0, RiskLevel.LOW))
"""The least score of each level; a score is the sum of the weights of the signals found."""


class Sign(NamedTuple):
    """What to look for: any of the texts (in folded text), or an amount of at least `amount`."""

    name: str
    weight: int
    texts: tuple[str, ...] = ()
    amount: int = 0


class Assessment(NamedTuple):
    """The level as far as it can be told: at least `low`, at most `high`, and the signals behind it."""

    low: RiskLevel
    high: RiskLevel
    signals: tuple[Signal, ...] = ()

    @property
    def levels(self) -> tuple[RiskLevel, ...]:
        """Every level that it may be."""
        return LEVELS[LEVELS.index(self.low) : LEVELS.index(self.high) + 1]


_SECRETS = Sign(
    "credential_access", 45,
    ("/etc/shadow", "/etc/passwd", ".ssh/", "id_rsa", ".aws/credentials", ".netrc", "private key", "api_key",
     "api key", "secret key", "password", ".env", "kubeconfig"),
)  # fmt: skip
_EXPORT = Sign("bulk_export", 25, ("into outfile", "copy (", "pg_dump", "mysqldump", "select *", "export all"))

TAXONOMIES: Mapping[str, tuple[Sign, ...]] = {
    "shell_execution": (
        Sign("destructive_command", 45, ("rm -rf", "rm -fr", "rm -r", "mkfs", "dd if=", "dd of=", "shred ", "wipefs",
                                         "find / -delete", "truncate -s", "> /dev/sd", ":(){")),
        Sign("privilege_change", 40, ("sudo ", "su -", "chmod 777", "chmod -r 777", "chown -r", "setuid", "visudo",
                                      "usermod", "useradd")),
        Sign("code_from_network", 45, ("| sh", "|sh", "| bash", "|bash", "| python", "|python", "eval $(", "base64 -d",
                                       "base64 --decode")),
        Sign("network_transfer", 20, ("curl ", "wget ", "scp ", "rsync ", "nc ", "ncat ", "ftp ", "ssh ")),
        Sign("service_control", 25, ("systemctl", "service ", "crontab", "/etc/init.d", "launchctl", "kill -9",
                                     "shutdown", "reboot")),
        Sign("package_change", 15, ("apt install", "apt-get install", "pip install", "npm install", "yum install")),
        _SECRETS,
    ),
    "financial_transaction": (
        Sign("amount_from_1000", 20, amount=1_000),
        Sign("amount_from_10000", 25, amount=10_000),
        Sign("amount_from_100000", 30, amount=100_000),
        Sign("urgency", 20, ("urgent", "immediately", "right now", "before end of day", "do not tell", "confidential")),
        Sign("payee_change", 25, ("new account", "changed bank", "updated iban", "new iban", "new bank details")),
        Sign("hard_to_reverse", 30, ("bitcoin", "btc", "usdt", "gift card", "western union", "wire transfer")),
    ),
    "data_access": (
        Sign("destructive_statement", 45, ("drop table", "drop schema", "drop database", "truncate table", "truncate ",
                                           "delete from")),
        Sign("privilege_change", 40, ("grant ", "revoke ", "alter role", "alter user", "create user", "create role")),
        Sign("data_change", 20, ("update ", "insert into", "merge into", "alter table")),
        Sign("personal_data", 25, ("ssn", "social security", "passport", "date_of_birth", "credit_card", "card_number",
                                   "iban", "salary", "diagnosis")),
        _EXPORT,
        _SECRETS,
    ),
    "file_access": (
        Sign("system_path", 40, ("/etc/", "/boot/", "/usr/bin", "/usr/lib", "/proc/", "/sys/", "/dev/")),
        Sign("traversal", 25, ("../", "%2e%2e")),
        Sign("start_up_file", 40, (".bashrc", ".profile", ".zshrc", "authorized_keys", "cron.d", "/etc/systemd")),
        _SECRETS,
    ),
    "communication": (
        Sign("link", 15, ("http://", "https://", "www.")),
        Sign("urgency", 20, ("urgent", "immediately", "right now", "do not tell", "confidential")),
        Sign("payment_request", 30, ("gift card", "wire transfer", "bank details", "iban", "invoice attached")),
        Sign("attachment_of_data", 25, (".csv", ".xlsx", ".sql", ".zip", "export")),
        _SECRETS,
    ),
    "general": (
        Sign("destructive_text", 45, ("rm -rf", "drop table", "truncate table", "delete from", "mkfs")),
        Sign("code_from_network", 45, ("| sh", "|sh", "| bash", "|bash")),
        Sign("link", 15, ("http://", "https://")),
        _EXPORT,
        _SECRETS,
    ),
}  # fmt: skip
"""The taxonomies by risk category, each a table of signs."""

UNTOLD = Assessment(RiskLevel.LOW, RiskLevel.CRITICAL)
"""No level can be told: no category, or one that has no taxonomy."""

_FOLDED = {text: fold(text) for signs in TAXONOMIES.values() for sign in signs for text in sign.texts}


def assess(category: str | None, facts: Facts, amount_keys: frozenset[str]) -> Assessment:
    """The level of the payload by the taxonomy of the category, as far as it can be told."""
    signs = TAXONOMIES.get(category or "")
    if signs is None:
        return UNTOLD
    found: list[Signal] = []
    for sign in signs:
        answer = _shows(sign, facts, amount_keys)
        if answer is not False:
            found.append(Signal(name=sign.name, weight=sign.weight, certain=answer is True))
    least = sum(signal.weight for signal in found if signal.certain)
    most = sum(signal.weight for signal in found)
    return Assessment(_level(least), _level(most), tuple(found))


def _level(score: int) -> RiskLevel:
    return next(level for threshold, level in THRESHOLDS if score >= threshold)


def _shows(sign: Sign, facts: Facts, amount_keys: frozenset[str]) -> Answer:
    if sign.amount:
        _, high, trouble = facts.amounts(amount_keys)
        return None if trouble else exact(high) >= sign.amount
    if (facts.haystack or facts.fold()) is ANYTHING:
        return None
    return any(_FOLDED[text] in facts.folded for text in sign.texts)
