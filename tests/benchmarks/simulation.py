"""The table of docs/scaling.md: the cost model of ``plan`` for ResNet-50 on 1.28 million images. Nothing is run.

python -m tests.benchmarks.simulation
"""

from dataclasses import replace

from distlandscape.studies.costs import Costs

IMAGES, BLOCKS, IMAGES_PER_SECOND = 1_281_167, 2048, 250
COSTS = Costs(
    parameters=25_557_032,
    blocks=BLOCKS,
    block_seconds=IMAGES / BLOCKS / IMAGES_PER_SECOND,
    sample_bytes=IMAGES * 3 * 224 * 224,
    vector_bytes=4,
    memory_rate=1e10,
    network_rate=25e9 / 8,
    local_workers=1,
    transport="store",
)
PASSES = 200
COUNTS = (8, 16, 32, 64, 128, 256, 512, 1024)


def table():
    """Markdown: seconds of a pass, share of ideal speed-up over 8 workers, hours of the study, by transport."""
    lines = ["| workers | store: s a pass | of ideal | hours | collective: s a pass | of ideal | hours |"]
    lines.append("|---|---|---|---|---|---|---|")
    first = {name: replace(COSTS, transport=name).plan(8, PASSES) for name in ("store", "collective")}
    for count in COUNTS:
        cells = [str(count)]
        for name in ("store", "collective"):
            plan = replace(COSTS, transport=name).plan(count, PASSES)
            ideal = 8 * first[name].pass_seconds / (count * plan.pass_seconds)
            cells += [f"{plan.pass_seconds:.1f}", f"{100 * ideal:.0f} %", f"{plan.total_seconds / 3600:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
