"""leaves that are kept go before all else, also those that an earlier version kept

Revision ID: 0013
Revises: 0012
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# As consent/tables.FOREMOST: a migration knows nothing of what that becomes.
_FOREMOST = datetime(1970, 1, 1, tzinfo=UTC)


def upgrade() -> None:
    requests = sa.table(
        "requests", sa.column("kind"), sa.column("taken_at"), sa.column("not_before", sa.DateTime(timezone=True))
    )
    kept = (requests.c.kind == "exit", requests.c.taken_at.is_(None))
    op.execute(requests.update().where(*kept).values(not_before=_FOREMOST))
