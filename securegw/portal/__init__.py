"""The web site where outside people read and answer their letters: sign in, read, write.

Not a place that knows the store or the keys: it reaches letters through ``flow.webmail``, people through ``accounts``.
"""

from securegw.portal.revocation import lists_site
from securegw.portal.site import portal_site

__all__ = ["lists_site", "portal_site"]
