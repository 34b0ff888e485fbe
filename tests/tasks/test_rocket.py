import math

import pytest
import torch

from tasks.rocket import FILM_FRAMES, LOST, MOON_RADIUS, PLANET_RADIUS, TICK, Rocket
from tests.tasks.golden import built
from zg.budget import Budget
from zg.errors import SettingError
from zg.run.run import run
from zg.zerograds.method import ZeroGrads


def coast(task, place, velocity, duration, steps):
    """Places and velocities [steps + 1] of a ship without thrust, in the inertial frame."""
    places, velocities = ([torch.tensor([value], dtype=torch.complex128)] for value in (place, velocity))
    for k in range(steps):
        time, dt = k * duration / steps, duration / steps
        new = task.step(places[-1], velocities[-1], time, dt, torch.zeros(1))
        places.append(new[0])
        velocities.append(new[1])
    return torch.cat(places), torch.cat(velocities)


# An elliptic orbit around a planet without a moon, from its periapsis: semi-major axis and eccentricity.
AXIS, ECCENTRICITY = 0.5, 0.4
NEAR = complex(AXIS * (1 - ECCENTRICITY))
FASTEST = 1j * math.sqrt((1 + ECCENTRICITY) / (1 - ECCENTRICITY) / AXIS)
PERIOD = 2 * math.pi * AXIS**1.5


def test_an_orbit_without_thrust_has_keplers_period():
    places, velocities = coast(built(Rocket(moon=0)), NEAR, FASTEST, PERIOD, 800)
    assert (places[-1] - NEAR).abs() < 1e-6
    assert (velocities[-1] - FASTEST).abs() < 1e-6
    assert places.abs().max() == pytest.approx(AXIS * (1 + ECCENTRICITY), rel=1e-6)


def test_an_orbit_without_thrust_conserves_energy_and_angular_momentum():
    places, velocities = coast(built(Rocket(moon=0)), NEAR, FASTEST, 3 * PERIOD, 2400)
    energy = velocities.abs().square() / 2 - 1 / places.abs()
    assert (energy + 1 / (2 * AXIS)).abs().max() < 1e-7
    momentum = (places.conj() * velocities).imag
    assert (momentum - momentum[0]).abs().max() < 1e-7


def test_the_integrator_has_fourth_order():
    task = built(Rocket(moon=0))
    errors = [float((coast(task, NEAR, FASTEST, PERIOD, n)[0][-1] - NEAR).abs()) for n in (200, 400)]
    assert 10 < errors[0] / errors[1] < 40


def test_between_two_bodies_the_jacobi_constant_is_conserved():
    moon = 0.1
    places, velocities = coast(built(Rocket(moon=moon)), 0.4 + 0.1j, -0.2 + 1.6j, 2.0, 2000)
    turn = torch.exp(1j * torch.linspace(0, 2, 2001, dtype=torch.float64))
    energy = velocities.abs().square() / 2
    energy -= (1 - moon) / (places + moon * turn).abs() + moon / (places - (1 - moon) * turn).abs()
    jacobi = energy - (places.conj() * velocities).imag
    assert (jacobi - jacobi[0]).abs().max() < 1e-6
    assert energy.std() > 1e-3  # the energy alone is not conserved


def test_eight_times_as_many_steps_give_nearly_the_same_flight():
    x = torch.tensor([[0.2], [0.38], [0.5]], dtype=torch.float64)
    coarse, fine = (built(Rocket(steps=steps)).fly(x)[0][-1] for steps in (400, 3200))
    assert (coarse - fine).abs().max() < 0.01


@pytest.fixture(scope="module")
def rocket():
    return built(Rocket())


@pytest.fixture(scope="module")
def landscape(rocket):
    """The loss at every tick of the burn time."""
    return rocket.render(torch.arange(0, 0.8, TICK, dtype=torch.float64)[:, None])


