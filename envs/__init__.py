"""Gymnasium environments over a market model; importing the package registers them."""

from envs.registration import register

register()
