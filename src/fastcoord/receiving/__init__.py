"""The way in (internal): ``receiver`` checks and counts each message and puts it into the ``ring``
of each ``subscription``; ``cursor`` decodes events where the consumer takes them. ``gaps`` judges
every message that does not continue its sender's sequence.
"""
