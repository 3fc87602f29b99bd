"""The paper's findings in miniature: small nets on the sample, several seeds of each (`make miniature`)."""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from miniature_design import BUILD, EVALUATIONS, PROBED, ROWS, SEEDS, TIMES, WIDTH, is_trained

from vggbench.cli.terminal import say, speak
from vggbench.errors import UsageError, VggbenchError, counted
from vggbench.files import write_whole
from vggbench.render.tables.cells import duration

TABLE = Path("tables/miniature.md")


@dataclass(frozen=True)
class Task:
    """A training, or an evaluation that waits for the trainings before it."""

    name: str
    command: list[str]
    seconds: int
    """Seconds on one core, as the design weighs it."""
    is_training: bool
    needs: tuple[str, ...] = ()
    """Names of the trainings of its nets."""


def main() -> None:
    """Do what is left, and write tables/miniature.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"trainings of each net, {SEEDS} as a rule")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes, each on a core of its own")
    parser.add_argument("--render", action="store_true", help="compute nothing: write the table of what there is")
    asked = parser.parse_args()
    speak()
    if not asked.render:
        for folder in (TIMES, BUILD / "logs"):
            folder.mkdir(parents=True, exist_ok=True)
        Sitting(asked.jobs).do(left(asked.seeds))
    from miniature_findings import document

    write_whole(TABLE, document(asked.seeds).encode())
    say(f"{TABLE} is written.")


def left(seeds: int) -> list[Task]:
    """What is not done yet, seed by seed, so that at any time all nets have been trained nearly equally often."""
    from miniature_findings import Stored

    stored, tasks = Stored.of(seeds), list[Task]()
    for seed in range(seeds):
        trainings = [row for row in ROWS if not is_trained(row, seed)]
        tasks += [Task(row.file(seed).stem, row.training(seed), row.seconds, True) for row in trainings]
        for own in EVALUATIONS:
            needs = tuple(row.file(seed).stem for row in own.rows if row in trainings)
            if needs or not stored.has(own, seed):
                name = f"seed{seed}-{own.protocol}-{own.scales[-1]}"
                tasks.append(Task(name, own.command(seed), own.seconds, False, needs))
    return tasks


class Sitting:
    """Tasks that are done now, some at a time; interrupted, they stop where they can be carried on."""

    def __init__(self, jobs: int) -> None:
        if jobs < 1:
            raise UsageError(f"--jobs {jobs}: expected 1 or more.")
        self._jobs, self._lock, self._cores = jobs, threading.Lock(), threading.Semaphore(jobs)
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped, self._done, self._began = False, 0, time.monotonic()

    def do(self, tasks: Sequence[Task]) -> None:
        """All of them. Raises VggbenchError where one fails, KeyboardInterrupt."""
        if not tasks:
            return
        todo = sum(task.seconds for task in tasks)
        trainings = sum(task.is_training for task in tasks)
        say(
            f"{counted(trainings, 'training')} and {counted(len(tasks) - trainings, 'evaluation')} are left: about "
            f"{duration(todo / self._jobs * slower())} for {counted(self._jobs, 'process')} here, by a short probe. "
            "Interrupt it at any time: the same command carries on; --render writes the table of what there is."
        )
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _interrupt)
        futures: dict[str, Future[None]] = {}
        with ThreadPoolExecutor(len(tasks)) as pool:
            try:
                for task in tasks:
                    before = [futures[name] for name in task.needs]
                    futures[task.name] = pool.submit(self._one, task, before, todo)
                for future in as_completed(futures.values()):
                    future.result()
            except BaseException:
                self._stop()
                pool.shutdown(cancel_futures=True)
                raise

    def _one(self, task: Task, before: Sequence["Future[None]"], todo: int) -> None:
        for future in before:
            future.result()
        with self._cores:
            if not self._stopped:
                self._conduct(task, todo)

    def _conduct(self, task: Task, todo: int) -> None:
        log, began = BUILD / "logs" / f"{task.name}.log", time.monotonic()
        with log.open("wb") as output:
            child = self._started(task.command, output)
            if child is None:
                return
            _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        with self._lock:
            self._running.discard(child)
        seconds = time.monotonic() - began
        _note(task, used.ru_utime + used.ru_stime, seconds)
        if child.returncode and not self._stopped:
            self._stop()
            last = log.read_text(errors="replace").strip().rpartition("\n")[2]
            raise VggbenchError(f"{task.name} failed: {last} Its output: {log}.")
        if not child.returncode:
            self._tell(task, seconds, todo)

    def _started(self, command: Sequence[str], output: BinaryIO) -> "subprocess.Popen[bytes] | None":
        """On one thread; None where the sitting has been stopped."""
        words, alone = [sys.executable, "-m", "vggbench", *command], {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        with self._lock:
            if self._stopped:
                return None
            child = subprocess.Popen(words, stdout=output, stderr=output, env=os.environ | alone)
            self._running.add(child)
            return child

    def _tell(self, task: Task, seconds: float, todo: int) -> None:
        with self._lock:
            self._done += task.seconds
            rest = (todo - self._done) * (time.monotonic() - self._began) / self._done
        say(f"{task.name}: {duration(seconds)}{f'; about {duration(rest)} left' if rest >= 1 else ''}.")

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
            for child in self._running:
                child.terminate()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def slower() -> float:
    """Times as long as where the design's seconds were measured, by a probe of a training's step."""
    import torch

    from vggbench import Settings
    from vggbench.paper.configs import CONFIGS
    from vggbench.train.plan import seconds_per_image
    from vggbench.train.step import Running

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = seconds_per_image(CONFIGS["D"], WIDTH, Running(Settings(device="cpu")), classes=12) / PROBED
    torch.set_num_threads(threads)
    return found


def _note(task: Task, cpu: float, wall: float) -> None:
    took = {"task": task.name, "training": task.is_training, "cpu": round(cpu, 2), "wall": round(wall, 2)}
    write_whole(TIMES / f"{task.name}-{time.time_ns()}.json", json.dumps(took).encode())


if __name__ == "__main__":
    try:
        main()
    except VggbenchError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        say("Interrupted: the same command carries on.")
        sys.exit(130)
