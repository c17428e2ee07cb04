"""The reference of the Python interface: one page for each module that people import."""

from __future__ import annotations

# What a notebook, a pipeline's code, or a program of one's own imports; the rest is the lab's inside.
MODULES = {
    "pdk_nb.lab": "the object that the notebooks call",
    "pdk_nb.session": "settings, names, and clients of one cluster",
    "pdk_nb.settings": "`pdk-config` and `pipeline-secret` as one typed object",
    "pdk_nb.names": "names of the lab's resources",
    "pdk_nb.journey": "one commit, followed through all platforms",
    "pdk_nb.doctor": "what would stop the lab on a cluster",
    "pdk_nb.platforms.mldm": "Pachyderm",
    "pdk_nb.platforms.mlde": "Determined",
    "pdk_nb.platforms.serving": "KServe",
    "pdk_nb.platforms.storage": "the model bucket",
    "pdk_nb.specs": "pipeline specs",
    "pdk_nb.packaging.archive": "model archives",
    "pdk_nb.evaluation": "judging a model on pictures",
    "pdk_nb.version_comparison": "two versions on the same pictures",
    "pdk_nb.drift": "how new pictures differ from old ones",
    "pdk_shared.errors": "the errors that all of these raise",
    "pdk_shared.pictures": "one picture, from bytes to upright RGB",
}


def index() -> str:
    """The page that lists the modules."""
    rows = [f"| [{name}]({name}.md) | {said} |" for name, said in MODULES.items()]
    tree = ["```{toctree}", ":hidden:", "", *MODULES, "```"]
    lines = [
        "# Python interface",
        "",
        "From the docstrings of the modules that people import. A notebook needs only the first one:",
        "",
        "```python",
        "from pdk_nb import lab as pdk",
        "",
        "lab = pdk.connect()",
        "```",
        "",
        "| module | about |",
        "|---|---|",
        *rows,
        "",
        *tree,
        "",
    ]
    return "\n".join(lines)


def page(module: str) -> str:
    """The page of one module."""
    return "\n".join(
        [
            f"# {module}",
            "",
            "```{eval-rst}",
            f".. automodule:: {module}",
            "   :members:",
            "   :imported-members:" if module in PACKAGES else "",
            "```",
            "",
        ]
    )


# Their ``__all__`` names what their modules define.
PACKAGES = frozenset(
    name for name in MODULES if name.rpartition(".")[2] in {"settings", "journey", "doctor", "mldm", "mlde", "storage"}
) | {"pdk_nb.platforms.serving", "pdk_nb.specs"}