def test_the_loss_has_plateaus_jumps_and_a_solution(landscape):
    assert (landscape[:80] == LOST).all()  # the ship falls back
    assert (landscape[-20:] == LOST).all()  # the ship is lost
    assert (landscape == 0).sum() > 20  # the ship lands on the moon
    assert landscape.diff().abs().max() > 0.5
    valleys = (landscape[1:-1] < landscape[:-2]) & (landscape[1:-1] < landscape[2:])
    assert valleys.sum() >= 3


def test_the_loss_is_constant_within_a_tick(rocket, landscape):
    x = 0.55 + TICK * torch.tensor([-0.4, 0.0, 0.4, 0.6], dtype=torch.float64)
    losses = rocket.render(x[:, None])
    assert losses[0] == losses[1] == losses[2]
    assert losses[3] != losses[2]


@pytest.mark.parametrize("settings", [{}, {"stages": 2, "steer": True, "longest": 0.3}])
def test_the_gradient_is_zero(settings):
    task = built(Rocket(**settings, steps=100))
    x = (task.space.to_user(task.space.init) * 0.8)[None].requires_grad_()
    loss = task.render(x)
    assert 0 < loss < LOST
    (slope,) = torch.autograd.grad(loss.sum(), x, allow_unused=True)
    assert slope is None or (slope == 0).all()


def test_a_ship_that_has_touched_a_body_stays_there(rocket):
    path, crashed = rocket.fly(torch.tensor([[0.02], [0.38], [0.6]], dtype=torch.float64))
    assert crashed.tolist() == [True, False, False]
    still = (path[-1] - path[-50]).abs()
    assert still[0] == still[1] == 0 < still[2]
    assert (path[-1, 0] + 0.1).abs() == pytest.approx(PLANET_RADIUS, abs=0.03)
    assert (path[-1, 1] - 0.9).abs() == pytest.approx(MOON_RADIUS, abs=0.03)


def test_stages_burn_in_sequence(rocket):
    staged = built(Rocket(stages=3, steer=True))
    burn, pause, angle = [0.1, 0.2, 0.05], [0.3, 0.1], [0.0, 0.5, -0.5]
    x = torch.tensor([[*burn, *pause, *angle]], dtype=torch.float64)
    push = staged.schedule(x)[:, 0]
    dt = staged.duration / staged.steps
    assert float(push.abs().sum()) * dt == pytest.approx(staged.thrust * sum(burn))
    lit = [round(k * dt, 3) for k in range(staged.steps) if push[k].abs() > 0]
    starts = [time for time in lit if round(time - dt, 3) not in lit]
    assert starts == pytest.approx([0.0, 0.4, 0.7])
    assert push[round(0.45 / dt)].angle() == pytest.approx(0.5)


def test_a_run_lands_on_the_moon_and_writes_its_pictures(tmp_path):
    result = run(Rocket(steps=200), ZeroGrads(), Budget(max_renders=150, target_loss=1e-9), folder=tmp_path / "run")
    assert result.row["init_loss"] > 0.3
    assert result.row["best_loss"] == 0
    assert (result.folder / "panel.png").is_file()
    assert (result.folder / "video.gif").is_file()


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"stages": 0}, "stages must be > 0, got 0"),
        ({"moon": 0.6}, "moon must be from 0 to 0.5, got 0.6"),
        ({"thrust": -1.0}, "thrust must be > 0, got -1.0"),
        ({"steps": 0}, "steps must be > 0, got 0"),
    ],
)
def test_a_wrong_setting_raises_an_error_of_one_line(settings, message):
    with pytest.raises(SettingError, match=message) as raised:
        built(Rocket(**settings))
    assert "\n" not in str(raised.value)


def test_the_film_follows_the_ship_from_release_to_arrival():
    task = Rocket()
    task.setup()
    frames = list(task.film(task.space.to_user(task.space.init)))
    assert len(frames) == FILM_FRAMES
    assert all(frame.shape == frames[0].shape for frame in frames)
    assert not torch.equal(frames[0], frames[-1])
