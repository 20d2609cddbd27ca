"""Nodes, and what their rows say. Floor 5; may import: floors 0 to 4."""

from __future__ import annotations

from coatcheck.records import Kind, Node
from coatcheck.stores.base import Store
from coatcheck.testing.store_contract.making import make_stamp
from coatcheck.testing.store_contract.playing import Playing


class NodeRows(Playing):
    """Nodes, and what their rows say."""

    def test_a_node_is_what_it_said(self) -> None:
        """It joins knowing nothing; from then on its row says what its last beat said, and nothing else moves it."""

        async def story(store: Store) -> None:
            assert (await store.nodes()).rows == ()
            assert await store.join("n1", label="host 1") > 0
            await store.end("x", of=None, kind=Kind.REVOKED, note="", stamp=make_stamp())
            nodes = await store.nodes()
            assert nodes.rows == (Node(id="n1", label="host 1", beat=0, applied=0, epoch=0),)
            assert (nodes.head, nodes.epoch) == (1, (await store.tail(0)).epoch)
            assert await store.beat("n1", beat=7, applied=1, epoch=1) == await store.tail(1)
            assert (await store.nodes()).rows == (Node(id="n1", label="host 1", beat=7, applied=1, epoch=1),)

        self.play(story)

    def test_a_late_join_acknowledges_nothing(self) -> None:
        """A join that arrives again says 0, whatever the head is by then."""

        async def story(store: Store) -> None:
            await store.join("n1", label="")
            await store.end("x", of=None, kind=Kind.REVOKED, note="", stamp=make_stamp())
            await store.beat("n1", beat=1, applied=1, epoch=1)
            await store.join("n1", label="")
            assert [(row.beat, row.applied, row.epoch) for row in (await store.nodes()).rows] == [(1, 0, 0)]

        self.play(story)

    def test_a_counter_never_goes_back(self) -> None:
        """A beat or a join that arrives late does not make a living row look as it did before: it would be dropped."""

        async def story(store: Store) -> None:
            await store.join("n1", label="")
            await store.beat("n1", beat=1, applied=0, epoch=1)
            await store.beat("n1", beat=5, applied=0, epoch=1)
            assert await store.beat("n1", beat=1, applied=0, epoch=1) is not None
            assert not await store.drop_node("n1", beat=1)
            await store.join("n1", label="")
            assert not await store.drop_node("n1", beat=0)
            assert [row.beat for row in (await store.nodes()).rows] == [5]

        self.play(story)

    def test_a_node_without_a_row_is_told(self) -> None:
        """Its beat brings nothing into being; it must join anew."""

        async def story(store: Store) -> None:
            assert await store.beat("n1", beat=1, applied=0, epoch=0) is None
            assert (await store.nodes()).rows == ()
            await store.join("n1", label="")
            await store.leave("n1")
            await store.leave("n1")
            assert await store.beat("n1", beat=1, applied=0, epoch=0) is None

        self.play(story)

    def test_a_row_is_dropped_only_while_it_stands_still(self) -> None:
        """One that moved since it was looked at stays."""

        async def story(store: Store) -> None:
            for name in ("n1", "n2"):
                await store.join(name, label="")
            await store.beat("n1", beat=1, applied=0, epoch=0)
            assert not await store.drop_node("n1", beat=0)
            assert await store.drop_node("n1", beat=1)
            assert not await store.drop_node("n1", beat=1)
            assert [row.id for row in (await store.nodes()).rows] == ["n2"]

        self.play(story)
