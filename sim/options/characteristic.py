"""Characteristic functions of the log return X = ln(S_T / F) under a pricing measure.

F is the forward, so E[exp(X)] = 1 whatever the rates are. Every model has `exponent(u, years)`, the
log of E[exp(i u X)], for complex u of any shape.

Stochastic volatility with co-jumps (SVCJ; Duffie, Pan and Singleton 2000, Econometrica 68):

    dX = (-v / 2 - lambda m) dt + sqrt(v) dW + J_x dN
    dv = kappa (theta - v) dt + xi sqrt(v) dB + J_v dN,    d<W, B> = rho dt
    J_v ~ Exp(mean mu_v),    J_x | J_v ~ N(mu_x + rho_j J_v, sigma_x^2)
    m = exp(mu_x + sigma_x^2 / 2) / (1 - rho_j mu_v) - 1

Without variance jumps this is Bates (1996, Review of Financial Studies 9), without jumps Heston
(1993, Review of Financial Studies 6). The Heston part is in the form without branch cuts that
Albrecher, Mayer, Schoutens and Tistaert (2007, Wilmott) call the little trap, written so that a
small xi does not cancel:

    b = kappa - i rho xi u,  d = sqrt(b^2 + xi^2 (u^2 + i u)),  D_inf = -(u^2 + i u) / (b + d)
    g = xi^2 D_inf / (b + d),  e = exp(-d T),  D = D_inf (1 - e) / (1 - g e)
    C = kappa theta (D_inf T - 2 / xi^2 ln((1 - g e) / (1 - g)))
    ln E[exp(i u X)] = C + D v_0 + lambda (J - T - i u m T)

The jump part integrates the jumps' transform against the variance that they start,

    J = exp(i u mu_x - sigma_x^2 u^2 / 2)  integral_0^T ds / (c - mu_v D(s))
    c = 1 - i u rho_j mu_v

which with p = c - mu_v D_inf and q = c g - mu_v D_inf is, by partial fractions,

    T / p - mu_v D_inf (1 - g) / (d p q) ln(1 + q (1 - e) / (p - q)).
"""

from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sim.errors import ConfigError

Complex = NDArray[np.complex128]


class Model(Protocol):
    """What has a characteristic function."""

    def exponent(self, u: Any, years: float) -> Complex:
        """Log of E[exp(i u X)], of u's shape."""
        ...


def log1p(w: Complex) -> Complex:
    """ln(1 + w) for complex w; numpy's loses what is small against 1."""
    modulus = np.log1p(w.real * (2.0 + w.real) + w.imag * w.imag)
    return np.asarray(0.5 * modulus + 1j * np.arctan2(w.imag, 1.0 + w.real))


