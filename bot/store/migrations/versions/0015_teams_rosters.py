"""Which people of gatehouse.yml are members of a conversation of Teams

Revision: 0015, after: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql import sqltypes

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "teams_rosters",
        *(sa.Column(name, sqltypes.AutoString(), nullable=False) for name in ("tenant", "conversation", "asked")),
        sa.Column("members", sa.Text(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "conversation"),
    )


def downgrade() -> None:
    op.drop_table("teams_rosters")
