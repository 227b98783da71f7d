"""The model's part: its calls, the budget of a day, narratives and what people said of them

Revision: 0009, after: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql import sqltypes

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sqltypes.AutoString(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "model_calls",
        _text("id"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        _text("purpose"),
        _text("subject"),
        _text("key"),
        _text("endpoint"),
        _text("model"),
        sa.Column("input", sa.Text(), nullable=False),
        sa.Column("output", sa.Text(), nullable=False),
        _text("state"),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("input_tokens", sa.Integer(), nullable=False),
        sa.Column("output_tokens", sa.Integer(), nullable=False),
        sa.Column("cost_micros", sa.BigInteger(), nullable=True),
        sa.Column("milliseconds", sa.Integer(), nullable=False),
        _text("repairs"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_model_calls_key", "model_calls", ["key", "state"])
    op.create_index("ix_model_calls_at", "model_calls", ["at"])
    op.create_table(
        "model_days",
        _text("day"),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day"),
    )
    op.create_table(
        "narratives",
        _text("cause_id"),
        _text("key"),
        _text("call_id"),
        _text("model"),
        sa.Column("body", sa.Text(), nullable=False),
        _text("state"),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seen_revision", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        _text("leased_by"),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("cause_id"),
    )
    op.create_index("ix_narratives_due", "narratives", ["state", "not_before"])
    op.create_table(
        "narrative_feedback",
        _text("call_id"),
        _text("cause_id"),
        _text("principal_id"),
        sa.Column("good", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("call_id", "cause_id", "principal_id"),
    )


def downgrade() -> None:
    op.drop_table("narrative_feedback")
    op.drop_index("ix_narratives_due", "narratives")
    op.drop_table("narratives")
    op.drop_table("model_days")
    op.drop_index("ix_model_calls_at", "model_calls")
    op.drop_index("ix_model_calls_key", "model_calls")
    op.drop_table("model_calls")
