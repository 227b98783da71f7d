"""Where the Teams app is installed, and people's ids there

Revision: 0013, after: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql import sqltypes

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_TEXT = sqltypes.AutoString
_TIME = sa.DateTime(timezone=True)


def _words(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, _TEXT(), nullable=False) for name in names]


def upgrade() -> None:
    op.create_table(
        "teams_conversations",
        *_words("tenant", "id", "kind", "user", "team", "service_url", "bot"),
        sa.Column("installed", sa.Boolean(), nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    op.create_index("ix_teams_conversations_user", "teams_conversations", ["tenant", "user"])
    op.create_table(
        "teams_people",
        *_words("tenant", "user", "member", "conversation", "service_url"),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "user"),
    )


def downgrade() -> None:
    op.drop_table("teams_people")
    op.drop_table("teams_conversations")
