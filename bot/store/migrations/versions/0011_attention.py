"""Suppression rules and what they hide, causes that people split or merged, first posts, escalations, daily digests

Revision: 0011, after: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql import sqltypes

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_TEXT = sqltypes.AutoString
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "suppression_rules",
        sa.Column("id", _TEXT(), nullable=False),
        sa.Column("name", _TEXT(), nullable=False),
        sa.Column("origin", _TEXT(), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("hash", _TEXT(), nullable=False),
        sa.Column("author", _TEXT(), nullable=False),
        sa.Column("state", _TEXT(), nullable=False),
        sa.Column("state_by", _TEXT(), nullable=False),
        sa.Column("state_why", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("changed_at", _TIME, nullable=False),
        sa.Column("until", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_suppression_rules_state", "suppression_rules", ["state"])
    op.create_table(
        "suppression_names",
        sa.Column("rule_id", _TEXT(), nullable=False),
        sa.Column("principal_id", _TEXT(), nullable=False),
        sa.Column("name", _TEXT(), nullable=False),
        sa.Column("hash", _TEXT(), nullable=False),
        sa.Column("identity", _TEXT(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("rule_id", "principal_id"),
    )
    op.create_table(
        "silences",
        sa.Column("finding_id", _TEXT(), nullable=False),
        sa.Column("rule_id", _TEXT(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("was", _TEXT(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("until", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("finding_id"),
    )
    op.create_index("ix_silences_rule", "silences", ["rule_id"])
    op.create_index("ix_silences_until", "silences", ["until"])
    op.create_table(
        "cause_moves",
        sa.Column("subject", _TEXT(), nullable=False),
        sa.Column("kind", _TEXT(), nullable=False),
        sa.Column("from_key", _TEXT(), nullable=False),
        sa.Column("to_key", _TEXT(), nullable=False),
        sa.Column("by", _TEXT(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("subject"),
    )
    op.create_table(
        "first_posts",
        sa.Column("cause_id", _TEXT(), nullable=False),
        sa.Column("address", _TEXT(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("posted_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("cause_id", "address", "at"),
    )
    op.create_index("ix_first_posts_at", "first_posts", ["priority", "at"])
    op.create_table(
        "escalations",
        sa.Column("cause_id", _TEXT(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("addresses", _TEXT(), nullable=False),
        sa.PrimaryKeyConstraint("cause_id", "priority"),
    )
    op.create_table(
        "daily_digests",
        sa.Column("address", _TEXT(), nullable=False),
        sa.Column("day", _TEXT(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("since", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("address", "day"),
    )


def downgrade() -> None:
    for name in ("daily_digests", "escalations"):
        op.drop_table(name)
    op.drop_index("ix_first_posts_at", "first_posts")
    op.drop_table("first_posts")
    op.drop_table("cause_moves")
    op.drop_index("ix_silences_until", "silences")
    op.drop_index("ix_silences_rule", "silences")
    op.drop_table("silences")
    op.drop_table("suppression_names")
    op.drop_index("ix_suppression_rules_state", "suppression_rules")
    op.drop_table("suppression_rules")
