"""Settings of gunicorn: four processes, and the end of their nodes."""

workers = 4
bind = "127.0.0.1:8000"
# Each worker connects at its first request, so that the application can be loaded before the fork.
preload_app = True


def worker_exit(server, worker):
    import site_app

    site_app.close()
