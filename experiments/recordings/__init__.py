"""Recordings of real exchanges: LOBSTER, Binance and Bitstamp, read into arrays."""

from pathlib import Path
from typing import Any


def read_record(
    path: str | Path, trades: str | Path | None = None, bbo: str | Path | None = None
) -> dict[str, Any]:
    """Read what a recording tells of a market.

    Parameters
    ----------
    path : path
        A table of any layout of `experiments.recordings.tables.LAYOUTS`.
    trades, bbo : path, optional
        For Binance: tables of trades and of best quotes; those beside the file when left out.

    Returns
    -------
    dict
        The fields of `sim.metrics.stylised_facts.MarketRecord`: times in seconds, prices in the
        quote currency, sizes in the base currency (shares for LOBSTER), signs +1 where the buyer
        was the aggressor.
    """
    from experiments.recordings import binance, bitstamp, lobster
    from experiments.recordings.tables import read_recording

    path = Path(path)
    layout, table = read_recording(path)
    if layout == "lobster":
        return lobster.record(table, path)
    if layout == "bitstamp":
        return bitstamp.record(table, path)
    return binance.record(
        table, path,
        Path(trades) if trades else binance.beside(path, "trades"),
        Path(bbo) if bbo else binance.beside(path, "bbo"),
    )  # fmt: skip
