"""Webhooks received, and what sources are told

Revision: 0007, after: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql import sqltypes

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sqltypes.AutoString(), nullable=False)


def _at(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "webhooks",
        _text("id"),
        _text("source"),
        _text("key"),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        _at("received_at"),
        _text("state"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _at("not_before"),
        _text("leased_by"),
        _at("leased_until", nullable=True),
        sa.Column("said", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_webhooks_due", "webhooks", ["state", "not_before"])
    op.create_index("ix_webhooks_key", "webhooks", ["source", "key", "state"])
    op.create_table(
        "tellings",
        _text("id"),
        _text("finding_id"),
        _text("source"),
        _text("uid"),
        _text("to"),
        sa.Column("note", sa.Text(), nullable=False),
        _at("until", nullable=True),
        _text("reason_id"),
        _text("state"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _at("not_before"),
        _at("created_at"),
        _at("told_at", nullable=True),
        _at("rescan_at", nullable=True),
        _text("leased_by"),
        _at("leased_until", nullable=True),
        sa.Column("said", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_tellings_due", "tellings", ["state", "not_before"])
    op.create_index("ix_tellings_finding", "tellings", ["finding_id", "to"])


def downgrade() -> None:
    op.drop_index("ix_tellings_finding", "tellings")
    op.drop_index("ix_tellings_due", "tellings")
    op.drop_table("tellings")
    op.drop_index("ix_webhooks_key", "webhooks")
    op.drop_index("ix_webhooks_due", "webhooks")
    op.drop_table("webhooks")
