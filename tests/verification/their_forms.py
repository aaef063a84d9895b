"""A right hinge in the forms that people give it."""

import functools

import numpy as np
import their_torch
import torch


class Hinge(torch.nn.Module):
    def __init__(self, k, margin):
        super().__init__()
        self.k, self.margin = k, margin

    def forward(self, covariance):
        return their_torch.eigengap_loss(covariance, self.k, self.margin)


class _Plain(torch.nn.Module):
    def forward(self, covariance, k, margin):
        return their_torch.eigengap_loss(covariance, k, margin)


hinge_module = _Plain()


class Losses:
    def eigengap_loss(self, covariance, k, margin):
        return their_torch.eigengap_loss(covariance, k, margin)


def _scaled(scale, covariance, k, margin):
    return scale * their_torch.eigengap_loss(covariance, k, margin)


partly = functools.partial(_scaled, 1.0)


def by_keyword(*, margin, k, covariance):
    return their_torch.eigengap_loss(covariance, k, margin)


def in_another_order(margin, n_sources, R):
    return their_torch.eigengap_loss(R, n_sources, margin)


def rest_of_a_complete_qr(covariance, k):
    signal = torch.linalg.eigh((covariance + covariance.mH) / 2)[1].flip(-1)[..., :k]
    return torch.linalg.qr(signal, mode="complete").Q[..., k:]


def loss_by_a_complete_qr(covariance, k, margin):
    h = (covariance + covariance.mH) / 2
    first = torch.linalg.qr(h[..., :1], mode="complete").Q
    values = torch.linalg.eigvalsh(first.mH @ h @ first)
    return (margin - values[..., -k] + values[..., -k - 1]).relu().mean()


def a_plain_number(covariance, k, margin):
    values = np.linalg.eigvalsh(their_torch.hermitize(covariance.detach()).numpy())[..., ::-1]
    hinge = np.maximum(0.0, margin - (values[..., k - 1] - values[..., k]))
    return float(hinge.mean())
