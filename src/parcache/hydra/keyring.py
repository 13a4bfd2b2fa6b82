"""The keys of one batch, and all that a worker needs to publish under them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import hydra
from omegaconf.errors import OmegaConfBaseException

from parcache.errors import UnkeyableCodeError, UnkeyableConfigError
from parcache.hydra.base import Base, environment
from parcache.hydra.compose import ComposedJob
from parcache.hydra.forms import BaseForms, JobForm
from parcache.hydra.named import named_inputs
from parcache.hydra.plain import shown
from parcache.hydra.runner import JobWork
from parcache.hydra.settings import Audit, CacheSettings
from parcache.keys import witness
from parcache.keys.canonical import is_pruned
from parcache.keys.code import Fingerprint, Source
from parcache.keys.doubts import executes_files
from parcache.keys.fingerprint import Fingerprinter
from parcache.keys.recipe import CODE_OFF, key_of_digest
from parcache.keys.scope import Scope
from parcache.model import Job, Key
from parcache.run.parts import Parts
from parcache.run.record import Explained
from parcache.store.store import Store

if TYPE_CHECKING:
    from parcache.run.audit import Closure
    from parcache.run.unit import Unit


class Keyring:
    """Makes the keys of a batch, and the units that its misses are sent out as.

    ``store`` is None where nothing is cached, ``fingerprinter`` where the code is not to count; ``warn`` gets a line
    for each problem, with the job's number. ``parts`` takes what jobs have in common. ``scope`` is None where what
    jobs read does not count. ``around`` is what of ``cache.env`` the workers' environment has other values for.
    """

    def __init__(
        self,
        cache: CacheSettings,
        store: Store | None,
        fingerprinter: Fingerprinter | None,
        warn: Callable[[str, int], None],
        parts: Parts,
        *,
        scope: Scope | None = None,
        writes: bool,
        around: Mapping[str, str] | None = None,
    ) -> None:
        self._cache = cache
        self._around = around or {}
        self._scope = scope
        self._writes = writes
        self._store = store
        self._fingerprinter = fingerprinter
        self._warn = warn
        self._parts = parts
        self._forms: dict[int, BaseForms] = {}
        self._open: dict[int, JobForm] = {}  # by job number: what depends on the surroundings is looked at once
        self._seen: dict[tuple[int, str], tuple[Base, Fingerprint | None]] = {}
        self._bases: dict[int, tuple[Base, int]] = {}
        self._briefs: dict[tuple[int, str], int] = {}
        self._texts: set[Source] = set()  # those that the store was given
        self._kept: dict[str, str] = {}  # by fingerprint: why its results are refused, or an empty string

    def job(self, composed: ComposedJob) -> Job:
        """Return the job with its key; without one where it cannot or need not be cached.

        Raises:
            SettingError: ``cache.inputs`` names what is not there.
        """
        key = self._key(composed)
        items = self._cache.inputs.named
        named = named_inputs(items, composed, self._cache.root) if items and key is not None else ()
        return Job(composed.number, composed.overrides, key, named)

    def prepare(self) -> None:
        """Take up what the jobs so far have in common, so that it travels when the workers start."""
        for base, fingerprint in self._seen.values():
            self._common(base)
            if self._writes:
                self._brief(base, fingerprint)

    def unit(self, job: Job, composed: ComposedJob) -> Unit:
        """Return what travels to a worker to run the job."""
        from parcache.run.unit import Ticket, Unit  # not where every job is a hit

        common = self._common(composed.base)
        if job.key is None or self._store is None:
            return Unit(job.number, common, JobWork(composed.variation, ()), None)
        form, fingerprint = self._made_of(composed)
        ignored = self._cache.ignore
        to_confirm = tuple(item for item in form.open if not ignored or not is_pruned(shown(item[0]), ignored))
        ticket = None
        if self._writes:
            brief = self._brief(composed.base, fingerprint)
            explanation = {"overrides": list(job.overrides), **form.explanation()}
            ticket = Ticket(brief, job.key, composed.output_dir, explanation, job.named)
        return Unit(job.number, common, JobWork(composed.variation, to_confirm), ticket)

    def explained(self, composed: ComposedJob) -> Explained | None:
        """Return what a job's key is made of, for people; None where that cannot be said."""
        try:
            form, _ = self._made_of(composed)
            own = {"overrides": list(composed.overrides), **form.explanation()}
            return id(composed.base), self._forms_of(composed.base).description, own
        except (OmegaConfBaseException, UnkeyableConfigError, UnkeyableCodeError):
            return None

    def codes(self) -> dict[str, dict[str, Any]]:
        """Return the descriptions of the fingerprints of the jobs so far, by digest."""
        return {found.digest: found.description() for _, found in self._seen.values() if found is not None}

    def close(self, is_kept: Callable[[Base], bool]) -> None:
        """Forget what later batches have no use for; ``is_kept`` tells which bases they may use."""
        for brief in self._briefs.values():
            self._parts.drop(brief)
        for base, part in self._bases.values():
            if not base.is_shared or not is_kept(base):
                self._parts.drop(part)
                del base.known[Parts]
        self._briefs.clear()
        self._bases.clear()

    def _key(self, composed: ComposedJob) -> Key | None:
        if self._store is None:
            return None
        try:
            form, fingerprint = self._made_of(composed)
            code = fingerprint.digest if fingerprint is not None else CODE_OFF
            cache = self._cache
            key = key_of_digest(form.digest, code, salt=cache.salt, env=self._env(composed))
        except OmegaConfBaseException as error:  # of env_set: the job will fail by it, or not
            self._warn(
                f"hydra.job.env_set cannot be resolved: {error}. Jobs like this run without a cache.", composed.number
            )
            return None
        except (UnkeyableConfigError, UnkeyableCodeError) as error:
            self._warn(f"{error} Jobs like this run without a cache.", composed.number)
            return None
        if fingerprint is not None and fingerprint.digest not in self._kept:
            self._keep(fingerprint)
        self._seen[id(composed.base), code] = composed.base, fingerprint
        return key

    def _made_of(self, composed: ComposedJob) -> tuple[JobForm, Fingerprint | None]:
        form = self._open.get(composed.number)
        if form is None:
            form = self._forms_of(composed.base).form(composed.variation)
            if form.open:
                self._open[composed.number] = form
        return form, self._fingerprinter.fingerprint(form.names) if self._fingerprinter is not None else None

    def _forms_of(self, base: Base) -> BaseForms:
        forms = self._forms.get(id(base))
        if forms is None:
            forms = base.known.get(BaseForms)
            if forms is None or forms.is_open:
                forms = base.known[BaseForms] = BaseForms(base, self._cache.ignore)
            self._forms[id(base)] = forms
        return forms

    def _env(self, composed: ComposedJob) -> dict[str, str | None]:
        """Return the variables that belong to the key, as the job will see them: ``env_set`` comes first."""
        names = self._cache.env
        if not names:
            return {}
        with environment(self._around), composed.environment():
            return {name: os.environ.get(name) for name in names}

    def _keep(self, fingerprint: Fingerprint) -> None:
        watcher = witness.of_this_process()
        watcher.observe(fingerprint.sources)
        # What this process has imported travels by value, or runs right here.
        unproven = watcher.unproven(fingerprint.sources)
        if unproven and fingerprint.asked is not None:
            from parcache.keys.retaken import of_witness

            if of_witness(watcher).is_same(fingerprint.asked, fingerprint.digest, fingerprint.sources):
                unproven = []
        self._kept[fingerprint.digest] = witness.refusal(unproven)
        if self._store is not None and self._writes and not self._store.has_code(fingerprint.digest):
            texts = {source.path: source.content.hex() for source in fingerprint.sources if source not in self._texts}
            self._texts.update(fingerprint.sources)
            self._store.describe_code(fingerprint.digest, fingerprint.description(), texts)

    def _common(self, base: Base) -> int:
        found: int | None = base.known.get(Parts)
        if found is None:
            found = base.known[Parts] = self._parts.add(base)
            self._bases[id(base)] = base, found
        return found

    def _brief(self, base: Base, fingerprint: Fingerprint | None) -> int:
        known = id(base), fingerprint.digest if fingerprint is not None else CODE_OFF
        found = self._briefs.get(known)
        if found is None and self._store is not None:
            from importlib.metadata import version

            from parcache.run.unit import Brief

            brief = Brief(
                self._store,
                fingerprint.sources if fingerprint is not None else None,
                fingerprint.distributions if fingerprint is not None else (),
                {
                    "task": fingerprint.task if fingerprint is not None else "",
                    "host": socket.gethostname(),
                    "parcache": version("parcache"),
                    "hydra": hydra.__version__,
                },
                {"config": self._forms_of(base).description},
                self._kept.get(known[1], ""),
                _closure(fingerprint) if self._cache.audit is not Audit.OFF else None,
                self._scope,
                self._cache.packages.excluded,
                fingerprint is not None and executes_files(fingerprint.dynamic),
                fingerprint.asked if fingerprint is not None else None,
            )
            found = self._briefs[known] = self._parts.add(brief)
        return found if found is not None else -1


def _closure(fingerprint: Fingerprint | None) -> Closure | None:
    from parcache.run.audit import closure_of

    return closure_of(fingerprint) if fingerprint is not None else None
