"""Settings from the cluster that the kubeconfig names."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdk_nb.settings.model import Settings
from pdk_nb.settings.reading import clean, from_maps
from pdk_shared.announcement import announced_kubeconfig
from pdk_shared.errors import ServiceUnreachable, SettingsError
from pdk_shared.settings_keys import CONFIG_MAP

REQUEST_TIMEOUT_S = 10.0
#: Why a kubeconfig is used that nobody named: it's that of the cluster which runs here.
ANNOUNCED = "the stack that runs on this machine"


@dataclass(frozen=True)
class Choice:
    """The kubeconfig to use, and why this one.

    Attributes:
        path: The file, or a list of files as ``KUBECONFIG`` can hold it; None inside a pod.
        reason: Where it was found, for people; :data:`ANNOUNCED` if nobody named it.
    """

    path: str | None
    reason: str


def choose_kubeconfig(kubeconfig: str | Path | None = None) -> Choice:
    """Choose the kubeconfig: the argument, ``KUBECONFIG``, the cluster that runs on this machine, ``~/.kube/config``.

    What a person named always comes first. The cluster on this machine comes before kubectl's default, because a wrong
    choice is harmless there: who has a cluster at work, too, names it before anything changes on it. The commands of
    ``pdk-nb`` use the same order.

    Args:
        kubeconfig: The file that a person named.

    Raises:
        SettingsError: The named file does not exist, or none is named and none is found.
    """
    for chosen, reason in (
        (str(kubeconfig or ""), "named here"),
        (os.environ.get("KUBECONFIG", ""), "from KUBECONFIG"),
    ):
        if chosen:
            candidates: Sequence[str] = [each for each in chosen.split(os.pathsep) if each]
            existing = [Path(each).expanduser() for each in candidates if Path(each).expanduser().is_file()]
            if not existing:
                raise SettingsError(
                    "The kubeconfig doesn't exist.",
                    where=chosen,
                    fix='Name an existing file, or start the embedded stack: pdk-nb up; eval "$(pdk-nb env)"',
                )
            return Choice(os.pathsep.join(str(each.resolve()) for each in existing), reason)
    if running := announced_kubeconfig():
        return Choice(running, ANNOUNCED)
    usual = Path("~/.kube/config").expanduser()
    if usual.is_file():
        return Choice(str(usual), "kubectl's default")
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return Choice(None, "the pod's service account")
    raise SettingsError(
        "No kubeconfig is set, so the lab doesn't know which cluster to use.",
        where="KUBECONFIG and ~/.kube/config",
        fix="export KUBECONFIG=<file>, or start the embedded stack, which the lab then finds: pdk-nb up",
    )


def kubeconfig_path(kubeconfig: str | Path | None = None) -> str | None:
    """The path of :func:`choose_kubeconfig`: one file, a list of files whose contents are merged, or None inside a pod.

    Raises:
        SettingsError: The named file does not exist, or none is named and none is found.
    """
    return choose_kubeconfig(kubeconfig).path


def api_client(kubeconfig: str | Path | None = None) -> Any:
    """A ``kubernetes`` API client for the kubeconfig to use.

    Raises:
        SettingsError: There is no kubeconfig, or it cannot be read.
    """
    import kubernetes

    path = kubeconfig_path(kubeconfig)
    where = path or "the pod's service account"
    try:
        if path is None:
            kubernetes.config.load_incluster_config()
            client = kubernetes.client.ApiClient()
        else:
            client = kubernetes.config.new_client_from_config(config_file=path, context=_current_context(path))
    except kubernetes.config.ConfigException as error:
        # The client's text can quote an entry with its token.
        raise _unusable(re.sub(r"\{.*\}", "...", str(error), flags=re.DOTALL), where) from error
    except SettingsError:
        raise
    except Exception as error:  # the client checks little, and fails in many ways on entries of the wrong type
        raise _unusable(f"an entry has the wrong form ({type(error).__name__})", where) from None
    _clean_credentials(client.configuration.api_key, where)
    return client


def _current_context(path: str) -> str | None:
    """The context to use: the first one that a file names, as for kubectl. (The client takes the last one.)

    Raises:
        SettingsError: A file isn't a kubeconfig, or the context's user is in none of them.
    """
    chosen: str | None = None
    found: dict[str, dict[str, dict[str, Any]]] = {"cluster": {}, "context": {}, "user": {}}
    for each in path.split(os.pathsep):
        content = _read(each)
        for kind, known in found.items():
            for entry in _entries(content, kind, each):
                known.setdefault(str(entry["name"]), entry.get(kind) or {})
        chosen = chosen or content.get("current-context") or None
    user = str(found["context"].get(str(chosen), {}).get("user") or "")
    if user and user not in found["user"]:
        raise _unusable(f"the context '{chosen}' names a user '{user}' that it doesn't contain", path)
    return chosen


def _read(path: str) -> dict[str, Any]:
    """The content of one kubeconfig."""
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or "a character that YAML doesn't allow"
        raise _unusable(f"it isn't YAML: {line}{problem}", path) from None
    except UnicodeDecodeError:
        raise _unusable("it isn't text", path) from None
    except OSError as error:
        raise _unusable(str(error.strerror), path) from error
    if not isinstance(content, dict):
        raise _unusable("it is empty" if content is None else "it isn't a mapping", path)
    return content


def _entries(content: dict[str, Any], kind: str, path: str) -> list[dict[str, Any]]:
    """The clusters, contexts or users of one kubeconfig, checked where the client doesn't check them."""
    entries = content.get(f"{kind}s") or []
    if not isinstance(entries, list) or not all(isinstance(item, dict) and "name" in item for item in entries):
        raise _unusable(f"'{kind}s' isn't a list of named entries", path)
    for entry in entries:
        values = entry.get(kind) or {}
        if not isinstance(values, dict):
            raise _unusable(f"the {kind} '{entry['name']}' isn't a mapping", path)
        for name in ("certificate-authority-data", "client-certificate-data", "client-key-data"):
            try:
                base64.b64decode(values.get(name) or "", validate=True)
            except (ValueError, TypeError):
                raise _unusable(f"{name} of the {kind} '{entry['name']}' isn't base64", path) from None
    return entries


