"""Per-clip work side by side: on a dask cluster of this machine, or on the one at ``DASK_SCHEDULER_ADDRESS``.

A worker writes what it makes and sends back one line, so memory does not grow with the corpus. A worker that dies loses nothing:
its clip is done again by another one; a clip that takes several workers with it, alone on the cluster, is given up, with a reason.
"""

import functools
import itertools
import logging
import os
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import CancelledError
from typing import Any

from emolib.errors import EmolibError

ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
CONNECT = "20s"  # how long a cluster may take to answer
PER_WORKER = 2  # jobs in flight for each worker: one at work, one at hand
DIED = "its worker process died, again and again: out of memory, or a crash in a decoder"


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def alone_in_thread() -> None:
    """One thread for all that computes: a process that has others beside it must not fight them for the cores."""
    import numba
    import torch
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    torch.set_num_threads(1)
    numba.set_num_threads(1)
    threadpool_limits(1)  # BLAS


def _beside_others(work: Callable, job: tuple):
    alone_in_thread()
    return work(*job)


def each(
    work: Callable, jobs: Iterable[tuple], *, workers: int | None = None
) -> Generator[tuple[tuple, Any, str], None, None]:
    """Yields (job, ``work(*job)``, "") as jobs get done, or (job, None, reason) for one that kills its workers.

    work: a function of a module. jobs: tuples of its arguments; they are taken as workers get free. workers: processes on this machine,
    one a core by default; 1: in this process, in order. With DASK_SCHEDULER_ADDRESS set, the workers of that cluster, which must see the
    same folders, unless ``workers`` is 1. A script that asks for processes needs ``if __name__ == "__main__":``.
    Raises :class:`EmolibError` if there is no cluster or it goes away; what ``work`` raises is raised.
    """
    jobs = list(jobs)
    processes = min(workers or cores(), len(jobs))
    if not jobs or (processes == 1 and not (os.environ.get("DASK_SCHEDULER_ADDRESS") and workers != 1)):
        return ((job, work(*job), "") for job in jobs)
    return _through_dask(work, jobs, processes)


def _through_dask(work: Callable, jobs: list[tuple], processes: int) -> Generator[tuple[tuple, Any, str], None, None]:
    import dask
    from distributed import Client, LocalCluster, as_completed
    from distributed.scheduler import KilledWorker

    address = os.environ.get("DASK_SCHEDULER_ADDRESS")
    settings: dict = {"logging.distributed": "error", "distributed.comm.timeouts.connect": CONNECT}
    # In the place of dask's own, which make malloc hand every frame back to the system: a fifth of the time in page faults.
    settings["distributed.nanny.pre-spawn-environ"] = dict.fromkeys(ONE_THREAD, "1")
    before = os.environ.copy()
    with dask.config.set(settings):
        try:
            cluster = None if address else LocalCluster(
                n_workers=processes, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL,
                memory_limit=None,
            )  # fmt: skip
            client = Client(address or cluster)
        except (OSError, TimeoutError, ValueError) as error:
            raise EmolibError(
                f"no dask cluster at {address or 'this machine'} ({error}); see DASK_SCHEDULER_ADDRESS"
            ) from None
        try:
            left, done = iter(jobs), as_completed([])
            doing: dict[Any, tuple] = {}

            def feed() -> None:
                """Tops up what is in flight: a cluster may grow and shrink, and its scheduler need not hold all jobs."""
                room = PER_WORKER * max(1, sum(client.nthreads().values())) - len(doing)
                for job in itertools.islice(left, max(0, room)):
                    future = client.submit(_beside_others, work, job, pure=False)
                    doing[future.key] = job
                    done.add(future)

            feed()
            suspects = []
            for future in done:
                job = doing.pop(future.key)
                try:
                    yield job, future.result(), ""
                except KilledWorker:  # or it was at hand where another job killed
                    suspects.append(job)
                future.release()
                feed()
            for job in suspects:
                try:
                    yield job, client.submit(_beside_others, work, job, pure=False).result(), ""
                except KilledWorker:
                    yield job, None, DIED
        except CancelledError:
            raise EmolibError("the dask cluster is gone; run it again, what is made so far is kept") from None
        finally:
            client.close()
            if cluster is not None:
                cluster.close()
                for name in (
                    *ONE_THREAD,
                    "PYTHONHASHSEED",
                ):  # a nanny sets what its worker is to inherit in this process
                    if name not in before:
                        os.environ.pop(name, None)
