"""Tools and arguments that are made up: what the agents of the demo ask where nothing was recorded."""

from __future__ import annotations

from random import Random
from typing import Final, TypeAlias

Made: TypeAlias = tuple[str, dict[str, object], float]

BANKING: Final[tuple[Made, ...]] = (
    ("banking.get_balance", {}, 1.0),
    ("banking.get_most_recent_transactions", {"n": 50}, 1.0),
    ("banking.get_scheduled_transactions", {}, 0.6),
    ("banking.read_file", {"file_path": "electricity-march.txt"}, 0.6),
    ("banking.read_file", {"file_path": "letter-from-the-landlord.txt"}, 0.4),
    ("banking.send_money", {"recipient": "GB29NWBK60161331926819", "amount": 18.5, "subject": "Lunch"}, 0.3),
    ("banking.send_money", {"recipient": "GB29NWBK60161331926819", "amount": 42, "subject": "Concert"}, 0.2),
    ("banking.send_money", {"recipient": "DE89370400440532013000", "amount": 64.9, "subject": "Electricity"}, 0.12),
    ("banking.schedule_transaction", {"recipient": "DE89370400440532013000", "amount": 31, "recurring": True}, 0.06),
    ("banking.update_scheduled_transaction", {"id": 3, "amount": 870}, 0.2),
    ("banking.update_user_info", {"street": "7 Mill Lane", "city": "Leeds"}, 0.04),
    ("banking.update_password", {"password": "correct horse battery staple"}, 0.02),
    ("banking.send_money", {"recipient": "FR7630006000011234567890189", "amount": 25000, "subject": "Urgent"}, 0.05),
)
"""Calls of the banking agent: capability, payload, and how often each comes beside the others."""

CHAT: Final[tuple[Made, ...]] = (
    ("slack.get_channels", {}, 1.0),
    ("slack.get_users_in_channel", {"channel": "general"}, 1.0),
    ("slack.read_channel_messages", {"channel": "random"}, 1.0),
    ("slack.read_inbox", {"user": "Alice"}, 0.4),
    ("slack.get_webpage", {"url": "restaurant-zurich.com"}, 0.5),
    ("slack.get_webpage", {"url": "new-supplier.example/offer?from=chat"}, 0.1),
    ("slack.send_channel_message", {"channel": "general", "body": "Lunch is at noon, the table is booked."}, 0.4),
    ("slack.send_channel_message", {"channel": "External_0", "body": "The numbers of the third quarter"}, 0.06),
    ("slack.send_direct_message", {"recipient": "Bob", "body": "Could you look at the draft today?"}, 0.4),
    ("slack.invite_user_to_slack", {"user": "Dora", "user_email": "dora@mail.example"}, 0.06),
    ("slack.post_webpage", {"url": "www.secrets-collected.example", "content": "what was read before"}, 0.08),
    ("slack.remove_user_from_slack", {"user": "Fred"}, 0.06),
)
"""Calls of the chat's agent, in the same way."""

_ARTICLES: Final = ("returns", "delivery times", "invoice address", "warranty", "gift wrapping", "change a password")
_ANSWERS: Final = (
    "Thank you for your patience. Your parcel left our warehouse this morning.",
    "I am sorry that the lamp arrived broken. A new one is on its way.",
    "Your invoice is attached to this message.",
    "We changed the delivery address as you asked.",
)
_COMMANDS: Final = (
    "df -h", "uptime", "journalctl -u web --since -1h", "ls -la /var/log", "du -sh /srv/*", "git -C /srv/web status",
)  # fmt: skip


def look_up(random: Random) -> tuple[str, dict[str, object], tuple[str, ...]]:
    """A question about one customer: capability, payload, and the data that it touches."""
    kind = random.random()
    if kind < 0.5:
        asked = "*" if random.random() < 0.008 else customer(random)  # no rule lets it see everybody
        return "customers.lookup", {"customer_id": asked}, ("customers.email", "customers.name")
    if kind < 0.75:
        return "orders.read", {"order_id": _number(random, "O", 7)}, ("orders.state", "orders.total")
    return "tickets.read", {"ticket_id": _number(random, "T", 5)}, ("crm.tickets.body", "crm.tickets.subject")


