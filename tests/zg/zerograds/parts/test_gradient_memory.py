"""The remembered gradient: corrected by slopes, moved by steps, forgotten where the loss is not isotropic."""

import pytest
import torch

from zg.zerograds.parts.directions import CrossedDirections
from zg.zerograds.parts.gradient_memory import GradientMemory, MemorySettings
from zg.zerograds.parts.slopes import Probes, SlopeEstimator, SlopeSettings

N = 320  # at 320 directions are orthonormal
TRUTH = torch.linspace(-1, 2, N, dtype=torch.float64)
SETTINGS = MemorySettings()


def remembered(curvature=1.0, gain=1.0):
    """A memory that holds the true gradient."""
    memory = GradientMemory(SETTINGS, TRUTH, norm=float(TRUTH.norm()), gain=gain)
    for count in range(SETTINGS.isotropic_blocks):
        memory.learn_curvature(curvature, 1.0, count)
    return memory


def isotropic(curvature=1.0):
    """Slopes of a loss with that mean curvature and gradient `TRUTH`."""
    return SlopeEstimator(SlopeSettings(), curvature=curvature, slope_square=float(TRUTH.square().mean()))


def test_a_sweep_of_exact_slopes_leads_to_the_gradient_and_each_block_changes_only_what_it_has_seen():
    directions = CrossedDirections(N, torch.Generator().manual_seed(0), torch.float64)
    memory, slopes = GradientMemory(SETTINGS, torch.zeros_like(TRUTH)), SlopeEstimator(SlopeSettings())
    for count in range(8):
        probes = Probes(directions.draw(40), 0.1, first=count % 2)
        directions.advance(40)
        before = memory.g
        memory.correct(probes, probes.directions.along(TRUTH), None, slopes, count)
        correction = memory.g - before
        assert torch.allclose(probes.directions.combine(probes.directions.along(correction)), correction)
    assert (memory.g - TRUTH).norm() < 0.5 * TRUTH.norm()  # the gain is below 1 where innovations differ by chance


def test_a_gradient_without_a_surprise_is_not_corrected():
    probes = Probes(CrossedDirections(N, torch.Generator().manual_seed(0), torch.float64).draw(40), 0.1, first=0)
    y = probes.directions.along(TRUTH)
    memory = remembered()
    memory.correct(probes, y, None, isotropic(), 0)
    assert torch.allclose(memory.g, TRUTH)


@pytest.mark.parametrize("step", [0.0, 0.5, 10.0])
def test_a_step_along_g_shortens_it_by_its_curvature(step):
    memory, norm = remembered(), float(TRUTH.norm())
    memory.follow(norm, step)
    assert float(memory.g.norm()) == pytest.approx(norm - min(step, norm))


def test_half_of_g_is_forgotten_where_it_is_curved_more_than_other_directions():
    memory, norm = remembered(curvature=3.0), float(TRUTH.norm())
    memory.follow(norm, 0.0)
    assert torch.allclose(memory.g, SETTINGS.kept * TRUTH)


@pytest.mark.parametrize(("slope", "left"), [(0.5, 0.5), (3.0, 1.5), (-1.0, 0.0)])
def test_the_slope_along_g_says_what_is_left_of_it(slope, left):
    memory, norm = remembered(), float(TRUTH.norm())
    memory.follow(slope * norm, 0.0)
    assert torch.allclose(memory.g, left * TRUTH)


def test_isotropy_is_sure_only_where_g_holds_a_part_of_the_gradient():
    memory = remembered()
    assert memory.is_surely_isotropic(isotropic(), N)
    memory.norm *= 0.1
    assert memory.is_isotropic and not memory.is_surely_isotropic(isotropic(), N)
    assert not remembered(curvature=2.0).is_isotropic


def test_a_curvature_that_passes_the_mean_one_on_its_way_is_not_isotropic():
    memory = GradientMemory(SETTINGS, TRUTH)
    for count, curvature in enumerate((3.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)):
        memory.learn_curvature(curvature, 1.0, count)
        assert not memory.is_isotropic
