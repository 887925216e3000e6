"""Buckets are listed page by page, in order, with what tells one state of an object from another."""

from __future__ import annotations

from obstore.store import MemoryStore

from legato.buckets.store import StoreBucket


def test_a_page_is_full_until_the_last_and_in_order() -> None:
    store = MemoryStore()
    for number in range(25):
        store.put(f"in/{number:02}.csv", b"x" * number)
    store.put("in2/other.csv", b"")
    bucket = StoreBucket("memory://", store)
    pages, after = [], ""
    while not pages or len(pages[-1]) == 10:
        pages.append(bucket.list("in/", after, 10))
        after = pages[-1][-1].name
    assert [len(page) for page in pages] == [10, 10, 5]
    found = [each for page in pages for each in page]
    assert [(each.name, each.size) for each in found] == [(f"in/{number:02}.csv", number) for number in range(25)]
    assert bucket.list("nothing/", "", 10) == []
    assert len(bucket.list("", "", 100)) == 26


def test_other_bytes_have_another_digest() -> None:
    store = MemoryStore()
    store.put("a", b"1")
    bucket = StoreBucket("memory://", store)
    (first,), (same,) = bucket.list("", "", 10), bucket.list("", "", 10)
    store.put("a", b"2")
    (other,) = bucket.list("", "", 10)
    assert first == same
    assert first.digest
    assert first.digest != other.digest
