"""The OpenAPI document as one page of plain HTML: no script, nothing fetched."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
code, pre { font: 14px/1.4 ui-monospace, monospace }
pre { overflow-x: auto; padding: .75rem; background: #8881 }
details { border-bottom: 1px solid #8884; padding: .5rem 0 }
summary { cursor: pointer }
table { border-collapse: collapse }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top }
.method { display: inline-block; min-width: 4.5rem; font-weight: bold }
"""

CSP = (
    "default-src 'none'; frame-ancestors 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'"
)
"""What a browser may load for the page: its own style."""


def page(document: dict[str, Any]) -> bytes:
    """The page: operations by tag, then schemas by name."""
    by_tag: dict[str, list[str]] = defaultdict(list)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            by_tag[operation["tags"][0]].append(_operation(path, method, operation))
    info = document["info"]
    title = f"{escape(info['title'])} {escape(info['version'])}"
    parts = [f"<h1>{title}</h1><p>{escape(info['description'])} The same for programs: "]
    parts.append('<a href="/openapi.json">openapi.json</a>.</p>')
    parts += [f"<h2>{escape(tag)}</h2>{''.join(found)}" for tag, found in sorted(by_tag.items())]
    parts.append("<h2>schemas</h2>")
    parts += [
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>{_json(schema)}</details>'
        for name, schema in sorted(document["components"]["schemas"].items())
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    return (
        f'<!doctype html><html lang="en"><head>{head}<style>{_STYLE}</style></head>'
        f"<body><main>{''.join(parts)}</main></body></html>"
    ).encode()


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    head = f'<span class="method">{escape(method.upper())}</span> <code>{escape(path)}</code> '
    parts = [f"<p>{escape(operation['description'])}</p>"] if "description" in operation else []
    if operation["parameters"]:
        rows = "".join(
            f"<tr><td><code>{escape(one['name'])}</code></td><td>{escape(one['in'])}</td>"
            f"<td>{'required' if one.get('required') else ''}</td><td>{_brief(one['schema'])}</td></tr>"
            for one in operation["parameters"]
        )
        parts.append(f"<table><tr><th>parameter</th><th>in</th><th></th><th>form</th></tr>{rows}</table>")
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<p>body: <code>{escape(media)}</code> {_brief(content.get('schema', {}))}</p>")
    parts.append("<table><tr><th>status</th><th></th><th>answer</th></tr>")
    for status, answer in operation["responses"].items():
        content = ", ".join(f"{escape(m)} {_brief(c.get('schema', {}))}" for m, c in answer.get("content", {}).items())
        parts.append(f"<tr><td>{escape(status)}</td><td>{escape(answer['description'])}</td><td>{content}</td></tr>")
    parts.append("</table>")
    return f"<details><summary>{head}{escape(operation['summary'])}</summary>{''.join(parts)}</details>"


def _brief(schema: dict[str, Any]) -> str:
    """A schema in a line: a link to one that has a name."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}"><code>{name}</code></a>'
    return f"<code>{escape(json.dumps(schema))}</code>" if schema else ""


def _json(schema: dict[str, Any]) -> str:
    return f"<pre>{escape(json.dumps(schema, indent=2))}</pre>"
