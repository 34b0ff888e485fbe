"""The neural surrogate (NP) in local coordinates, with a memory of samples and a trust region.

    h(θ, φ) = m + s · MLP_φ((θ − θ_i) / σ)

θ_i is the present θ, σ the width of sampling, m and s are the mean and the deviation of the losses in memory. The
network sees neither θ nor losses in their own units, so one learning rate suits every problem.

An iteration renders θ_i and antithetic samples around θ_i, takes `k_phi` steps of Adam on φ, then `k_theta` steps
down h inside the ball of radius σ √n, which the samples fill. The next render of θ tells how good the prediction was:
σ grows after a good one and shrinks after a poor one, as in a trust region (Conn, Gould and Toint, "Trust-Region
Methods", 2000, algorithm 6.1.1), and the noise of the renderer is allowed for.

Cost: 2 · pairs + 1 renders an iteration, one more if the loss is noisy; O((window + hidden) · n) memory.
After the neural surrogate of Fischer and Ritschel, "ZeroGrads" (ACM TOG 2024), which is in `paper_surrogates`.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer

from zg.problem import Problem
from zg.sampling import antithetic
from zg.zerograds.parts.network import LocalNetwork
from zg.zerograds.surrogates.base import Surrogate, resolution


@dataclass(frozen=True)
class NeuralSettings:
    """Meaning, unit and source of each; "10 ×" says what a value ten times larger does.

    All without a source were chosen by experience.
    """

    #: Antithetic pairs of samples an iteration; None for n + 1 within the next two. 10 ×: few iterations, far behind.
    pairs: int | None = None
    #: Fewest pairs by default. 10 ×: as more pairs, where n is small.
    fewest_pairs: int = 2
    #: Most pairs by default. 10 ×: as more pairs, where n is large.
    most_pairs: int = 10
    #: Samples in memory. 10 ×: less harm by noise, no help without noise; slower fits.
    window: int = 80
    #: Steps on φ an iteration. 10 ×: a better gradient if the loss is smooth, noise is fitted too; slower.
    k_phi: int = 20
    #: Steps on θ an iteration. 10 ×: as long a way in shorter steps, no better; several times slower.
    k_theta: int = 20
    #: Adam's learning rate for φ. 10 ×: faster if the loss is smooth and n small, else worse.
    lr: float = 3e-3
    #: Width of each hidden layer of the network. 10 ×: as many times slower, and no better.
    hidden: int = 64
    #: Number of hidden layers. 10 ×: `k_phi` steps do not fit the network, and the run fails.
    layers: int = 2
    #: Samples count by their distance as a Gaussian of this width, in σ. 10 ×: far ones count as near ones; worse.
    locality: float = 2.0
    #: Losses further from their mean, in deviations, count as that far. 10 ×: one very bad sample decides the fit.
    outlier: float = 5.0
    #: σ grows if the loss falls by more than this part of the predicted decrease. 10 ×: σ grows rarely.
    good: float = 0.5
    #: σ shrinks if the loss falls by less than this part of the predicted decrease. 10 ×: σ shrinks often.
    poor: float = 0.1
    #: Factor on σ after a good prediction, or if noise hides the decrease. 10 ×: σ swings, and is mostly too large.
    grow: float = 1.2
    #: Factor on σ after a poor prediction, and after a failed render of θ. 10 ×, above 1: σ diverges.
    shrink: float = 0.7
    #: Factor on σ if all losses of an iteration are equal. 10 ×: σ jumps over the edge of a plateau.
    plateau_grow: float = 2.0
    #: σ restarts below this power of the relative precision, where rounding hides a curvature. 10 ×: never.
    restart_power: float = 0.25
    #: The σ of a restart over the σ of the one before. 10 ×: few widths are tried before σ is too large.
    restart_grow: float = 2.0
    #: A step is taken back if the loss rose by more than this, in noise. 10 ×: rises of 20 times the noise are kept.
    risen: float = 2.0
    #: Part of the squared noise that an iteration replaces. 10 ×: the noise is that of one iteration, which varies.
    noise_rate: float = 0.1


@dataclass
class NeuralState:
    """All that changes."""

    #: The present θ [n] scaled; samples are drawn around it.
    theta: Tensor
    #: The last θ [n] scaled whose loss was seen and not too high.
    accepted: Tensor
    #: Width of sampling, scaled units a coordinate.
    sigma: float
    #: The σ of the last restart; at first the first σ.
    restart_sigma: float
    #: The memory: θ [≤ window, n] scaled, oldest first.
    samples: Tensor
    #: Their losses [≤ window], NaN where the render failed.
    losses: Tensor
    #: h.
    network: LocalNetwork
    #: The optimiser of φ.
    adam: Optimizer
    #: The loss at `accepted`; NaN before the first.
    loss: float = math.nan
    #: The decrease of the loss that h predicts for the last step; NaN before the first.
    predicted_decrease: float = math.nan
    #: Standard deviation of the noise of one render; NaN until measured. It is not measured again once it is 0.
    noise: float = math.nan
    #: Root mean square error of the last fit, in units of the loss.
    fit_error: float = math.nan
    #: Length of the last step, scaled units.
    step_length: float = 0.0


class Neural(Surrogate):
    """An MLP in local coordinates, for smooth losses; the default never chooses it.

    σ shrinks in `_resize` after a poor prediction and in `_judge` after a failed render of θ, by `shrink`. σ grows in
    `_resize` by `grow` and on a plateau, in `tell`, by `plateau_grow`. `_judge` restarts σ, wider by `restart_grow`.
    """

    Settings = NeuralSettings
    settings: NeuralSettings
    state: NeuralState

    def __init__(self, problem: Problem, theta: Tensor, sigma: float, settings: NeuralSettings | None = None) -> None:
        super().__init__(problem, settings)
        options = self.settings
        self.pairs = options.pairs or min(max(self.n + 1, options.fewest_pairs), options.most_pairs)
        network = LocalNetwork(
            self.n, options.hidden, options.layers, options.lr, options.outlier, problem.generator, theta.dtype
        )
        start = theta.clone()
        samples, losses = theta.new_empty(0, self.n), theta.new_empty(0, dtype=torch.float64)
        self.state = NeuralState(start, start, sigma, sigma, samples, losses, network, network.optimizer)

    @property
    def sigma(self) -> float:
        return self.state.sigma

    @property
    def converged(self) -> bool:
        """Never: a σ that is too small restarts."""
        return False

    def ask(self) -> Tensor:
        """θ, twice while the loss is or may be noisy, and antithetic samples around θ: [1 or 2 + 2 · pairs, n]."""
        offsets = antithetic(self.pairs, self.n, self.problem.generator, self.theta.dtype)
        return torch.cat([self.theta.expand(self._renders_of_theta, -1), self.theta + self.sigma * offsets])

    def tell(self, theta: Tensor, losses: Tensor, valid: Tensor) -> None:
        count = self._renders_of_theta
        self._remember(theta[count - 1 :], losses[count - 1 :])
        self._judge(losses[:count])
        is_on_plateau = len(losses) > count and bool((losses == losses[0]).all())
        if is_on_plateau:
            self.state.sigma *= self.settings.plateau_grow
            self.state.theta = self.state.accepted
        elif self.state.losses.isfinite().sum() > 1:
            self._fit()
            self._step()

    def take_known(self, theta: Tensor, losses: Tensor) -> bool:
        self._remember(theta, losses)
        return True

    @property
    def _renders_of_theta(self) -> int:
        """How many renders of θ an iteration has."""
        is_noiseless = self.state.noise == 0
        return 1 if is_noiseless else 2

    def _remember(self, theta: Tensor, losses: Tensor) -> None:
        """Add θ [B, n] and losses [B] to the memory, and drop the oldest samples."""
        s, window = self.state, self.settings.window
        s.samples = torch.cat([s.samples, theta])[-window:]
        s.losses = torch.cat([s.losses, losses])[-window:]

    def _judge(self, losses: Tensor) -> None:
        """Set σ by the predicted and the seen decrease, and keep or take back the last step. losses [1 or 2]: at θ."""
        s = self.state
        self._measure_noise(losses)
        loss, noise = float(losses.nanmean()), 0.0 if math.isnan(s.noise) else s.noise
        has_failed = math.isnan(loss)
        if has_failed:
            s.theta, s.sigma = s.accepted, self.settings.shrink * s.sigma
            return
        decrease = s.loss - loss
        if not math.isnan(decrease):
            self._resize(decrease, noise)
        is_sigma_too_small = s.sigma < resolution(s.theta, self.settings.restart_power)
        if is_sigma_too_small:
            s.restart_sigma *= self.settings.restart_grow
            s.sigma = s.restart_sigma
        has_loss_risen = decrease < -self.settings.risen * noise
        if has_loss_risen:
            s.theta = s.accepted
        else:
            s.loss, s.accepted = loss, s.theta

    def _measure_noise(self, losses: Tensor) -> None:
        """A moving average of the squared noise, from two losses [2] of one θ."""
        if len(losses) < 2 or not losses.isfinite().all():
            return
        s, rate = self.state, self.settings.noise_rate
        seen = float((losses[0] - losses[1]).abs()) / math.sqrt(2)
        s.noise = seen if math.isnan(s.noise) else math.hypot((1 - rate) ** 0.5 * s.noise, rate**0.5 * seen)

    def _resize(self, decrease: float, noise: float) -> None:
        """Trust region: σ follows the decrease that was seen over the decrease that was predicted."""
        s, predicted = self.state, self.state.predicted_decrease
        has_noise_hidden_decrease = noise > 0 and predicted <= noise
        was_prediction_good = decrease > self.settings.good * predicted
        was_prediction_poor = decrease < self.settings.poor * predicted - noise
        if has_noise_hidden_decrease or was_prediction_good:
            s.sigma *= self.settings.grow
        elif was_prediction_poor:
            s.sigma *= self.settings.shrink

    def _fit(self) -> None:
        """k_phi steps on φ over the memory; near samples count for more."""
        s = self.state
        s.network.move_to(s.theta, s.sigma)
        is_known = s.losses.isfinite()
        samples, losses = s.samples[is_known], s.losses[is_known]
        distance = s.network.to_local(samples).square().mean(1).double()
        weights = (-distance / (2 * self.settings.locality**2)).exp()
        s.fit_error = s.network.fit(samples, losses, weights, self.settings.k_phi)

    def _step(self) -> None:
        """Move θ down h, and note the decrease of the loss that h predicts."""
        s = self.state
        theta = self.problem.project(self._descend(s.sigma * math.sqrt(self.n)))
        here, there = self.predict(torch.stack([s.theta, theta])).tolist()
        s.predicted_decrease, s.step_length = here - there, float((theta - s.theta).norm())
        s.theta = theta

    def _descend(self, radius: float) -> Tensor:
        """Where k_theta steps down h lead, inside the ball of that radius around θ: θ [n].

        The steps' lengths fall in equal parts, and their sum is (1 + 1 / k_theta) · radius.
        """
        start, steps = self.theta, self.settings.k_theta
        theta = start
        for k in range(steps):
            g = self.gradient(theta)
            length = 2 * radius / steps * (1 - k / steps)
            move = theta - length * g / g.norm().clamp_min(torch.finfo(g.dtype).tiny) - start
            theta = start + move * (radius / move.norm().clamp_min(radius))
        return theta

    def recommend(self) -> Tensor:
        """The last θ whose loss was seen; the newest step is still to be judged."""
        return self.state.accepted

    @torch.no_grad()
    def predict(self, theta: Tensor) -> Tensor:
        predicted: Tensor = self.state.network(theta)
        return predicted

    def gradient(self, theta: Tensor) -> Tensor:
        return self.state.network.gradient(theta)

    def status(self) -> dict[str, float]:
        """step: its length, scaled units; fit_error and noise: in units of the loss."""
        return {"step": self.state.step_length, "fit_error": self.state.fit_error, "noise": self.state.noise}