def _clean_credentials(headers: dict[str, Any], where: str) -> None:
    """Strip what a file leaves around a token, as kubectl does; refuse what no HTTP header can hold.

    Otherwise the HTTP client refuses it later, with a message that contains the token.
    """
    for name, value in headers.items():
        scheme, _, token = str(value).partition(" ")
        token = token.strip()
        if not all("!" <= character <= "~" for character in token):
            raise _unusable("the user's token contains spaces or characters that no token has", where)
        headers[name] = f"{scheme} {token}"


def _unusable(reason: str, where: str) -> SettingsError:
    return SettingsError(
        f"The kubeconfig can't be used: {reason}.",
        where=where,
        fix="kubectl config view  shows how kubectl reads it.",
    )


def load(kubeconfig: str | Path | None = None, namespace: str = "default") -> Settings:
    """Read ``pdk-config`` and the pipeline secret from the cluster.

    Missing keys do not raise here, so that they can be shown together; :meth:`Settings.require` does.

    Args:
        kubeconfig: Path of a kubeconfig; see :func:`choose_kubeconfig` when empty.
        namespace: Namespace of the ConfigMap.

    Raises:
        SettingsError: No kubeconfig, no ConfigMap, no permission to read it, or a value that cannot be read.
        ServiceUnreachable: The Kubernetes API does not answer.
    """
    import kubernetes
    import urllib3

    choice = choose_kubeconfig(kubeconfig)
    path = choice.path
    core = kubernetes.client.CoreV1Api(api_client(path))
    server = core.api_client.configuration.host
    # Without retries, a wrong address shows at once.
    core.api_client.rest_client.pool_manager.connection_pool_kw["retries"] = urllib3.Retry(0)
    try:
        data, secret = _read_maps(core, server, namespace)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise ServiceUnreachable(
            f"The Kubernetes API doesn't answer: {getattr(error, 'reason', None) or error}",
            where=f"{server} (from {path or 'the pod'})",
            fix="kubectl cluster-info  shows whether it is up; for the embedded stack: pdk-nb status",
        ) from error
    except (ValueError, TypeError, AttributeError) as error:  # the client cannot make an object of the answer
        raise ServiceUnreachable(
            "Something answers, but it isn't the Kubernetes API.",
            where=f"{server} (from {path or 'the pod'})",
            fix="kubectl config view  shows the server's address; compare it with the cluster's.",
        ) from error
    return from_maps(data, secret, kubeconfig=path, namespace=namespace, kubeconfig_reason=choice.reason)


def _read_maps(core: Any, server: str, namespace: str) -> tuple[dict[str, str], dict[str, str] | None]:
    """The contents of ``pdk-config``, and of the pipeline secret if this user may read it."""
    import kubernetes

    try:
        config = core.read_namespaced_config_map(CONFIG_MAP, namespace, _request_timeout=REQUEST_TIMEOUT_S)
    except kubernetes.client.ApiException as error:
        raise _config_map_error(error, server, namespace) from error
    data = dict(config.data or {})
    secret_name = clean(data.get("mldm_pipeline_secret")) or "pipeline-secret"
    secret_namespace = clean(data.get("mldm_namespace")) or "default"
    try:
        found = core.read_namespaced_secret(secret_name, secret_namespace, _request_timeout=REQUEST_TIMEOUT_S)
    except kubernetes.client.ApiException as error:
        if error.status not in (403, 404):
            raise ServiceUnreachable(
                f"The Kubernetes API failed: {error.status} {error.reason}",
                where=f"Secret {secret_namespace}/{secret_name} at {server}",
            ) from error
        return data, None
    return data, {name: base64.b64decode(text).decode(errors="replace") for name, text in (found.data or {}).items()}


def _config_map_error(error: Any, server: str, namespace: str) -> Exception:
    where = f"ConfigMap {namespace}/{CONFIG_MAP} at {server}"
    if error.status == 404:
        return SettingsError(
            "The cluster has no ConfigMap pdk-config.",
            where=where,
            fix="pdk-nb config init  fills it from the cluster (docs/cluster); or name its namespace with --namespace.",
        )
    if error.status in (401, 403):
        return SettingsError(
            f"The cluster refuses to show pdk-config ({error.status} {error.reason}).",
            where=where,
            fix=f"kubectl auth can-i get configmap/{CONFIG_MAP} -n {namespace}  shows what this user may do.",
        )
    return ServiceUnreachable(f"The Kubernetes API failed: {error.status} {error.reason}", where=where)
