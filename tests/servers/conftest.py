"""The doors log through txaio, which wants to know first that Twisted is behind it."""

import txaio

txaio.use_twisted()
