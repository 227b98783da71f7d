"""Delegations, freezes, broken glass; a vote may stand for somebody

Revision: 0004, after: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql import sqltypes

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("votes") as votes:
        votes.add_column(sa.Column("stands_for", sqltypes.AutoString(), nullable=False, server_default=""))
        votes.add_column(sa.Column("delegation_id", sqltypes.AutoString(), nullable=False, server_default=""))
    op.create_table(
        "freezes",
        sa.Column("id", sqltypes.AutoString(), nullable=False),
        sa.Column("kind", sqltypes.AutoString(), nullable=False),
        sa.Column("value", sqltypes.AutoString(), nullable=False),
        sa.Column("by", sqltypes.AutoString(), nullable=False),
        sa.Column("reason", sqltypes.AutoString(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by", sqltypes.AutoString(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "delegations",
        sa.Column("id", sqltypes.AutoString(), nullable=False),
        sa.Column("from_id", sqltypes.AutoString(), nullable=False),
        sa.Column("from_identity", sqltypes.AutoString(), nullable=False),
        sa.Column("to_id", sqltypes.AutoString(), nullable=False),
        sa.Column("playbooks", sqltypes.AutoString(), nullable=False),
        sa.Column("environments", sqltypes.AutoString(), nullable=False),
        sa.Column("accounts", sqltypes.AutoString(), nullable=False),
        sa.Column("reason", sqltypes.AutoString(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_delegations_to_id", "delegations", ["to_id"])
    op.create_table(
        "break_glass",
        sa.Column("id", sqltypes.AutoString(), nullable=False),
        sa.Column("request_id", sqltypes.AutoString(), nullable=False),
        sa.Column("cause_id", sqltypes.AutoString(), nullable=False),
        sa.Column("by", sqltypes.AutoString(), nullable=False),
        sa.Column("identity", sqltypes.AutoString(), nullable=False),
        sa.Column("reason", sqltypes.AutoString(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reviewed_by", sqltypes.AutoString(), nullable=False),
        sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("review", sqltypes.AutoString(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("request_id"),
    )


def downgrade() -> None:
    op.drop_table("break_glass")
    op.drop_index("ix_delegations_to_id", "delegations")
    op.drop_table("delegations")
    op.drop_table("freezes")
    with op.batch_alter_table("votes") as votes:
        votes.drop_column("delegation_id")
        votes.drop_column("stands_for")