def support(random: Random) -> tuple[str, dict[str, object]]:
    """Something that support does: capability and payload."""
    kind = random.random()
    if kind < 0.3:
        return "tickets.reply", {"ticket_id": _number(random, "T", 5), "body": random.choice(_ANSWERS)}
    if kind < 0.55:
        return "knowledge.search", {"query": random.choice(_ARTICLES)}
    if kind < 0.75:
        return "refunds.issue", refund(random)
    if kind < 0.88:
        field = "email" if random.random() < 0.1 else random.choice(("phone", "street", "city", "language"))
        return "customers.update", {"customer_id": customer(random), "field": field, "value": "as the customer wrote"}
    if kind < 0.96:
        return "customers.search", {"query": random.choice(("anna", "paris", "lamp")), "limit": 10}
    host = "mail.example" if random.random() < 0.2 else "acme-corp.example"
    return "email.send", {"to": f"orders@{host}", "subject": "A parcel", "body": random.choice(_ANSWERS)}


def refund(random: Random) -> dict[str, object]:
    """A refund: mostly small, sometimes one that a person has to see, and rarely far too much."""
    low, high = random.choices(((4, 50), (51, 200), (201, 900), (2100, 9000)), (80, 14, 5, 1))[0]
    amount = round(random.uniform(low, high), 2)
    return {"order_id": _number(random, "O", 7), "amount": amount, "currency": random.choice(("EUR", "GBP", "USD"))}


def export(random: Random) -> dict[str, object]:
    """An export of a few customers."""
    ids = [customer(random) for _ in range(random.randint(1, 4))]
    return {"customer_ids": ids, "fields": ["name", "email", "orders"], "format": "csv"}


def payment(random: Random) -> tuple[str, dict[str, object]]:
    """Something that the payments agent does: capability and payload."""
    kind = random.random()
    if kind < 0.55:
        return "payments.read", {"invoice": _number(random, "INV", 6)}
    if kind < 0.9:
        low, high = random.choices(((20, 480), (501, 1000), (1001, 19000), (20001, 48000), (51000, 90000)),
                                   (64, 22, 8, 2, 4))[0]  # fmt: skip
        recipient = random.choice(("DE89370400440532013000", "NL91ABNA0417164300", "FR7630006000011234567890189"))
        return "payments.transfer", {"recipient": recipient, "amount": round(random.uniform(low, high), 2)}
    return "payments.refund", {"invoice": _number(random, "INV", 6), "amount": round(random.uniform(10, 640), 2)}


def operation(random: Random) -> tuple[str, dict[str, object]]:
    """Something that is done on a machine: capability and payload."""
    kind = random.random()
    if kind < 0.7:
        return "shell.execute", {"command": random.choice(_COMMANDS)}
    if kind < 0.8:
        unit = random.choice(("nginx", "postgresql", "worker"))
        return "shell.execute", {"command": f"systemctl restart {unit}"}
    if kind < 0.85:
        return "shell.execute", {"command": f"rm  -rf /srv/releases/{random.randint(100, 140)}"}
    if kind < 0.95:
        return "filesystem.read", {"path": f"/srv/web/config/{random.choice(('app', 'cache', 'mail'))}.toml"}
    return "filesystem.write", {"path": f"/etc/nginx/sites/{random.randint(1, 9)}.conf", "content": "server { }"}


def customer(random: Random) -> str:
    """The number of a customer."""
    return _number(random, "C", 6)


def _number(random: Random, letter: str, digits: int) -> str:
    return f"{letter}-{random.randrange(10 ** (digits - 1), 10**digits)}"
