"""The whole schema: one for YAML, command line and job."""

from __future__ import annotations

import hashlib
import json

from distlandscape.config.shared import (
    DataConfig,
    ModelConfig,
    ObjectiveConfig,
    RuntimeConfig,
    TrackingConfig,
    TrainConfig,
)
from distlandscape.config.studies import (
    EmergenceConfig,
    GoldilocksConfig,
    HierarchyConfig,
    HyperplaneConfig,
    SpectrumConfig,
    TheoryConfig,
)
from distlandscape.config.values import Section


class RunConfig(Section):
    """Everything a study needs to know; frozen, and hashed into the run's identity."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    train: TrainConfig = TrainConfig()
    spectrum: SpectrumConfig = SpectrumConfig()
    hierarchy: HierarchyConfig = HierarchyConfig()
    emergence: EmergenceConfig = EmergenceConfig()
    theory: TheoryConfig = TheoryConfig()
    hyperplane: HyperplaneConfig = HyperplaneConfig()
    goldilocks: GoldilocksConfig = GoldilocksConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    tracking: TrackingConfig = TrackingConfig()

    def digest(self) -> str:
        """sha256 of what decides the numbers: where the products run and who follows them do not."""
        numbers = self.model_dump(mode="json", exclude={"tracking": True, "runtime": True})
        return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()
