"""Settings of gunicorn: four processes, each with a node id, and the end of their nodes."""

import os

workers = 4
bind = "127.0.0.1:8000"
# Each worker connects at its first request, so that the application can be loaded before the fork.
preload_app = True


def post_fork(server, worker):
    # gunicorn numbers the workers that it starts. Ids above 1,023 leave those below to Stalwart.
    os.environ["FASTCOORD_NODE_ID"] = str(1024 + worker.age % 60_000)


def worker_exit(server, worker):
    import site_app

    site_app.close()
