"""What every launcher of runs in pods shares: the API client, the pod template, the files, what pods say of themselves.

client.py        one connection to an API server: get, list, watch, create, patch, delete, log
settings.py      where the cluster is, and what the operator gives every pod
options.py       what a user may ask for in `extra_parameters`
pod.py           the pod template: a pure function of run, settings and options
files.py         the ConfigMap and the Secret that are mounted as the run's folder
review.py        what a cluster can't give
pod_states.py    the table of what pods say, in our words
run_states.py    what a workload and its pods say of a run
reasons.py       why a run has no pods yet: events, Kueue
launcher.py      the launcher itself, but for what its workload is
mirror.py        a list and a watch that keep a local copy current
logs.py          the log of a pod, followed and kept
"""
