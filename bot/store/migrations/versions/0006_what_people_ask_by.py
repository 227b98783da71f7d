"""What people ask by: product, team, app, data class, exploit, fix, package, requirements; when it was suppressed

Revision: 0006, after: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql import sqltypes

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("findings") as findings:
        for name in ("product", "team", "app", "data_class", "package", "control_set"):
            findings.add_column(sa.Column(name, sqltypes.AutoString(), nullable=False, server_default=""))
        for name in ("exploit", "fixable"):
            findings.add_column(sa.Column(name, sa.Boolean(), nullable=True))
        for name in ("last_seen", "suppressed_at"):
            findings.add_column(sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "control_sets",
        sa.Column("id", sqltypes.AutoString(), nullable=False),
        sa.Column("standard", sqltypes.AutoString(), nullable=False),
        sa.Column("requirement", sqltypes.AutoString(), nullable=False),
        sa.PrimaryKeyConstraint("id", "standard", "requirement"),
    )


def downgrade() -> None:
    op.drop_table("control_sets")
    with op.batch_alter_table("findings") as findings:
        for name in ("product", "team", "app", "data_class", "package", "control_set", "exploit", "fixable",
                     "last_seen", "suppressed_at"):  # fmt: skip
            findings.drop_column(name)
