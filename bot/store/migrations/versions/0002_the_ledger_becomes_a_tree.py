"""The ledger becomes a tree: its nodes, checkpoints and streams

Revision: 0002, after: 0001
"""

from __future__ import annotations

import hashlib

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql import sqltypes

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ledger_checkpoints",
        sa.Column("size", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("origin", sqltypes.AutoString(), nullable=False),
        sa.Column("root", sqltypes.AutoString(), nullable=False),
        sa.Column("at", sqltypes.AutoString(), nullable=False),
        sa.PrimaryKeyConstraint("size"),
    )
    op.create_table(
        "ledger_nodes",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("hash", sqltypes.AutoString(), nullable=False),
        sa.PrimaryKeyConstraint("seq", "level"),
    )
    op.create_table(
        "ledger_streams",
        sa.Column("sink", sqltypes.AutoString(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("updated_at", sqltypes.UTCDateTime(), nullable=False),
        sa.Column("failing_since", sqltypes.UTCDateTime(), nullable=True),
        sa.Column("error", sqltypes.AutoString(), nullable=False),
        sa.Column("leased_by", sqltypes.AutoString(), nullable=False),
        sa.Column("leased_until", sqltypes.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("sink"),
    )
    _grow(op.get_bind())


def _grow(conn: sa.Connection) -> None:
    """The tree over the records that are there already, as this version hashes it."""
    ledger = sa.table("ledger", sa.column("seq", sa.Integer), sa.column("hash", sa.String))
    nodes = sa.table(
        "ledger_nodes", sa.column("seq", sa.Integer), sa.column("level", sa.Integer), sa.column("hash", sa.String)
    )
    roots: list[bytes] = []
    after = 0
    while True:
        some = conn.execute(sa.select(ledger).where(ledger.c.seq > after).order_by(ledger.c.seq).limit(10_000)).all()
        if not some:
            return
        made = []
        for seq, hash_ in some:
            value = hashlib.sha256(b"\x00" + bytes.fromhex(hash_)).digest()
            position, level = seq - 1, 0
            while position & 1 and roots:
                value = hashlib.sha256(b"\x01" + roots.pop() + value).digest()
                position, level = position >> 1, level + 1
                made.append({"seq": seq, "level": level, "hash": value.hex()})
            roots.append(value)
            after = seq
        if made:
            conn.execute(nodes.insert(), made)


def downgrade() -> None:
    op.drop_table("ledger_streams")
    op.drop_table("ledger_nodes")
    op.drop_table("ledger_checkpoints")
