"""The particle filter's loops over trajectories and particles: weights, resampling, motion."""

import math

import numpy as np

from observer.estimators.kernels.plant import output, step, turned


def normalise(log_weights):
    """Logarithms that add up to one, and the number of particles that count; all alike where none is left."""
    largest = -math.inf
    for i in range(len(log_weights)):
        if log_weights[i] > largest:
            largest = log_weights[i]
    if not math.isfinite(largest):
        log_weights[:] = -math.log(len(log_weights))
        return float(len(log_weights))
    total, squares = 0.0, 0.0
    for i in range(len(log_weights)):
        w = math.exp(log_weights[i] - largest) if log_weights[i] > -math.inf else 0.0
        total += w
        squares += w * w
    shift = largest + math.log(total)
    for i in range(len(log_weights)):
        log_weights[i] = log_weights[i] - shift if log_weights[i] - shift > -700.0 else -700.0
    return total * total / squares


def counting(log_weights, likelihood, power):
    """How many particles count with this power of the likelihood."""
    largest = -math.inf
    for i in range(len(log_weights)):
        value = log_weights[i] + power * likelihood[i]
        if value > largest:
            largest = value
    if not math.isfinite(largest):
        return float(len(log_weights))
    total, squares = 0.0, 0.0
    for i in range(len(log_weights)):
        value = log_weights[i] + power * likelihood[i] - largest
        w = math.exp(value) if value > -700.0 else 0.0
        total += w
        squares += w * w
    return total * total / squares


def moments(particles, log_weights, angles, mean, middle):
    """The weighted mean; angles about the direction of their mean on the circle, ``middle``."""
    count, nx = particles.shape
    mean[:] = 0.0
    middle[:] = 0.0
    for i in range(count):
        w = math.exp(log_weights[i])
        for j in range(nx):
            mean[j] += w * particles[i, j]
    for j in range(nx):
        if math.isnan(angles[j]):
            middle[j] = mean[j]
            continue
        turn, sine, cosine, shift = 2 * math.pi / angles[j], 0.0, 0.0, 0.0
        for i in range(count):
            w = math.exp(log_weights[i])
            sine += w * math.sin(turn * particles[i, j])
            cosine += w * math.cos(turn * particles[i, j])
        middle[j] = mean[j] + turned(math.atan2(sine, cosine) / turn - mean[j], angles[j])
        for i in range(count):
            shift += math.exp(log_weights[i]) * turned(particles[i, j] - middle[j], angles[j])
        mean[j] = middle[j] + shift


def weigh(particles, log_weights, u, y, p, sharp, turns, remaining, last, survivors, halvings, poor):
    """One stage of the correction of every trajectory; bit 1 of the result: some must be drawn anew, bit 2: more stages follow."""
    trajectories, count = log_weights.shape
    expected, likelihood, result = np.empty(len(sharp)), np.empty(count), 0
    for k in range(trajectories):
        poor[k] = False
        if not remaining[k] > 0:
            continue
        for i in range(count):
            output(0.0, particles[k, i], u[k], p, expected)
            total = 0.0
            for j in range(len(sharp)):
                if not math.isnan(y[k, j]):
                    part = turned(y[k, j] - expected[j], turns[j]) * sharp[j]
                    total += part * part
            likelihood[i] = -math.inf if math.isnan(total) else -0.5 * total
        share = remaining[k]
        if not last and not counting(log_weights[k], likelihood, share) >= survivors * count:
            low, top = 0.0, share
            for _ in range(halvings):
                half = 0.5 * (low + top)
                if counting(log_weights[k], likelihood, half) >= survivors * count:
                    low = half
                else:
                    top = half
            share = max(low, 1e-6 * remaining[k])
        for i in range(count):
            log_weights[k, i] += share * likelihood[i]
        poor[k] = normalise(log_weights[k]) < 0.5 * count
        remaining[k] -= share
        if poor[k]:
            result |= 1
        if remaining[k] > 0:
            result |= 2
    return result


def redraw(particles, log_weights, poor, offset, noise, bandwidth, angles, low, high):
    """Systematic resampling with a little Gaussian noise, for the trajectories that are poor."""
    trajectories, count, nx = particles.shape
    mean, middle, moved = np.empty(nx), np.empty(nx), np.empty((count, nx))
    deviations, cover, root = np.empty((count, nx)), np.empty((nx, nx)), np.empty((nx, nx))
    keep = math.sqrt(1 - bandwidth * bandwidth)
    for k in range(trajectories):
        if not poor[k]:
            continue
        moments(particles[k], log_weights[k], angles, mean, middle)
        cover[:] = 0.0
        for i in range(count):
            w = math.exp(log_weights[k, i])
            for j in range(nx):
                deviations[i, j] = turned(particles[k, i, j] - middle[j], angles[j]) - (mean[j] - middle[j])
            for j in range(nx):
                for l in range(j + 1):
                    cover[j, l] += w * deviations[i, j] * deviations[i, l]
        for j in range(nx):  # Cholesky; a direction without spread gets none
            for l in range(j + 1):
                total = cover[j, l]
                for o in range(l):
                    total -= root[j, o] * root[l, o]
                if l < j:
                    root[j, l] = total / root[l, l] if root[l, l] > 0.0 else 0.0
                else:
                    root[j, j] = math.sqrt(total) if total > 1e-14 * cover[j, j] else 0.0
        done, along = 0, 0.0
        for i in range(count):
            along += math.exp(log_weights[k, i])
            passed = count if i == count - 1 else min(max(math.ceil(count * along - offset), 0), count)
            while done < passed:
                for j in range(nx):
                    value = mean[j] + keep * deviations[i, j]
                    for l in range(j + 1):
                        value += bandwidth * root[j, l] * noise[done, l]
                    moved[done, j] = min(max(value, low[j]), high[j])
                done += 1
        for i in range(count):
            log_weights[k, i] = -math.log(count)
            for j in range(nx):
                particles[k, i, j] = moved[i, j]


def move(particles, log_weights, u, p, noise, angles, low, high, means):
    """The particles one sample later, and their means."""
    trajectories, count, nx = particles.shape
    following, middle = np.empty(nx), np.empty(nx)
    for k in range(trajectories):
        for i in range(count):
            step(0.0, particles[k, i], u[k], p, following)
            for j in range(nx):
                particles[k, i, j] = min(max(following[j] + noise[i, j], low[j]), high[j])
        moments(particles[k], log_weights[k], angles, means[k], middle)
