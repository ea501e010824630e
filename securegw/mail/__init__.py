"""Mail itself: addresses, messages, envelopes and the mails we write. Plain Python on bytes."""
