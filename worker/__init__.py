"""Celery: the application, the queues, the beat table, and tasks of a few lines that open a context and call one
verb."""
