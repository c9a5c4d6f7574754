"""The parts of a sweep, each timed in small: some steps of each kind of training, products of a point, one draw."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Sequence

from distlandscape.config import RunConfig
from distlandscape.data import BlockStore
from distlandscape.objective import Objective
from distlandscape.studies import goldilocks_measure, goldilocks_task, hyperplane_task, theory
from distlandscape.studies.goldilocks import Tasks
from distlandscape.studies.goldilocks_point import random_point
from distlandscape.studies.hyperplane import Packs, coarse_grid
from distlandscape.studies.hyperplane_planes import GIVEN, HESSIAN, TRAJECTORY
from distlandscape.studies.probe import measure
from distlandscape.studies.sweep_costs import Part, SweepCosts
from distlandscape.studies.training_task import PROBE_STEPS, pace
from distlandscape.theory import RandomModel
from distlandscape.theory.experiments import Task, perform

NEW_DIMS = 2  # of a refinement of the hyperplane study, for each crossing that is looked for
EIGENVECTOR_PASSES = 3  # a dimension
BRIEF_STEPS = 3
Phases = list[list[Part]]


def sweep_costs(
    study: str,
    config: RunConfig,
    objective: Objective | None = None,
    test: BlockStore | None = None,
    steps: int = PROBE_STEPS,
) -> SweepCosts:
    """Time the parts of a sweep; the theory study has no objective.

    Cost: of each dimension of planes (of each mode, in goldilocks) one pack is prepared and takes ``steps`` steps.
    """
    if objective is None:
        phases = _draws(config)
        return SweepCosts(tuple(map(tuple, phases)), 0.0, 0.0)
    phases, held = (_planes if study == "hyperplane" else _zone)(config, objective, test, steps)
    x, y = objective.data.block(0)
    samples = (x.nbytes + y.nbytes) / len(x) * objective.samples
    return SweepCosts(tuple(map(tuple, phases)), samples, held)


def _planes(config: RunConfig, objective: Objective, test: BlockStore | None, probe: int) -> tuple[Phases, float]:
    """The coarse grid, and refinements that cost what the mean dimension of it does."""
    h, t = config.hyperplane, config.train
    assert t.steps is not None, "the runner resolves train.steps"
    packs = Packs(config, objective.data, test, objective.parameters)
    tasks = packs.full()
    full = pace(functools.partial(hyperplane_task.prepare, tasks[0]), probe)
    pass_seconds = 0.0
    if HESSIAN in h.kinds:
        product = measure(objective, config, seconds=0.0)
        pass_seconds = product.blocks * product.block_seconds
    grid = _alike("full space", tasks, full.seconds(t.steps, h.evaluate_every))
    finer, held = [], full.held_bytes
    for kind in h.kinds:
        seconds = []
        # Planes of the network itself are timed as stored ones; what they cost beforehand is counted.
        like, ahead = ("dense" if kind in GIVEN else kind), 0.0
        if kind == TRAJECTORY:
            ahead = t.steps * full.step
        for dim in coarse_grid(config, objective.parameters, (kind, max(h.burn_in))):
            tasks = packs.of((like, 0), dim)
            confined = pace(functools.partial(hyperplane_task.prepare, tasks[0]), probe)
            if kind == HESSIAN:
                ahead = len(tasks[0].seeds) * EIGENVECTOR_PASSES * dim * pass_seconds
            seconds.append(ahead + confined.seconds(h.steps or t.steps, h.evaluate_every))
            held = max(held, confined.held_bytes)
            for steps in h.burn_in:
                name = f"{kind}, d = {dim}" + (f", after {steps} steps" if steps else "")
                grid += _alike(name, tasks, seconds[-1] + steps * full.step)
        for steps in h.burn_in:
            mean = sum(seconds) / len(seconds) + steps * full.step
            new = NEW_DIMS * (1 if h.target_accuracy is None else 2)
            finer += [part for _ in range(new) for part in _alike(f"{kind}, refined", tasks, mean)]
    return _affordable([grid, *[finer] * h.rounds], h.budget_trainings), held


Question = tuple[str, RunConfig, Objective | None, BlockStore | None]


def briefly(question: Question) -> SweepCosts:
    """``sweep_costs`` in short, as a task: what a study says when it starts."""
    return sweep_costs(*question, steps=BRIEF_STEPS)


def _alike(name: str, tasks: Sequence[hyperplane_task.PackTask], seconds: float) -> list[Part]:
    """Packs of a dimension, where the first took so long and a smaller one takes as much less."""
    sizes = Counter(len(task.seeds) for task in tasks)
    return [Part(name, count, size, seconds * size / len(tasks[0].seeds)) for size, count in sizes.items()]


def _affordable(phases: Phases, budget: int | None) -> Phases:
    """What a budget of trainings leaves of them, from the first on."""
    if budget is None:
        return phases
    kept: Phases = []
    for phase in phases:
        kept.append([])
        for part in phase:
            tasks = min(part.tasks, budget // part.trainings)
            kept[-1].append(Part(part.name, tasks, part.trainings, part.seconds))
            if tasks < part.tasks:
                return kept
            budget -= tasks * part.trainings
    return kept


def _zone(config: RunConfig, objective: Objective, test: BlockStore | None, probe: int) -> tuple[Phases, float]:
    """Points, whose passes are counted, and trainings of each mode and dimension."""
    g, t, P = config.goldilocks, config.train, objective.parameters
    tasks = Tasks(config, objective.data, test)
    there = random_point(config, g.seed, g.temperatures[0], g.radii[0], objective.data, test, "float64")
    costs = measure(there, config, seconds=0.0)
    passes = goldilocks_measure.point_passes(config, objective)
    points = Part("point", len(tasks.given()) + len(tasks.points()), 0, passes * costs.blocks * costs.block_seconds)
    held = 8.0 * P * (max(g.planes) + goldilocks_measure.outlier_steps(config, objective)[1])
    trained, alike = [], Counter((task.mode, task.dim) for task in tasks.trainings() if g.point is None)
    for task in tasks.trainings():
        count = alike.pop((task.mode, task.dim), 0)
        if count:
            assert t.steps is not None, "the runner resolves train.steps"
            training = pace(functools.partial(goldilocks_task.prepare, task), probe)
            seconds = training.seconds(t.steps, max(1, t.steps))
            trained.append(Part(f"{task.mode}, d = {task.dim}", count, g.trainings, seconds))
            held = max(held, training.held_bytes)
    return [[points], trained], held


def _draws(config: RunConfig) -> Phases:
    t = config.theory
    model, sets = theory.model_of(config), theory.sets_of(config)
    one = _timed(Task("draw", model))
    planes = [Part(f"plane, d = {d}", 1, 0, _timed(Task("plane", model, d))) for d in t.planes]
    further = [Part(_name(m), t.draws, 0, _timed(Task("draw", m))) for m in sets]
    growth = Part("draw along training", len(t.growth) * t.points, 0, one)
    return [[Part("draw", t.draws, 0, one)], [growth], planes, further]


def _name(model: RandomModel) -> str:
    return f"draw of {model.classes} × {model.examples} × {model.dim}"


def _timed(task: Task) -> float:
    began = time.perf_counter()
    perform(task)
    return time.perf_counter() - began
