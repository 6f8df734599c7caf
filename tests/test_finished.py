"""Finished documents: used again as long as the store is the same, and never more than may be kept."""

from __future__ import annotations

import pytest

from fakes import FakeStore, fetch, make_store
from stacserve.api.finished import Finished, FinishedDocuments
from stacserve.app import create_app
from stacserve.settings import Settings


def test_document_used_last_is_kept_longest() -> None:
    kept = FinishedDocuments(bytes_max=8_000)
    for name in "abcde":
        kept.put(name, Finished(b"x" * 1_000))
    kept.get("a")
    kept.put("f", Finished(b"x" * 1_000))
    assert [name for name in "abcdef" if kept.get(name)] == ["a", "c", "d", "e", "f"]
    assert kept.size <= kept.bytes_max


def test_size_counts_keys_too() -> None:
    kept = FinishedDocuments(bytes_max=100_000)
    for number in range(1_000):
        kept.put(("x" * 1_000, number), Finished(b""))
    assert kept.size <= kept.bytes_max
    assert sum(kept.get(("x" * 1_000, number)) is not None for number in range(1_000)) < 100


def test_huge_document_is_not_kept() -> None:
    kept = FinishedDocuments(bytes_max=10_000)
    kept.put("a", Finished(b"x" * 5_000))
    assert kept.get("a") is None
    assert kept.size == 0


@pytest.mark.parametrize("path", ["/", "/collections", "/collections/new", "/queryables"])
def test_change_of_the_store_is_seen(path: str) -> None:
    store = make_store()
    app = create_app(Settings(), store=store)
    before = fetch(app, path)
    store.add_collection("new")
    store.counter += 1
    after = fetch(app, path)
    assert (before.text != after.text) is (path != "/queryables")


def test_documents_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store()
    asked = []
    original = FakeStore.get_collection

    async def get_collection(self: FakeStore, collection_id: str) -> object:
        asked.append(collection_id)
        return await original(self, collection_id)

    monkeypatch.setattr(FakeStore, "get_collection", get_collection)
    app = create_app(Settings(), store=store)
    answers = {fetch(app, path).content for path in ("/collections/a", "/collections/%61", "/collections/a/")}
    assert len(answers) == 1
    assert asked == ["a"]


def test_other_base_is_another_document() -> None:
    app = create_app(Settings(), store=make_store())
    assert "http://one.org/" in fetch(app, "/", base="http://one.org").text
    assert "http://one.org/" not in fetch(app, "/", base="http://two.org").text
