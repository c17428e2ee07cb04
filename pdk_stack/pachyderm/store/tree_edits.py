"""Edits of a file tree: ordered operations turn one immutable tree into another."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from pdk_stack.pachyderm.names import clean_path
from pdk_stack.pachyderm.store.nodes import Entry, NodeReader, Part, decode, encode, file_entry
from pdk_stack.pachyderm.store.tree import EMPTY_ROOT, Tree


@dataclass(frozen=True, slots=True)
class Add:
    """Append content to a file's part, creating the file if needed.

    Attributes:
        path: The file path.
        tag: The part's tag.
        blobs: The blobs with the content.
        size: The content's size, in bytes.
    """

    path: str
    tag: str
    blobs: tuple[bytes, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a file's part or, with a trailing slash in ``path``, a whole directory.

    If ``tag`` is None, delete the parts of all tags.
    """

    path: str
    tag: str | None


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy a file or directory from a tree.

    Attributes:
        path: The target path.
        tag: The tag of the copied part.
        append: Whether to append to an existing file.
        source_tree: The root node of the source tree.
        source_path: The path to copy.
    """

    path: str
    tag: str
    append: bool
    source_tree: bytes
    source_path: str


@dataclass(frozen=True, slots=True)
class DropTags:
    """Delete all parts with one of these tags, in the whole tree."""

    tags: frozenset[str]


@dataclass(frozen=True, slots=True)
class Graft:
    """Add all parts of all files in a tree, each under its own tag."""

    source_tree: bytes


TreeEdit = Add | Delete | Copy | DropTags | Graft


def dump_edit(change: TreeEdit) -> str:
    """Serialize an edit for the database."""
    if isinstance(change, Add):
        return json.dumps(["a", change.path, change.tag, change.size, [b.hex() for b in change.blobs]])
    if isinstance(change, Delete):
        return json.dumps(["d", change.path, change.tag])
    if isinstance(change, DropTags):
        return json.dumps(["t", "", "", sorted(change.tags)])
    if isinstance(change, Graft):
        return json.dumps(["g", "", "", change.source_tree.hex()])
    return json.dumps(["c", change.path, change.tag, change.append, change.source_tree.hex(), change.source_path])


def load_edit(text: str) -> TreeEdit:
    """The reverse of :func:`dump_edit`."""
    kind, path, tag, *rest = json.loads(text)
    if kind == "a":
        return Add(path, tag, tuple(bytes.fromhex(blob) for blob in rest[1]), rest[0])
    if kind == "d":
        return Delete(path, tag)
    if kind == "t":
        return DropTags(frozenset(rest[0]))
    if kind == "g":
        return Graft(bytes.fromhex(rest[0]))
    return Copy(path, tag, rest[0], bytes.fromhex(rest[1]), rest[2])


@dataclass
class _Folder:
    """A directory under edit; subdirectories load only when touched."""

    entries: dict[str, Entry] = field(default_factory=dict)
    opened: dict[str, _Folder] = field(default_factory=dict)
    changed: bool = False


@dataclass
class EditedTree:
    """The result of editing a tree.

    Attributes:
        root: The new root's entry.
        nodes: New nodes to store, by key.
        problem: Why the tree is invalid, in the words of Pachyderm's validation; or empty.
    """

    root: Entry
    nodes: dict[bytes, bytes]
    problem: str


class TreeEditor:
    """Applies edits to a tree.

    Args:
        nodes: The source of existing nodes.
        root: The tree to start from; None means an empty one.
    """

    def __init__(self, nodes: NodeReader, root: bytes | None) -> None:
        self._nodes = nodes
        self._base = root
        self._suspect = False
        self._top = self._load(root)

    def _load(self, key: bytes | None) -> _Folder:
        if key is None:
            return _Folder()
        return _Folder({entry.name: entry for entry in decode(self._nodes.node(key))})

    def _open(self, folder: _Folder, name: str, create: bool) -> _Folder | None:
        key = name + "/"
        child = folder.opened.get(key)
        if child is None:
            entry = folder.entries.get(key)
            if entry is None and not create:
                return None
            child = self._load(entry.node if entry else None)
            folder.opened[key] = child
        return child

    def _parent(self, parts: list[str], create: bool) -> _Folder | None:
        folder: _Folder | None = self._top
        for part in parts[:-1]:
            assert folder is not None
            if create:
                folder.changed = True
            folder = self._open(folder, part, create)
            if folder is None:
                return None
        return folder

    def apply(self, changes: Iterable[TreeEdit]) -> None:
        """Apply edits in order."""
        for change in changes:
            if isinstance(change, Add):
                self._add(change)
            elif isinstance(change, Delete):
                self._delete(change)
            elif isinstance(change, DropTags):
                self._drop_tags(self._top, change.tags)
            elif isinstance(change, Graft):
                self._graft(change)
            else:
                self._copy(change)

    def _add(self, change: Add) -> None:
        parts = [part for part in change.path.split("/") if part]
        folder = self._parent(parts, create=True)
        assert folder is not None
        folder.changed = True
        name = parts[-1]
        old = folder.entries.get(name)
        rest = [part for part in old.parts if part.tag != change.tag] if old else []
        mine = next((part for part in old.parts if part.tag == change.tag), None) if old else None
        merged = Part(
            change.tag,
            (mine.size if mine else 0) + change.size,
            (mine.blobs if mine else ()) + change.blobs,
        )
        folder.entries[name] = file_entry(name, [*rest, merged])

    def _delete(self, change: Delete) -> None:
        parts = [part for part in change.path.split("/") if part]
        if not parts:
            self._top = _Folder(changed=True)
            return
        parent = self._parent(parts, create=False)
        if parent is None:
            return
        name = parts[-1]
        if change.path.endswith("/"):
            if change.tag is None:
                opened = parent.opened.pop(name + "/", None)
                if parent.entries.pop(name + "/", None) or opened:
                    self._mark(parts)
            else:
                folder = self._open(parent, name, create=False)
                if folder is not None:
                    self._drop_tags(folder, frozenset({change.tag}))
                    if folder.changed:
                        self._mark(parts)
            return
        old = parent.entries.get(name)
        if old is None:
            return
        rest = [part for part in old.parts if change.tag is not None and part.tag != change.tag]
        if len(rest) == len(old.parts):
            return
        self._mark(parts)
        if rest:
            parent.entries[name] = file_entry(name, rest)
        else:
            del parent.entries[name]

    def _mark(self, parts: list[str]) -> None:
        folder = self._top
        folder.changed = True
        for part in parts[:-1]:
            child = folder.opened.get(part + "/")
            if child is None:
                return
            child.changed = True
            folder = child

    def _drop_tags(self, folder: _Folder, tags: frozenset[str]) -> None:
        for key, entry in list(folder.entries.items()):
            if entry.is_dir:
                if key not in folder.opened:
                    self._open(folder, key[:-1], create=False)
                continue
            rest = [part for part in entry.parts if part.tag not in tags]
            if len(rest) == len(entry.parts):
                continue
            folder.changed = True
            if rest:
                folder.entries[key] = file_entry(key, rest)
            else:
                del folder.entries[key]
        for child in folder.opened.values():
            self._drop_tags(child, tags)
            folder.changed = folder.changed or child.changed

    def _copy(self, change: Copy) -> None:
        source = Tree(self._nodes, change.source_tree)
        found = source.find(change.source_path)
        if found is None:
            return
        target = clean_path(change.path)
        for each in source.files(found):
            path = clean_path(f"{target}/{each.path[len(found.path) :]}") if found.is_dir else target
            if not change.append:
                self._delete(Delete(path, change.tag))
            self._add(Add(path, change.tag, each.entry.blobs, each.entry.size))

    def _graft(self, change: Graft) -> None:
        source = Tree(self._nodes, change.source_tree)
        top = source.root()
        for each in source.files(top) if top else ():
            for part in each.entry.parts:
                self._add(Add(each.path, part.tag, part.blobs, part.size))

    def finish(self) -> EditedTree:
        """Return the new tree."""
        fresh: dict[bytes, bytes] = {}
        if not self._top.changed and self._base is not None:
            found = Tree(self._nodes, self._base).root()
            return EditedTree(found.entry if found else EMPTY_ROOT, {}, "")
        root = self._encode(self._top, fresh)
        if root is None:
            data, root = encode([])
            fresh[root.node] = data
        problem = first_problem(Tree(_Overlay(self._nodes, fresh), root.node)) if self._suspect else ""
        return EditedTree(root, fresh, problem)

    def _encode(self, folder: _Folder, fresh: dict[bytes, bytes]) -> Entry | None:
        entries = dict(folder.entries)
        for key, child in folder.opened.items():
            if not child.changed:
                continue
            entry = self._encode(child, fresh)
            # Directories exist only through their files: empty ones disappear.
            if entry is None:
                entries.pop(key, None)
            else:
                entries[key] = Entry(key, entry.size, entry.hash, node=entry.node)
        if not entries:
            return None
        for name, entry in entries.items():
            if not entry.is_dir and (name + "/" in entries or len(entry.parts) > 1):
                self._suspect = True
        data, own = encode(entries.values())
        fresh[own.node] = data
        return own


class _Overlay:
    """New nodes before those of another source."""

    def __init__(self, nodes: NodeReader, fresh: dict[bytes, bytes]) -> None:
        self._nodes = nodes
        self._fresh = fresh

    def node(self, key: bytes) -> bytes:
        """Return a node's content."""
        found = self._fresh.get(key)
        return self._nodes.node(key) if found is None else found


def first_problem(tree: Tree) -> str:
    """Return why a commit with this tree finishes with an error, or nothing (``checkIndex`` of ``compaction.go``).

    Like the server, it compares each file only with the one before it, in the order of their paths.
    """
    top = tree.root()
    previous = ""
    for found in tree.files(top) if top else ():
        if len(found.entry.parts) > 1:
            first, second = (f"{found.path} from {part.tag}" for part in found.entry.parts[:2])
            return f"duplicate path output by different datums ({first} and {second})"
        if previous and found.path.startswith(previous + "/"):
            return f"file / directory path collision ({found.path})"
        previous = found.path
    return ""
