"""All tables of all rooms in one place, for migrations."""

from .bulletins import tables as bulletins
from .consent import tables as consent
from .db import Base
from .delivery import tables as delivery
from .inbound import tables as inbound
from .privacy import tables as privacy
from .staff import tables as staff

ROOMS = (consent, bulletins, staff, delivery, inbound, privacy)
metadata = Base.metadata
