"""A catalog that changes at random, made from a seed: for comparing a refreshed index with one built anew.

Every document has one place. Links upwards, links to what is not there, equal ids, catalogs behind item links and
items behind child links all occur; files also change from one type to another.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import Any

from source_files import catalog, collection, item, link, write

ROOT = "catalog"
CONTAINER_IDS = "uvwxyz"
BROKEN = [b"", b"{", b"[]", b"{}", b"\xff", b'{"type": "Feature"}', b'{"type": "Catalog", "id": 7}']
Document = dict[str, Any]


class RandomCatalog:
    """Files below a folder; `links` holds for each container what it links, as (relation, name)."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.rng = Random(seed)
        self.containers: dict[str, Document] = {ROOT: {"type": "Catalog", "id": "root"}}
        self.items: dict[str, Document] = {}
        self.links: dict[str, list[tuple[str, str]]] = {ROOT: []}
        self.written: dict[str, Document] = {}
        self.count = 0
        for _ in range(4):
            self._add_container()
        for _ in range(8):
            self._add_item()
        self.write()

    def change(self) -> list[str]:
        """Change one to three things and write them; return their names."""
        changes = [self._add_container, self._add_item, self._change_item, self._change_container, self._move]
        changes += [self._remove, self._swap, self._shuffle, self._loop, self._change_item]
        chosen = [self.rng.choice(changes) for _ in range(self.rng.randint(1, 3))]
        for one in chosen:
            one()
        self.write()
        return [one.__name__ for one in chosen]

    def write(self) -> None:
        """Write the documents that have changed, and remove the files of those that are gone."""
        documents = self._documents()
        for name in self.written.keys() - documents.keys():
            self._path(name).unlink()
        for name, document in documents.items():
            if document != self.written.get(name):
                write(self._path(name), document)
        self.written = documents

    def break_files(self) -> None:
        """Remove or spoil up to three files besides the root."""
        names = sorted(self.written.keys() - {ROOT})
        for name in self.rng.sample(names, self.rng.randint(0, min(3, len(names)))):
            spoilt = self.rng.choice([None, *BROKEN])
            if spoilt is None:
                self._path(name).unlink()
            else:
                write(self._path(name), spoilt)

    def mend_files(self) -> None:
        """Write all files as they should be."""
        for name, document in self.written.items():
            write(self._path(name), document)

    # --- changes

    def _add_container(self) -> None:
        name = self._new_name()
        self.containers[name] = self._random_container()
        self.links[name] = []
        self._insert(self.rng.choice(sorted(self.containers.keys() - {name})), name)

    def _add_item(self) -> None:
        name = self._new_name()
        self.items[name] = self._random_item()
        self._insert(self._any_container(), name)

    def _change_item(self) -> None:
        if self.items:
            self.items[self.rng.choice(sorted(self.items))] = self._random_item()

    def _change_container(self) -> None:
        self.containers[self._any_container()] |= self.rng.choice(
            [{"id": self.rng.choice(CONTAINER_IDS)}, {"type": self.rng.choice(["Catalog", "Collection"])}]
        )

    def _move(self) -> None:
        name = self._any_name()
        places = sorted(self.containers.keys() - self._below(name))
        self._unlink(name)
        self._insert(self.rng.choice(places), name)

    def _remove(self) -> None:
        if self.rng.random() < 0.5 or not self.items:
            return
        name = self.rng.choice([self._any_name(), *sorted(self.items)])
        self._unlink(name)
        self._forget(self._below(name))

    def _swap(self) -> None:
        """Make an item of a container, or the other way round, without a change of what links it."""
        name = self._any_name()
        if name in self.items:
            self.items.pop(name)
            self.containers[name], self.links[name] = self._random_container(), []
        elif self.rng.random() < 0.4:
            self._forget(self._below(name))
            self.items[name] = self._random_item()

    def _shuffle(self) -> None:
        self.rng.shuffle(self.links[self._any_container()])

    def _loop(self) -> None:
        self.containers[self._any_container()]["loop"] = self.rng.choice([None, *sorted(self.containers)])

    # --- parts

    def _new_name(self) -> str:
        self.count += 1
        return f"{self.rng.choice('abc')}/{self.count}"

    def _any_container(self) -> str:
        return self.rng.choice(sorted(self.containers))

    def _any_name(self) -> str:
        return self.rng.choice(sorted((self.containers.keys() | self.items.keys()) - {ROOT}) or [self._new_root_item()])

    def _new_root_item(self) -> str:
        self._add_item()
        return next(iter(self.items))

    def _random_container(self) -> Document:
        return {"type": self.rng.choice(["Catalog", "Collection"]), "id": self.rng.choice(CONTAINER_IDS)}

    def _random_item(self) -> Document:
        rng = self.rng
        names = rng.sample(["a", "b", "c", "d", "e"], 2)
        point = {"type": "Point", "coordinates": [rng.choice([1, 179, -179, 7.5]), 1]}
        return {
            "id": rng.choice("pqrst") + rng.choice("12"),
            "collection": rng.choice([None, None, "u", "v", "w"]),
            "geometry": rng.choice([point, point, point, None]),
            "datetime": rng.choice(["2024-06-01T00:00:00Z", "2023-06-01T00:00:00Z", None]),
            "properties": {name: rng.choice([1, 2.5, "a", "b", True, [1]]) for name in names},
            "related": rng.choice([None, *sorted(self.items), *sorted(self.containers)]),
        }

    def _insert(self, parent: str, name: str) -> None:
        usual = "item" if name in self.items else "child"
        relation = self.rng.choice([usual] * 9 + ["child", "item"])
        self.links[parent].insert(self.rng.randint(0, len(self.links[parent])), (relation, name))

    def _unlink(self, name: str) -> None:
        for links in self.links.values():
            links[:] = [link for link in links if link[1] != name]

    def _below(self, name: str) -> set[str]:
        return {name}.union(*(self._below(child) for _, child in self.links.get(name, [])))

    def _forget(self, names: set[str]) -> None:
        for name in names:
            self.containers.pop(name, None)
            self.items.pop(name, None)
            self.links.pop(name, None)

    # --- documents

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _href(self, name: str, base: str) -> str:
        return os.path.relpath(self._path(name), self._path(base).parent)

    def _documents(self) -> dict[str, Document]:
        documents: dict[str, Document] = {}
        for name, container in self.containers.items():
            links = [link(relation, self._href(child, name)) for relation, child in self.links[name]]
            loop = container.get("loop")
            if loop in self.containers and name in self._below(loop):
                links.append(link("child", self._href(loop, name)))
            make = collection if container["type"] == "Collection" else catalog
            documents[name] = make(container["id"], *links)
        for name, values in self.items.items():
            properties = {"datetime": values["datetime"], **values["properties"]}
            members = {key: values[key] for key in ("collection", "geometry") if key == "geometry" or values[key]}
            related = values["related"]
            known = related in self.items or related in self.containers
            links = [link("related", self._href(related, name))] if known else []
            documents[name] = item(values["id"], properties=properties, links=links, **members)
        return documents
