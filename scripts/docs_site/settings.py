"""The reference of the settings, from the keys that the lab reads and the stack writes."""

from __future__ import annotations

from pdk_shared.settings_keys import (
    CONFIG_MAP,
    KEYS,
    MASKED_SECRET_KEYS,
    MINIO_SECRET_KEYS,
    PIPELINE_SECRET,
    SECRET_KEYS,
)
from scripts.docs_site.commands import cell


def page() -> str:
    """The page, as Markdown."""
    lines = [
        "# Settings",
        "",
        "A kubeconfig is the only switch. Everything else that the lab knows about a cluster is in these two objects;",
        "[The lab on a cluster](../cluster/README.md) shows how `pdk-nb config init` fills them.",
        "",
        f"## ConfigMap `{CONFIG_MAP}`",
        "",
        "*Variable* is the name that the setup guides use; `pdk-nb config env` prints these variables. Values `N/A`,",
        "`none`, and `null` count as empty.",
        "",
        "| key | variable | needed | default | used for |",
        "|---|---|---|---|---|",
    ]
    for key in KEYS:
        names = ", ".join(f"`{name}`" for name in (key.name, *key.aliases))
        variable = f"`{key.variable}`" if key.variable else ""
        default = f"`{key.default}`" if key.default else ""
        lines.append(f"| {names} | {variable} | {'yes' if key.required else ''} | {default} | {cell(key.used_by)} |")
    lines += [
        "",
        f"## Secret `{PIPELINE_SECRET}`",
        "",
        "The pipelines get these values. *Masked* values are never shown, by no command and in no notebook.",
        "",
        "| key | masked | used for |",
        "|---|---|---|",
    ]
    for name, used_by in {**SECRET_KEYS, **MINIO_SECRET_KEYS}.items():
        lines.append(f"| `{name}` | {'yes' if name in MASKED_SECRET_KEYS else ''} | {cell(used_by)} |")
    lines.append("")
    return "\n".join(lines)
