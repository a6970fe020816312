"""The state of jobs: registry, admission, lifecycle, store, reconciler, event log, webhooks, secrets."""
