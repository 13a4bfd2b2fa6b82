"""The keys of one batch, and all that a worker needs to publish under them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from parcache.errors import UnkeyableCodeError, UnkeyableConfigError
from parcache.hydra.compose import ComposedJob, plain_config
from parcache.hydra.plain import PlainConfig
from parcache.hydra.runner import JobConfig
from parcache.hydra.settings import CacheSettings
from parcache.keys import witness
from parcache.keys.canonical import describe, is_pruned, prune
from parcache.keys.fingerprint import Fingerprint, Fingerprinter
from parcache.keys.recipe import CODE_OFF, make_key
from parcache.model import Job, Key
from parcache.run.worker import Ticket, Unit, code_refusal
from parcache.store.store import Store

_version = lru_cache(maxsize=None)(version)


class Keyring:
    """Makes the keys of a batch.

    ``store`` is None where nothing is cached, ``fingerprinter`` where the code is not to count; ``warn`` gets a line
    for each problem, with the job's number.
    """

    def __init__(
        self,
        cache: CacheSettings,
        store: Store | None,
        fingerprinter: Fingerprinter | None,
        warn: Callable[[str, int], None],
        *,
        writes: bool,
    ) -> None:
        self._cache = cache
        self._writes = writes
        self._store = store
        self._fingerprinter = fingerprinter
        self._warn = warn
        self._made_of: dict[int, tuple[PlainConfig, Fingerprint | None]] = {}

    def job(self, composed: ComposedJob) -> Job:
        """Return the job with its key; without one where it cannot or need not be cached."""
        return Job(composed.number, composed.overrides, self._key(composed))

    def unit(self, job: Job, composed: ComposedJob) -> Unit:
        """Return what travels to a worker to run the job."""
        if job.key is None or self._store is None:
            return Unit(job.number, JobConfig(composed.config, ()), None)
        plain, fingerprint = self._made_of[job.number]
        to_confirm = tuple(item for item in plain.open if not is_pruned(item[0], self._cache.ignore))
        ticket = None
        if self._writes:
            hidden = {place for place, _ in plain.open}
            sources = fingerprint.sources if fingerprint is not None else ()
            # What this process has imported travels by value, or runs right here.
            refusal = code_refusal(witness.of_this_process(), sources)
            ticket = Ticket(
                self._store,
                job.key,
                sources,
                fingerprint.distributions if fingerprint is not None else (),
                self._record(composed, fingerprint),
                {"overrides": list(job.overrides), "config": describe(prune(plain.tree, self._cache.ignore), hidden)},
                refusal,
            )
        return Unit(job.number, JobConfig(composed.config, to_confirm), ticket)

    def _key(self, composed: ComposedJob) -> Key | None:
        if self._store is None:
            return None
        try:
            plain = plain_config(composed)
            fingerprint = self._fingerprinter.fingerprint(plain.names) if self._fingerprinter is not None else None
            code = fingerprint.digest if fingerprint is not None else CODE_OFF
            cache = self._cache
            # As the job will see them: hydra.job.env_set comes before the surroundings.
            surroundings = {**os.environ, **{str(k): str(v) for k, v in composed.config.hydra.job.env_set.items()}}
            env = {name: surroundings.get(name) for name in cache.env}
            key = make_key(plain.tree, code, salt=cache.salt, ignore=cache.ignore, env=env)
        except (UnkeyableConfigError, UnkeyableCodeError) as error:
            self._warn(f"{error} Jobs like this run without a cache.", composed.number)
            return None
        self._made_of[composed.number] = plain, fingerprint
        if fingerprint is not None:
            self._keep(fingerprint)
        return key

    def _keep(self, fingerprint: Fingerprint) -> None:
        witness.of_this_process().observe(fingerprint.sources)
        if self._store is not None and self._writes:
            self._store.describe_code(
                fingerprint.digest,
                {
                    "task": fingerprint.task,
                    "modules": dict(fingerprint.forms),
                    "distributions": dict(fingerprint.distributions),
                    "dynamic": list(fingerprint.dynamic),
                },
            )

    @staticmethod
    def _record(composed: ComposedJob, fingerprint: Fingerprint | None) -> dict[str, Any]:
        return {
            "task": fingerprint.task if fingerprint is not None else "",
            "output_dir": os.path.abspath(composed.output_dir),
            "host": socket.gethostname(),
            "parcache": _version("parcache"),
            "hydra": _version("hydra-core"),
        }
