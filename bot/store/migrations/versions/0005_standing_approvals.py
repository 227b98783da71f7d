"""Standing approvals: terms, grants, uses, looks

Revision: 0005, after: 0004
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql import sqltypes

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sqltypes.AutoString(), nullable=False)


def _long(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _at(name: str) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def upgrade() -> None:
    op.create_table(
        "standing_approvals",
        _text("id"),
        _text("hash"),
        _text("playbook"),
        sa.Column("playbook_version", sa.Integer(), nullable=False),
        _long("scope"),
        sa.Column("cap", sa.Integer(), nullable=False),
        _at("ends_at"),
        _text("created_by"),
        _at("created_at"),
        _long("reason"),
        sa.Column("quorum", sa.Integer(), nullable=False),
        _text("policy_version"),
        _text("state"),
        _text("state_by"),
        _long("state_why"),
        _at("changed_at"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_standing_state", "standing_approvals", ["state", "ends_at"])
    op.create_table(
        "standing_grants",
        _text("standing_id"),
        _text("principal_id"),
        _text("hash"),
        _text("identity"),
        _at("at"),
        sa.PrimaryKeyConstraint("standing_id", "principal_id"),
    )
    op.create_table(
        "standing_uses",
        _text("id"),
        _text("standing_id"),
        _text("standing_hash"),
        _text("cause_id"),
        _text("mark"),
        _text("request_id"),
        _text("execution_id"),
        _at("at"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("request_id"),
        sa.UniqueConstraint("execution_id"),
    )
    op.create_index("ix_standing_uses_hour", "standing_uses", ["standing_id", "at"])
    op.create_index("ix_standing_uses_cause", "standing_uses", ["cause_id"])
    op.create_table(
        "standing_looks",
        _text("standing_id"),
        _text("cause_id"),
        _text("mark"),
        _at("at"),
        _long("why"),
        sa.PrimaryKeyConstraint("standing_id", "cause_id"),
    )


def downgrade() -> None:
    op.drop_table("standing_looks")
    op.drop_index("ix_standing_uses_cause", "standing_uses")
    op.drop_index("ix_standing_uses_hour", "standing_uses")
    op.drop_table("standing_uses")
    op.drop_table("standing_grants")
    op.drop_index("ix_standing_state", "standing_approvals")
    op.drop_table("standing_approvals")
