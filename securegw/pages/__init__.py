"""What all web pages share: TLS site, bodies of requests, headers, form tokens, languages, templates, sorry pages.

Not the pages themselves: those are doors above. HTTP/1.1 (RFC 9110, RFC 9112), cookies (RFC 6265bis), forms
(RFC 7578), Content-Security-Policy 3.
"""

from securegw.pages.bodies import BodyRules, Form, Upload
from securegw.pages.download import send_file
from securegw.pages.rates import Rate
from securegw.pages.request import PageRequest
from securegw.pages.settings import PortalSettings
from securegw.pages.site import PageSite
from securegw.pages.sorry import Sorry
from securegw.pages.static import StaticFiles
from securegw.pages.writer import PageWriter

__all__ = [
    "BodyRules", "Form", "PageRequest", "PageSite", "PageWriter", "PortalSettings", "Rate", "Sorry", "StaticFiles",
    "Upload", "send_file",
]
