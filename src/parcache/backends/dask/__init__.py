"""The backend ``dask``: jobs on the workers of a Dask cluster, each in a process of its own beside the Dask worker."""
