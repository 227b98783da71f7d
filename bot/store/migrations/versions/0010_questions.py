"""Conversations, answers and what people thought of them

Revision: 0010, after: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql import sqltypes

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    text, words, at = sa.Text(), sqltypes.AutoString(), sa.DateTime(timezone=True)
    op.create_table(
        "conversations",
        sa.Column("thread", words, nullable=False),
        sa.Column("rights", words, nullable=False),
        sa.Column("turn", text, nullable=False),
        sa.Column("cause_id", words, nullable=False),
        sa.Column("until", at, nullable=False),
        sa.PrimaryKeyConstraint("thread", "rights"),
    )
    op.create_index("ix_conversations_until", "conversations", ["until"])
    op.create_table(
        "answers",
        sa.Column("id", words, nullable=False),
        sa.Column("thread", words, nullable=False),
        sa.Column("principal_id", words, nullable=False),
        sa.Column("rights", words, nullable=False),
        sa.Column("question", text, nullable=False),
        sa.Column("status", words, nullable=False),
        sa.Column("query", text, nullable=False),
        sa.Column("result", text, nullable=False),
        sa.Column("text", text, nullable=False),
        sa.Column("at", at, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_answers_at", "answers", ["at"])
    op.create_table(
        "answer_feedback",
        sa.Column("answer_id", words, nullable=False),
        sa.Column("principal_id", words, nullable=False),
        sa.Column("question", text, nullable=False),
        sa.Column("query", text, nullable=False),
        sa.Column("status", words, nullable=False),
        sa.Column("verdict", words, nullable=False),
        sa.Column("comment", text, nullable=False),
        sa.Column("at", at, nullable=False),
        sa.PrimaryKeyConstraint("answer_id", "principal_id"),
    )


def downgrade() -> None:
    for table in ("answer_feedback", "answers", "conversations"):
        op.drop_table(table)
