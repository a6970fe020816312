"""One job in several processes: who they are, how they talk, what each of them does.

    place = read_place(os.environ)            # torchrun, Slurm, Open MPI, or our own spawner
    team = Team(place, stop, background)      # alone where there is one process
    ranks = team.join()                       # the collectives that the loop needs

Adapters are replicas: gradients are summed once a step, in one collective, after the last micro batch. torch's DDP wrapper
would average what must be weighted by tokens, and wants as many backward passes on every rank. Base weights that are
trained or quantised to 4 bits are sharded with FSDP2; adapters on them stay replicas.
"""
