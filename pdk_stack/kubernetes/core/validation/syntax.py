"""Rules for names, labels, keys, and ports; each function returns what is wrong with a text, in Kubernetes' words.

Source: ``k8s.io/apimachinery/pkg/util/validation`` and ``pkg/api/validation``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

#: A rule for a text: what is wrong with it, or nothing.
Rule = Callable[[str], list[str]]

LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = rf"{LABEL}(\.{LABEL})*"
LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
QUALIFIED_NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
LABEL_VALUE = f"({QUALIFIED_NAME})?"
CONFIG_KEY = "[-._a-zA-Z0-9]+"
ENV_NAME = "[-._a-zA-Z][-._a-zA-Z0-9]*"
PERCENT = "[0-9]+%"
LABEL_LENGTH, SUBDOMAIN_LENGTH = 63, 253


def _too_long(length: int) -> str:
    return f"must be no more than {length} characters"


def _pattern(told: str, pattern: str, *examples: str) -> str:
    shown = " or ".join(f"'{each}', " for each in examples)
    return f"{told} (e.g. {shown}regex used for validation is '{pattern}')"


def _bytes(text: str) -> int:
    """Return a text's length as Go counts it."""
    return len(text.encode("utf-8", "surrogatepass"))


def dns_label(text: str) -> list[str]:
    """Check an RFC 1123 label, such as a namespace's name."""
    found = [_too_long(LABEL_LENGTH)] if _bytes(text) > LABEL_LENGTH else []
    if not re.fullmatch(LABEL, text):
        if re.fullmatch(SUBDOMAIN, text):
            return [*found, "must not contain dots"]
        told = (
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and "
            "end with an alphanumeric character"
        )
        found.append(_pattern(told, LABEL, "my-name", "123-abc"))
    return found


def dns_subdomain(text: str) -> list[str]:
    """Check an RFC 1123 subdomain, such as most objects' names."""
    found = [_too_long(SUBDOMAIN_LENGTH)] if _bytes(text) > SUBDOMAIN_LENGTH else []
    if not re.fullmatch(SUBDOMAIN, text):
        told = (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
            "start and end with an alphanumeric character"
        )
        found.append(_pattern(told, SUBDOMAIN, "example.com"))
    return found


def dns_1035_label(text: str) -> list[str]:
    """Check an RFC 1035 label, such as a Service's name."""
    found = [_too_long(LABEL_LENGTH)] if _bytes(text) > LABEL_LENGTH else []
    if not re.fullmatch(LABEL_1035, text):
        told = (
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
            "character, and end with an alphanumeric character"
        )
        found.append(_pattern(told, LABEL_1035, "my-name", "abc-123"))
    return found


def path_segment(text: str) -> list[str]:
    """Check a text that becomes part of a path, such as a role's name."""
    if text in (".", ".."):
        return [f"may not be '{text}'"]
    return [f"may not contain '{each}'" for each in "/%" if each in text]


def prefix_of(rule: Rule) -> Rule:
    """Return the rule for a ``generateName``, which may end with a hyphen."""
    if rule is path_segment:
        return lambda text: [f"may not contain '{each}'" for each in "/%" if each in text]
    # maskTrailingDash of pkg/api/validation/generic.go cuts two characters, not one.
    return lambda text: rule(text[:-2] + "a" if len(text) > 1 and text.endswith("-") else text)


def qualified_name(text: str) -> list[str]:
    """Check a label's or annotation's key: a name with an optional domain before a slash."""
    told = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with "
    told += "an alphanumeric character"
    words = _pattern(told, QUALIFIED_NAME, "MyName", "my.name", "123-abc")
    parts = text.split("/")
    if len(parts) > 2:
        return [f"a qualified name {words} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    found = []
    if len(parts) == 2:
        found = (
            [f"prefix part {each}" for each in dns_subdomain(parts[0])]
            if parts[0]
            else ["prefix part must be non-empty"]
        )
    name = parts[-1]
    if not name:
        found.append("name part must be non-empty")
    elif _bytes(name) > LABEL_LENGTH:
        found.append(f"name part {_too_long(LABEL_LENGTH)}")
    if not re.fullmatch(QUALIFIED_NAME, name):
        found.append(f"name part {words}")
    return found


def label_value(text: str) -> list[str]:
    """Check a label's value."""
    found = [_too_long(LABEL_LENGTH)] if _bytes(text) > LABEL_LENGTH else []
    if not re.fullmatch(LABEL_VALUE, text):
        told = (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
            "start and end with an alphanumeric character"
        )
        found.append(_pattern(told, LABEL_VALUE, "MyValue", "my_value", "12345"))
    return found


def _no_way_up(text: str) -> list[str]:
    if text in (".", ".."):
        return [f"must not be '{text}'"]
    return ["must not start with '..'"] if text.startswith("..") else []


def config_key(text: str) -> list[str]:
    """Check a key of a ConfigMap or Secret."""
    found = [_too_long(SUBDOMAIN_LENGTH)] if _bytes(text) > SUBDOMAIN_LENGTH else []
    if not re.fullmatch(CONFIG_KEY, text):
        told = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        found.append(_pattern(told, CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    return found + _no_way_up(text)


def env_name(text: str) -> list[str]:
    """Check the name of an environment variable."""
    found = []
    if not re.fullmatch(ENV_NAME, text):
        told = (
            "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and "
            "must not start with a digit"
        )
        found.append(_pattern(told, ENV_NAME, "my.env-name", "MY_ENV.NAME", "MyEnvName1"))
    return found + _no_way_up(text)


def port_name(text: str) -> list[str]:
    """Check the name of a container's port."""
    rules = (
        (_bytes(text) > 15, _too_long(15)),
        (
            not re.fullmatch("[-a-z0-9]+", text),
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        ),
        (not re.search("[a-z]", text), "must contain at least one letter (a-z)"),
        ("--" in text, "must not contain consecutive hyphens"),
        (text.startswith("-") or text.endswith("-"), "must not begin or end with a hyphen"),
    )
    return [words for broken, words in rules if broken]


def in_range(number: int, least: int, most: int) -> list[str]:
    """Check that a number lies between two others."""
    return [] if least <= number <= most else [f"must be between {least} and {most}, inclusive"]


def port_number(number: int) -> list[str]:
    """Check a port's number."""
    return in_range(number, 1, 65535)


def ip_address(text: str) -> list[str]:
    """Check an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return []


def percent(text: str) -> list[str]:
    """Check a percentage, such as ``25%``."""
    if re.fullmatch(PERCENT, text):
        return []
    told = "a valid percent string must be a numeric string followed by an ending '%'"
    return [_pattern(told, PERCENT, "1%", "93%")]