def _check(model: Any, bounds: dict[str, tuple[float, float]]) -> None:
    """Raise ConfigError unless every field is a finite number within its bounds."""
    for entry in fields(model):
        value = getattr(model, entry.name)
        low, high = bounds.get(entry.name, (-1e6, 1e6))
        if not (isinstance(value, int | float) and low <= value <= high):
            raise ConfigError(
                f"{entry.name} must be a number between {low:g} and {high:g}, got {value!r}; "
                "correct it"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class LognormalModel:
    """Black-Scholes: X normal with variance sigma^2 T."""

    sigma: float  # per square root of a year

    def __post_init__(self) -> None:
        """Check every number."""
        _check(self, {"sigma": (1e-6, 100.0)})

    def exponent(self, u: Any, years: float) -> Complex:
        """Log of E[exp(i u X)], of u's shape."""
        u = np.asarray(u, np.complex128)
        return np.asarray(-0.5 * self.sigma**2 * years * (u * u + 1j * u))


@dataclass(frozen=True, slots=True, kw_only=True)
class MertonModel:
    """Lognormal jumps on Black-Scholes (Merton 1976, Journal of Financial Economics 3)."""

    sigma: float  # of the diffusion, per square root of a year
    intensity: float  # jumps a year
    jump_mean: float  # of the log jump
    jump_volatility: float  # of the log jump

    def __post_init__(self) -> None:
        """Check every number."""
        _check(
            self,
            {"sigma": (1e-6, 100.0), "intensity": (0.0, 1e6), "jump_volatility": (0.0, 10.0)},
        )

    def exponent(self, u: Any, years: float) -> Complex:
        """Log of E[exp(i u X)], of u's shape."""
        u = np.asarray(u, np.complex128)
        variance = self.jump_volatility**2
        mean = np.expm1(self.jump_mean + 0.5 * variance)
        jumps = np.expm1(1j * u * self.jump_mean - 0.5 * variance * u * u) - 1j * u * mean
        diffusion = -0.5 * self.sigma**2 * (u * u + 1j * u)
        return np.asarray(years * (diffusion + self.intensity * jumps))


@dataclass(frozen=True, slots=True, kw_only=True)
class SvcjModel:
    """Stochastic volatility with correlated co-jumps (see the module).

    With the defaults there are no jumps, and the model is Heston; with `variance_jump` 0, Bates.
    """

    v0: float  # variance now, per year
    kappa: float  # mean reversion, per year
    theta: float  # long-run variance without jumps, per year
    xi: float  # volatility of variance, per year
    rho: float  # correlation of price and variance
    intensity: float = 0.0  # lambda, jumps a year
    jump_mean: float = 0.0  # mu_x, of the log jump of the price
    jump_volatility: float = 0.0  # sigma_x
    variance_jump: float = 0.0  # mu_v, mean jump of the variance
    jump_correlation: float = 0.0  # rho_j, of the price's jump with the variance's

    def __post_init__(self) -> None:
        """Check every number."""
        _check(
            self,
            {
                "v0": (0.0, 1e4), "kappa": (0.0, 1e6), "theta": (0.0, 1e4), "xi": (1e-4, 1e4),
                "rho": (-1.0, 1.0), "intensity": (0.0, 1e6), "jump_volatility": (0.0, 10.0),
                "variance_jump": (0.0, 1e4),
            },
        )  # fmt: skip
        if self.jump_correlation * self.variance_jump >= 1.0:
            raise ConfigError(
                "jump_correlation x variance_jump must be below 1, or the price's expectation is "
                f"infinite, got {self.jump_correlation:g} x {self.variance_jump:g}; lower one"
            )

    def exponent(self, u: Any, years: float) -> Complex:
        """Log of E[exp(i u X)], of u's shape."""
        u = np.asarray(u, np.complex128)
        xi2 = self.xi * self.xi
        b = self.kappa - 1j * self.rho * self.xi * u
        pull = u * u + 1j * u
        d = np.sqrt(b * b + xi2 * pull)
        limit = -pull / (b + d)
        g = xi2 * limit / (b + d)
        decay = np.exp(-d * years)
        level = limit * (1.0 - decay) / (1.0 - g * decay)
        log = log1p(g * (1.0 - decay) / (1.0 - g))
        drift = self.kappa * self.theta * (limit * years - 2.0 / xi2 * log)
        total = drift + level * self.v0
        if self.intensity > 0.0:
            total = total + self._jumps(u, years, limit, g, d, decay)
        return np.asarray(total)

    def _jumps(
        self, u: Complex, years: float, limit: Complex, g: Complex, d: Complex, decay: Complex
    ) -> Complex:
        """Part of the exponent that the jumps make."""
        variance = self.jump_volatility**2
        factor = np.exp(self.jump_mean + 0.5 * variance)
        mean = factor / (1.0 - self.jump_correlation * self.variance_jump) - 1.0
        c = 1.0 - 1j * u * self.jump_correlation * self.variance_jump
        pull = self.variance_jump * limit
        p, q = c - pull, c * g - pull
        share = (1.0 - decay) / (p - q)
        w = q * share
        small = np.abs(w) < 1e-8
        slope = np.where(small, 1.0 - 0.5 * w, log1p(w) / np.where(small, 1.0, w))
        time = years / p - pull * (1.0 - g) / (d * p) * share * slope
        jump = np.exp(1j * u * self.jump_mean - 0.5 * variance * u * u)
        return np.asarray(self.intensity * (jump * time - years - 1j * u * mean * years))


def svcj_of_daily(
    *,
    variance: float,
    kappa: float,
    theta: float,
    sigma_v: float,
    rho: float,
    intensity: float,
    mu_y: float,
    sigma_y: float,
    rho_j: float,
    mu_v: float,
    scale: float = 1.0,
) -> SvcjModel:
    """Make the continuous model of terms estimated on daily returns, of which there are 365 a year.

    Parameters
    ----------
    variance, theta : float
        Now and in the long run, of a day's return times `scale`.
    kappa, intensity : float
        Per day.
    sigma_v, rho, mu_y, sigma_y, rho_j, mu_v : float
        As in the discrete model V' = V + kappa (theta - V) + sigma_v sqrt(V) e + J Z_v, with
        Z_v ~ Exp(mu_v) and Z_y ~ N(mu_y + rho_j Z_v, sigma_y^2); of returns times `scale`.
    scale : float
        What log returns were multiplied by before the estimate.
    """
    unit = 365.0 / (scale * scale)  # variance of a year, per unit of the daily model
    return SvcjModel(
        v0=variance * unit, kappa=365.0 * kappa, theta=theta * unit,
        xi=sigma_v * np.sqrt(365.0 * unit), rho=rho, intensity=365.0 * intensity,
        jump_mean=mu_y / scale, jump_volatility=sigma_y / scale,
        variance_jump=mu_v * unit, jump_correlation=rho_j / scale / unit,
    )  # fmt: skip


def heston(v0: float, kappa: float, theta: float, xi: float, rho: float) -> SvcjModel:
    """Heston's model as an `SvcjModel` without jumps."""
    return SvcjModel(v0=v0, kappa=kappa, theta=theta, xi=xi, rho=rho)
