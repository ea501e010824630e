"""Names the gateway to twistd, nothing more."""

from twisted.application.service import ServiceMaker

securegw = ServiceMaker(
    "securegw",
    "securegw.gateway",
    "The secure e-mail gateway.",
    "securegw",
)
