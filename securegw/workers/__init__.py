"""Workers run plain functions in threads and processes; no other room knows them.

Threads are for OpenSSL's work on what is large, which releases the GIL, and for the database's futures; processes for
anything that takes apart what a stranger sent, so that it can be ended by time and memory (threats: an item that kills
its worker is parked, not retried for ever), and others for what our own users send, so that nobody waits for the GIL.

``work`` is what the other rooms see, ``crew`` hands the work out, ``hand`` is one process as the reactor sees it,
``servant`` what runs in it, ``parcels`` how work and answers cross. ``scribe`` is a process that writes for the store.

Nothing is imported here: the processes need little of it, and no reactor.
"""
